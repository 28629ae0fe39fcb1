/**
 * The worker of sync runs. A run is a delivery, so it is one at a time for each connector over all nodes and survives its
 * hub; its states are
 *
 *   queued ──taken up──▶ running ──all pulled──▶ succeeded
 *     ▲                    │ ▲ └──hopeless, or too many failures──▶ failed
 *     └─ (hub died) ───────┘ └── waiting (the service asked for time, a failure, a pause)
 *   cancelled: by a person, or because the plugin is no longer active; from every open state.
 *
 * A batch is pulled, checked, and stored with its cursor and events in one transaction; only then may the guest go on. Long
 * because this is one state machine.
 */
import { sql } from "kysely";
import { backoffMs } from "../base/backoff.ts";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { asOrganizationId } from "../base/brands.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import { type Delivery, RetryLater } from "../bus/delivery.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { Entities, EntityChange, EntityWrite } from "../entities/entities.ts";
import { BackplaneError, toBackplaneError } from "../errors/error.ts";
import { maxTypes, type StreamEnd, type SyncedItem } from "../incoming/read-batch.ts";
import { refusalsOf, sentenceOf, storeWithoutRefused } from "../incoming/refusals.ts";
import { writeItems } from "../incoming/write-items.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { cutLimits } from "../policy/limits.ts";
import { permits } from "../policy/permits.ts";
import { json, jsonRows } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import { formatTraceparent, newTrace, parseTraceparent, type Trace } from "../telemetry/trace.ts";
import { faultOfRun, judge } from "./failure.ts";
import { advance, completed, mergedPosition, optionsOf, outOfOrder, type Position, storable } from "./position.ts";
import { type PulledBatch, pullBatches } from "./pull-batches.ts";
import { commitRun, holdRun, isOpen, type Run, RunLost, recordPosition, takeUpRun, writeRun } from "./run-records.ts";

export interface SyncRunsOptions {
  store: Store;
  node: string;
  deliveries: Deliveries;
  invoker: Pick<Invoker, "stream">;
  installations: Installations;
  entities: Pick<Entities, "writeBatch" | "prepareBatch" | "refusals">;
  eventLog: EventLog;
  log: Record<"error" | "warn", (details: object, message: string) => void>;
  /** Failures in a row after which a run fails. @default 6 */
  maxFailures?: number;
  backoff?: { baseMs: number; capMs: number };
  /** Items after which a call ends where another can go on. @default 100000 */
  itemsPerCall?: number;
}

/** Wall time of a call whose manifest names none; the invoker's own default for long calls. */
const longCallMs = 900_000;
/** Of a call's wall time: past it the call ends where another can go on. */
const softShare = 0.5;
/** A run that is taken up so often without storing anything is going nowhere. */
const maxStalls = 60;
const pausedMs = 60_000;
const sweepSize = 500;
/** Types of entity times sources: they are kept in the connector's row. */
const maxPairs = 1_000;
/** Characters of all cursors together: they are written with every batch. */
const maxPosition = 1024 * 1024;
/** Rows that no sync wrote last, this shortly before a full run began, may have come by a push that the service's list does not show yet. */
const sweepMarginMs = 60_000;
/** Rejected items that are kept with a run. */
const maxRejections = 50;
/** A mapper is wrong, not its items, when so many of one kind were rejected and they are more than half of that kind. */
const maxRejected = 20;

class Paused extends Error {}

export function registerSyncRuns(options: SyncRunsOptions): void {
  const { store, node, deliveries } = options;

  deliveries.handle(
    "sync",
    async (delivery) => {
      const organization = asOrganizationId(delivery.organization);
      const taken = await store.transaction(async (tx) => {
        const found = await takeUpRun(tx, { organization, id: delivery.itemId, node });
        if (found?.first) await publish(tx, options, found.run, "SyncStarted");
        return found;
      });
      if (!taken) return;
      const { run } = taken;
      try {
        if (run.stalls > maxStalls)
          throw new BackplaneError("result_invalid", {
            plugin: run.plugin,
            reason: `it was tried ${maxStalls} times and stored nothing`,
          });
        if (taken.state.paused) throw new Paused();
        await pull(options, run, delivery);
      } catch (error) {
        await settle(options, run, error, delivery);
      }
    },
    // A run counts its own failures; a delivery comes again for as long as the run is open.
    { consumerPrefix: "sync:", maxAttempts: 100_000, keepDone: false },
  );
}

