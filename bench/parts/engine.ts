/** The engine alone: the isolate runtime with a hub that answers abilities with fixed bytes, and plugins to call. */
import { asDigest, asExecutionId, asInstallationId, asOrganizationId, asPluginId } from "../../src/base/brands.ts";
import {
  createIsolateRuntime,
  type IsolateRuntimeOptions,
} from "../../src/runtimes/isolate/host/create-isolate-runtime.ts";
import type {
  PluginInstance,
  PluginRuntime,
  RuntimeCall,
  RuntimeFault,
  RuntimeLimits,
  RuntimeOutcome,
} from "../../src/runtimes/runtime.ts";
import { argsBytes, definition, rowBytes } from "./handlers.ts";

export const benchLimits: RuntimeLimits = {
  memoryMb: 32,
  cpuMs: 2000,
  timeoutMs: 30_000,
  concurrency: 256,
  pendingAbilityCalls: 1024,
  timers: 100,
  messageBytes: 1_000_000,
  logBytes: 64_000,
};

export interface InstanceOptions {
  code?: string;
  group?: string;
  limits?: Partial<RuntimeLimits>;
}

let lastInstance = 0;

export function instance({ code, group = "acme", limits }: InstanceOptions = {}): PluginInstance {
  lastInstance += 1;
  const text = code ?? `(() => { globalThis.__backplanePlugin = (${definition}); })();`;
  return {
    key: `bench-${lastInstance}`,
    organization: asOrganizationId(group),
    installation: asInstallationId(`installation-${lastInstance}`),
    plugin: asPluginId("acme.bench"),
    version: "1.0.0",
    digest: asDigest(`sha256:${"0".repeat(64)}`),
    isolationGroup: group,
    limits: { ...benchLimits, ...limits },
    guest: {
      organization: group,
      plugin: { id: "acme.bench", version: "1.0.0" },
      config: {},
      abilities: ["log.write", "progress.report", "events.emit", "data.getById", "data.query"],
      permissions: [],
    },
    loadBundle: async () => ({ code: text }),
  };
}

let lastExecution = 0;

export function call(
  runtime: PluginRuntime,
  of: PluginInstance,
  handler: string,
  options: Partial<RuntimeCall> = {},
): Promise<RuntimeOutcome> {
  lastExecution += 1;
  const id = `execution-${lastExecution}`;
  const deadline = options.deadline ?? Date.now() + of.limits.timeoutMs;
  return runtime.call(of, {
    execution: asExecutionId(id),
    handler: ["functions", handler],
    args: argsBytes,
    environment: { id, deadline: new Date(deadline).toISOString() },
    idempotent: true,
    context: undefined,
    ...options,
    deadline,
  });
}

/** The same, and a failed call is a failed benchmark. */
export async function mustCall(...given: Parameters<typeof call>): Promise<void> {
  const outcome = await call(...given);
  if (!outcome.ok) throw outcome.error;
}

export interface Engine extends AsyncDisposable {
  runtime: PluginRuntime;
  faults: RuntimeFault[];
}

export function startEngine(options: Omit<Partial<IsolateRuntimeOptions>, "callbacks"> = {}): Engine {
  const faults: RuntimeFault[] = [];
  const runtime = createIsolateRuntime({
    standby: false,
    poolMemoryMb: benchLimits.memoryMb,
    inline: true,
    ...options,
    callbacks: {
      onAbilityCall: async () => rowBytes,
      onGuestMessage: () => {},
      onFault: (fault) => faults.push(fault),
    },
  });
  return { runtime, faults, [Symbol.asyncDispose]: () => runtime.close() };
}

/** Loads instances one after another, then calls each so often, one call in flight each. */
export async function warmUp(
  runtime: PluginRuntime,
  instances: readonly PluginInstance[],
  handler: string,
  calls = 5,
): Promise<void> {
  for (const one of instances) await mustCall(runtime, one, handler);
  const warm = async (one: PluginInstance): Promise<void> => {
    for (let n = 1; n < calls; n++) await mustCall(runtime, one, handler);
  };
  await Promise.all(instances.map(warm));
}

/** Enough calls with one ability call each to earn a plugin the runner's main thread. */
export const proofCalls = 130;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
