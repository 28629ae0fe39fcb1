/**
 * The guest's half of a sync: iterates the connector's `sync`, maps each item inside the wall, and yields batches for the
 * hub to commit. A built-in handler beside those of the plugin: `["connector", "syncBatches"]` and, for one pushed item,
 * `["connector", "incomingChanges"]`. Nothing here is trusted by the hub (src/incoming/read-batch.ts).
 */
import { apply, asyncIterator, defineProperty, emptyTable, keys, NativeTypeError, now } from "./primordials.ts";
import { stringifyForWire } from "./stringify-for-wire.ts";

/** What the hub asks of one call of `syncBatches`, after the options of `sync`. */
export interface BatchLimits {
  /** Items of one batch. */
  items: number;
  /** Text of one batch, UTF-16 units. */
  size: number;
  /** Longest an item waits for its batch to fill, ms. */
  waitMs: number;
  /** After so many ms or items the call ends at the next item from which another call can go on. */
  endAfterMs: number;
  endAfterItems: number;
  /** Items come sorted by `updatedAt`, so that another call can go on after any whose time is later than this one. */
  orderedSince?: string;
  ordered?: boolean;
}

/** The last value of a `syncBatches` call. */
export interface BatchesEnd {
  /** False: it ended early, and another call goes on from the stored cursor. */
  done: boolean;
  /** What the connector's generator returned, where it is an object: new cursors without an item of their own. */
  cursor?: unknown;
  cursors?: unknown;
}

interface Item {
  id?: unknown;
  type?: unknown;
  data?: unknown;
  updatedAt?: unknown;
  cursor?: unknown;
  deleted?: unknown;
  total?: unknown;
}

type Method = (...args: unknown[]) => unknown;

/** Finds a method of the connector: `findHandler` bound to the definition. */
export type FindMethod = (name: string) => { run: Method; self: unknown } | undefined;

const texts = new WeakMap<object, string>();
const { get, set } = WeakMap.prototype;

/** A chunk that is JSON text already, and only this file makes such. */
export const textOfChunk = (value: unknown): string | undefined => apply(get, texts, [value]) as string | undefined;

function chunkOf(items: string): object {
  const chunk = {};
  apply(set, texts, [chunk, `{"items":[${items}]}`]);
  return chunk;
}

type BuiltIn = (find: FindMethod) => Method | undefined;

const builtIns = {
  syncBatches(find: FindMethod): Method | undefined {
    const sync = find("sync");
    const map = find("mapToUnifiedModel");
    if (sync === undefined || map === undefined) return undefined;
    return (options, limits, ctx) =>
      batches({
        begin: () => apply(sync.run, sync.self, [options, ctx]),
        map: (item) => apply(map.run, map.self, [item, ctx]),
        limits: limits as BatchLimits,
      });
  },
  incomingChanges(find: FindMethod): Method | undefined {
    const handle = find("handleIncomingEvent");
    if (handle === undefined) return undefined;
    const map = find("mapToUnifiedModel");
    return async (payload, ctx) => {
      const changes = await apply(handle.run, handle.self, [payload, ctx]);
      if (typeof changes !== "object" || changes === null) return null;
      const { items, entities, events, sync } = changes as Record<"items" | "entities" | "events" | "sync", unknown>;
      const mapped: unknown[] = [];
      if (items !== undefined && items !== null) {
        if (map === undefined)
          throw new NativeTypeError("handleIncomingEvent gave items, and there is no mapToUnifiedModel");
        const list = items as { length: number; [i: number]: Item };
        for (let i = 0; i < list.length; i++) {
          const item = list[i] as Item;
          mapped[i] = described(item, await apply(map.run, map.self, [item, ctx]), true);
        }
      }
      return { items: mapped, entities, events, sync };
    };
  },
};

export const connectorBuiltIns: Readonly<Record<string, BuiltIn>> = emptyTable<BuiltIn>();
for (const name of keys(builtIns))
  defineProperty(connectorBuiltIns, name, { value: builtIns[name as keyof typeof builtIns] });

interface Batching {
  begin(): unknown;
  map(item: Item): unknown;
  limits: BatchLimits;
}

async function* batches({ begin, map, limits }: Batching): AsyncGenerator<unknown, BatchesEnd, undefined> {
  const source = (await begin()) as { [asyncIterator]?: () => AsyncIterator<Item, unknown> } | null | undefined;
  const make = source?.[asyncIterator];
  if (typeof make !== "function")
    throw new NativeTypeError("sync must be an async generator, or give an async iterable");
  const iterator = apply(make, source, []) as AsyncIterator<Item, unknown>;
  const startedAt = now();
  let text = "";
  let count = 0;
  let all = 0;
  let since = 0;
  let ended = false;
  try {
    for (;;) {
      const step = await iterator.next();
      if (step.done === true) {
        ended = true;
        if (count > 0) yield chunkOf(text);
        return endOf(step.value);
      }
      const item = step.value;
      const one = stringifyForWire(described(item, await map(item), false)) as string;
      if (count > 0 && text.length + one.length > limits.size) {
        yield chunkOf(text);
        text = "";
        count = 0;
      }
      if (count === 0) since = now();
      text += count === 0 ? one : `,${one}`;
      count += 1;
      all += 1;
      const enough = all >= limits.endAfterItems || now() - startedAt >= limits.endAfterMs;
      const leave = enough && mayLeave(item, limits);
      if (leave || count >= limits.items || now() - since >= limits.waitMs) {
        yield chunkOf(text);
        text = "";
        count = 0;
      }
      if (leave) return { done: false };
    }
  } catch (error) {
    // What came before the failure is kept, so that a service that answers only so often is read a little further each time.
    if (count > 0) yield chunkOf(text);
    throw error;
  } finally {
    // Left early, by us or by the hub: the connector's own `finally` runs.
    if (!ended && typeof iterator.return === "function") await apply(iterator.return, iterator, []);
  }
}

/** Whether another call could go on after this item. */
function mayLeave(item: Item, limits: BatchLimits): boolean {
  if (item.cursor !== undefined && item.cursor !== null) return true;
  if (limits.ordered !== true || typeof item.updatedAt !== "string") return false;
  return limits.orderedSince === undefined || item.updatedAt > limits.orderedSince;
}

function endOf(value: unknown): BatchesEnd {
  if (typeof value !== "object" || value === null) return { done: true };
  const { cursor, cursors } = value as { cursor?: unknown; cursors?: unknown };
  return { done: true, cursor, cursors };
}

/** What the hub needs of an item; the vendor's data stays here unless it is asked for. */
function described(item: Item, entities: unknown, withData: boolean): object {
  const { id, type, updatedAt, cursor, deleted, total } = item;
  return { id, type, updatedAt, cursor, deleted, total, entities, ...(withData ? { data: item.data } : null) };
}