/** All calls of a run, one after the other, until everything is pulled. */
async function pull(options: SyncRunsOptions, run: Run, delivery: Delivery): Promise<void> {
  const { installations, invoker } = options;
  const { organization, plugin } = run;
  const active = async (): Promise<Installation> => {
    const installation = await installations.get(organization, plugin);
    if (installation.status !== "active")
      throw new BackplaneError("plugin_not_active", { plugin, status: installation.status });
    return installation;
  };
  const above = run.traceparent === null ? undefined : parseTraceparent(run.traceparent);
  const trace: Trace = above ?? newTrace();
  for (;;) {
    const { manifest } = await active();
    const ordered = manifest.contributes?.connector?.ordered ?? false;
    const wallMs = manifest.resources?.timeoutMs === undefined ? longCallMs : cutLimits(manifest.resources).timeoutMs;
    run.calls += 1;
    const before = JSON.stringify(run.position!.working);
    const ahead: Preparations = new WeakMap();
    const batches = pullBatches({
      invoker,
      installation: active,
      options: optionsOf({ position: run.position!.working, types: run.types, ordered, full: run.full }),
      actor: `sync:${run.id}`,
      ordered,
      trace,
      signal: delivery.signal,
      endAfterMs: wallMs * softShare,
      endAfterItems: options.itemsPerCall ?? 100_000,
      onRead(items) {
        const changes = items.flatMap((item) => item.changes);
        ahead.set(items, options.entities.prepareBatch({ organization, plugin }, changes));
      },
    });
    const end = await commitAll(options, run, { batches, ahead, ordered, trace }).catch((error: unknown) => {
      // A call may be cut at its deadline; what counts is whether the next one begins further on.
      const known = toBackplaneError(error);
      if (error instanceof RunLost || error instanceof Paused || judge(known).kind !== "continue") throw error;
      if (JSON.stringify(run.position!.working) === before) throw noProgress(run, known);
      return { done: false } as StreamEnd;
    });
    if (end.done) return complete(options, run, { end, trace });
    if (JSON.stringify(run.position!.working) === before) throw noProgress(run);
  }
}

function noProgress({ plugin }: Run, cause?: BackplaneError): BackplaneError {
  const reason = `one call of \`sync\` ended${cause ? " at its deadline" : ""} before an item came from which another could go on; give items a \`cursor\`, or sort them by \`updatedAt\` and declare \`ordered\``;
  return new BackplaneError("result_invalid", { plugin, reason }, { cause });
}

/** What of the work for a batch was done while the one before it was stored. */
type Preparations = WeakMap<readonly SyncedItem[], EntityWrite["ahead"]>;

interface Committing {
  batches: AsyncGenerator<PulledBatch, StreamEnd, undefined>;
  ahead: Preparations;
  ordered: boolean;
  trace: Trace;
}

async function commitAll(
  options: SyncRunsOptions,
  run: Run,
  { batches, ahead, ordered, trace }: Committing,
): Promise<StreamEnd> {
  let latest: string | undefined;
  try {
    for (;;) {
      const step = await batches.next();
      if (step.done) return step.value;
      const { items, execution } = step.value;
      if (ordered) {
        const stray = outOfOrder(items, latest);
        if (stray) throw new OutOfOrder(run.plugin, stray);
        latest = items.findLast(({ updatedAt }) => updatedAt !== undefined)?.updatedAt ?? latest;
      }
      run.execution = execution;
      const { next, paused } = await commitBatch(options, run, { items, ahead: ahead.get(items), ordered, trace });
      Object.assign(run, next);
      if (paused) throw new Paused();
    }
  } finally {
    await batches.return({ done: false }).catch(() => {});
  }
}

/** The manifest promises an order that the items do not keep, so what was stored of derived cursors cannot be trusted. */
class OutOfOrder extends BackplaneError {
  constructor(plugin: PluginId, { id }: SyncedItem) {
    super("result_invalid", {
      plugin,
      reason: `the manifest says \`ordered\`, and item '${id.slice(0, 100)}' is older than one before it`,
    });
  }
}

