/** The history of installations: each transition as a row with its reason, an entry of the audit log and an event. */
import type { Audit } from "../audit/audit.ts";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import type { Store, Tx } from "../store/store.ts";
import { formatTraceparent, newTrace, type Trace } from "../telemetry/trace.ts";

export interface ChangeContext {
  organization: OrganizationId;
  /** As in execution records: `hub_admin`, `key:<id>`, `system`. */
  actor: string;
  trace?: Trace;
}

export interface Transition {
  action: string;
  from: string | null;
  to: string | null;
  version: string | null;
  reason: string | null;
  actor: string;
  at: string;
}

export interface Step {
  action: string;
  event?: string;
  reason?: string;
  details?: Record<string, unknown>;
}

export interface Transitions {
  /** In the transaction that changes the installation; one of `before` and `after` is there. */
  record(
    tx: Tx,
    context: ChangeContext,
    change: { before: Installation | undefined; after: Installation | undefined; step: Step },
  ): Promise<void>;
  /** Newest first; also those of installations that are gone. Error: `invalid_cursor`. */
  list(
    organization: OrganizationId,
    plugin: PluginId,
    page: { limit: number; cursor?: string },
  ): Promise<{ transitions: Transition[]; nextCursor: string | null }>;
}

export function createTransitions({
  store,
  audit,
  eventLog,
}: {
  store: Store;
  audit: Audit;
  eventLog: EventLog;
}): Transitions {
  return {
    async record(tx, { organization, actor, trace = newTrace() }, { before, after, step }) {
      const { plugin, version } = (after ?? before)!;
      const status = after?.status ?? null;
      const why = step.reason ? { reason: step.reason } : {};
      await tx
        .insertInto("installation_transitions")
        .values({
          organization_id: organization,
          plugin_id: plugin,
          action: step.action,
          from_status: before?.status ?? null,
          to_status: status,
          version,
          reason: step.reason ?? null,
          actor,
        })
        .execute();
      await audit.record(tx, {
        organization,
        actor,
        action: `plugin.${step.action}`,
        target: plugin,
        details: { version, status, ...why, ...step.details },
        traceId: trace.traceId,
      });
      if (!step.event) return;
      await eventLog.publish(tx, {
        organization,
        type: step.event,
        source: "/backplane/lifecycle",
        subject: plugin,
        data: { id: plugin, version, status, ...why },
        traceparent: formatTraceparent(trace),
        depth: 0,
      });
    },

    async list(organization, plugin, { limit, cursor }) {
      let query = store.db
        .selectFrom("installation_transitions")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin);
      if (cursor !== undefined) query = query.where("seq", "<", numberOf(cursor));
      const rows = await query
        .orderBy("seq", "desc")
        .limit(limit + 1)
        .execute();
      const shown = rows.slice(0, limit);
      const last = shown.at(-1);
      return {
        transitions: shown.map((row) => ({
          action: row.action,
          from: row.from_status,
          to: row.to_status,
          version: row.version,
          reason: row.reason,
          actor: row.actor,
          at: row.at.toISOString(),
        })),
        nextCursor: rows.length > limit && last ? encodeCursor([Number(last.seq)]) : null,
      };
    },
  };
}

function numberOf(cursor: string): number {
  const [seq] = decodeCursor(cursor, 1);
  if (!Number.isSafeInteger(seq)) throw new BackplaneError("invalid_cursor");
  return seq as number;
}
