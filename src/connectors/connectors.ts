/**
 * The connector engine as people meet it: where each connector stands, its runs, and what may be done about them. Who is due is
 * plans.ts; the work of a run is sync-runs.ts; listeners for pushes are realtime.ts, what they push pushes.ts; actions are actions.ts.
 * Long by its many verbs.
 */
import { sql } from "kysely";
import { asPluginId, type OrganizationId, type PluginId } from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { parseSchedule } from "../base/schedule.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { Delivery } from "../bus/delivery.ts";
import type { EventLog } from "../bus/event-log.ts";
import { wakeConsumers } from "../bus/wake.ts";
import type { Entities } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import { takesIncoming } from "../incoming/incoming.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Invoker } from "../invocation/invoker.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { syncConsumer } from "../policy/consumers.ts";
import { json } from "../store/json.ts";
import type { Store } from "../store/store.ts";
import { formatTraceparent, newTrace, type Trace } from "../telemetry/trace.ts";
import { type Actions, createActions } from "./actions.ts";
import { createRunEnds } from "./end-runs.ts";
import { createPlans, type PlannedSync, plannedOf, planOf, type StateRow } from "./plans.ts";
import { nowhere, type Position } from "./position.ts";
import { createPushes } from "./pushes.ts";
import { createRealtime, type RealtimeState } from "./realtime.ts";
import {
  findRun,
  isOpen,
  lockState,
  type Run,
  type RunTrigger,
  recordPosition,
  requestRun,
  toRun,
} from "./run-records.ts";
import { registerSyncRuns, type SyncRunsOptions } from "./sync-runs.ts";

export interface ConnectorsOptions extends Pick<SyncRunsOptions, "maxFailures" | "backoff" | "itemsPerCall"> {
  store: Store;
  node: string;
  deliveries: Deliveries;
  invoker: Pick<Invoker, "run" | "stream">;
  installations: Installations;
  entities: Pick<Entities, "writeBatch" | "writeEach" | "prepareBatch" | "refusals">;
  eventLog: EventLog;
  jobs: Jobs;
  publicUrl(): string;
  log: Record<"error" | "warn", (details: object, message: string) => void>;
  /** How often it looks for what is due, ms. @default 5000 */
  tickMs?: number;
}

export interface SyncCall {
  organization: OrganizationId;
  plugin: PluginId;
  full?: boolean | undefined;
  types?: string[] | undefined;
  actor: string;
  trace?: Trace | undefined;
}

export interface ConnectorState {
  plugin: PluginId;
  /** Of its plugin: nothing is synced unless it is `active`. */
  status: Installation["status"];
  statusReason: string | null;
  paused: boolean;
  sync: PlannedSync;
  fullSync: PlannedSync;
  position: Position;
  /** What runs or waits now. */
  run: Run | null;
  /** The last that ended. */
  lastRun: Run | null;
  realtime: (RealtimeState & { nextAt: Date | null }) | null;
}

export type ListedConnector = ConnectorState & { name: string };

export interface PositionChange {
  at: Date;
  actor: string;
  action: string;
  runId: string | null;
  position: Position;
}

export interface Who {
  organization: OrganizationId;
  plugin: PluginId;
  actor: string;
}

