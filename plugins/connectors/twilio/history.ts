/**
 * A list of Twilio's REST API, newest first, in pages whose addresses are opaque to us. A sync lists the time since the last
 * one that was complete, with a day of overlap: states change for a while after an item is made, and times have whole
 * seconds, so the same items come again and change nothing. https://www.twilio.com/docs/usage/twilios-response#pagination
 */
import { isHttpError, type PluginContext, type RawItem, type SecretHandle } from "@backplane/plugin-api";

export interface Config {
  accountSid: string;
  authToken: SecretHandle;
  since?: string;
  voicemails: boolean;
  settleMinutes: number;
}

export type Context = PluginContext<Config>;

/** In the middle of a list, or at the end of one. */
export type Cursor = { page: string; from?: string; to: string } | { since: string };

export interface History<Row> {
  /** The item type. */
  type: string;
  /** Such as `Calls`. */
  resource: string;
  /** The list's own name in an answer. */
  rows: string;
  /** The time that the list is filtered by, such as `StartTime`. */
  time: string;
  /** Items of one page; rows that are not ours to store have none. */
  items(rows: Row[]): Promise<RawItem[]>;
}

interface Page {
  next_page_uri?: string | null;
  [list: string]: unknown;
}

const overlapMs = 24 * 60 * 60 * 1000;
const pageSize = 100;

export async function* listHistory<Row>(
  ctx: Context,
  history: History<Row>,
  cursor: Cursor | undefined,
): AsyncGenerator<RawItem, Cursor> {
  const to = cursor && "page" in cursor ? cursor.to : seconds(Date.now() - ctx.config.settleMinutes * 60_000);
  const from = cursor && "page" in cursor ? cursor.from : beginOf(ctx, cursor);
  const first = `${accountPath(ctx)}/${history.resource}.json?${filter(history.time, from, to)}`;
  let path = cursor && "page" in cursor ? cursor.page : first;
  for (;;) {
    let page: Page;
    try {
      page = await get<Page>(ctx, path);
    } catch (error) {
      // The address of a page does not hold for ever: the list is begun again, which stores the same rows once more.
      const isStale = path !== first && (isHttpError(error, 400) || isHttpError(error, 404));
      if (!isStale || !(cursor && "page" in cursor && path === cursor.page)) throw error;
      path = first;
      continue;
    }
    const rows = page[history.rows];
    if (!Array.isArray(rows)) throw new Error(`Twilio's answer has no list '${history.rows}'.`);
    const next = page.next_page_uri || undefined;
    if (next === path) throw new Error(`Twilio's list of ${history.rows} does not go on.`);
    const items = await history.items(rows as Row[]);
    for (const [at, item] of items.entries())
      yield at < items.length - 1 || next === undefined
        ? item
        : { ...item, cursor: { page: next, to, ...(from === undefined ? {} : { from }) } };
    if (next === undefined) return { since: to };
    path = next;
  }
}

/** `path` is absolute, as Twilio writes addresses. Errors: an HttpError for any status but 2xx; the hub waits out 429. */
export function get<T>(ctx: Context, path: string): Promise<T> {
  const { accountSid, authToken } = ctx.config;
  if (!path.startsWith(`${accountPath(ctx)}/`) && path !== `${accountPath(ctx)}.json`)
    throw new Error(`Twilio gave an address outside of the account: ${path}`);
  return ctx.http.get<T>(`https://api.twilio.com${path}`, {
    authorization: `Basic ${btoa(`${accountSid}:${authToken}`)}`,
  });
}

export const accountPath = ({ config }: Context): string => `/2010-04-01/Accounts/${config.accountSid}`;

function beginOf(ctx: Context, cursor: { since: string } | undefined): string | undefined {
  if (cursor) return seconds(Date.parse(cursor.since) - overlapMs);
  return ctx.config.since === undefined ? undefined : `${ctx.config.since}T00:00:00Z`;
}

/** `>` and `<` belong to the names and mean "at or after" and "at or before". */
function filter(time: string, from: string | undefined, to: string): string {
  return String(
    new URLSearchParams({
      ...(from === undefined ? {} : { [`${time}>`]: from }),
      [`${time}<`]: to,
      PageSize: String(pageSize),
    }),
  );
}

const seconds = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
