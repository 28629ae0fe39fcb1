/** What a template of `create-plugin` supplies. */

export const pluginTypes = ["domain", "connector", "channel", "operator"] as const;
export type ScaffoldType = (typeof pluginTypes)[number];

export interface TemplateNames {
  id: string;
  name: string;
  description: string;
  /** First word of the plugin's events. */
  domain: string;
}

export interface PluginTemplate {
  description: string;
  /** Fields of plugin.json after the usual ones. */
  manifest(names: TemplateNames): Record<string, unknown>;
  files(names: TemplateNames): { code: string; test: string; readme: string };
}
