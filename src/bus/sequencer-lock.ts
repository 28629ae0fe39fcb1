/**
 * The lock under which deliveries of events are made: the sequencer, replays and retries take it, so the ids of a
 * consumer's deliveries follow the order of positions. It lasts until the transaction ends. PGlite needs none: its transactions are one at a time.
 */
import { sql } from "kysely";
import type { Store, Tx } from "../store/store.ts";

/** With `try`, false when another node holds it. The schema is part of the name: databases are shared by hubs under test. */
export async function lockSequencer(store: Store, tx: Tx, mode: "try" | "wait"): Promise<boolean> {
  if (store.driver === "pglite") return true;
  const key = sql`hashtextextended(current_schema() || ':bus-sequencer', 0)`;
  if (mode === "wait") {
    await sql`select pg_advisory_xact_lock(${key})`.execute(tx);
    return true;
  }
  const result = await sql<{ locked: boolean }>`select pg_try_advisory_xact_lock(${key}) as locked`.execute(tx);
  return result.rows[0]?.locked === true;
}
