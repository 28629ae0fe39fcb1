/**
 * Runs of connectors and what they left, as rows. `epoch` is the fence of a run: each node that takes it up raises it, and
 * only a transaction that names the current one may change anything, so two nodes can never both store a batch.
 */
import { type Selectable, sql } from "kysely";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { BatchCounts } from "../entities/entities.ts";
import { maxTypes } from "../incoming/read-batch.ts";
import type { Refusal } from "../incoming/refusals.ts";
import { syncConsumer } from "../policy/consumers.ts";
import { json } from "../store/json.ts";
import type { Database } from "../store/schema.ts";
import type { Store, Tx } from "../store/store.ts";
import { nowhere, type Position } from "./position.ts";

export type RunStatus = "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled";
export type RunTrigger = "schedule" | "manual" | "event";

export interface RunCounts extends BatchCounts {
  /** Items that came, repeated and rejected ones too. */
  items: number;
  /** Items that the data model refused. */
  rejected: number;
}

export type RunProgress = Record<string, { items: number; total?: number; rejected?: number }>;

export interface Rejections {
  /** The last of them, newest last. */
  last: Refusal[];
  /** Of one at least it is not known which rows it stands for. */
  nameless: boolean;
}

export interface RunPosition {
  /** As this run has found it so far. */
  working: Position;
  /** As it was when the run began. */
  start: Position;
}

export interface Run {
  organization: OrganizationId;
  id: string;
  plugin: PluginId;
  full: boolean;
  /** Only these kinds of item; absent: all. */
  types: string[] | undefined;
  trigger: RunTrigger;
  actor: string;
  status: RunStatus;
  position: RunPosition | null;
  epoch: number;
  execution: string | null;
  calls: number;
  batches: number;
  counts: RunCounts;
  progress: RunProgress;
  rejections: Rejections;
  /** In a row. */
  failures: number;
  /** How often it was taken up since it last stored something. */
  stalls: number;
  error: { code: string; message: string } | null;
  resumeAt: Date | null;
  traceparent: string | null;
  createdAt: Date;
  startedAt: Date | null;
  endedAt: Date | null;
}

export const openStatuses = ["queued", "running", "waiting"] as const;
export const isOpen = ({ status }: Pick<Run, "status">): boolean =>
  (openStatuses as readonly string[]).includes(status);

export interface RunRequest {
  organization: OrganizationId;
  plugin: PluginId;
  full?: boolean;
  types?: readonly string[];
  trigger: RunTrigger;
  actor: string;
  traceparent?: string | undefined;
}

