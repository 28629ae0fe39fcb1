/**
 * Gives accepted events their place in the log and their deliveries, in one transaction. `seq` alone cannot be the place:
 * a transaction that drew an early number may commit late, and a reader past it would never see it. Positions are drawn
 * here, only for rows that have committed, by one node at a time.
 *
 * Subscriptions are matched by lookup, not by trial: a type of n segments has n + 1 patterns that can match it, and each
 * is a probe into an index, so consumers that do not match cost nothing. Woken by notify, with a poll in case a wake-up was lost.
 */
import { sql } from "kysely";
import { backoffMs } from "../base/backoff.ts";
import { sleep } from "../base/deferred.ts";
import type { Db, Store, Tx } from "../store/store.ts";
import { type BusLog, silentLog } from "./bus-log.ts";
import type { ConsumerKey } from "./consumers.ts";
import { newEventsChannel } from "./event-log.ts";
import { stampedEventsChannel } from "./event-tail.ts";
import { lockSequencer } from "./sequencer-lock.ts";
import { wakeConsumers } from "./wake.ts";

export interface Sequencer {
  start(): Promise<void>;
  /** Stops after the batch under way. */
  stop(): Promise<void>;
  /** Stamps one batch now; the number of events stamped, or `undefined` when another node is at it. */
  runOnce(): Promise<number | undefined>;
}

export interface SequencerOptions {
  store: Store;
  log?: BusLog;
  /** Events stamped in one transaction. @default 1000 */
  batchSize?: number;
  /** @default 1000 */
  pollMs?: number;
}

interface Stamped {
  count: number;
  organizations: string[];
  consumers: ConsumerKey[];
}

export function createSequencer({
  store,
  log = silentLog,
  batchSize = 1000,
  pollMs = 1000,
}: SequencerOptions): Sequencer {
  let stopping: AbortController | undefined;
  let running: Promise<void> = Promise.resolve();
  let wake = new AbortController();

  async function runOnce(): Promise<number | undefined> {
    const stamped = await store.transaction(async (tx) => {
      if (!(await lockSequencer(store, tx, "try"))) return undefined;
      const stamped = await stampBatch(tx, batchSize);
      if (stamped.count > 0) await tell(store, tx, stamped);
      return stamped;
    });
    return stamped?.count;
  }

  async function run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      wake = new AbortController();
      try {
        const count = await runOnce();
        failures = 0;
        if (count !== undefined && count >= batchSize) continue;
        // Another node holds the lock: it may have read before our commit, so look again soon.
        await sleep(count === undefined ? 20 : pollMs, wake.signal);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        log.error({ err: error, failures }, "the sequencer could not stamp events; it tries again");
        await sleep(backoffMs(failures, { baseMs: 200, capMs: 10_000 }), signal);
      }
    }
  }

  let subscription: Disposable | undefined;

  return {
    async start() {
      if (stopping) return;
      stopping = new AbortController();
      subscription = await store.listen(newEventsChannel, () => wake.abort());
      running = run(stopping.signal);
    },
    async stop() {
      stopping?.abort();
      wake.abort();
      subscription?.[Symbol.dispose]();
      await running;
      stopping = undefined;
    },
    runOnce,
  };
}

async function tell(store: Store, tx: Tx, { organizations, consumers }: Stamped): Promise<void> {
  const payload = JSON.stringify(organizations);
  await store.notify(tx, stampedEventsChannel, Buffer.byteLength(payload) > 6000 ? "*" : payload);
  await wakeConsumers(store, tx, consumers);
}

/** Takes the oldest arrivals, of at least `batchSize` events where there are as many, and gives them positions and deliveries. */
async function stampBatch(executor: Db | Tx, batchSize: number): Promise<Stamped> {
  const result = await sql<{
    count: number;
    organizations: string[] | null;
    consumers: [string, string][] | null;
  }>`
    with waiting as materialized (
      select seq, sum(count) over (order by seq) - count as before
      from (select seq, count from event_arrivals order by seq limit ${sql.lit(batchSize)}) oldest
    ), taken as (
      delete from event_arrivals where seq = any (array(select seq from waiting where before < ${sql.lit(batchSize)}))
      returning seq, organization_id, type, count, ids, accepted_at
    ), block as materialized (
      select setval('event_position', nextval('event_position') + sum(count)::bigint - 1) - sum(count)::bigint as before
      from taken having count(*) > 0
    ), placed as materialized (
      select t.*, block.before + sum(count) over (order by seq) as last from taken t, block
    ), stamped as (
      insert into event_positions (organization_id, first, last, type, ids, accepted_at)
      select organization_id, last - count + 1, last, type, ids, accepted_at from placed order by last
    ), matching as materialized (
      select t.organization_id, t.type, c.consumer from (select distinct organization_id, type from placed) t
      cross join lateral (
        select '*' as pattern union all select t.type union all
        select array_to_string(words[1:n], '.') || '.*'
        from (select string_to_array(t.type, '.') as words) w, generate_series(1, cardinality(words) - 1) as n
      ) p
      join consumers c on c.organization_id = t.organization_id and c.pattern = p.pattern and c.active
    ), fanned as (
      insert into deliveries (organization_id, consumer, kind, key, item_id, event_id, traceparent)
      select p.organization_id, m.consumer, 'event', coalesce(e.subject, u.id), u.id, u.id, e.traceparent
      from matching m join placed p on p.organization_id = m.organization_id and p.type = m.type
      cross join lateral unnest(p.ids) with ordinality as u(id, nth)
      cross join lateral (select subject, traceparent from events where organization_id = p.organization_id and id = u.id limit 1) e
      order by p.last, u.nth
      on conflict (organization_id, consumer, item_id) do nothing
      returning organization_id, consumer
    )
    select (select coalesce(sum(count), 0)::int from taken) as count,
      (select json_agg(distinct organization_id) from taken) as organizations,
      (select json_agg(json_build_array(organization_id, consumer)) from (select distinct organization_id, consumer from fanned) f) as consumers`.execute(
    executor,
  );
  const { count = 0, organizations, consumers } = result.rows[0] ?? {};
  return {
    count,
    organizations: organizations ?? [],
    consumers: (consumers ?? []).map(([organization, consumer]) => ({ organization, consumer })),
  };
}
