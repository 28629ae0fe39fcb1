/**
 * Reads what a connector's guest half hands over: batches of mapped items, the end of a stream, and the changes of one pushed
 * item. All of it is a plugin's word, so shapes, sizes, names and permissions are checked here and nowhere later.
 */
import { isObject, parseJson } from "../base/json.ts";
import { isEventPattern, isStorableText, storableJson } from "../bus/event-record.ts";
import type { EntityChange } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import { isEntityName } from "../manifest/entity-name.ts";
import { permits } from "../policy/permits.ts";

export interface SyncedItem {
  id: string;
  type: string;
  /** RFC 3339 as the connector gave it. */
  updatedAt?: string;
  /** The item's own cursor; `undefined` when it has none. */
  cursor?: unknown;
  deleted: boolean;
  total?: number;
  changes: EntityChange[];
  /** Only of pushed items. */
  data?: unknown;
  /** Why nothing of it can be stored; `id` is empty when it has none that can be kept. */
  refused?: string;
}

/** How a call of `syncBatches` ended. */
export interface StreamEnd {
  done: boolean;
  cursor?: unknown;
  cursors?: Record<string, unknown>;
}

export interface PluginEventInput {
  type: string;
  data: unknown;
  subject?: string;
  id?: string;
  /** Of `data`, which is a copy of its own. */
  references: EventReference[];
}

/** A place in an event's data that gets the id of a row. */
export interface EventReference {
  type: string;
  source: string;
  externalId: string;
  resolve(id: string | null): void;
}

export interface SyncRequest {
  types?: string[];
  full?: boolean;
}

export interface ReadChanges {
  /** An entity that was given by itself is an item of its own. */
  items: SyncedItem[];
  events: PluginEventInput[];
  /** The push asks for a sync. */
  sync?: SyncRequest;
}

export type WhoSends = Pick<Installation, "plugin" | "grants">;

const maxBatchBytes = 16 * 1024 * 1024;
const maxItems = 1000;
const maxEntities = 5000;
const maxCursorBytes = 64 * 1024;
/** Types of item, of one connector. */
export const maxTypes = 100;
const maxName = 512;
const maxEvents = 200;
const maxReferences = 1000;
const maxReferenceDepth = 24;
const typeShape = /^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/;
const timeShape = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** One chunk of `syncBatches`. Errors: `result_invalid`, `permission_denied`. */
export function readBatch(chunk: Uint8Array, who: WhoSends): SyncedItem[] {
  let value: unknown;
  try {
    value = parseJson(chunk, maxBatchBytes);
  } catch {
    throw invalid(who, "a batch is not JSON");
  }
  if (!isObject(value)) throw invalid(who, "a batch is not an object");
  return readItems(value["items"], who);
}

/** The result of `syncBatches`. Error: `result_invalid`. */
export function readEnd(value: unknown, who: WhoSends): StreamEnd {
  if (!isObject(value) || typeof value["done"] !== "boolean") throw invalid(who, "sync did not end as a stream ends");
  const end: StreamEnd = { done: value["done"] };
  const { cursor, cursors } = value;
  if (cursor !== undefined && cursor !== null) end.cursor = readCursor(cursor, "the returned cursor", who);
  if (cursors !== undefined && cursors !== null) end.cursors = readCursors(cursors, who);
  return end;
}

/** Cursors by type, of a plugin or of a person. Error: `result_invalid`. */
export function readCursors(value: unknown, who: WhoSends): Record<string, unknown> {
  if (!isObject(value)) throw invalid(who, "`cursors` is not an object of cursors by type");
  const entries = Object.entries(value).filter(([, cursor]) => cursor !== null && cursor !== undefined);
  if (entries.length > maxTypes) throw invalid(who, `more than ${maxTypes} cursors`);
  return Object.fromEntries(
    entries.map(([type, cursor]) => {
      if (!typeShape.test(type)) throw invalid(who, "a cursor's type is not a name");
      return [type, readCursor(cursor, `the cursor of ${type}`, who)];
    }),
  );
}

/** The result of `incomingChanges`, or of a channel's `handleIncomingEvent`. Errors: `result_invalid`, `permission_denied`. */
export function readChanges(value: unknown, who: WhoSends): ReadChanges {
  if (value === null || value === undefined) return { items: [], events: [] };
  if (!isObject(value)) throw invalid(who, "handleIncomingEvent gives an object {items?, entities?, events?, sync?}");
  const { items, entities, events, sync } = value;
  const changes: ReadChanges = {
    items: [
      ...(items === undefined || items === null ? [] : readItems(items, who)),
      ...(entities === undefined || entities === null ? [] : readItems(itemsOf(entities, who), who)),
    ],
    events: events === undefined || events === null ? [] : readEvents(events, who),
  };
  if (sync === true) changes.sync = {};
  else if (isObject(sync)) changes.sync = readSyncRequest(sync, who);
  return changes;
}

