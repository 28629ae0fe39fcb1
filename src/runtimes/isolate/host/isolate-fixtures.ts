/** What the tests and benchmarks of the isolate runtime share: a runtime that ends with its test, and small plugins. */

import { asDigest, asExecutionId, asInstallationId, asOrganizationId, asPluginId } from "../../../base/brands.ts";
import type {
  AbilityCall,
  PluginInstance,
  RuntimeCall,
  RuntimeFault,
  RuntimeLimits,
  RuntimeOutcome,
} from "../../runtime.ts";
import { createIsolateRuntime, type IsolateRuntimeOptions } from "./create-isolate-runtime.ts";
import type { IsolateRuntime } from "./isolate-runtime.ts";

export const testLimits: RuntimeLimits = {
  memoryMb: 32,
  cpuMs: 200,
  timeoutMs: 5000,
  concurrency: 16,
  pendingAbilityCalls: 64,
  timers: 100,
  messageBytes: 1_000_000,
  logBytes: 64_000,
};

export interface TestPlugin {
  /** JavaScript of the definition object. */
  definition: string;
  key?: string;
  group?: string;
  organization?: string;
  limits?: Partial<RuntimeLimits>;
  config?: unknown;
  abilities?: string[];
  /** Code before the definition. */
  before?: string;
}

let lastKey = 0;

export function testInstance(plugin: TestPlugin): PluginInstance {
  lastKey += 1;
  const organization = plugin.organization ?? "acme";
  return {
    key: plugin.key ?? `key-${lastKey}`,
    organization: asOrganizationId(organization),
    installation: asInstallationId(`installation-${lastKey}`),
    plugin: asPluginId("acme.test"),
    version: "1.0.0",
    digest: asDigest(`sha256:${"0".repeat(64)}`),
    isolationGroup: plugin.group ?? organization,
    limits: { ...testLimits, ...plugin.limits },
    guest: {
      organization,
      plugin: { id: "acme.test", version: "1.0.0" },
      config: plugin.config ?? {},
      abilities: plugin.abilities ?? ["log.write", "progress.report", "events.emit", "data.getById", "data.query"],
      permissions: [],
    },
    loadBundle: async () => ({
      code: `(() => { ${plugin.before ?? ""}\nglobalThis.__backplanePlugin = (${plugin.definition}\n); })();`,
    }),
  };
}

let lastExecution = 0;

export function testCall(
  handler: string | readonly string[],
  args: unknown[] = [],
  options: Partial<RuntimeCall> = {},
): RuntimeCall {
  lastExecution += 1;
  const deadline = options.deadline ?? Date.now() + 5000;
  return {
    execution: asExecutionId(`execution-${lastExecution}`),
    handler: typeof handler === "string" ? ["functions", handler] : handler,
    args: Buffer.from(JSON.stringify(args)),
    environment: { id: `execution-${lastExecution}`, deadline: new Date(deadline).toISOString() },
    idempotent: false,
    context: {},
    ...options,
    deadline,
  };
}

/** The parsed result, or a thrown error. */
export function resultOf(outcome: RuntimeOutcome): unknown {
  if (!outcome.ok) throw outcome.error;
  return JSON.parse(Buffer.from(outcome.result).toString("utf8"));
}

export function codeOf(outcome: RuntimeOutcome): string {
  return outcome.ok ? "ok" : outcome.error.code;
}

export interface TestRuntime extends AsyncDisposable {
  runtime: IsolateRuntime;
  faults: RuntimeFault[];
  messages: { ability: string; args: unknown }[];
  abilityCalls: AbilityCall[];
}

export type AnswerAbility = (call: AbilityCall, args: unknown[]) => Promise<unknown> | unknown;

export function startTestRuntime(
  options: Omit<Partial<IsolateRuntimeOptions>, "callbacks"> & { answer?: AnswerAbility; rawAnswer?: Uint8Array } = {},
): TestRuntime {
  const { answer = (_call, args) => args, rawAnswer, ...rest } = options;
  const faults: RuntimeFault[] = [];
  const messages: TestRuntime["messages"] = [];
  const abilityCalls: AbilityCall[] = [];
  const runtime = createIsolateRuntime({
    standby: false,
    poolSize: 1,
    poolMemoryMb: 32,
    ...rest,
    callbacks: {
      async onAbilityCall(call) {
        if (rawAnswer !== undefined) return rawAnswer;
        abilityCalls.push(call);
        const value = await answer(call, JSON.parse(Buffer.from(call.args).toString("utf8")) as unknown[]);
        return Buffer.from(JSON.stringify(value ?? null));
      },
      onGuestMessage(message) {
        messages.push({ ability: message.ability, args: JSON.parse(Buffer.from(message.args).toString("utf8")) });
      },
      onFault: (fault) => faults.push(fault),
    },
  }) as IsolateRuntime;
  return { runtime, faults, messages, abilityCalls, [Symbol.asyncDispose]: () => runtime.close() };
}
