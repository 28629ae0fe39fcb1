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
    return await store.transaction(async (tx) => {
      if (!(await lockSequencer(store, tx, "try"))) return undefined;
      const stamped = await stampBatch(tx, batchSize);
      if (stamped.count > 0) await tell(store, tx, stamped);
      return stamped.count;
    });
  }

  async function run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      wake = new AbortController();
      try {
        const count = await runOnce();
        failures = 0;
        if (count === batchSize) continue;
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

async function stampBatch(executor: Db | Tx, batchSize: number): Promise<Stamped> {
  const result = await sql<{ count: number; organizations: string[] | null; consumers: [string, string][] | null }>`
    with batch as materialized (
      select organization_id, id, type, subject, traceparent, row_number() over (order by seq) as nth
      from (select * from events where position is null order by seq limit ${batchSize}) as unstamped
    ), block as materialized (
      select setval('event_position', nextval('event_position') + count(*) - 1) - count(*) as before from batch having count(*) > 0
    ), stamped as (
      update events e set position = block.before + batch.nth from batch, block
      where e.organization_id = batch.organization_id and e.id = batch.id returning e.organization_id
    ), fanned as (
      insert into deliveries (organization_id, consumer, kind, key, item_id, event_id, traceparent)
      select b.organization_id, c.consumer, 'event', coalesce(b.subject, b.id), b.id, b.id, b.traceparent
      from batch b
      cross join lateral (
        select '*' as pattern union all select b.type union all
        select array_to_string(words[1:n], '.') || '.*'
        from (select string_to_array(b.type, '.') as words) w, generate_series(1, cardinality(words) - 1) as n
      ) p
      join consumers c on c.organization_id = b.organization_id and c.pattern = p.pattern and c.active
      order by b.nth
      on conflict (organization_id, consumer, item_id) do nothing
      returning organization_id, consumer
    )
    select (select count(*)::int from stamped) as count,
      (select json_agg(distinct organization_id) from stamped) as organizations,
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
