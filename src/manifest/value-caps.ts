/** How large a value may be that is checked against a plugin's schema, and walks over values that stay within that. */
import { isObject } from "../base/json.ts";

export const valueCaps = {
  bytes: 1024 * 1024,
  depth: 64,
  /** Values × subschemas. */
  work: 20_000_000,
  /** The same where all errors have to be collected, each of which takes memory. */
  partialWork: 200_000,
  /** Steps of patterns and ticks, see safe-pattern.ts. */
  budget: 20_000_000,
  /** Values × subschemas up to which all errors are collected instead of the first. */
  allErrors: 20_000,
  formatLength: 2048,
} as const;

/** Number of values inside, or what is wrong. Stops early; no recursion. */
export function measure(root: unknown): number | string {
  const open: [unknown, number][] = [[root, 1]];
  let nodes = 0;
  let bytes = 0;
  for (let item = open.pop(); item !== undefined; item = open.pop()) {
    const [value, depth] = item;
    nodes += 1;
    bytes += typeof value === "string" ? value.length + 2 : 4;
    if (typeof value === "object" && value !== null) {
      if (depth >= valueCaps.depth) return `It may be nested at most ${valueCaps.depth} levels deep.`;
      const keys = Array.isArray(value) ? undefined : Object.keys(value);
      if ((keys ?? (value as unknown[])).length * 2 + bytes > valueCaps.bytes) bytes = valueCaps.bytes + 1;
      else if (keys === undefined) for (const child of value as unknown[]) open.push([child, depth + 1]);
      else {
        for (const key of keys) {
          if (key === "__proto__") return "The name `__proto__` is not allowed.";
          bytes += key.length + 3;
          open.push([(value as Record<string, unknown>)[key], depth + 1]);
        }
      }
    }
    if (bytes > valueCaps.bytes) return `It may have at most ${valueCaps.bytes} bytes.`;
  }
  return nodes;
}

/** For `uniqueItems`, in linear time: ajv's own compares every pair. */
export function allDifferent(items: readonly unknown[]): boolean {
  const seen = new Set<string>();
  for (const item of items) {
    const text = sortedJson(item);
    if (seen.has(text)) return false;
    seen.add(text);
  }
  return true;
}

/** JSON with sorted names, so that equal objects have equal text. Depth was capped by `measure`. */
function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  return `{${Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${sortedJson(value[key])}`)
    .join(",")}}`;
}
