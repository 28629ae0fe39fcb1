/** Removes what is old: settled deliveries, dead letters nobody wanted, and events no open delivery refers to. In small batches, so that nobody waits long. */
import { type RawBuilder, sql } from "kysely";
import { jsonRows } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";

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
  const events = await cleanEvents(store, before(eventsMs));
  return { deliveries, events };
}

/** Walks the oldest rows of each organisation once: what is spared now is looked at again the next time, not in a loop. */
async function cleanEvents(store: Store, before: RawBuilder<Date>): Promise<number> {
  let total = 0;
  for (const organization of await organizationsWithEvents(store))
    for (let after: Walked | undefined = { accepted_at: "-infinity", last: 0 }; after !== undefined; ) {
      const { removed, next }: { removed: number; next: Walked | undefined } = await cleanSome(
        store,
        organization,
        before,
        after,
      );
      total += removed;
      after = next;
    }
  return total;
}

/** One search by key an organisation, however many events each has. */
async function organizationsWithEvents(store: Store): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    with recursive found as (
      select min(organization_id) as id from event_positions
      union all
      select (select min(organization_id) from event_positions where organization_id > found.id) from found where found.id is not null
    ) select id from found where id is not null`.execute(store.db);
  return rows.map(({ id }) => id);
}

/** Where a walk over an organisation's rows of `event_positions` has come to; the time as text, which keeps its microseconds. */
interface Walked {
  accepted_at: string;
  last: number;
}

/** An event that stays though others of its row go. */
interface Kept {
  id: string;
  position: number;
  type: string;
  accepted_at: string;
}

/** `next` is undefined when nothing older than `before` is left to look at. */
async function cleanSome(
  store: Store,
  organization: string,
  before: RawBuilder<Date>,
  after: Walked,
): Promise<{ removed: number; next: Walked | undefined }> {
  return await store.transaction(async (tx) => {
    const { rows } = await sql<{ removed: number; walked: Walked | null; kept: Kept[] | null }>`
      with old as materialized (
        select * from (
          select *, sum(last - first + 1) over (order by accepted_at, last) - (last - first + 1) as before
          from (
            select first, last, type, ids, accepted_at from event_positions
            where organization_id = ${organization} and accepted_at < ${before}
              and accepted_at >= ${after.accepted_at}::timestamptz and (accepted_at, last) > (${after.accepted_at}::timestamptz, ${after.last})
            order by accepted_at, last limit ${batchSize}
          ) oldest
        ) counted where before < ${batchSize}
      ), needed as materialized (
        select distinct event_id from deliveries
        where organization_id = ${organization} and state in ('pending', 'dead') and event_id is not null
      ), looked as materialized (
        select old.last, old.type, old.accepted_at, u.id, old.first + u.nth - 1 as position, needed.event_id is not null as spared
        from old cross join lateral unnest(old.ids) with ordinality as u(id, nth) left join needed on needed.event_id = u.id
      ), changed as materialized (
        select last from looked group by last having not bool_and(spared)
      ), removed as (
        delete from events where organization_id = ${organization} and id = any (array(select id from looked where not spared)) returning 1
      ), emptied as (
        delete from event_positions where organization_id = ${organization} and last = any (array(select last from changed))
      )
      select (select count(*)::int from removed) as removed,
        (select json_build_object('accepted_at', accepted_at, 'last', last) from old order by accepted_at desc, last desc limit 1) as walked,
        (select json_agg(json_build_object('id', id, 'position', position, 'type', type, 'accepted_at', accepted_at))
          from looked where spared and last in (select last from changed)) as kept`.execute(tx);
    const { removed = 0, walked = null, kept = null } = rows[0] ?? {};
    if (kept !== null) await putBack(tx, organization, kept);
    return { removed, next: walked ?? undefined };
  });
}

/** Rows have no holes: what stays of one becomes a row for each run that is left. */
async function putBack(tx: Tx, organization: string, kept: readonly Kept[]): Promise<void> {
  const columns = { id: "text", position: "bigint", type: "text", accepted_at: "timestamptz" };
  await sql`insert into event_positions (organization_id, first, last, type, ids, accepted_at)
    select ${organization}, min(position), max(position), type, array_agg(id order by position), accepted_at
    from (select *, position - row_number() over (partition by type, accepted_at order by position) as run from ${jsonRows(kept, columns)}) runs
    group by type, accepted_at, run`.execute(tx);
}

async function inBatches(store: Store, statement: RawBuilder<unknown>): Promise<number> {
  for (let total = 0; ; ) {
    const removed = Number((await statement.execute(store.db)).numAffectedRows ?? 0n);
    total += removed;
    if (removed < batchSize) return total;
  }
}
