/**
 * What an event is: the CloudEvents 1.0 record the outside sees, the input of publish with its checks, and how a row of
 * the log becomes a record. No database work happens here.
 */

import type { JsonValue } from "../base/json.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";

/** A CloudEvents 1.0 JSON object; `organization` and `traceparent` are extension attributes. */
export interface EventRecord {
  specversion: "1.0";
  id: string;
  source: string;
  type: string;
  subject?: string;
  time: string;
  datacontenttype: "application/json";
  data: JsonValue;
  organization: string;
  traceparent?: string;
}

export interface EventInput {
  organization: string;
  /** Dedupe key within the organisation. @default a fresh UUIDv7 */
  id?: string | undefined;
  /** Dotted words, e.g. `order.created`. */
  type: string;
  source: string;
  /** Events of one subject reach a consumer in order; without one they are unordered. */
  subject?: string | undefined;
  /** When it happened. @default now */
  time?: Date | undefined;
  data: unknown;
  traceparent?: string | undefined;
  /** How many events caused one another before this one. @default 0 */
  depth?: number | undefined;
}

export interface EventLimits {
  /** JSON bytes of `data`. @default 524288 */
  maxDataBytes: number;
  /** Longest chain of events that cause events; beyond it a loop is assumed. @default 32 */
  maxDepth: number;
}

/** How the ids of plugins' events begin: `plugin:<plugin id>#<id given by the plugin>`. */
export const pluginEventIds = "plugin:";
/** Ids of events that the hub publishes under a name of its own begin so. */
export const hubEventIds = "hub:";

/** A checked event, with `data` as JSON text. */
export interface CheckedEvent {
  organization: string;
  id: string | undefined;
  type: string;
  source: string;
  subject: string | undefined;
  time: Date;
  data: string;
  traceparent: string | undefined;
  depth: number;
}

const typeForm = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const filterForm = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?$/;
// PostgreSQL's jsonb takes neither NUL nor lone surrogates; JSON.stringify writes exactly those two as \u escapes of this form.
const unstorable = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/** Errors: `invalid_input` naming every wrong field, `payload_too_large`, `call_depth_exceeded`. */
export function checkEvent(input: EventInput, limits: EventLimits): CheckedEvent {
  const errors: FieldError[] = [];
  const text = (path: "id" | "type" | "source" | "subject", limit: number): void => {
    const value: unknown = input[path];
    if (value === undefined) return;
    // Bytes, because these are columns of indexes, whose rows the database limits.
    if (typeof value !== "string" || value.length === 0 || Buffer.byteLength(value) > limit || !isStorableText(value)) {
      errors.push({
        path: `$.${path}`,
        message: `must be a string of 1 to ${limit} bytes without control characters`,
      });
    }
  };
  text("id", 256);
  text("subject", 512);
  text("source", 512);
  text("type", 256);
  if (errors.length === 0 && !typeForm.test(input.type)) {
    errors.push({
      path: "$.type",
      message: "must be dotted words of letters, digits, '_' and '-', such as order.created",
    });
  }
  if (input.source === undefined) errors.push({ path: "$.source", message: "is missing" });
  const time = input.time ?? new Date();
  if (Number.isNaN(time.getTime())) errors.push({ path: "$.time", message: "is not a time" });
  const data = jsonText(input.data);
  if (data === undefined) errors.push({ path: "$.data", message: "is not JSON" });
  else if (unstorable.test(data))
    errors.push({ path: "$.data", message: "holds a NUL character or half a surrogate pair, which cannot be stored" });
  if (errors.length > 0) throw new BackplaneError("invalid_input", {}, { errors });
  const size = Buffer.byteLength(data!);
  if (size > limits.maxDataBytes) throw new BackplaneError("payload_too_large", { size, limit: limits.maxDataBytes });
  const depth = input.depth ?? 0;
  if (depth > limits.maxDepth) throw new BackplaneError("call_depth_exceeded", { limit: limits.maxDepth });
  const { organization, id, type, source, subject, traceparent } = input;
  return { organization, id, type, source, subject, time, data: data!, traceparent, depth };
}

/** True for an exact type or one that ends in `.*`: the only patterns consumers and queries know (`*` alone is the hub's own). */
export function isEventPattern(pattern: string): boolean {
  return pattern === "*" || (pattern.length <= 256 && filterForm.test(pattern));
}

/** Text that both the database and a log line can hold. */
export function isStorableText(value: string): boolean {
  return !/[\u0000-\u001f\u007f]/.test(value) && value.isWellFormed();
}

/** JSON text of `value` that the database can hold: what it cannot becomes U+FFFD. Error: `invalid_input` at `path` when it is no JSON. */
export function storableJson(value: unknown, path: string): string {
  const text = jsonText(value);
  if (text === undefined) throw new BackplaneError("invalid_input", {}, { errors: [{ path, message: "is not JSON" }] });
  return unstorable.test(text)
    ? text.replace(/\\(u0000|ud[89a-f][0-9a-f]{2}|.)/g, (pair, rest: string) => (rest.length === 1 ? pair : "\\ufffd"))
    : text;
}

function jsonText(value: unknown): string | undefined {
  try {
    return value === undefined ? "null" : JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** Columns of `events` that make a record. */
export interface EventRow {
  organization_id: string;
  id: string;
  source: string;
  type: string;
  subject: string | null;
  time: Date;
  data: unknown;
  traceparent: string | null;
}

export function toEventRecord(row: EventRow): EventRecord {
  return {
    specversion: "1.0",
    id: row.id,
    source: row.source,
    type: row.type,
    ...(row.subject === null ? {} : { subject: row.subject }),
    time: row.time.toISOString(),
    datacontenttype: "application/json",
    data: row.data as JsonValue,
    organization: row.organization_id,
    ...(row.traceparent === null ? {} : { traceparent: row.traceparent }),
  };
}
