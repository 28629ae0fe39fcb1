/**
 * What autovacuum does in a PostgreSQL server, for the embedded database, which has none: clears dead rows, which scans step
 * over, and renews what the planner knows. A kept plan was made for the table of its day; a vacuum makes it be made anew.
 */
import { sql } from "kysely";
import { sleep } from "../base/deferred.ts";
import type { Store } from "./store.ts";

export interface EmbeddedVacuumOptions {
  store: Pick<Store, "db">;
  onFault(error: unknown): void;
  /** @default 2000 */
  everyMs?: number;
}

/** Of dead, of new and of changed rows: so many, and this share of the rows that it had at the last vacuum. A table that only grows is looked at each time it has doubled. */
const enough = 1_000;
const shares = { dead: 0.1, inserted: 1, changed: 0.2 };
/** More dead rows are too many in a table of any size. */
const mostDead = 20_000;
/** Between two looks at what the rows of a table hold: that computes its indexed expressions for thousands of them. */
const analyzeEvery = "1 minute";

const past = (share: number) => sql`${sql.lit(enough)} + ${sql.lit(share)} * greatest(c.reltuples, 0)`;

/** Looks every so often until it is disposed, which waits for the vacuum under way. */
export function startEmbeddedVacuum({ store, onFault, everyMs = 2_000 }: EmbeddedVacuumOptions): AsyncDisposable {
  const stopping = new AbortController();
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await sleep(everyMs, stopping.signal);
      if (!stopping.signal.aborted) await vacuumWorn(store, stopping.signal).catch(onFault);
    }
  };
  const running = run();
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await running;
    },
  };
}

/** The tables that it vacuumed. */
export async function vacuumWorn(store: Pick<Store, "db">, signal?: AbortSignal): Promise<string[]> {
  // What transactions changed is counted a second late otherwise, and only after another statement.
  await sql`select pg_stat_force_next_flush()`.execute(store.db);
  const { rows } = await sql<{ name: string; analyze: boolean }>`
    select s.relname as name, n_mod_since_analyze > ${past(shares.changed)}
        and coalesce(last_analyze, '-infinity') < now() - ${analyzeEvery}::interval as analyze from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    where n_dead_tup > least(${past(shares.dead)}, ${sql.lit(mostDead)}) or n_ins_since_vacuum > ${past(shares.inserted)}`.execute(
    store.db,
  );
  const done: string[] = [];
  for (const { name, analyze } of rows) {
    if (signal?.aborted) break;
    await sql`vacuum ${sql.raw(analyze ? "(analyze)" : "")} ${sql.ref(name)}`.execute(store.db);
    done.push(name);
  }
  return done;
}
