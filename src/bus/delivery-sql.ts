/**
 * The statements behind deliveries, each over a whole batch. A row is `pending` until it is settled; being claimed is
 * `claimed_until` in the future, in columns no index covers, so claiming rewrites a row in place. `claimed_by` and `attempts`
 * together are the fence: a worker whose lease has lapsed can settle nothing, because whoever claimed next has raised `attempts`.
 * Only pending rows have a `claimed_by`, so statements by id need not ask for `state = 'pending'`, which would let the planner walk a
 * partial index of the whole backlog instead of the primary key.
 */
import { type RawBuilder, sql } from "kysely";
import type { JsonValue } from "../base/json.ts";
import type { Db, Store } from "../store/store.ts";
import type { ConsumerKey } from "./consumers.ts";
import type { DeliveryFault, DeliveryKind } from "./delivery.ts";
import { type EventRecord, toEventRecord } from "./event-record.ts";

/** A claimed row, with its event where it carries one. */
export interface ClaimedRow {
  organization: string;
  consumer: string;
  id: number;
  kind: DeliveryKind;
  key: string;
  itemId: string;
  attempts: number;
  payload: JsonValue;
  event: EventRecord | undefined;
  depth: number;
  traceparent: string | undefined;
  createdAt: Date;
}

export interface Claim extends ConsumerKey {
  /** Rows wanted at most. */
  cap: number;
  /** Consecutive items of one key taken together, at most 64. */
  run: number;
}

const longestRun = 64;

export interface ClaimAnswer extends ConsumerKey {
  rows: ClaimedRow[];
  /** True when rows are left that this claim did not take: behind a busy key, not due, or over the cap. */
  more: boolean;
  /** Live claims among the rows read. */
  held: number;
  /** True when the scan ended at its window, not at the end of the backlog. */
  cut: boolean;
  /** Where a scan by keys ended; claim on from here next time. */
  lastKey: string | undefined;
}

export interface ClaimOptions {
  claims: readonly Claim[];
  kinds: readonly string[];
  owner: string;
  leaseMs: number;
  /** Rows read per consumer. */
  window: number;
  /** A relay claims for others: the attempt is counted when a worker takes the item, and live claims count towards the cap. */
  relayed: boolean;
  /** Reads heads by key after this one, for one consumer whose oldest rows are all behind busy keys. */
  afterKey?: string | undefined;
}

export const outcomes = { done: "done", drop: "drop", retry: "retry", dead: "dead", release: "release" } as const;

/** How one claimed item ends. `drop` is done without a trace, `release` gives the claim back uncounted. */
export interface Settlement {
  organization: string;
  id: number;
  attempts: number;
  outcome: keyof typeof outcomes;
  /** Delay of a retry. */
  ms?: number | undefined;
  /** False when the try is not to count. */
  counted?: boolean | undefined;
  fault?: DeliveryFault | undefined;
}

/**
 * Takes the oldest runnable rows of each consumer: per key only a run from its head, and none of a key that has a live claim.
 * Claims are one at a time over all nodes: the lock comes before the snapshot, so none can miss what another has just claimed.
 */
export async function claimDeliveries(store: Store, options: ClaimOptions): Promise<ClaimAnswer[]> {
  const rows =
    store.driver === "pglite"
      ? (await claimStatement(options).execute(store.db)).rows
      : await store.transaction(async (tx) => {
          await sql`select pg_advisory_xact_lock(hashtextextended(current_schema() || ':bus-claim', 0))`.execute(tx);
          return (await claimStatement(options).execute(tx)).rows;
        });
  const answers = new Map<string, ClaimAnswer>();
  for (const row of rows) {
    const name = JSON.stringify([row.org, row.consumer]);
    let answer = answers.get(name);
    if (!answer) {
      answer = {
        organization: row.org,
        consumer: row.consumer,
        rows: [],
        more: false,
        held: row.held,
        cut: row.scanned >= options.window,
        lastKey: row.last_key ?? undefined,
      };
      answers.set(name, answer);
    }
    if (row.id !== null) answer.rows.push(toClaimed({ ...row, id: row.id }));
    answer.more = answer.cut || row.scanned > row.held + answer.rows.length;
  }
  for (const answer of answers.values()) answer.rows.sort((a, b) => a.id - b.id);
  return [...answers.values()];
}

