/**
 * Takes the secrets of plugins out of what rules keep and show: params, conditions, results, variables. It fails closed: where
 * the secrets of a plugin cannot be read nobody knows what to look for, so a sentence stands in place of the whole value.
 */
import type { OrganizationId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import { mapTexts } from "../secrets/redactor.ts";

/** Gives what takes a plugin's secrets out of a text; `undefined`, or a rejection, when they cannot be read. */
export type RedactorOf = (
  organization: OrganizationId,
  plugin: string,
) => Promise<((text: string) => string) | undefined>;

export interface Redaction {
  /** The plugin whose secrets cannot be read, if any: then `show` gives the same sentence for everything. */
  readonly unreadable: string | undefined;
  /** To be cut only afterwards, so that no part of a secret is left at the edge. */
  show(value: unknown): unknown;
}

/** For values that may hold secrets of any of the plugins. Rejects with what passes, such as `database_unavailable`. */
export type RedactionOf = (organization: OrganizationId, plugins: Iterable<string>) => Promise<Redaction>;

export function createRedaction(redactorOf: RedactorOf): RedactionOf {
  return async (organization, plugins) => {
    const redactors: ((text: string) => string)[] = [];
    for (const plugin of new Set(plugins)) {
      const redactor = await redactorOf(organization, plugin).catch((error: unknown) => {
        if (error instanceof BackplaneError && error.retryable) throw error;
        return undefined;
      });
      if (!redactor) return { unreadable: plugin, show: () => withheld(plugin) };
      redactors.push(redactor);
    }
    const text = (input: string): string => redactors.reduce((left, redact) => redact(left), input);
    return { unreadable: undefined, show: (value) => mapTexts(value, text) };
  };
}

export const withheld = (plugin: string): string =>
  `[withheld: the secrets of plugin '${plugin}' cannot be read, so nothing that could hold one is shown]`;