export interface Connectors extends AsyncDisposable {
  /** By plugin id. Error: `invalid_cursor`. */
  list(
    organization: OrganizationId,
    page: { limit: number; cursor?: string | undefined },
  ): Promise<{ connectors: ListedConnector[]; nextCursor: string | null }>;
  /** Queues a run and gives its id; one that waits to begin takes the request in. Errors: `not_found`, `plugin_not_active`, `conflict` while paused. */
  sync(call: SyncCall): Promise<string>;
  /** Error: `not_found`. */
  state(organization: OrganizationId, plugin: PluginId): Promise<ConnectorState>;
  /** Newest first, at most a hundred. */
  history(organization: OrganizationId, plugin: PluginId): Promise<PositionChange[]>;
  /** Errors: `not_found`, `conflict` while a run is open. */
  setPosition(who: Who, position: Position): Promise<void>;
  /** The next sync is a first one. Errors as of `setPosition`. */
  reset(who: Who): Promise<void>;
  /** Newest first. Errors: `not_found`, `invalid_cursor`. */
  runs(
    organization: OrganizationId,
    plugin: PluginId,
    page: { limit: number; cursor?: string | undefined },
  ): Promise<{ runs: Run[]; nextCursor: string | null }>;
  /** Error: `not_found`. */
  run(organization: OrganizationId, plugin: PluginId, id: string): Promise<Run>;
  /** Errors: `not_found`, `conflict` when it has ended. */
  cancel(organization: OrganizationId, plugin: PluginId, id: string): Promise<Run>;
  /** What runs stops after its batch and goes on at `resume`. Error: `not_found`. */
  pause(who: Who): Promise<void>;
  resume(who: Who): Promise<void>;
  /** `null`: as the manifest says; an empty text: never. Errors: `not_found`, `invalid_input`. */
  setSchedule(who: Who, given: { schedule?: string | null; fullSchedule?: string | null }): Promise<void>;
  execute: Actions["execute"];
  /** The handler of an accepted webhook item, when it is a connector's. */
  receive(installation: Installation): ((delivery: Delivery) => Promise<void>) | undefined;
  /** Connections of the plugin have changed: what failed for want of one is tried again at the next look. */
  wake(organization: OrganizationId, plugin: PluginId): Promise<void>;
}

const keepAnswersMs = 24 * 3_600_000;
const keepRunsMs = 90 * 24 * 3_600_000;

