/** What keeps an installation from being activated, each with a sentence for the person who can change it. */
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { isObject } from "../base/json.ts";
import type { FieldError } from "../errors/error.ts";
import { compilePluginSchema } from "../manifest/compile-schema.ts";
import { describePermission } from "../manifest/permissions.ts";
import { secretFields } from "../manifest/secret-fields.ts";
import { missingGrants } from "./consent.ts";

export interface ActivationBlocker {
  kind: "config" | "grant" | "runtime";
  /** Dotted path of the config field, the permission, or the runtime. */
  what: string;
  sentence: string;
}

type Configurable = Pick<Manifest, "configSchema" | "defaultConfig" | "permissions" | "optionalPermissions"> &
  Partial<Pick<Manifest, "runtime">>;

/** Undefined when this version of the hub can run such a plugin. */
export function runtimeFault({ runtime }: Partial<Pick<Manifest, "runtime">>): string | undefined {
  return runtime === "remote" ? "remote plugins are not served by this version of the hub" : undefined;
}

/** Empty when the plugin can be activated. `config` is the organisation's own, before defaults; its secrets may be masked. */
export function activationBlockers(
  manifest: Configurable,
  config: unknown,
  grants: readonly string[],
): ActivationBlocker[] {
  const faults = configFaults(manifest, config, { masked: true });
  const unserved = runtimeFault(manifest);
  return [
    ...(unserved === undefined ? [] : [{ kind: "runtime", what: "remote", sentence: `${unserved}.` } as const]),
    ...faults.map(
      (fault): ActivationBlocker => ({
        kind: "config",
        what: fault.path,
        sentence:
          fault.path === "$" ? `Configuration: ${fault.message}` : `Setting \`${fault.path}\`: ${fault.message}`,
      }),
    ),
    ...missingGrants(manifest, grants).map(
      (text): ActivationBlocker => ({
        kind: "grant",
        what: text,
        sentence: `\`${text}\` must be granted: ${describePermission(text).sentence}`,
      }),
    ),
  ];
}

/**
 * Faults of a config with the manifest's defaults filled in. `masked`: the config has masks or sealed values in place of
 * its secrets, which are then only looked for and not looked at; they were checked when they were given.
 */
export function configFaults(
  manifest: Pick<Manifest, "configSchema" | "defaultConfig">,
  config: unknown,
  { masked = false }: { masked?: boolean } = {},
): FieldError[] {
  const unseen = masked ? new Set(secretFields(manifest.configSchema).map((secret) => secret.field)) : undefined;
  return compilePluginSchema(manifest.configSchema).validate(
    configWithDefaults(manifest, config),
    unseen === undefined ? {} : { unseen },
  );
}

/** The organisation's config over `defaultConfig` over the `default`s of the schema; objects are merged, lists are not. */
export function configWithDefaults(
  manifest: Pick<Manifest, "configSchema" | "defaultConfig">,
  config: unknown,
): unknown {
  const below = merge(schemaDefaults(manifest.configSchema), manifest.defaultConfig);
  return config === undefined ? below : merge(below, config);
}

function schemaDefaults(schema: unknown): unknown {
  if (!isObject(schema)) return undefined;
  if ("default" in schema) return schema["default"];
  if (!isObject(schema["properties"])) return undefined;
  const found = Object.entries(schema["properties"]).flatMap(([name, child]) => {
    const value = schemaDefaults(child);
    return value === undefined ? [] : [[name, value] as const];
  });
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

function merge(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  if (!isObject(below) || !isObject(above)) return above;
  const merged: Record<string, unknown> = { ...below };
  for (const [name, value] of Object.entries(above)) {
    if (name !== "__proto__") merged[name] = merge(Object.hasOwn(below, name) ? below[name] : undefined, value);
  }
  return merged;
}
