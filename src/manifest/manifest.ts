/** The manifest's types for the hub; the schema they come from is in the plugin API. */
export type {
  Manifest,
  ManifestFunction,
  ManifestOperator,
  ManifestResources,
  ManifestSource,
  PluginType,
} from "../../plugin-api/src/manifest.ts";
