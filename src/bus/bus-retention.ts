/** Removes what is old: settled deliveries, dead letters nobody wanted, and events no open delivery refers to. In small batches, so that nobody waits long. */
import { type RawBuilder, sql } from "kysely";
import type { Store } from "../store/store.ts";

export interface RetentionOptions {
  /** Settled deliveries: for this long the same item id is refused. @default 7 days */
  doneMs?: number;
  /** @default 30 days */
  deadMs?: number;
  /** @default 30 days */
  eventsMs?: number;
}

const day = 86_400_000;
const batchSize = 5000;

/**
 * How long things are kept when records are kept for `days`: events and dead letters as long, settled deliveries a week at
 * most, for nobody sends the same item again after that, and they are many.
 */
export function retentionFor(days: number): Required<RetentionOptions> {
  return { doneMs: Math.min(7, days) * day, deadMs: days * day, eventsMs: days * day };
}

export async function cleanBus(
  store: Store,
  { doneMs = 7 * day, deadMs = 30 * day, eventsMs = 30 * day }: RetentionOptions = {},
): Promise<{ deliveries: number; events: number }> {
  const before = (ms: number): RawBuilder<Date> => sql`now() - ${ms}::float8 * interval '1 millisecond'`;
  const deliveries = await inBatches(
    store,
    sql`delete from deliveries where (organization_id, id) in (
      select organization_id, id from deliveries
      where (state in ('done', 'cancelled') and settled_at < ${before(doneMs)}) or (state = 'dead' and settled_at < ${before(deadMs)}) limit ${batchSize})`,
  );
  const events = await inBatches(
    store,
    sql`delete from events where (organization_id, id) in (
      select organization_id, id from events e where accepted_at < ${before(eventsMs)} and position is not null
      and not exists (select 1 from deliveries d where d.organization_id = e.organization_id and d.event_id = e.id and d.state in ('pending', 'dead'))
      limit ${batchSize})`,
  );
  // PGlite has no autovacuum: without this, scans keep stepping over the dead rows.
  if (store.driver === "pglite") await vacuumBus(store);
  return { deliveries, events };
}

export async function vacuumBus(store: Store): Promise<void> {
  await sql`vacuum (analyze) deliveries`.execute(store.db);
  await sql`vacuum (analyze) events`.execute(store.db);
}

async function inBatches(store: Store, statement: RawBuilder<unknown>): Promise<number> {
  for (let total = 0; ; ) {
    const removed = Number((await statement.execute(store.db)).numAffectedRows ?? 0n);
    total += removed;
    if (removed < batchSize) return total;
  }
}