interface Batch {
  items: SyncedItem[];
  ahead: EntityWrite["ahead"];
  ordered: boolean;
  trace: Trace;
}

/** Entities, cursor, events and counters of one batch, in one transaction, without the items that the data model refuses. */
async function commitBatch(
  { store, entities, log }: SyncRunsOptions,
  run: Run,
  { items, ahead, ordered, trace }: Batch,
): Promise<{
  next: Pick<Run, "position" | "counts" | "progress" | "rejections" | "batches" | "failures" | "stalls" | "error">;
  paused: boolean;
}> {
  const { organization, plugin } = run;
  const { start, working: before } = run.position!;
  const working = advance(before, items);
  const { stored, refused } = await storeWithoutRefused(items, async (kept, set) => {
    const progress = progressOf(run, items, set);
    const rejections = rejectionsOf(run, set);
    if (set.size > 0) assertBearable(run, { items, set, progress, rejections });
    assertKeepable(run, working, progress);
    const fresh = newPairs(run, kept);
    const done = await store.transaction(async (tx) => {
      const write = {
        organization,
        plugin,
        execution: run.execution,
        traceparent: formatTraceparent(trace),
        eventDepth: 0,
        ahead,
      };
      const written = await writeItems({ tx, entities, write }, kept);
      if (run.full) await markSeen(tx, run, items);
      await rememberPairs(tx, run, fresh.pairs);
      const next = {
        position: { start, working },
        counts: {
          items: run.counts.items + items.length,
          created: run.counts.created + written.created,
          updated: run.counts.updated + written.updated,
          deleted: run.counts.deleted + written.deleted,
          unchanged: run.counts.unchanged + written.unchanged,
          rejected: run.counts.rejected + set.size,
        },
        progress,
        rejections,
        batches: run.batches + 1,
        failures: 0,
        stalls: 0,
        error: null,
      };
      return {
        next,
        ...(await commitRun(tx, { ...run, ...next }, run.full ? undefined : storable(start, working, ordered))),
      };
    });
    fresh.stored();
    return done;
  });
  if (refused.length > 0)
    log.warn(
      { organization, plugin, run: run.id, rejected: refused.length, items: refused.slice(0, 5) },
      "a sync set items aside that the data model refuses",
    );
  return stored;
}

type Refused = ReadonlyMap<SyncedItem, string>;

function rejectionsOf({ rejections }: Run, refused: Refused): Run["rejections"] {
  if (refused.size === 0) return rejections;
  const nameless = [...refused.keys()].some(
    ({ changes }) => changes.length === 0 || changes.some(({ externalId }) => externalId === undefined),
  );
  return {
    last: [...rejections.last, ...refusalsOf(refused)].slice(-maxRejections),
    nameless: rejections.nameless || nameless,
  };
}

interface Rejecting {
  items: readonly SyncedItem[];
  set: Refused;
  progress: Run["progress"];
  rejections: Run["rejections"];
}

/** Error: `result_invalid` when so many items are refused that not they but what maps them is wrong; the run then shows them. */
function assertBearable(run: Run, { items, set, progress, rejections }: Rejecting): void {
  const wrong = Object.entries(progress).find(
    ([, { items: came, rejected = 0 }]) => rejected > maxRejected && rejected * 2 > came,
  );
  if (!wrong) return;
  const [type, { items: came, rejected = 0 }] = wrong;
  const of = refusalsOf(set).filter((refusal) => refusal.type === type);
  const counts = { ...run.counts, items: run.counts.items + items.length, rejected: run.counts.rejected + set.size };
  Object.assign(run, { progress, rejections, counts });
  throw new BackplaneError("result_invalid", {
    plugin: run.plugin,
    reason: `the data model refuses ${rejected} of ${came} items of the type ${type}, more than half: ${sentenceOf(of)}`,
  });
}

/** Types and cursors are the connector's words: what the hub writes with every batch must not grow with its items. */
function assertKeepable({ plugin }: Run, working: Position, progress: Run["progress"]): void {
  const types = new Set([working.own, working.derived, progress].flatMap(Object.keys));
  types.delete("*");
  const invalid = (reason: string): BackplaneError => new BackplaneError("result_invalid", { plugin, reason });
  if (types.size > maxTypes) throw invalid(`its items are of more than ${maxTypes} types`);
  if (JSON.stringify(working).length > maxPosition)
    throw invalid(`its cursors have more than ${maxPosition} characters together`);
}

