/**
 * Where a connector's sync stands, as a pure value: cursors that the connector gives itself, and those derived from
 * `updatedAt`. What may be stored when is decided here: an own cursor with its batch; a derived one with its batch where
 * items come in order, else only when a run is complete.
 */
import type { SyncOptions } from "../../plugin-api/src/connector.ts";
import type { StreamEnd, SyncedItem } from "../incoming/read-batch.ts";

/** A time and, for equal times, an id. */
export interface DerivedCursor {
  /** UTC, whole milliseconds, never later than what the item said. */
  value: string;
  id: string;
}

export interface Position {
  /** The connector's own cursors by item type. */
  own: Record<string, unknown>;
  /** Type of the own cursor that was stored last. */
  last: string | null;
  /** By item type; `*` is all types together, for connectors whose items come in order. */
  derived: Record<string, DerivedCursor>;
  /** A run over all types has been complete. */
  complete: boolean;
}

export const nowhere: Position = Object.freeze({ own: {}, last: null, derived: {}, complete: false });

/** Own cursors and latest times after a batch; for times, `ordered` says whether the position may be stored before the end. */
export function advance(position: Position, items: readonly SyncedItem[]): Position {
  const next: Position = { ...position, own: { ...position.own }, derived: { ...position.derived } };
  for (const item of items) {
    if (item.cursor !== undefined) {
      next.own[item.type] = item.cursor;
      next.last = item.type;
    }
    if (item.updatedAt === undefined) continue;
    const derived = { value: wholeMilliseconds(item.updatedAt), id: item.id };
    for (const type of [item.type, "*"])
      if (isLater(derived, Object.hasOwn(next.derived, type) ? next.derived[type] : undefined))
        next.derived[type] = derived;
  }
  return next;
}

/** The part of `working` that may be stored while its run goes on. */
export function storable(stored: Position, working: Position, ordered: boolean): Position {
  return { ...working, derived: ordered ? working.derived : stored.derived, complete: stored.complete };
}

/** After a complete run: returned cursors count as those of a last item. */
export function completed(working: Position, end: StreamEnd, types: readonly string[] | undefined): Position {
  const next: Position = { ...working, own: { ...working.own, ...end.cursors } };
  if (end.cursor !== undefined) {
    const type = types?.length === 1 ? types[0]! : (working.last ?? "*");
    next.own[type] = end.cursor;
    next.last = type;
  }
  return types === undefined ? { ...next, complete: true } : next;
}

/** What a full run of some types found, over what is known of the others. */
export function mergedPosition(stored: Position, found: Position): Position {
  const { "*": _all, ...derived } = found.derived;
  return {
    own: { ...stored.own, ...found.own },
    last: found.last ?? stored.last,
    derived: { ...stored.derived, ...derived },
    complete: stored.complete,
  };
}

interface OptionsOf {
  position: Position;
  types: readonly string[] | undefined;
  ordered: boolean;
  full: boolean;
}

/** The options of the next call of `sync`. */
export function optionsOf({ position, types, ordered, full }: OptionsOf): SyncOptions {
  const { own, last, derived } = position;
  const cursors = Object.fromEntries(
    Object.entries({ ...derived, ...own }).filter(
      ([type]) => type !== "*" && (types === undefined || types.includes(type)),
    ),
  );
  const name = types?.length === 1 ? types[0]! : last;
  const cursor = name !== null && Object.hasOwn(own, name) ? own[name] : undefined;
  const since = sinceOf(position, types, ordered);
  return {
    ...(full ? { full: true } : {}),
    ...(types === undefined ? {} : { types: [...types] }),
    ...(since === undefined ? {} : { since }),
    ...(cursor === undefined ? {} : { cursor }),
    ...(Object.keys(cursors).length === 0 ? {} : { cursors }),
  };
}

/** The latest time by which everything of the asked types is stored. Equal times are asked for again: ties are idempotent. */
export function sinceOf(
  { derived, own, complete }: Position,
  types: readonly string[] | undefined,
  ordered: boolean,
): string | undefined {
  if (types === undefined) {
    if (ordered) return derived["*"]?.value;
    if (!complete) return undefined;
    return earliest(Object.entries(derived).flatMap(([type, { value }]) => (type === "*" ? [] : [value])));
  }
  if (types.some((type) => !Object.hasOwn(derived, type) && !Object.hasOwn(own, type))) return undefined;
  return earliest(types.flatMap((type) => derived[type]?.value ?? []));
}

/** The first item that comes before one that it should follow; `undefined` when the batch is in order. */
export function outOfOrder(items: readonly SyncedItem[], after: string | undefined): SyncedItem | undefined {
  let latest = after === undefined ? Number.NEGATIVE_INFINITY : Date.parse(after);
  for (const item of items) {
    if (item.updatedAt === undefined) continue;
    const time = Math.floor(Date.parse(item.updatedAt));
    if (time < latest) return item;
    latest = time;
  }
  return undefined;
}

function earliest(values: string[]): string | undefined {
  return values.sort()[0];
}

function isLater(a: DerivedCursor, b: DerivedCursor | undefined): boolean {
  return b === undefined || a.value > b.value || (a.value === b.value && a.id > b.id);
}

const wholeMilliseconds = (time: string): string => new Date(Date.parse(time)).toISOString();
