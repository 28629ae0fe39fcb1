/**
 * The port behind which plugin code runs. A runtime starts code, passes opaque bytes in and out, keeps limits, and tells
 * about faults. It knows neither abilities, nor grants, nor the store: those come in as callbacks.
 */
import type { Digest, ExecutionId, InstallationId, OrganizationId, PluginId } from "../base/brands.ts";
import type { BackplaneError } from "../errors/error.ts";

/** Limits of one installation; already cut to the hub's ceiling by src/policy. */
export interface RuntimeLimits {
  /** V8 heap of the isolate, MB (8–512). */
  memoryMb: number;
  /** CPU per call, ms. */
  cpuMs: number;
  /** Wall time per call, ms. */
  timeoutMs: number;
  /** Calls that run at once in one isolate; more wait in a bounded queue. */
  concurrency: number;
  /** Ability calls under way at once. */
  pendingAbilityCalls: number;
  /** Live timers. */
  timers: number;
  /** Bytes of one message either way (arguments, result, ability call or answer). */
  messageBytes: number;
  /** Log bytes per call. */
  logBytes: number;
}

/** What a runtime needs to know of an installation to run its code. `key` changes whenever code, config or grants change. */
export interface PluginInstance {
  key: string;
  organization: OrganizationId;
  installation: InstallationId;
  plugin: PluginId;
  version: string;
  digest: Digest;
  /** Instances with an equal value may share a runner process. */
  isolationGroup: string;
  limits: RuntimeLimits;
  /** JSON handed to the guest when it loads. */
  guest: GuestEnvironment;
  /** The verified bundle: an IIFE that leaves the definition in `globalThis.__backplanePlugin`, and its source map. */
  loadBundle(): Promise<Bundle>;
}

export interface GuestEnvironment {
  organization: string;
  plugin: { id: string; version: string };
  /** Config with sealed secrets already replaced by handles. */
  config: unknown;
  /** Names such as `data.query`; only these appear on `ctx`. */
  abilities: readonly string[];
  permissions: readonly string[];
}

export interface Bundle {
  code: string;
  sourceMap?: string;
}

/** One call of a handler. `handler` is a path into the plugin definition: `["functions", "hello"]`, `["webhook"]`. */
export interface RuntimeCall {
  execution: ExecutionId;
  handler: readonly string[];
  /** UTF-8 JSON array of the arguments before `ctx`. */
  args: Uint8Array;
  /** Becomes `ctx.execution` (besides `signal` and `progress`, which the guest supplies). */
  environment: { id: string; deadline: string; sessionId?: string; channel?: string; userId?: string };
  /** Epoch ms. The runtime stops the call then with `deadline_exceeded`. */
  deadline: number;
  /** Aborting stops the call with `cancelled`; it stops using CPU. */
  signal?: AbortSignal;
  /** The call may be made again on a fresh runner when its runner is lost through another's fault. */
  idempotent: boolean;
  /** CPU budget when it differs from the instance's limit. */
  cpuMs?: number;
  /** Of a stream: chunks the guest may be ahead of its reader. @default 16 */
  window?: number;
  /** Handed back unread with every ability call of this call. */
  context: unknown;
}

export interface RuntimeUsage {
  cpuMs: number;
  wallMs: number;
  /** Peak heap of the isolate seen during the call, bytes. */
  peakMemoryBytes: number;
  coldStart: boolean;
}

export type RuntimeOutcome =
  /** `result` is UTF-8 JSON. */
  { ok: true; result: Uint8Array; usage: RuntimeUsage } | { ok: false; error: BackplaneError; usage: RuntimeUsage };

export interface AbilityCall {
  context: unknown;
  instance: PluginInstance;
  execution: ExecutionId;
  /** Name such as `http.fetch`. */
  ability: string;
  /** UTF-8 JSON array of arguments, at most `limits.messageBytes` long. Binary values appear as `{"$bytes": base64}`. */
  args: Uint8Array;
  /** Aborted when the call ends, for whatever reason. */
  signal: AbortSignal;
}

export interface RuntimeFault {
  kind: "strike" | "quarantined" | "runner_lost" | "unhandled_rejection";
  instance: PluginInstance;
  code: string;
  reason: string;
}

export interface RuntimeCallbacks {
  /** Answers with UTF-8 JSON. A thrown BackplaneError reaches the guest as `{name, message, code, …details.guest}`. */
  onAbilityCall(call: AbilityCall): Promise<Uint8Array>;
  /** Log lines and other one-way messages of a guest; never awaited by it. */
  onGuestMessage(message: Omit<AbilityCall, "signal">): void;
  onFault(fault: RuntimeFault): void;
}

/** A handler that yields: iterate it for chunks (UTF-8 JSON each); asking for the next one gives credit for the one before. */
export interface RuntimeStream extends AsyncIterable<Uint8Array> {
  readonly outcome: Promise<RuntimeOutcome>;
}

export interface PluginRuntime {
  readonly kind: "isolate" | "remote";
  /** Never rejects for what a plugin did: that is an outcome. */
  call(instance: PluginInstance, call: RuntimeCall): Promise<RuntimeOutcome>;
  stream(instance: PluginInstance, call: RuntimeCall): RuntimeStream;
  /** Lets running calls finish for `drainMs`, runs `stop`, then lets the instance go. Unknown keys are fine. */
  release(key: string, options?: { drainMs?: number }): Promise<void>;
  /** For `doctor`, `/metrics` and tests. */
  status(): RuntimeStatus;
  /** Drains for at most `drainMs`, then ends every runner. */
  close(options?: { drainMs?: number }): Promise<void>;
}

export interface RuntimeStatus {
  runners: {
    id: string;
    pid: number;
    group: string | null;
    role: "working" | "standby" | "quarantine";
    instances: number;
    residentBytes: number;
  }[];
  instances: number;
  runnersStarted: number;
  runnersLost: number;
  /** Walls that are up on this machine, for `doctor`. */
  walls: { name: string; active: boolean; detail: string }[];
}

/** The name a plugin's bundle has in its stack traces; source maps are applied to frames of this name. */
export function scriptNameOf({ plugin, version }: { plugin: string; version: string }): string {
  return `plugin://${encodeURIComponent(plugin)}@${encodeURIComponent(version)}/main.js`;
}
