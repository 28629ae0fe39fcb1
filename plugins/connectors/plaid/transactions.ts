/**
 * `/transactions/sync` (https://plaid.com/docs/api/products/transactions/#transactionssync): pages of what was added,
 * modified and removed since a cursor. When the data changes between two pages, Plaid answers
 * TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION and all pages must be read again from the first one's cursor: a new attempt.
 * What was added and removed since then is in no page of it, and yet may be stored. So each attempt notes in the
 * installation's files what it added, before that can be stored, and the last page of an attempt deletes what others
 * added and it does not name. The notes are kept until a later run sees by its cursor that all this was stored.
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
  /** While pages are left: the cursor of the first page, `""` for the whole history, and the attempt they belong to. */
  from?: string;
  attempt?: string;
}

/** By item id: what the engine keeps for us between runs. */
export type Positions = Record<string, Position>;

const pageSize = 500;
const maxRestarts = 5;

/** Yields what changed and moves the item's place in `positions`, which the last item of each page carries as its cursor. */
export async function* transactionsOf(item: OpenItem, positions: Positions, ctx: Context): AsyncGenerator<RawItem> {
  const start = positions[item.itemId] ?? { next: "" };
  const from = start.from ?? start.next;
  const notes = await openNotes(`unfinished/${item.itemId}/`, from, ctx);
  if (start.from === undefined) await notes.forgetOthers();
  let attempt = start.attempt ?? `${ctx.execution.id}-0`;
  let next = start.next;
  let restarts = 0;
  for (let pages = 1; ; pages += 1) {
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
      attempt = `${ctx.execution.id}-${restarts}`;
      next = from;
      continue;
    }
    await notes.write(attempt, pages, page);
    const gone = page.removed.map(({ transaction_id }) => transaction_id);
    const ghosts = page.has_more ? [] : await notes.ghosts(attempt);
    const items = [...[...page.added, ...page.modified].map(changed), ...[...gone, ...ghosts].map(removed)];
    next = page.next_cursor;
    if (next !== "") positions[item.itemId] = page.has_more ? { next, from, attempt } : { next };
    const last = items.at(-1);
    if (last) last.cursor = { ...positions };
    yield* items;
    if (!page.has_more) return;
  }
}

const isMutation = (error: unknown): boolean =>
  error instanceof PlaidRefusal && error.code === "TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION";

const changed = (data: PlaidTransaction): RawItem => ({ id: data.transaction_id, type: "transaction", data });

const removed = (id: string): RawItem => ({ id, type: "transaction", data: null, deleted: true });

interface Notes {
  write(attempt: string, page: number, content: SyncPage): Promise<void>;
  /** Added by other attempts, and not named by this one. */
  ghosts(attempt: string): Promise<string[]>;
  /** Those of other first cursors: what they tell of is stored. */
  forgetOthers(): Promise<void>;
}

interface Note {
  attempt: string;
  added: string[];
  modified: string[];
}

async function openNotes(itemFolder: string, from: string, ctx: Context): Promise<Notes> {
  const folder = `${itemFolder}${(await ctx.crypto.digest("SHA-256", from)).toHex().slice(0, 16)}/`;
  return {
    async write(attempt, page, { added, modified }) {
      if (added.length === 0 && modified.length === 0) return;
      const note: Note = { attempt, added: added.map(idOf), modified: modified.map(idOf) };
      await ctx.storage.put(`${folder}${ctx.execution.id}-${page}`, JSON.stringify(note));
    },
    async ghosts(attempt) {
      const notes: Note[] = [];
      for (const path of await pathsBelow(folder, ctx)) {
        const bytes = await ctx.storage.get(path);
        if (bytes) notes.push(JSON.parse(new TextDecoder().decode(bytes)) as Note);
      }
      const isOwn = (note: Note): boolean => note.attempt === attempt;
      const named = new Set(notes.filter(isOwn).flatMap(({ added, modified }) => [...added, ...modified]));
      const others = new Set(notes.filter((note) => !isOwn(note)).flatMap(({ added }) => added));
      return [...others].filter((id) => !named.has(id));
    },
    async forgetOthers() {
      for (const path of await pathsBelow(itemFolder, ctx))
        if (!path.startsWith(folder)) await ctx.storage.delete(path);
    },
  };
}

const idOf = ({ transaction_id }: PlaidTransaction): string => transaction_id;

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
