/** The hash chain of the audit log as pure functions: what an entry is, its canonical bytes, its hash. */
import { createHash } from "node:crypto";
import type { JsonObject, JsonValue } from "../base/json.ts";

/** What the hash covers. */
export interface ChainedEntry {
  organization: string;
  seq: number;
  /** RFC 3339 UTC with milliseconds. */
  at: string;
  actor: string;
  action: string;
  target: string;
  details: JsonObject;
  traceId: string | null;
}

/** Previous hash of the first entry. */
export const genesisHash = "0".repeat(64);

/** SHA-256 (hex) over the previous hash, a newline and the entry's canonical JSON. */
export function hashEntry(entry: ChainedEntry, previousHash: string): string {
  const { organization, seq, at, actor, action, target, details, traceId } = entry;
  const canonical = canonicalJson({ organization, seq, at, actor, action, target, details, traceId });
  return createHash("sha256").update(`${previousHash}\n${canonical}`).digest("hex");
}

/** JSON with the keys of every object in code unit order: equal values give equal text. */
export function canonicalJson(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key]!)}`);
  return `{${members.join(",")}}`;
}