/** Makes the installation's row unless it is there, and locks it: requests of one connector follow each other. */
export async function lockState(
  tx: Tx,
  organization: string,
  plugin: string,
): Promise<Selectable<Database["connector_states"]>> {
  await tx
    .insertInto("connector_states")
    .values({ organization_id: organization, plugin_id: plugin, position: json(nowhere) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return tx
    .selectFrom("connector_states")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", plugin)
    .forUpdate()
    .executeTakeFirstOrThrow();
}

/** Queues a run. One that waits to begin takes the request in, so there is never more than one behind the one that runs. */
export async function requestRun(
  tx: Tx,
  deliveries: Pick<Deliveries, "enqueue">,
  { organization, plugin, full = false, types, trigger, actor, traceparent }: RunRequest,
): Promise<string> {
  await lockState(tx, organization, plugin);
  const queued = await tx
    .selectFrom("connector_runs")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", plugin)
    .where("status", "=", "queued")
    .forUpdate()
    .executeTakeFirst();
  if (queued) {
    const both = queued.types === null || types === undefined ? null : [...new Set([...queued.types, ...types])];
    // Requests come from plugins too, and of so many types all is as good.
    const union = both === null || both.length > maxTypes ? null : both;
    await tx
      .updateTable("connector_runs")
      .set({ full_run: queued.full_run || full, types: union === null ? null : json(union) })
      .where("organization_id", "=", organization)
      .where("id", "=", queued.id)
      .execute();
    return queued.id;
  }
  const id = newId();
  await tx
    .insertInto("connector_runs")
    .values({
      organization_id: organization,
      id,
      plugin_id: plugin,
      full_run: full,
      types: types === undefined ? null : json(types),
      trigger,
      actor,
      status: "queued",
      traceparent: traceparent ?? null,
    })
    .execute();
  await deliveries.enqueue(tx, [
    { organization, consumer: syncConsumer(plugin), kind: "sync", key: plugin, itemId: id, payload: {}, traceparent },
  ]);
  return id;
}

export async function findRun(store: Store, organization: string, id: string): Promise<Run | undefined> {
  const row = await store.db
    .selectFrom("connector_runs")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("id", "=", id)
    .executeTakeFirst();
  return row && toRun(row);
}

/** Takes a run up on this node. `undefined` when it is over. `first`: it had not begun before. */
export async function takeUpRun(
  tx: Tx,
  { organization, id, node }: { organization: string; id: string; node: string },
): Promise<{ run: Run; first: boolean; state: Selectable<Database["connector_states"]> } | undefined> {
  const row = await tx
    .selectFrom("connector_runs")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("id", "=", id)
    .where("status", "in", openStatuses)
    .forUpdate()
    .executeTakeFirst();
  if (!row) return undefined;
  const state = await tx
    .selectFrom("connector_states")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", row.plugin_id)
    .executeTakeFirstOrThrow();
  const start = state.position as unknown as Position;
  const position =
    row.position ?? ({ start, working: row.full_run ? nowhere : start } as unknown as typeof row.position);
  const taken = await tx
    .updateTable("connector_runs")
    .set({
      status: "running",
      epoch: row.epoch + 1,
      node_id: node,
      stalls: row.stalls + 1,
      position: json(position),
      resume_at: null,
      started_at: row.started_at ?? sql<Date>`now()`,
    })
    .where("organization_id", "=", organization)
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return { run: toRun(taken), first: row.started_at === null, state };
}

/** The run is not this node's any more: cancelled, or another has taken it up. */
export class RunLost extends Error {
  override name = "RunLost";
}

/** Locks the run for the rest of the transaction. Throws `RunLost` unless it is still as this node took it up. */
export async function holdRun(tx: Tx, { organization, id, epoch }: Run): Promise<void> {
  const { rows } = await sql`select 1 from connector_runs
    where organization_id = ${organization} and id = ${id} and epoch = ${epoch} and status = 'running' for update`.execute(
    tx,
  );
  if (rows.length === 0) throw new RunLost("the run was ended or taken up elsewhere");
}

/** Writes what a run has become; the caller holds it. */
export async function writeRun(tx: Tx, run: Run): Promise<void> {
  await tx
    .updateTable("connector_runs")
    .set(columnsOf(run))
    .where("organization_id", "=", run.organization)
    .where("id", "=", run.id)
    .execute();
}

/**
 * The last statement of a batch: the run as it is now and, when given, the connector's position, if this node still has the run;
 * else throws `RunLost`, and nothing of the batch is stored. One statement, since a batch has few.
 */
export async function commitRun(tx: Tx, run: Run, position: Position | undefined): Promise<{ paused: boolean }> {
  const row = await tx
    .with("held", (db) =>
      db
        .updateTable("connector_runs")
        .set(columnsOf(run))
        .where("organization_id", "=", run.organization)
        .where("id", "=", run.id)
        .where("epoch", "=", run.epoch)
        .where("status", "=", "running")
        .returning("plugin_id"),
    )
    .updateTable("connector_states")
    .from("held")
    .set({ updated_at: sql<Date>`now()`, ...(position === undefined ? {} : { position: json(position) }) })
    .where("connector_states.organization_id", "=", run.organization)
    .whereRef("connector_states.plugin_id", "=", "held.plugin_id")
    .returning("connector_states.paused")
    .executeTakeFirst();
  if (!row) throw new RunLost("the run was ended or taken up elsewhere");
  return row;
}

function columnsOf(run: Run) {
  return {
    status: run.status,
    position: json(run.position),
    execution_id: run.execution,
    calls: run.calls,
    batches: run.batches,
    items: run.counts.items,
    created: run.counts.created,
    updated: run.counts.updated,
    deleted: run.counts.deleted,
    unchanged: run.counts.unchanged,
    rejected: run.counts.rejected,
    rejections: json(run.rejections),
    progress: json(run.progress),
    failures: run.failures,
    stalls: run.stalls,
    error: run.error === null ? null : json(run.error),
    resume_at: run.resumeAt,
    ended_at: run.endedAt,
  };
}

/** Keeps the last hundred changes of a connector's position. */
export async function recordPosition(
  tx: Tx,
  change: { organization: string; plugin: string; actor: string; action: string; run?: string; position: Position },
): Promise<void> {
  const { organization, plugin, actor, action, run, position } = change;
  await tx
    .insertInto("connector_history")
    .values({
      organization_id: organization,
      plugin_id: plugin,
      actor,
      action,
      run_id: run ?? null,
      position: json(position),
    })
    .execute();
  await sql`delete from connector_history where organization_id = ${organization} and plugin_id = ${plugin} and seq <= (
    select seq from connector_history where organization_id = ${organization} and plugin_id = ${plugin} order by seq desc offset 100 limit 1)`.execute(
    tx,
  );
}

export function toRun(row: Selectable<Database["connector_runs"]>): Run {
  return {
    organization: row.organization_id as OrganizationId,
    id: row.id,
    plugin: row.plugin_id as PluginId,
    full: row.full_run,
    types: row.types ?? undefined,
    trigger: row.trigger,
    actor: row.actor,
    status: row.status,
    position: row.position as unknown as RunPosition | null,
    epoch: row.epoch,
    execution: row.execution_id,
    calls: row.calls,
    batches: row.batches,
    counts: {
      items: Number(row.items),
      created: Number(row.created),
      updated: Number(row.updated),
      deleted: Number(row.deleted),
      unchanged: Number(row.unchanged),
      rejected: Number(row.rejected),
    },
    progress: row.progress as unknown as RunProgress,
    rejections: row.rejections as unknown as Rejections,
    failures: row.failures,
    stalls: row.stalls,
    error: row.error as unknown as Run["error"],
    resumeAt: row.resume_at,
    traceparent: row.traceparent,
    createdAt: row.created_at,
    startedAt: row.started_at,
    endedAt: row.ended_at,
  };
}