export function createConnectors(options: ConnectorsOptions): Connectors {
  const { store, deliveries, invoker, installations, entities, eventLog, jobs } = options;
  const realtime = createRealtime(options);
  const actions = createActions(options);
  const { cancelRun, cancelAll, openRun } = createRunEnds({ eventLog, deliveries });
  const plans = createPlans({ store, deliveries, installations, cancelAll, openRun, log: options.log });
  const receive = createPushes({ store, invoker, installations, entities, eventLog, deliveries });
  registerSyncRuns(options);

  const connectorOf = async (organization: OrganizationId, plugin: PluginId): Promise<Installation> => {
    const installation = await installations.find(organization, plugin);
    if (installation?.manifest.contributes?.connector === undefined)
      throw new BackplaneError("not_found", { thing: `connector '${plugin}'` });
    return installation;
  };

  const stateRow = async (organization: string, plugin: string): Promise<StateRow | undefined> =>
    store.db
      .selectFrom("connector_states")
      .selectAll()
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .executeTakeFirst();

  jobs.every("connectors", options.tickMs ?? 5_000, plans.runDue);
  // On its own: it waits for services, and no schedule may wait for them.
  let firstLook = true;
  jobs.every("connector listeners", options.tickMs ?? 5_000, async (signal) => {
    if (firstLook) await realtime.addressChanged();
    firstLook = false;
    await realtime.run(signal);
  });
  jobs.every(
    "connector plans",
    300_000,
    async () => {
      for (const installation of await installations.listActive())
        if (installation.manifest.contributes?.connector !== undefined)
          plans.alignSoon(installation.organization, installation.plugin);
    },
    { atStart: true, everyNode: true },
  );
  jobs.every("connector records", 3_600_000, async () => {
    await actions.forgetBefore(new Date(Date.now() - keepAnswersMs));
    await store.db
      .deleteFrom("connector_runs")
      .where("ended_at", "<", new Date(Date.now() - keepRunsMs))
      .execute();
    await sql`delete from connector_seen n where not exists (
      select 1 from connector_runs r where r.organization_id = n.organization_id and r.id = n.run_id and r.ended_at is null)`.execute(
      store.db,
    );
  });

  // ---- what people see and do

  const presentState = async (installation: Installation): Promise<ConnectorState> => {
    const { organization, plugin } = installation;
    const row = await stateRow(organization, plugin);
    const runs = await store.db
      .selectFrom("connector_runs")
      .selectAll()
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .orderBy("id", "desc")
      .limit(10)
      .execute();
    const all = runs.map(toRun);
    const open = all.filter(isOpen);
    const live = installation.status === "active" && row?.paused !== true;
    return {
      plugin,
      status: installation.status,
      statusReason: installation.statusReason,
      paused: row?.paused ?? false,
      sync: plannedOf(installation, row, "sync", live),
      fullSync: plannedOf(installation, row, "full", live),
      position: (row?.position as unknown as Position | undefined) ?? nowhere,
      run: open.find(({ status }) => status !== "queued") ?? open[0] ?? null,
      lastRun: all.find((run) => !isOpen(run)) ?? null,
      realtime: row?.realtime ? { ...(row.realtime as unknown as RealtimeState), nextAt: row.realtime_at } : null,
    };
  };

  const setPosition = async (
    { organization, plugin, actor }: Who,
    position: Position,
    action: string,
  ): Promise<void> => {
    const installation = await connectorOf(organization, plugin);
    await store.transaction(async (tx) => {
      await lockState(tx, organization, plugin);
      if (await openRun(tx, installation))
        throw new BackplaneError("conflict", {
          reason: "A sync is under way and would overwrite it. Cancel the run first.",
        });
      await tx
        .updateTable("connector_states")
        .set({ position: json(position), updated_at: sql<Date>`now()` })
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .execute();
      await recordPosition(tx, { organization, plugin, actor, action, position });
    });
  };

  const setPaused = async ({ organization, plugin }: Who, paused: boolean): Promise<void> => {
    await connectorOf(organization, plugin);
    await store.transaction(async (tx) => {
      await lockState(tx, organization, plugin);
      await tx
        .updateTable("connector_states")
        .set({ paused })
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .execute();
      if (paused) return;
      const consumer = syncConsumer(plugin);
      await sql`update deliveries d set due = now() from connector_runs r
        where d.organization_id = ${organization} and d.consumer = ${consumer} and d.state = 'pending' and d.claimed_until is null
        and r.organization_id = d.organization_id and r.id = d.item_id and r.error ->> 'code' = 'paused'`.execute(tx);
      await wakeConsumers(store, tx, [{ organization, consumer }]);
    });
  };

  const runOf = async (organization: OrganizationId, plugin: PluginId, id: string): Promise<Run> => {
    const run = await findRun(store, organization, id);
    if (!run || run.plugin !== plugin) throw new BackplaneError("not_found", { thing: `sync run '${id}'` });
    return run;
  };

  return {
    async list(organization, { limit, cursor }) {
      let query = store.db
        .selectFrom("installations")
        .select("plugin_id")
        .where("organization_id", "=", organization)
        .where(sql<boolean>`manifest -> 'contributes' -> 'connector' is not null`);
      if (cursor !== undefined) query = query.where("plugin_id", ">", String(decodeCursor(cursor, 1)[0]));
      const rows = await query
        .orderBy("plugin_id")
        .limit(limit + 1)
        .execute();
      const ids = rows.slice(0, limit).map(({ plugin_id }) => plugin_id);
      const found = await Promise.all(ids.map((id) => installations.find(organization, asPluginId(id))));
      const connectors: ListedConnector[] = [];
      for (const installation of found)
        if (installation) connectors.push({ ...(await presentState(installation)), name: installation.name });
      return { connectors, nextCursor: rows.length > limit ? encodeCursor([ids.at(-1)!]) : null };
    },
    async sync({ organization, plugin, full = false, types, actor, trace }) {
      const { status } = await connectorOf(organization, plugin);
      if (status !== "active") throw new BackplaneError("plugin_not_active", { plugin, status });
      return store.transaction(async (tx) => {
        const { paused } = await lockState(tx, organization, plugin);
        if (paused) throw new BackplaneError("conflict", { reason: "The connector is paused. Resume it first." });
        return requestRun(tx, deliveries, {
          organization,
          plugin,
          full,
          ...(types === undefined || types.length === 0 ? {} : { types: [...new Set(types)] }),
          trigger: "manual" satisfies RunTrigger,
          actor,
          traceparent: formatTraceparent(trace ?? newTrace()),
        });
      });
    },
    state: async (organization, plugin) => presentState(await connectorOf(organization, plugin)),
    async history(organization, plugin) {
      const rows = await store.db
        .selectFrom("connector_history")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .orderBy("seq", "desc")
        .limit(100)
        .execute();
      return rows.map(({ at, actor, action, run_id: runId, position }) => ({
        ...{ at, actor, action, runId },
        position: position as unknown as Position,
      }));
    },
    setPosition: (who, position) => setPosition(who, position, "set"),
    reset: (who) => setPosition(who, nowhere, "reset"),
    async runs(organization, plugin, { limit, cursor }) {
      await connectorOf(organization, plugin);
      let query = store.db
        .selectFrom("connector_runs")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin);
      if (cursor !== undefined) query = query.where("id", "<", String(decodeCursor(cursor, 1)[0]));
      const rows = await query
        .orderBy("id", "desc")
        .limit(limit + 1)
        .execute();
      const runs = rows.slice(0, limit).map(toRun);
      return { runs, nextCursor: rows.length > limit ? encodeCursor([runs.at(-1)!.id]) : null };
    },
    run: runOf,
    async cancel(organization, plugin, id) {
      await runOf(organization, plugin, id);
      await store.transaction(async (tx) => {
        const row = await tx
          .selectFrom("connector_runs")
          .selectAll()
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .forUpdate()
          .executeTakeFirst();
        if (!row) throw new BackplaneError("not_found", { thing: `sync run '${id}'` });
        const run = toRun(row);
        if (!isOpen(run)) throw new BackplaneError("conflict", { reason: `The run has ${run.status} already.` });
        await cancelRun(tx, run, "The run was cancelled.");
      });
      return runOf(organization, plugin, id);
    },
    pause: (who) => setPaused(who, true),
    resume: (who) => setPaused(who, false),
    async setSchedule({ organization, plugin }, given) {
      const installation = await connectorOf(organization, plugin);
      const errors = Object.entries(given).flatMap(([path, text]) => {
        const parsed = text ? parseSchedule(text) : undefined;
        return typeof parsed === "string" ? [{ path, message: parsed }] : [];
      });
      if (errors.length > 0) throw new BackplaneError("invalid_input", {}, { errors });
      await store.transaction(async (tx) => {
        const state = await lockState(tx, organization, plugin);
        const next = {
          ...state,
          ...(given.schedule === undefined ? {} : { schedule: given.schedule }),
          ...(given.fullSchedule === undefined ? {} : { full_schedule: given.fullSchedule }),
        };
        await tx
          .updateTable("connector_states")
          .set({
            schedule: next.schedule,
            full_schedule: next.full_schedule,
            ...planOf(installation, next, "sync", new Date()),
            ...planOf(installation, next, "full", new Date()),
          })
          .where("organization_id", "=", organization)
          .where("plugin_id", "=", plugin)
          .execute();
      });
    },
    execute: actions.execute,
    receive: (installation) => (takesIncoming(installation.manifest) ? receive : undefined),
    async wake(organization, plugin) {
      // Only what failed for want of a connection: a token that is renewed each hour is no reason to sync.
      await sql`update connector_states s set next_at = case when s.next_at is null then null else now() end
        from (select status, error from connector_runs where organization_id = ${organization} and plugin_id = ${plugin} order by id desc limit 1) r
        where s.organization_id = ${organization} and s.plugin_id = ${plugin}
        and r.status = 'failed' and starts_with(r.error ->> 'code', 'connection_')`.execute(store.db);
      await sql`update connector_states set realtime_at = now()
        where organization_id = ${organization} and plugin_id = ${plugin} and starts_with(realtime -> 'error' ->> 'code', 'connection_')`.execute(
        store.db,
      );
    },
    async [Symbol.asyncDispose]() {
      plans[Symbol.dispose]();
    },
  };
}