interface RawClaim extends RawDelivery {
  consumer: string;
  org: string;
  scanned: number;
  held: number;
  last_key: string | null;
}

function claimStatement(options: ClaimOptions): RawBuilder<Omit<RawClaim, "id"> & { id: number | null }> {
  const { owner, leaseMs, relayed } = options;
  const wanted = JSON.stringify(
    options.claims.map((c) => ({
      org: c.organization,
      consumer: c.consumer,
      cap: c.cap,
      run: Math.min(c.run, longestRun),
    })),
  );
  return sql`
    with want as materialized (
      select w.* from json_to_recordset(${wanted}::text::json) as w(org text, consumer text, cap int, run int)
      where not exists (select 1 from consumers c where c.organization_id = w.org and c.consumer = w.consumer and not c.active)
    ), scan as materialized (
      select w.org, w.consumer, w.cap, w.run, d.id, d.key, d.kind, coalesce(d.claimed_until > now(), false) as held,
        d.due <= now() and d.kind in (select json_array_elements_text(${JSON.stringify(options.kinds)}::text::json)) as ready
      from want w cross join lateral (${options.afterKey === undefined ? oldestRows(options.window) : headsByKey(options.window, options.afterKey)}) d
    ), ranked as (
      select *, row_number() over k as nth, bool_and(ready) over k as runnable, bool_or(held) over (partition by org, consumer, key) as busy,
        count(*) filter (where held) over (partition by org, consumer) as claims, count(*) over (partition by org, consumer) as scanned
      from scan window k as (partition by org, consumer, key order by id)
    ), picked as materialized (
      select *, ${relayed ? sql`claims` : sql`0`} + row_number() over (partition by org, consumer order by id) as place
      from ranked where runnable and not busy and nth <= run
    ), taken as (
      update deliveries d set claimed_by = ${owner}, claimed_until = now() + ${leaseMs}::float8 * interval '1 millisecond',
        attempts = attempts + ${relayed ? 0 : 1}::int
      from picked p
      where d.organization_id = p.org and d.id = p.id and p.place <= p.cap
      and d.state not in ('done', 'dead', 'cancelled') and (d.claimed_until is null or d.claimed_until <= now())
      -- A commit that came late may have put an older row before the claimed run of its key, beyond a cut scan: look at the key itself.
      and (p.kind = 'event' or p.scanned < ${options.window} or not exists (
        select 1 from (
          select claimed_until from deliveries k where k.organization_id = p.org and k.consumer = p.consumer and k.key = p.key and k.state = 'pending'
          order by k.id limit ${longestRun + 32}
        ) heads where heads.claimed_until > now()
      ))
      returning d.*
    ), seen as (
      select org, consumer, count(*)::int as scanned, count(*) filter (where held)::int as held, max(key) as last_key from scan group by org, consumer
    )
    select s.org, s.consumer, s.scanned, s.held, s.last_key, ${deliveryColumns}
    from seen s left join taken d on d.organization_id = s.org and d.consumer = s.consumer
    left join events e on e.organization_id = d.organization_id and e.id = d.event_id`;
}

const oldestRows = (window: number): RawBuilder<unknown> => sql`
  select id, key, due, kind, claimed_until from deliveries
  where organization_id = w.org and consumer = w.consumer and state = 'pending' order by id limit ${window}`;

