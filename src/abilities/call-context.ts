/** What the hub knows of the call that a plugin is in when it calls an ability. Made by src/invocation, handed through the runtime unread. */
import type { ExecutionId, OrganizationId, PluginId } from "../base/brands.ts";
import type { Installation } from "../installations/installations.ts";

export interface CallContext {
  organization: OrganizationId;
  installation: Installation;
  execution: ExecutionId;
  /** W3C trace context of this execution. */
  trace: { traceId: string; spanId: string };
  /** Plugins entered so far in this chain of calls, this one last. */
  chain: readonly PluginId[];
  /** Epoch ms. */
  deadline: number;
  /** How many events led to this call: 0 when a person called. */
  eventDepth: number;
  /** What this call may not do whatever its grants, and why. */
  restriction?: Restriction;
  /** Counts by ability name, for the execution record. */
  abilityCalls: Record<string, number>;
  /** Latest progress value; the recorder writes it. */
  onProgress(value: unknown): void;
}

/**
 * `sync`: entities are stored with the batch and its cursor, in one transaction, so `data.upsert` and its kin are refused.
 * `pure`: a condition or variable only looks: no emit, no write, no call, and the network only where its operator declares it.
 */
export type Restriction = { kind: "sync" } | { kind: "pure"; hosts: readonly string[] };

export function isCallContext(value: unknown): value is CallContext {
  return typeof value === "object" && value !== null && "execution" in value && "abilityCalls" in value;
}
