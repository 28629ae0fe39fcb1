/** One call of a contribution and what is known of it: the row, its public shape, and the mapping between the two. */
import type { Selectable } from "kysely";
import {
  asExecutionId,
  asInstallationId,
  asOrganizationId,
  asPluginId,
  type ExecutionId,
  type InstallationId,
  type OrganizationId,
  type PluginId,
} from "../base/brands.ts";
import type { Database } from "../store/schema.ts";

export type ExecutionStatus = "queued" | "running" | "succeeded" | "failed" | "cancelled";
export type ContributionKind =
  | "function"
  | "subscription"
  | "webhook"
  | "health"
  | "channel"
  | "connector"
  | "condition"
  | "action"
  | "variable"
  | "data_adapter";

export interface ExecutionRecord {
  organization: OrganizationId;
  id: ExecutionId;
  plugin: PluginId;
  installation: InstallationId;
  version: string;
  kind: ContributionKind;
  contribution: string;
  mode: "sync" | "async";
  status: ExecutionStatus;
  parameters: unknown;
  result: unknown;
  error: { code: string; message: string; stack?: string } | null;
  progress: unknown;
  /** `hub_admin`, `key:<id>`, `plugin:<id>`, `event:<id>`, `webhook:<id>`, `system`. */
  actor: string;
  parent: ExecutionId | null;
  traceId: string;
  spanId: string;
  sessionId: string | null;
  idempotent: boolean;
  cancelRequested: boolean;
  node: string | null;
  cpuMs: number;
  wallMs: number;
  peakMemoryBytes: number;
  abilityCalls: Record<string, number>;
  createdAt: Date;
  startedAt: Date | null;
  endedAt: Date | null;
}

export const endedStatuses: readonly ExecutionStatus[] = ["succeeded", "failed", "cancelled"];

/** CONTRACT's execution, plus what the log of everything also knows. */
export function presentExecution(record: ExecutionRecord): Record<string, unknown> {
  return {
    id: record.id,
    plugin: record.plugin,
    version: record.version,
    kind: record.kind,
    contribution: record.contribution,
    mode: record.mode,
    status: record.status,
    ...(record.result === undefined || record.result === null ? {} : { result: record.result }),
    ...(record.error === null ? {} : { error: record.error }),
    ...(record.progress === undefined || record.progress === null ? {} : { progress: record.progress }),
    actor: record.actor,
    parentId: record.parent,
    traceId: record.traceId,
    sessionId: record.sessionId,
    cpuMs: Math.round(record.cpuMs * 1000) / 1000,
    wallMs: Math.round(record.wallMs * 1000) / 1000,
    peakMemoryBytes: record.peakMemoryBytes,
    abilityCalls: record.abilityCalls,
    createdAt: record.createdAt.toISOString(),
    startedAt: record.startedAt?.toISOString() ?? null,
    endedAt: record.endedAt?.toISOString() ?? null,
  };
}

export function executionFromRow(row: Selectable<Database["executions"]>): ExecutionRecord {
  return {
    organization: asOrganizationId(row.organization_id),
    id: asExecutionId(row.id),
    plugin: asPluginId(row.plugin_id),
    installation: asInstallationId(row.installation_id),
    version: row.version,
    kind: row.kind as ContributionKind,
    contribution: row.contribution,
    mode: row.mode as "sync" | "async",
    status: row.status as ExecutionStatus,
    parameters: row.parameters,
    result: row.result,
    error: row.error as unknown as ExecutionRecord["error"],
    progress: row.progress,
    actor: row.actor,
    parent: row.parent_id === null ? null : asExecutionId(row.parent_id),
    traceId: row.trace_id,
    spanId: row.span_id,
    sessionId: row.session_id,
    idempotent: row.idempotent,
    cancelRequested: row.cancel_requested,
    node: row.node_id,
    cpuMs: row.cpu_ms,
    wallMs: row.wall_ms,
    peakMemoryBytes: Number(row.peak_memory_bytes),
    abilityCalls: row.ability_calls as unknown as Record<string, number>,
    createdAt: row.created_at,
    startedAt: row.started_at,
    endedAt: row.ended_at,
  };
}