/** One probe a key, however long its backlog: finds what is runnable behind a long backlog of one blocked key. */
const headsByKey = (window: number, afterKey: string): RawBuilder<unknown> => sql`
  select h.id, h.key, h.due, h.kind, h.claimed_until from (
    with recursive heads as (
      (select d.* from deliveries d where d.organization_id = w.org and d.consumer = w.consumer and d.state = 'pending' and d.key > ${afterKey}
        order by d.key, d.id limit 1)
      union all
      select n.* from heads p cross join lateral (
        select d.* from deliveries d where d.organization_id = w.org and d.consumer = w.consumer and d.state = 'pending' and d.key > p.key
        order by d.key, d.id limit 1
      ) n
    ) select * from heads limit ${window}
  ) h`;

const deliveryColumns = sql`d.id, d.kind, d.key, d.item_id, d.attempts, d.payload, d.traceparent, d.created_at,
  d.event_id, e.source, e.type, e.subject, e.time, e.data, e.depth`;

interface RawDelivery {
  id: number;
  kind: DeliveryKind;
  key: string;
  item_id: string;
  attempts: number;
  payload: JsonValue;
  traceparent: string | null;
  created_at: Date;
  event_id: string | null;
  source: string | null;
  type: string | null;
  subject: string | null;
  time: Date | null;
  data: unknown;
  depth: number | null;
}

function toClaimed(row: RawDelivery & { org: string; consumer: string }): ClaimedRow {
  const { event_id: eventId, source, type, subject, time, data, traceparent } = row;
  const event =
    eventId === null || source === null || type === null || time === null
      ? undefined
      : toEventRecord({ organization_id: row.org, id: eventId, source, type, subject, time, data, traceparent });
  return {
    organization: row.org,
    consumer: row.consumer,
    id: Number(row.id),
    kind: row.kind,
    key: row.key,
    itemId: row.item_id,
    attempts: row.attempts,
    payload: row.payload,
    event,
    depth: row.depth ?? 0,
    traceparent: traceparent ?? undefined,
    createdAt: row.created_at,
  };
}

/** A row that a relay claimed under the name `claim`. */
export interface ClaimRef {
  claim: string;
  organization: string;
  id: number;
}

/** A worker takes over what relays have claimed; rows whose claim has lapsed meanwhile are not in the answer. */
export async function takeDeliveries(
  store: Store,
  options: { refs: readonly ClaimRef[]; owner: string; leaseMs: number },
): Promise<ClaimedRow[]> {
  const refs = JSON.stringify(
    options.refs.map(({ claim, organization, id }) => ({ c: claim, o: organization, i: id })),
  );
  const result = await sql<RawDelivery & { org: string; consumer: string }>`
    with taken as (
      update deliveries d set claimed_by = ${options.owner}, claimed_until = now() + ${options.leaseMs}::float8 * interval '1 millisecond', attempts = attempts + 1
      from json_to_recordset(${refs}::text::json) as v(c text, o text, i bigint)
      where d.organization_id = v.o and d.id = v.i and d.claimed_by = v.c and d.claimed_until > now()
      returning d.*
    )
    select d.organization_id as org, d.consumer, ${deliveryColumns}
    from taken d left join events e on e.organization_id = d.organization_id and e.id = d.event_id order by d.id`.execute(
    store.db,
  );
  return result.rows.map(toClaimed);
}

/** Extends leases; the ids still held by `owner`. */
export async function extendLeases(
  store: Store,
  options: { items: readonly Fenced[]; owner: string; leaseMs: number },
): Promise<Set<number>> {
  const { items, owner, leaseMs } = options;
  const result = await sql<{ id: number }>`
    update deliveries d set claimed_until = now() + ${leaseMs}::float8 * interval '1 millisecond' from ${fences(items)}
    where d.organization_id = v.o and d.id = v.i and d.attempts = v.a and d.claimed_by = ${owner} returning d.id`.execute(
    store.db,
  );
  return new Set(result.rows.map((row) => Number(row.id)));
}