function progressOf({ progress }: Run, items: readonly SyncedItem[], refused: Refused): Run["progress"] {
  const counts = new Map<string, Run["progress"][string]>();
  for (const item of items) {
    const { type, total } = item;
    let count = counts.get(type);
    if (!count) {
      count = { items: 0, ...(Object.hasOwn(progress, type) ? progress[type] : {}) };
      counts.set(type, count);
    }
    count.items += 1;
    if (total !== undefined) count.total = total;
    if (refused.has(item)) count.rejected = (count.rejected ?? 0) + 1;
  }
  return { ...progress, ...Object.fromEntries(counts) };
}

async function storePosition(tx: Tx, { organization, plugin }: Run, position: Position): Promise<void> {
  await tx
    .updateTable("connector_states")
    .set({ position: json(position), updated_at: sql<Date>`now()` })
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", plugin)
    .execute();
}

// ---- full runs: what was not seen is gone at the service

const namesOf = (run: Run, items: readonly SyncedItem[]): { type: string; source: string; external_id: string }[] =>
  items.flatMap(({ changes }) =>
    changes.flatMap(({ type, source = run.plugin, externalId, deleted }: EntityChange) =>
      externalId === undefined || deleted ? [] : [{ type, source, external_id: externalId }],
    ),
  );

async function markSeen(tx: Tx, run: Run, items: readonly SyncedItem[]): Promise<void> {
  const names = namesOf(run, items);
  if (names.length === 0) return;
  await sql`insert into connector_seen (organization_id, plugin_id, run_id, type, source, external_id)
    select ${run.organization}, ${run.plugin}, ${run.id}, rows.* from ${jsonRows(names, { type: "text", source: "text", external_id: "text" })}
    on conflict do nothing`.execute(tx);
}

/** Kinds of rows that syncs of this connector have made: the only ones that a full run may delete. Told to the database once a run. */
const pairsKnown = new WeakMap<Run, Set<string>>();

function newPairs(run: Run, items: readonly SyncedItem[]): { pairs: string[]; stored(): void } {
  const known = pairsKnown.get(run) ?? new Set<string>();
  pairsKnown.set(run, known);
  const sources = new Map<string, Set<string>>();
  for (const { changes } of items)
    for (const { type, source = run.plugin, externalId, deleted } of changes) {
      if (externalId === undefined || deleted) continue;
      const ofType = sources.get(type);
      if (ofType) ofType.add(source);
      else sources.set(type, new Set([source]));
    }
  const all = [...sources].flatMap(([type, ofType]) => [...ofType].map((source) => JSON.stringify([type, source])));
  const pairs = all.filter((pair) => !known.has(pair));
  return {
    pairs,
    stored() {
      for (const pair of pairs) known.add(pair);
    },
  };
}

async function rememberPairs(tx: Tx, run: Run, pairs: readonly string[]): Promise<void> {
  if (pairs.length === 0) return;
  const { rows } = await sql<{ count: number }>`update connector_states s set pairs = (
      select jsonb_agg(distinct pair) from (
        select jsonb_array_elements(s.pairs) as pair union select jsonb_array_elements(${`[${pairs.join(",")}]`}::text::jsonb)
      ) known)
    where organization_id = ${run.organization} and plugin_id = ${run.plugin}
    returning jsonb_array_length(pairs) as count`.execute(tx);
  if ((rows[0]?.count ?? 0) > maxPairs)
    throw new BackplaneError("result_invalid", {
      plugin: run.plugin,
      reason: `its entities are of more than ${maxPairs} types and sources; a source names a service or an account, not an item`,
    });
}

