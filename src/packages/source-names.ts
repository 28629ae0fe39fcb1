/**
 * Names of source files as people may see them: relative, short, without schemes, folders of a machine, or ways out.
 * Source maps are hostile input, and stacks made from them are shown to people and written to logs.
 */

const maxLength = 200;

/** A display name for any string found in a source map's `sources`. */
export function displayName(source: unknown): string {
  if (typeof source !== "string") return "unknown";
  const cut = source.length > 4096 ? source.slice(-4096) : source;
  const plain = cut
    .replace(/[\p{C}\p{Zl}\p{Zp}()]/gu, "")
    .replace(/\s+/gu, "_")
    .replaceAll("\\", "/")
    .replace(/^(?:[a-z][a-z0-9+.-]*:)+(?=\/|[a-z]:\/)/i, "")
    .replace(/^\/*[a-z]:\//i, "/");
  const segments = plain.split("/").filter((segment) => segment !== "" && segment !== "." && segment !== "..");
  // A place on the author's machine is nobody's business: keep what follows the last node_modules, or the file itself.
  const isOutside = plain.startsWith("/") || plain.startsWith("../");
  const modules = segments.lastIndexOf("node_modules");
  const kept = isOutside ? (modules >= 0 ? segments.slice(modules) : segments.slice(-1)) : segments;
  const name = kept.join("/");
  if (name === "") return "unknown";
  return name.length > maxLength ? `…${name.slice(1 - maxLength)}` : name;
}

/** Rewrites the map that esbuild made: display names only, no source text, fixed order of keys. */
export function cleanSourceMap(text: string): string {
  const map = JSON.parse(text) as { sources: string[]; names: string[]; mappings: string };
  return JSON.stringify({
    version: 3,
    sources: map.sources.map(displayName),
    names: map.names,
    mappings: map.mappings,
  });
}
