/** What of a run's values is shown: cut to a size that a record can bear, and without what looks like a credential. Pure. */
import { isObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";

export interface ClipLimits {
  /** Characters of one text. */
  text: number;
  /** Items of one list, fields of one object. */
  items: number;
  depth: number;
  /** Characters of the whole as JSON, about. */
  total: number;
}

const limits: ClipLimits = { text: 2_000, items: 100, depth: 8, total: 16_000 };
/** Names under which people keep credentials. */
const secretName =
  /^(?:.*[_-])?(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|authorization|cookie|credentials?|private[_-]?key|access[_-]?key)$|(?:Password|Secret|Token|ApiKey|PrivateKey|AccessKey)$/i;

export const hiddenValue = "[redacted]";

/** A copy for records: long texts and lists end in a note of what is left out, credentials are hidden. */
export function clip(value: unknown, { text, items, depth, total }: ClipLimits = limits): unknown {
  let left = total;
  const walk = (inner: unknown, level: number): unknown => {
    if (typeof inner === "string") {
      const room = Math.min(text, Math.max(0, left));
      left -= Math.min(inner.length, room);
      return inner.length > room ? `${inner.slice(0, room).toWellFormed()}… (${inner.length} characters)` : inner;
    }
    left -= 8;
    if (inner instanceof Date) return inner.toISOString();
    if (typeof inner === "bigint") return inner.toString();
    if (inner === null || typeof inner !== "object") return inner;
    if (level >= depth || left <= 0) return Array.isArray(inner) ? `[… ${inner.length} items]` : "{…}";
    if (Array.isArray(inner)) {
      const shown: unknown[] = [];
      for (const item of inner.slice(0, items)) {
        if (left <= 0) break;
        shown.push(walk(item, level + 1));
      }
      if (shown.length < inner.length) shown.push(`… (${inner.length} items)`);
      return shown;
    }
    const fields = Object.entries(inner);
    const shown: [string, unknown][] = [];
    for (const [name, child] of fields.slice(0, items)) {
      if (left <= 0) break;
      left -= name.length;
      shown.push([name.slice(0, 200), secretName.test(name) && child !== null ? hiddenValue : walk(child, level + 1)]);
    }
    if (shown.length < fields.length) shown.push(["…", `${fields.length} fields`]);
    return Object.fromEntries(shown);
  };
  return walk(value, 0);
}

/** Length of the JSON, or `undefined` for what is none. */
export function jsonLength(value: unknown): number | undefined {
  try {
    return JSON.stringify(value)?.length ?? 4;
  } catch {
    return undefined;
  }
}

/** `{code, message}` of anything thrown, with both cut; a message that counts on faults beside it has them in it. */
export function shownError(error: unknown): { code: string; message: string } {
  const code = isObject(error) && typeof error["code"] === "string" ? error["code"] : "internal";
  const message = error instanceof Error ? error.message : isObject(error) ? String(error["message"]) : String(error);
  const faults = error instanceof BackplaneError ? (error.errors ?? []) : [];
  const told = faults.length === 0 ? message : `${message} ${faults.map((f) => `${f.path}: ${f.message}`).join("; ")}`;
  return { code: code.slice(0, 100), message: told.slice(0, 2_000).toWellFormed() };
}
