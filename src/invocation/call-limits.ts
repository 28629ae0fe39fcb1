/** How long a call may take, and what the guest is told about it. */
import type { Installation } from "../installations/installations.ts";
import { defaultCeiling, defaultLimits } from "../policy/limits.ts";
import type { PluginInstance, RuntimeCall } from "../runtimes/runtime.ts";
import type { ExecutionRecord } from "./execution-record.ts";
import type { InvokeRequest } from "./invoker.ts";

interface DeadlineParts {
  record: ExecutionRecord;
  request: InvokeRequest;
  instance: PluginInstance;
  installation: Installation;
  /** Wall time of calls that may be long, when the manifest names none. */
  longMs: number;
  /** Async calls, and streams: nobody waits at a connection for them. */
  mayBeLong: boolean;
}

/** The wall time a manifest names always holds; without one, a call that may be long gets the longer default. A parent's deadline always holds. */
export function deadlineOf({ mayBeLong, request, instance, installation, longMs }: DeadlineParts): number {
  const named = installation.manifest.resources?.timeoutMs !== undefined;
  const own = mayBeLong && !named ? longMs : instance.limits.timeoutMs;
  const wall = Math.min(own, request.timeoutMs ?? Number.POSITIVE_INFINITY);
  return Math.min(Date.now() + wall, request.parent?.deadline ?? Number.POSITIVE_INFINITY);
}

export function environmentOf(
  record: ExecutionRecord,
  request: InvokeRequest,
  deadline: number,
): RuntimeCall["environment"] {
  return {
    id: record.id,
    deadline: new Date(deadline).toISOString(),
    ...(request.sessionId === undefined ? {} : { sessionId: request.sessionId }),
    ...(request.channel === undefined ? {} : { channel: request.channel }),
    ...(request.userId === undefined ? {} : { userId: request.userId }),
  };
}

/** A stream works for as long as it is read, so its CPU budget grows with its wall time: each usual wall time brings the usual budget. */
export function streamCpuMs({ limits }: PluginInstance, deadline: number): number {
  const share = Math.max(1, (deadline - Date.now()) / defaultLimits.timeoutMs);
  return Math.round(Math.max(limits.cpuMs, Math.min(defaultCeiling.cpuMs, limits.cpuMs * share)));
}
