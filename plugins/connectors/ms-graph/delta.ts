/**
 * One collection followed by delta queries: pages are read by links that are opaque to us, and the link after a page is the
 * cursor of its last item. When Graph has lost the state of a round (410), the round is started over at once, and rows that
 * it does not show any more are deleted at its end. Such a round carries no cursors, so that a break starts it over again.
 * https://learn.microsoft.com/graph/delta-query-overview
 */
import { isAbilityError, isHttpError, type RawItem } from "@backplane/plugin-api";
import { type Context, getJson, isStateLost, type Page } from "./graph.ts";

export interface Removable {
  id: string;
  "@removed"?: { reason?: string };
}

export interface Cursor {
  /** Graph's next or delta link. */
  link: string;
  /** When the first round began: what is older was there before. RFC 3339. */
  began: string;
  /** A round has come to its end: what comes now are changes. */
  complete: boolean;
  /** When the round was started whose links these are. RFC 3339. */
  started: string;
}

export interface Collection<Row extends Removable> {
  /** The item type. */
  type: string;
  /** Where a new round begins; nothing when there is nothing to follow yet. */
  begin(): Promise<string | undefined>;
  prefer: string[];
  /** Rows of one page, and fewer where a page is too large for one answer. */
  pageSizes: number[];
  /** Whether a changed row came with all fields. Graph may leave out what did not change. */
  isWhole(row: Row): boolean;
  /** Where the whole row is. */
  address(id: string): string;
  /** Items of one page of whole or removed rows. `cursor`: the state before it. */
  items(rows: Row[], cursor: Cursor): Promise<RawItem[]>;
  /** Ids of all rows that are stored of the collection. */
  stored(): AsyncIterable<string>;
}

/** Gives the cursor after the last page. Errors: those of requests, 429 among them, which the hub waits out. */
export async function* followChanges<Row extends Removable>(
  ctx: Context,
  collection: Collection<Row>,
  from: Cursor | undefined,
): AsyncGenerator<RawItem, Cursor | undefined> {
  const now = new Date().toISOString();
  let seen: Set<string> | undefined;
  let url = from?.link ?? (await collection.begin());
  if (url === undefined) return from;
  let cursor: Cursor = from ?? { link: url, began: now, complete: false, started: now };

  for (;;) {
    let page: Page<Row>;
    try {
      page = await readPage<Row>(ctx, url, collection);
    } catch (error) {
      if (!isStateLost(error) || seen) throw error;
      ctx.logger.warn("Graph has lost the state of the changes; everything is read again", { type: collection.type });
      seen = new Set();
      url = (await collection.begin()) ?? url;
      cursor = { ...cursor, started: now };
      continue;
    }
    const next = page["@odata.nextLink"];
    const link = next ?? page["@odata.deltaLink"];
    if (link === undefined || next === url)
      throw new Error(`Graph gave a page of ${collection.type} without a link to go on from.`);
    const items = await collection.items(await wholeRows(ctx, page.value, collection), cursor);
    cursor = { ...cursor, link, complete: cursor.complete || next === undefined };
    for (const { id } of items) seen?.add(id);
    for (const [at, item] of items.entries())
      yield seen === undefined && at === items.length - 1 ? { ...item, cursor } : item;
    if (next === undefined) break;
    url = next;
  }

  if (seen)
    for await (const id of collection.stored())
      if (!seen.has(id)) yield { id, type: collection.type, data: null, deleted: true };
  return cursor;
}

async function readPage<Row extends Removable>(
  ctx: Context,
  url: string,
  { prefer, pageSizes }: Collection<Row>,
): Promise<Page<Row>> {
  for (const [at, size] of pageSizes.entries()) {
    try {
      return await getJson<Page<Row>>(ctx, url, [...prefer, `odata.maxpagesize=${size}`]);
    } catch (error) {
      if (!isAbilityError(error, "egress_too_large") || at === pageSizes.length - 1) throw error;
    }
  }
  throw new Error("unreachable");
}

async function wholeRows<Row extends Removable>(
  ctx: Context,
  rows: readonly Row[],
  { isWhole, address, prefer }: Collection<Row>,
): Promise<Row[]> {
  const whole: Row[] = [];
  for (const row of rows) {
    const asked = row["@removed"] || isWhole(row) ? row : await getRow<Row>(ctx, address(row.id), prefer);
    if (asked) whole.push(asked);
  }
  return whole;
}

/** Nothing when it is not there any more. */
export async function getRow<Row>(ctx: Context, url: string, prefer: readonly string[]): Promise<Row | undefined> {
  try {
    return await getJson<Row>(ctx, url, prefer);
  } catch (error) {
    if (isHttpError(error, 404)) return undefined;
    throw error;
  }
}

/** Ids at Graph of all rows that `read` gives, page by page. */
export async function* storedIds(
  read: (cursor: string | null) => Promise<{ items: { externalId: string | null }[]; nextCursor: string | null }>,
): AsyncGenerator<string> {
  let cursor: string | null = null;
  do {
    const page = await read(cursor);
    for (const { externalId } of page.items) if (externalId !== null) yield externalId;
    cursor = page.nextCursor;
  } while (cursor !== null);
}
