/** When connectors sync by themselves: schedules of the manifest or the organisation's own, kept as the next turn in the connector's row. */
import { type Selectable, sql } from "kysely";
import { asOrganizationId, asPluginId, type OrganizationId, type PluginId } from "../base/brands.ts";
import { nextTurn, parseSchedule } from "../base/schedule.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Database } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { formatTraceparent, newTrace } from "../telemetry/trace.ts";
import type { RunEnds } from "./end-runs.ts";
import { hasRealtime } from "./realtime.ts";
import { lockState, requestRun } from "./run-records.ts";

/** One schedule of a connector. */
export interface PlannedSync {
  /** In force: the organisation's own, else the manifest's; null: never by itself. */
  schedule: string | null;
  /** The organisation's own; an empty text: never. */
  own: string | null;
  nextAt: Date | null;
  /** What is wrong with it. */
  fault?: string;
}

export type StateRow = Selectable<Database["connector_states"]>;

/** A first sync after activation waits so long at most, so that an installation can be finished. */
const firstSyncMs = 5_000;

export interface Plans extends Disposable {
  /** Brings the connector's row in line with its installation, in the background. */
  alignSoon(organization: OrganizationId, plugin: PluginId): void;
  /** Queues what is due. One that runs already is enough. */
  runDue(): Promise<void>;
}

export interface PlansOptions extends Pick<RunEnds, "cancelAll" | "openRun"> {
  store: Store;
  deliveries: Deliveries;
  installations: Installations;
  log: { error(details: object, message: string): void };
}

export function createPlans(options: PlansOptions): Plans {
  const { store, deliveries, installations, cancelAll, openRun } = options;

  /** Brings the row of a connector in line with its installation. */
  const align = async ({ organization, plugin }: Installation): Promise<void> => {
    await store.transaction(async (tx) => {
      const row = await tx
        .selectFrom("installations")
        .select(["status", "manifest", "grants"])
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .forShare()
        .executeTakeFirst();
      if (!row) return;
      const installation = { ...row, grants: row.grants as unknown as string[] } as unknown as Installation;
      if (installation.manifest.contributes?.connector === undefined) return;
      const state = await lockState(tx, organization, plugin);
      if (installation.status !== "active") await cancelAll(tx, organization, plugin, installation.status);
      const listens = hasRealtime(installation);
      const forgets = !listens && (state.realtime !== null || state.realtime_at !== null);
      const patch = {
        ...planOf(installation, state, "sync"),
        ...planOf(installation, state, "full"),
        ...(forgets ? { realtime: null, realtime_at: null } : {}),
        ...(listens && state.realtime === null && state.realtime_at === null ? { realtime_at: new Date() } : {}),
      };
      if (Object.keys(patch).length === 0) return;
      await tx
        .updateTable("connector_states")
        .set(patch)
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .execute();
    });
  };

  const aligned = new Map<string, string>();
  const alignSoon = (organization: OrganizationId, plugin: PluginId): void => {
    void (async () => {
      const installation = await installations.find(organization, plugin);
      const name = `${organization}\n${plugin}`;
      if (!installation) {
        aligned.delete(name);
        return;
      }
      const { id, status, revision, manifest } = installation;
      const key = `${id}:${status}:${revision}`;
      if (manifest.contributes?.connector === undefined || aligned.get(name) === key) return;
      await align(installation);
      aligned.set(name, key);
    })().catch((error: unknown) =>
      options.log.error({ err: error, plugin }, "a connector could not be planned; it is tried again"),
    );
  };

  const changes = installations.onChange(({ organization, plugin }) => alignSoon(organization, plugin));

  const runDue = async (): Promise<void> => {
    const { rows } = await sql<{ organization_id: string; plugin_id: string }>`
      select s.organization_id, s.plugin_id from connector_states s
      join installations i on i.organization_id = s.organization_id and i.plugin_id = s.plugin_id
      where i.status = 'active' and not s.paused and (s.next_at <= now() or s.next_full_at <= now())
      order by least(s.next_at, s.next_full_at) limit 200`.execute(store.db);
    for (const { organization_id, plugin_id } of rows) {
      const installation = await installations.find(asOrganizationId(organization_id), asPluginId(plugin_id));
      if (!installation) continue;
      await store.transaction(async (tx) => {
        const state = await lockState(tx, organization_id, plugin_id);
        const now = new Date();
        const due = (at: Date | null): boolean => at !== null && at <= now;
        const full = due(state.next_full_at);
        if (!full && !due(state.next_at)) return;
        if (!(await openRun(tx, installation)))
          await requestRun(tx, deliveries, {
            organization: installation.organization,
            plugin: installation.plugin,
            full,
            trigger: "schedule",
            actor: "system",
            traceparent: formatTraceparent(newTrace()),
          });
        const again = { ...state, planned: null, planned_full: null };
        await tx
          .updateTable("connector_states")
          .set({
            ...(due(state.next_at) ? planOf(installation, again, "sync", now) : {}),
            ...(full ? planOf(installation, again, "full", now) : {}),
          })
          .where("organization_id", "=", organization_id)
          .where("plugin_id", "=", plugin_id)
          .execute();
      });
    }
  };

  return { alignSoon, runDue, [Symbol.dispose]: () => changes[Symbol.dispose]() };
}

type Which = "sync" | "full";
type Planned = Pick<StateRow, "schedule" | "full_schedule" | "planned" | "planned_full" | "next_at" | "next_full_at">;

function effective(
  { manifest }: Pick<Installation, "manifest">,
  state: Planned | undefined,
  which: Which,
): string | null {
  const own = which === "sync" ? state?.schedule : state?.full_schedule;
  if (own !== null && own !== undefined) return own === "" ? null : own;
  const connector = manifest.contributes?.connector;
  return (which === "sync" ? connector?.schedule : connector?.fullSchedule) ?? null;
}

/** The next turn, when the schedule is not the one that it was planned by. A first sync comes at once, a first full one in its turn. */
export function planOf(
  installation: Pick<Installation, "manifest">,
  state: Planned,
  which: Which,
  from?: Date,
): Partial<Pick<StateRow, "planned" | "next_at" | "planned_full" | "next_full_at">> {
  const text = effective(installation, state, which);
  if (from === undefined && text === (which === "sync" ? state.planned : state.planned_full)) return {};
  const schedule = text === null ? undefined : parseSchedule(text);
  const now = from ?? new Date();
  const first = which === "sync" && from === undefined;
  const next =
    schedule === undefined || typeof schedule === "string"
      ? null
      : first
        ? new Date(now.getTime() + Math.random() * firstSyncMs)
        : (nextTurn(schedule, now) ?? null);
  return which === "sync" ? { planned: text, next_at: next } : { planned_full: text, next_full_at: next };
}

export function plannedOf(
  installation: Installation,
  row: StateRow | undefined,
  which: Which,
  live: boolean,
): PlannedSync {
  const schedule = effective(installation, row, which);
  const parsed = schedule === null ? undefined : parseSchedule(schedule);
  return {
    schedule,
    own: (which === "sync" ? row?.schedule : row?.full_schedule) ?? null,
    nextAt: live ? ((which === "sync" ? row?.next_at : row?.next_full_at) ?? null) : null,
    ...(typeof parsed === "string" ? { fault: parsed } : {}),
  };
}
