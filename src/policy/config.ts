/** The config an installation runs with: the organisation's own settings over the manifest's defaults. */
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { isObject } from "../base/json.ts";
import type { FieldError } from "../errors/error.ts";
import { compilePluginSchema } from "../manifest/schema-guard.ts";

/** Faults of a config with the manifest's defaults filled in. */
export function configFaults(
  manifest: Pick<Manifest, "configSchema" | "defaultConfig">,
  config: unknown,
): FieldError[] {
  return compilePluginSchema(manifest.configSchema).validate(configWithDefaults(manifest, config));
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
