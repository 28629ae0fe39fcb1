/**
 * `/transactions/sync` (https://plaid.com/docs/api/products/transactions/#transactionssync): pages of what was added,
 * modified and removed since a cursor. When the data changes between two pages, Plaid answers
 * TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION and all pages must be read again from the first one's cursor. What the
 * broken attempt added and the new one does not name any more is deleted, also when the attempt was that of an earlier run:
 * the ids of an unfinished attempt are kept in the installation's files.
 */
import type { RawItem } from "@backplane/plugin-api";
import { type Context, PlaidRefusal, post } from "./api.ts";
import type { OpenItem } from "./items.ts";

export interface PlaidTransaction {
  transaction_id: string;
  account_id: string;
  amount: number;
  iso_currency_code: string | null;
  unofficial_currency_code: string | null;
  date: string;
  authorized_date?: string | null;
  name?: string | null;
  merchant_name?: string | null;
  category?: string[] | null;
  personal_finance_category?: { primary: string; detailed: string } | null;
  pending: boolean;
  pending_transaction_id?: string | null;
  payment_channel?: string;
}

interface SyncPage {
  added: PlaidTransaction[];
  modified: PlaidTransaction[];
  removed: { transaction_id: string }[];
  next_cursor: string;
  has_more: boolean;
}

/** Where one item's sync stands. */
export interface Position {
  /** Cursor of the next request. */
  next: string;
  /** While pages are left: the cursor of the first page, `""` for the whole history. */
  from?: string;
}

/** By item id: what the engine keeps for us between runs. */
export type Positions = Record<string, Position>;

const pageSize = 500;
const maxRestarts = 5;

/** Yields what changed and moves the item's place in `positions`, which the last item of each page carries as its cursor. */
export async function* transactionsOf(item: OpenItem, positions: Positions, ctx: Context): AsyncGenerator<RawItem> {
  const start = positions[item.itemId] ?? { next: "" };
  const from = start.from ?? start.next;
  const attempt = await openAttempt(`unfinished/${item.itemId}/`, from, ctx);
  let next = start.next;
  let restarts = 0;
  for (;;) {
    let page: SyncPage;
    try {
      page = await post<SyncPage>(ctx, "/transactions/sync", {
        access_token: item.accessToken,
        count: pageSize,
        ...(next === "" ? {} : { cursor: next }),
        options: { include_personal_finance_category: true },
      });
    } catch (error) {
      if (!isMutation(error) || ++restarts > maxRestarts) throw error;
      ctx.logger.info("the transactions changed between two pages; reading them again", { item: item.itemId });
      await attempt.restart();
      next = from;
      continue;
    }
    await attempt.take(page);
    const gone = page.removed.map(({ transaction_id }) => transaction_id);
    const ghosts = page.has_more ? [] : attempt.ghosts();
    const items = [...[...page.added, ...page.modified].map(changed), ...[...gone, ...ghosts].map(removed)];
    next = page.next_cursor;
    if (next !== "") positions[item.itemId] = page.has_more ? { next, from } : { next };
    const last = items.at(-1);
    if (last) last.cursor = { ...positions };
    yield* items;
    if (!page.has_more) return await attempt.finish();
  }
}

const isMutation = (error: unknown): boolean =>
  error instanceof PlaidRefusal && error.code === "TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION";

const changed = (data: PlaidTransaction): RawItem => ({ id: data.transaction_id, type: "transaction", data });

const removed = (id: string): RawItem => ({ id, type: "transaction", data: null, deleted: true });

interface Attempt {
  /** Remembers what a page added; before its items are yielded, so that none can be stored and forgotten. */
  take(page: SyncPage): Promise<void>;
  /** The pages come again from the first: what they do not name any more will be a ghost. */
  restart(): Promise<void>;
  /** Added by a broken attempt, and by the present one not. */
  ghosts(): string[];
  finish(): Promise<void>;
}

/** One folder for each first cursor: the ids of a finished attempt mean nothing to the next. */
async function openAttempt(itemFolder: string, from: string, ctx: Context): Promise<Attempt> {
  const folder = `${itemFolder}${(await ctx.crypto.digest("SHA-256", from)).toHex().slice(0, 16)}/`;
  const earlier = new Set<string>();
  let named = new Set<string>();
  let pages = 0;
  return {
    async take({ added, modified, has_more }) {
      for (const { transaction_id } of [...added, ...modified]) named.add(transaction_id);
      if (!has_more || added.length === 0) return;
      pages += 1;
      const ids = JSON.stringify(added.map(({ transaction_id }) => transaction_id));
      await ctx.storage.put(`${folder}${ctx.execution.id}-${pages}`, ids);
    },
    async restart() {
      for (const path of await pathsBelow(folder, ctx)) {
        const bytes = await ctx.storage.get(path);
        for (const id of bytes ? (JSON.parse(new TextDecoder().decode(bytes)) as string[]) : []) earlier.add(id);
      }
      named = new Set();
    },
    ghosts: () => [...earlier].filter((id) => !named.has(id)),
    async finish() {
      for (const path of await pathsBelow(itemFolder, ctx)) await ctx.storage.delete(path);
    },
  };
}

async function pathsBelow(prefix: string, ctx: Context): Promise<string[]> {
  const paths: string[] = [];
  let cursor: string | undefined;
  do {
    const listed = await ctx.storage.list({ prefix, limit: 200, ...(cursor === undefined ? {} : { cursor }) });
    paths.push(...listed.files.map(({ path }) => path));
    cursor = listed.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return paths;
}