/** Settles a batch of any outcomes; the ids that were still `owner`'s to settle. */
export async function settleDeliveries(
  store: Store,
  owner: string,
  settlements: readonly Settlement[],
): Promise<Set<number>> {
  const dropped = settlements.filter((s) => s.outcome === "drop");
  const others = settlements.filter((s) => s.outcome !== "drop");
  const drop = sql<{ id: number }>`delete from deliveries d using ${fences(dropped)}
    where d.organization_id = v.o and d.id = v.i and d.attempts = v.a and d.claimed_by = ${owner} returning d.id`;
  const update = sql<{ id: number }>`update deliveries d set
      state = case v.s when 'done' then 'done' when 'dead' then 'dead' else 'pending' end,
      payload = case v.s when 'done' then null else d.payload end,
      due = case v.s when 'retry' then now() + v.m * interval '1 millisecond' else d.due end,
      attempts = d.attempts - case when v.c then 0 else 1 end,
      error = case v.s when 'done' then null when 'release' then d.error else coalesce(v.e, d.error) end,
      settled_at = case when v.s in ('done', 'dead') then now() end,
      claimed_by = null, claimed_until = null
    from ${recordset(
      others.map((s) => ({
        o: s.organization,
        i: s.id,
        a: s.attempts,
        s: s.outcome,
        m: s.ms ?? 0,
        c: s.outcome !== "release" && s.counted !== false,
        e: s.fault,
      })),
      sql`o text, i bigint, a int, s text, m float8, c boolean, e jsonb`,
    )}
    where d.organization_id = v.o and d.id = v.i and d.attempts = v.a and d.claimed_by = ${owner} returning d.id`;
  const settled = new Set<number>();
  if (dropped.length > 0) for (const row of (await drop.execute(store.db)).rows) settled.add(Number(row.id));
  if (others.length > 0) for (const row of (await update.execute(store.db)).rows) settled.add(Number(row.id));
  return settled;
}

interface Fenced {
  organization: string;
  id: number;
  attempts: number;
}

const fences = (items: readonly Fenced[]): RawBuilder<unknown> =>
  recordset(
    items.map((s) => ({ o: s.organization, i: s.id, a: s.attempts })),
    sql`o text, i bigint, a int`,
  );

/** Few rows, as the limit tells the planner: each is found by its key, where a join of unknown size reads the table whole. */
const recordset = (rows: readonly object[], columns: RawBuilder<unknown>): RawBuilder<unknown> =>
  sql`(select * from json_to_recordset(${JSON.stringify(rows)}::text::json) as v(${columns}) limit ${rows.length}) as v`;

/** Gives relayed claims back, for when they could not be handed on. */
export async function unclaimDeliveries(store: Store, from: string): Promise<void> {
  await sql`update deliveries set claimed_by = null, claimed_until = null where state = 'pending' and claimed_by = ${from}`.execute(
    store.db,
  );
}

/** Ends all leases of a lost node at once, instead of waiting for each to lapse. */
export async function lapseLeases(store: Store, owner: string): Promise<ConsumerKey[]> {
  const result = await sql<{ organization: string; consumer: string }>`
    with lapsed as (update deliveries set claimed_until = now() where state = 'pending' and claimed_by = ${owner} and claimed_until > now() returning organization_id, consumer)
    select distinct organization_id as organization, consumer from lapsed`.execute(store.db);
  return result.rows;
}

/** Every active consumer that has pending rows: one index probe each, however long the backlogs. */
export async function findConsumers(db: Db): Promise<ConsumerKey[]> {
  const result = await sql<ConsumerKey>`
    with recursive open as (
      (select organization_id, consumer from deliveries where state = 'pending' order by organization_id, consumer limit 1)
      union all
      select n.* from open o cross join lateral (
        select d.organization_id, d.consumer from deliveries d
        where d.state = 'pending' and (d.organization_id, d.consumer) > (o.organization_id, o.consumer)
        order by d.organization_id, d.consumer limit 1
      ) n
    )
    select o.organization_id as organization, o.consumer from open o
    where not exists (select 1 from consumers c where c.organization_id = o.organization_id and c.consumer = o.consumer and not c.active)`.execute(
    db,
  );
  return result.rows;
}
