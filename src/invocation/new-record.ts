/** The record that a call begins with, and the way of a queued one into the database and back. */
import { asExecutionId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { Delivery } from "../bus/delivery.ts";
import { json } from "../store/json.ts";
import type { Tx } from "../store/store.ts";
import type { ExecutionRecord } from "./execution-record.ts";
import type { InvokeRequest, Prepared } from "./invoker.ts";

export function newRecord({
  request,
  prepared,
  node,
  mode,
}: {
  request: InvokeRequest;
  prepared: Prepared;
  node: string;
  mode: "sync" | "async";
}): ExecutionRecord {
  const { installation, contribution, trace } = prepared;
  const now = new Date();
  return {
    organization: request.organization,
    id: asExecutionId(newId()),
    plugin: request.plugin,
    installation: installation.id,
    version: installation.version,
    kind: request.kind,
    contribution: request.name,
    mode,
    status: mode === "sync" ? "running" : "queued",
    parameters: request.kind === "function" || mode === "async" ? request.args : undefined,
    result: undefined,
    error: null,
    progress: undefined,
    actor: request.actor,
    parent: request.parent?.execution ?? null,
    traceId: trace.traceId,
    spanId: trace.spanId,
    sessionId: request.sessionId ?? null,
    idempotent: contribution.idempotent,
    cancelRequested: false,
    node,
    cpuMs: 0,
    wallMs: 0,
    peakMemoryBytes: 0,
    abilityCalls: {},
    createdAt: now,
    startedAt: mode === "sync" ? now : null,
    endedAt: null,
  };
}

/** The request of a queued execution, from its row and its delivery. */
export function requestOf(record: ExecutionRecord, delivery: Delivery): InvokeRequest {
  const payload = (delivery.payload ?? {}) as {
    channel?: string | null;
    userId?: string | null;
    timeoutMs?: number | null;
  };
  return {
    organization: record.organization,
    plugin: record.plugin,
    kind: record.kind,
    name: record.contribution,
    args: Array.isArray(record.parameters) ? record.parameters : [],
    actor: record.actor,
    trace: { traceId: record.traceId, spanId: record.spanId },
    ...(record.sessionId === null ? {} : { sessionId: record.sessionId }),
    ...(payload.channel ? { channel: payload.channel } : {}),
    ...(payload.userId ? { userId: payload.userId } : {}),
    ...(payload.timeoutMs ? { timeoutMs: payload.timeoutMs } : {}),
    signal: delivery.signal,
  };
}

export async function insertQueued(tx: Tx, record: ExecutionRecord): Promise<void> {
  await tx
    .insertInto("executions")
    .values({
      organization_id: record.organization,
      id: record.id,
      plugin_id: record.plugin,
      installation_id: record.installation,
      version: record.version,
      kind: record.kind,
      contribution: record.contribution,
      mode: record.mode,
      status: record.status,
      parameters: json(record.parameters ?? null),
      actor: record.actor,
      parent_id: record.parent,
      trace_id: record.traceId,
      span_id: record.spanId,
      session_id: record.sessionId,
      idempotent: record.idempotent,
      created_at: record.createdAt,
    })
    .execute();
}
