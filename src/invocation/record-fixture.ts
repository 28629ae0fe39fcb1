/** An ended execution for the tests of what keeps and reads them. */
import { asExecutionId, asInstallationId, asOrganizationId, asPluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { ExecutionRecord } from "./execution-record.ts";

export function record(changes: Partial<ExecutionRecord> = {}): ExecutionRecord {
  const now = new Date();
  return {
    organization: asOrganizationId("acme"),
    id: asExecutionId(newId()),
    plugin: asPluginId("acme.test"),
    installation: asInstallationId("installation"),
    version: "1.0.0",
    kind: "function",
    contribution: "hello",
    mode: "sync",
    status: "succeeded",
    parameters: [{ who: "Ada" }],
    result: { text: "Hello" },
    error: null,
    progress: undefined,
    actor: "system",
    parent: null,
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    sessionId: null,
    idempotent: false,
    cancelRequested: false,
    node: null,
    cpuMs: 1,
    wallMs: 2,
    peakMemoryBytes: 3,
    abilityCalls: {},
    createdAt: now,
    startedAt: now,
    endedAt: now,
    ...changes,
  };
}