function itemsOf(entities: unknown, who: WhoSends): object[] {
  if (!Array.isArray(entities)) throw invalid(who, "`entities` is not a list");
  return entities.map((entity) => {
    if (!isObject(entity)) throw invalid(who, "an entity is not an object");
    const name = entity["externalId"] ?? entity["id"];
    if (name === undefined || name === null) throw invalid(who, "an entity has neither `externalId` nor `id`");
    return { id: name, type: "entity", entities: [entity] };
  });
}

function readItems(items: unknown, who: WhoSends): SyncedItem[] {
  if (!Array.isArray(items)) throw invalid(who, "`items` is not a list");
  if (items.length > maxItems) throw invalid(who, `more than ${maxItems} items at once`);
  const read = items.map((item) => readItem(item, who));
  let entities = 0;
  const types = new Set<string>();
  for (const { changes } of read) {
    entities += changes.length;
    for (const { type } of changes) types.add(type);
  }
  if (entities > maxEntities) throw invalid(who, `more than ${maxEntities} entities of one batch`);
  for (const type of types) {
    const permission = `data:write:${type}`;
    if (!permits(who.grants, permission))
      throw new BackplaneError("permission_denied", { plugin: who.plugin, permission });
  }
  return read;
}

function readItem(value: unknown, who: WhoSends): SyncedItem {
  if (!isObject(value)) throw invalid(who, "an item is not an object");
  const { id, type, cursor, deleted = false } = value;
  const given = typeof id === "number" ? String(id) : id;
  const named = isName(given) ? given : "";
  if (typeof type !== "string" || !typeShape.test(type))
    throw invalid(who, `item '${named.slice(0, 100)}': \`type\` must be a name such as \`contact\``);
  const item: SyncedItem = { id: named, type, deleted: deleted === true, changes: [] };
  // Where to go on is told even by an item that is refused.
  if (cursor !== undefined && cursor !== null) item.cursor = readCursor(cursor, `item '${named.slice(0, 100)}'`, who);
  try {
    readDetails(value, item, who);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    item.refused = error.message;
  }
  return item;
}

/** One item is wrong, and its neighbours need not be. */
class Refused extends Error {}

const fault = (reason: string): Refused => new Refused(reason);

function readDetails(value: Record<string, unknown>, item: SyncedItem, who: WhoSends): void {
  const { updatedAt, total, entities, data } = value;
  if (item.id === "") throw fault(`an item's \`id\` must be text of 1 to ${maxName} characters`);
  if (updatedAt !== undefined && updatedAt !== null) {
    if (typeof updatedAt !== "string" || !timeShape.test(updatedAt) || Number.isNaN(Date.parse(updatedAt)))
      throw fault("`updatedAt` must be an RFC 3339 time such as `2026-01-31T12:00:00Z`");
    item.updatedAt = updatedAt;
  }
  if (total !== undefined && total !== null) {
    if (!Number.isSafeInteger(total) || (total as number) < 0) throw fault("`total` must be a whole number");
    item.total = total as number;
  }
  if (data !== undefined) item.data = data;
  item.changes = readEntities(entities, item, who);
}

function readEntities(value: unknown, item: SyncedItem, { plugin }: WhoSends): EntityChange[] {
  if (!Array.isArray(value)) throw fault("mapToUnifiedModel must give a list of entities");
  const unnamed = new Set<string>();
  return value.map((entity): EntityChange => {
    if (!isObject(entity)) throw fault("an entity is not an object");
    const { id, source, externalId, data, deleted } = entity;
    const type = typeof entity["type"] === "string" ? entityTypeOf(entity["type"]) : "";
    if (!isEntityName(type)) throw fault("an entity's `type` must be one of the data model, such as `contacts`");
    for (const [name, text] of Object.entries({ id, source, externalId }))
      if (text !== undefined && text !== null && !isName(text))
        throw fault(`an entity's \`${name}\` must be text of 1 to ${maxName} characters`);
    if (data !== undefined && data !== null && !isObject(data)) throw fault("an entity's `data` must be an object");
    // (source, externalId) names a row for ever, so a plugin speaks for sources of its own only.
    if (typeof source === "string" && source !== plugin && !source.startsWith(`${plugin}:`))
      throw new BackplaneError("permission_denied", { plugin, permission: `data of the source ${source}` });
    let name = externalId as string | null | undefined;
    if (!name && !id) {
      if (unnamed.has(type)) throw fault(`two entities of the type ${type} have no \`externalId\``);
      unnamed.add(type);
      name = item.id;
    }
    return {
      type,
      ...(typeof source === "string" ? { source } : {}),
      ...(name ? { externalId: name } : {}),
      ...(id ? { id: id as string } : {}),
      data: (data as Record<string, unknown> | null | undefined) ?? {},
      ...(item.deleted || deleted === true ? { deleted: true } : {}),
    };
  });
}