/** Deletes, some at a time, what earlier syncs have stored and this full run has not seen, of types that it may still write. */
async function sweep({ store, entities, installations }: SyncRunsOptions, run: Run, trace: Trace): Promise<void> {
  const { organization, plugin } = run;
  const { grants } = await installations.get(organization, plugin);
  const { rows: stored } = await sql<{ type: string }>`
    select distinct p ->> 0 as type from connector_states s, jsonb_array_elements(s.pairs) p
    where s.organization_id = ${organization} and s.plugin_id = ${plugin}`.execute(store.db);
  const types = stored.map(({ type }) => type).filter((type) => permits(grants, `data:write:${type}`));
  const before = new Date(run.startedAt!.getTime() - sweepMarginMs).toISOString();
  // Only the last call of a run is known: rows of earlier ones are spared like a push, and the next full run tells.
  const { rows: recent } = await sql<{ execution_id: string }>`
    select execution_id from connector_runs where organization_id = ${organization} and plugin_id = ${plugin}
    and execution_id is not null and ended_at >= ${before}::text::timestamptz`.execute(store.db);
  const ofSyncs = recent.map(({ execution_id }) => execution_id);
  for (;;) {
    const deleted = await store.transaction(async (tx) => {
      await holdRun(tx, run);
      const { rows } = await sql<{ type: string; source: string; external_id: string }>`
        select e.type, e.source, e.external_id from entities e
        join (select p ->> 0 as type, p ->> 1 as source from connector_states s, jsonb_array_elements(s.pairs) p
          where s.organization_id = ${organization} and s.plugin_id = ${plugin}) pairs on pairs.type = e.type and pairs.source = e.source
        where e.organization_id = ${organization} and e.type = any(${types}::text[])
        and e.external_id is not null and e.deleted_at is null
        and (e.updated_at < ${before}::text::timestamptz or e.execution_id = any(${ofSyncs}::text[]))
        and not exists (select 1 from connector_seen n where n.organization_id = ${organization} and n.plugin_id = ${plugin} and n.run_id = ${run.id}
          and n.type = e.type and n.source = e.source and n.external_id = e.external_id)
        limit ${sweepSize}`.execute(tx);
      if (rows.length === 0) return undefined;
      const changes = rows.map(({ type, source, external_id: externalId }) => ({
        type,
        source,
        externalId,
        data: {},
        deleted: true,
      }));
      const write = {
        organization,
        plugin,
        execution: run.execution,
        traceparent: formatTraceparent(trace),
        eventDepth: 0,
      };
      const written = await entities.writeBatch(tx, write, changes);
      const counts = { ...run.counts, deleted: run.counts.deleted + written.deleted };
      await writeRun(tx, { ...run, counts });
      return counts;
    });
    if (deleted === undefined) return;
    run.counts = deleted;
  }
}

// ---- ends

async function complete(
  options: SyncRunsOptions,
  run: Run,
  { end, trace }: { end: StreamEnd; trace: Trace },
): Promise<void> {
  const { store } = options;
  // A full run of some types cannot tell which rows are theirs, nor one whose rejected items are of unknown rows: it deletes nothing.
  if (run.full && run.types === undefined && !run.rejections.nameless) await sweep(options, run, trace);
  await store.transaction(async (tx) => {
    await holdRun(tx, run);
    const working = completed(run.position!.working, end, run.types);
    assertKeepable(run, working, run.progress);
    const position = run.full && run.types !== undefined ? mergedPosition(run.position!.start, working) : working;
    const ended: Run = {
      ...run,
      position: { start: run.position!.start, working: position },
      status: "succeeded",
      error: null,
      endedAt: new Date(),
    };
    await writeRun(tx, ended);
    await storePosition(tx, run, position);
    await over(tx, options, ended, position);
  });
}

/** The last of every run, in the transaction that ends it. */
async function over(tx: Tx, options: SyncRunsOptions, run: Run, position: Position): Promise<void> {
  const { organization, plugin } = run;
  if (run.full)
    await tx
      .deleteFrom("connector_seen")
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .where("run_id", "=", run.id)
      .execute();
  if (JSON.stringify(position) !== JSON.stringify(run.position!.start))
    await recordPosition(tx, {
      organization,
      plugin,
      actor: run.actor,
      action: run.full ? "full sync" : "sync",
      run: run.id,
      position,
    });
  await publish(tx, options, run, run.status === "succeeded" ? "SyncCompleted" : "SyncFailed");
}

