/**
 * Keeps services pushing: calls `registerRealtimeListener` once a connector is active, again when four fifths of what it
 * was promised have passed, and with backoff while that fails. State lives in the connector's row, so any node goes on.
 */
import { sql } from "kysely";
import { backoffMs } from "../base/backoff.ts";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { isObject, type JsonObject } from "../base/json.ts";
import { BackplaneError, toBackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { json } from "../store/json.ts";
import type { Store } from "../store/store.ts";
import { faultOfRun } from "./failure.ts";

export interface RealtimeState {
  /** `unsupported`: the manifest says `realtime`, and there is no handler. */
  state: "registered" | "failing" | "unsupported";
  webhookUrl: string;
  /** Absent: it never ends. */
  expiresAt?: string;
  registeredAt?: string;
  attempts: number;
  error?: { code: string; message: string };
}

export interface RealtimeOptions {
  store: Store;
  installations: Installations;
  invoker: Pick<Invoker, "run">;
  publicUrl(): string;
  now?(): number;
}

export interface Realtime {
  /** Registers what is due; how many were tried. */
  run(signal?: AbortSignal): Promise<number>;
  /** What was registered under another address is due at once. */
  addressChanged(): Promise<void>;
}

/** While a node tries, others leave it alone for so long. */
const claimMs = 120_000;
const atOnce = 20;
const renewShare = 0.8;
const shortestMs = 30_000;
const callMs = 60_000;

/** Whether the hub keeps a listener for it. */
export function hasRealtime({ manifest, grants, status }: Installation): boolean {
  return (
    status === "active" && manifest.contributes?.connector?.realtime === true && grants.includes("network:inbound")
  );
}

export const webhookUrlOf = (publicUrl: string, organization: string, plugin: string): string =>
  `${publicUrl}/webhooks/${encodeURIComponent(organization)}/${encodeURIComponent(plugin)}`;

export function createRealtime({
  store,
  installations,
  invoker,
  publicUrl,
  now = Date.now,
}: RealtimeOptions): Realtime {
  const register = async (
    organization: OrganizationId,
    plugin: PluginId,
    former: RealtimeState | null,
  ): Promise<void> => {
    const installation = await installations.find(organization, plugin);
    if (!installation || !hasRealtime(installation)) return write(organization, plugin, null, null);
    const webhookUrl = webhookUrlOf(publicUrl(), organization, plugin);
    try {
      const { record, error } = await invoker.run({
        ...{ organization, plugin, actor: "system", timeoutMs: callMs },
        kind: "connector",
        name: "registerRealtimeListener",
        args: [webhookUrl],
      });
      if (error) throw error;
      const expires = expiryOf(record.result, plugin);
      const at = now();
      const due = expires === undefined ? null : at + Math.max(shortestMs, (expires - at) * renewShare);
      await write(
        organization,
        plugin,
        {
          ...{ state: "registered", webhookUrl, attempts: 0, registeredAt: new Date(at).toISOString() },
          ...(expires === undefined ? {} : { expiresAt: new Date(expires).toISOString() }),
        },
        due,
      );
    } catch (error) {
      const known = toBackplaneError(error);
      const attempts = (former?.attempts ?? 0) + 1;
      const { expiresAt, registeredAt } = former ?? {};
      const unsupported = known.code === "handler_missing";
      await write(
        organization,
        plugin,
        {
          ...{ state: unsupported ? "unsupported" : "failing", webhookUrl, attempts },
          ...(expiresAt === undefined ? {} : { expiresAt }),
          ...(registeredAt === undefined ? {} : { registeredAt }),
          error: faultOfRun(known),
        },
        unsupported ? null : now() + waitMs(known, attempts),
      );
    }
  };

  const write = async (
    organization: OrganizationId,
    plugin: PluginId,
    state: RealtimeState | null,
    due: number | null,
  ): Promise<void> => {
    await store.db
      .updateTable("connector_states")
      .set({ realtime: state === null ? null : json(state), realtime_at: due === null ? null : new Date(due) })
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .execute();
  };

  return {
    async run(signal) {
      const { rows } = await sql<{ organization_id: OrganizationId; plugin_id: PluginId; realtime: JsonObject | null }>`
        update connector_states s set realtime_at = ${new Date(now() + claimMs).toISOString()}::text::timestamptz
        from (select c.organization_id, c.plugin_id from connector_states c
          join installations i on i.organization_id = c.organization_id and i.plugin_id = c.plugin_id
          where c.realtime_at <= ${new Date(now()).toISOString()}::text::timestamptz and not c.paused and i.status = 'active'
          order by c.realtime_at limit ${atOnce} for update of c skip locked) due
        where s.organization_id = due.organization_id and s.plugin_id = due.plugin_id
        returning s.organization_id, s.plugin_id, s.realtime`.execute(store.db);
      if (signal?.aborted) return 0;
      // Beside each other: one that hangs keeps nobody else's waiting.
      await Promise.all(
        rows.map((row) =>
          register(row.organization_id, row.plugin_id, row.realtime as unknown as RealtimeState | null),
        ),
      );
      return rows.length;
    },
    async addressChanged() {
      const base = `${publicUrl()}/webhooks/`;
      await sql`update connector_states set realtime_at = now()
        where realtime is not null and realtime ->> 'state' <> 'unsupported' and not starts_with(realtime ->> 'webhookUrl', ${base})`.execute(
        store.db,
      );
    },
  };
}

function waitMs(error: BackplaneError, attempts: number): number {
  const asked = (error.details["guest"] as { retryAfter?: unknown } | undefined)?.retryAfter;
  if (typeof asked === "number" && asked >= 0) return Math.min(Math.max(asked * 1000, 1_000), 86_400_000);
  return backoffMs(attempts, { baseMs: 10_000, capMs: 3_600_000 });
}

function expiryOf(result: unknown, plugin: PluginId): number | undefined {
  if (!isObject(result)) return undefined;
  const { expiresAt } = result;
  if (expiresAt === undefined || expiresAt === null) return undefined;
  const at = typeof expiresAt === "string" ? Date.parse(expiresAt) : Number.NaN;
  if (Number.isNaN(at))
    throw new BackplaneError("result_invalid", { plugin, reason: "`expiresAt` must be an RFC 3339 time" });
  return at;
}