/** `CalendarEvent` → `calendar_events`; what is spelled as a table already stays. */
export function entityTypeOf(name: string): string {
  if (!/^[A-Z]/.test(name)) return name;
  const snake = name.replace(/(?<=.)[A-Z]/g, "_$&").toLowerCase();
  return /[^aeiou]y$/.test(snake) ? `${snake.slice(0, -1)}ies` : snake.endsWith("s") ? snake : `${snake}s`;
}

function readEvents(value: unknown, who: WhoSends): PluginEventInput[] {
  if (!Array.isArray(value) || value.length > maxEvents)
    throw invalid(who, `\`events\` must be a list of at most ${maxEvents}`);
  const all: EventReference[] = [];
  return value.map((event) => {
    if (!isObject(event)) throw invalid(who, "an event is not an object");
    const { type, data: given = null, subject, id } = event;
    if (typeof type !== "string" || !isEventPattern(type) || type.endsWith("*"))
      throw invalid(who, "an event's `type` is not an event type");
    const permission = `event:publish:${type}`;
    if (!permits(who.grants, permission))
      throw new BackplaneError("permission_denied", { plugin: who.plugin, permission });
    for (const [name, text] of Object.entries({ subject, id }))
      if (text !== undefined && text !== null && !isName(text))
        throw invalid(who, `an event's \`${name}\` must be text of 1 to ${maxName} characters`);
    const references: EventReference[] = [];
    const data = withReferences(given, who, references);
    all.push(...references);
    if (all.length > maxReferences) throw invalid(who, `more than ${maxReferences} references in \`events\``);
    return {
      type,
      data,
      references,
      ...(typeof subject === "string" ? { subject } : {}),
      ...(typeof id === "string" ? { id } : {}),
    };
  });
}

/** A copy of an event's data, null where it names a row; deeper than the cap it stays as it is. */
function withReferences(value: unknown, who: WhoSends, references: EventReference[], depth = 0): unknown {
  if (typeof value !== "object" || value === null || depth > maxReferenceDepth) return value;
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value) ? [] : {};
  for (const [key, item] of Object.entries(value)) {
    const holder = copy as Record<string, unknown>;
    const set = (to: unknown): void => {
      Object.defineProperty(holder, key, { value: to, writable: true, enumerable: true, configurable: true });
    };
    const reference = referenceIn(item, who);
    set(reference ? null : withReferences(item, who, references, depth + 1));
    if (reference) references.push({ ...reference, resolve: set });
  }
  return copy;
}

function referenceIn(value: unknown, who: WhoSends): Omit<EventReference, "resolve"> | undefined {
  if (!isObject(value)) return undefined;
  const { $ref: type, externalId, source = who.plugin } = value;
  if (typeof type !== "string" || !isEntityName(type) || !isName(externalId) || !isName(source)) return undefined;
  const permission = `data:read:${type}`;
  // Whether somebody else's row is there, and under which id, is for readers.
  if (source !== who.plugin && !source.startsWith(`${who.plugin}:`) && !permits(who.grants, permission))
    throw new BackplaneError("permission_denied", { plugin: who.plugin, permission });
  return { type, externalId, source };
}

function readSyncRequest({ types, full }: Record<string, unknown>, who: WhoSends): SyncRequest {
  const request: SyncRequest = full === true ? { full: true } : {};
  if (types === undefined || types === null) return request;
  if (!areTypes(types)) throw invalid(who, "`sync.types` must be a list of item types");
  if (types.length > 0) request.types = [...new Set(types)];
  return request;
}

export function areTypes(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= maxTypes &&
    value.every((type) => typeof type === "string" && typeShape.test(type))
  );
}

function readCursor(cursor: unknown, where: string, who: WhoSends): unknown {
  const text = storableJson(cursor, "$.cursor");
  if (Buffer.byteLength(text) > maxCursorBytes)
    throw invalid(who, `${where}: a cursor of more than ${maxCursorBytes} bytes`);
  return JSON.parse(text) as unknown;
}

function isName(text: unknown): text is string {
  return typeof text === "string" && text !== "" && text.length <= maxName && isStorableText(text);
}

function invalid({ plugin }: WhoSends, reason: string): BackplaneError {
  return new BackplaneError("result_invalid", { plugin, reason });
}