/** What becomes of a run whose work threw. Throws what the delivery is to do, or nothing when the run is over. */
async function settle(options: SyncRunsOptions, run: Run, error: unknown, delivery: Delivery): Promise<void> {
  if (error instanceof RunLost) {
    if (delivery.signal.aborted) throw error;
    const { rows } = await sql<{ status: Run["status"] }>`select status from connector_runs
      where organization_id = ${run.organization} and id = ${run.id}`.execute(options.store.db);
    if (rows[0] && isOpen(rows[0])) throw new RetryLater(1_000, error.message);
    return;
  }
  // Cancelled, its lease lost, or the hub stops: nothing of the run is this node's to change.
  if (delivery.signal.aborted) throw error;
  if (error instanceof Paused)
    return wait(options, run, { ms: pausedMs, fault: { code: "paused", message: "The connector is paused." } });
  const known = toBackplaneError(error);
  if (known.code === "internal")
    options.log.error({ err: error, plugin: run.plugin, run: run.id }, "a sync failed in the hub");
  const fault = faultOfRun(known);
  const verdict = error instanceof OutOfOrder ? ({ kind: "fail" } as const) : judge(known);
  if (verdict.kind === "wait") {
    const ms =
      verdict.ms ?? backoffMs(Math.min(run.stalls, 20), { baseMs: 30_000, capMs: 900_000, ...options.backoff });
    return wait(options, run, { ms, fault });
  }
  if (verdict.kind === "retry" || verdict.kind === "continue") {
    run.failures += 1;
    if (run.failures < (options.maxFailures ?? 6))
      return wait(options, run, {
        ms: backoffMs(run.failures, { baseMs: 5_000, capMs: 600_000, ...options.backoff }),
        fault,
      });
  }
  await endFailed(options, run, {
    status: verdict.kind === "cancel" ? "cancelled" : "failed",
    fault,
    rollBack: error instanceof OutOfOrder,
  });
}

async function wait(
  { store }: SyncRunsOptions,
  run: Run,
  { ms, fault }: { ms: number; fault: { code: string; message: string } },
): Promise<never> {
  await store
    .transaction(async (tx) => {
      await holdRun(tx, run);
      await writeRun(tx, { ...run, status: "waiting", error: fault, resumeAt: new Date(Date.now() + ms) });
    })
    .catch((error: unknown) => {
      if (!(error instanceof RunLost) && toBackplaneError(error).code !== "database_unavailable") throw error;
    });
  throw new RetryLater(ms, fault.message);
}

interface Failing {
  status: "failed" | "cancelled";
  fault: { code: string; message: string };
  /** Derived cursors go back to where the run began. */
  rollBack: boolean;
}

async function endFailed(options: SyncRunsOptions, run: Run, { status, fault, rollBack }: Failing): Promise<void> {
  await options.store
    .transaction(async (tx) => {
      await holdRun(tx, run);
      const { rows } = await sql<{ position: Position }>`select position from connector_states
        where organization_id = ${run.organization} and plugin_id = ${run.plugin}`.execute(tx);
      let { position } = rows[0]!;
      if (rollBack && !run.full) {
        position = { ...position, derived: run.position!.start.derived };
        await storePosition(tx, run, position);
      }
      const ended: Run = { ...run, status, error: fault, endedAt: new Date() };
      await writeRun(tx, ended);
      await over(tx, options, ended, position);
    })
    .catch((error: unknown) => {
      if (!(error instanceof RunLost)) throw error;
    });
}

async function publish(
  tx: Tx,
  { eventLog }: SyncRunsOptions,
  run: Run,
  what: "SyncStarted" | "SyncCompleted" | "SyncFailed",
): Promise<void> {
  await eventLog.publish(tx, syncEvent(run, what));
}

export function syncEvent(run: Run, what: string): Parameters<EventLog["publish"]>[1] {
  const { organization, plugin, id, full, types, trigger, counts, error } = run;
  return {
    organization: organization as OrganizationId,
    type: `connector.${what}`,
    source: "/backplane/connectors",
    subject: plugin,
    ...(run.traceparent === null ? {} : { traceparent: run.traceparent }),
    depth: 0,
    data: {
      plugin,
      runId: id,
      full,
      ...(types === undefined ? {} : { types }),
      trigger,
      ...(what === "SyncStarted" ? {} : { ...counts, status: run.status }),
      ...(error === null ? {} : { error }),
    },
  };
}
