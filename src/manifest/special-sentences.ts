/** Better sentences for the fields of a manifest whose pattern alone would not help. */
import semver from "semver";
import { manifestSchema } from "../../plugin-api/src/manifest.ts";
import { clip } from "./path.ts";
import { pluginIdFault } from "./plugin-id.ts";

/** Keyed by the identity of the field's schema. */
export const specialSentences: ReadonlyMap<unknown, (value: unknown) => string | undefined> = new Map<
  unknown,
  (value: unknown) => string | undefined
>([
  [manifestSchema.$defs.pluginId, (value) => (typeof value === "string" ? pluginIdFault(value) : undefined)],
  [manifestSchema.$defs.version, versionFault],
  [manifestSchema.$defs.entrypoint, entrypointFault],
]);

function versionFault(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length > 64) return undefined;
  const near = semver.valid(value, { loose: true }) ?? semver.coerce(value)?.version;
  return `\`${clip(value)}\` is not a semantic version of the form \`1.2.3\` (without \`v\` and without build metadata).${near === undefined ? "" : ` Did you mean \`${near}\`?`}`;
}

function entrypointFault(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  const reason = value.split(/[\\/]/).includes("..")
    ? "it leads out of the package"
    : /^([\\/]|[A-Za-z]:)/.test(value)
      ? "it is absolute"
      : value.includes("\\")
        ? "it has backslashes; write `/`"
        : "it has characters that a path in a package cannot have";
  return `\`${clip(value)}\` cannot be the entrypoint: ${reason}. Write a path inside the package, such as \`./index.ts\`.`;
}
