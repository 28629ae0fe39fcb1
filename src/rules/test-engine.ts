/** For tests: the rules engine on a real store and bus, with operators that are functions here instead of plugins behind a wall. */
import { randomUUID } from "node:crypto";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { createAudit } from "../audit/audit.ts";
import { asExecutionId, asOrganizationId, asPluginId } from "../base/brands.ts";
import { createConsumers } from "../bus/consumers.ts";
import { createDeliveries, type Deliveries } from "../bus/deliveries.ts";
import { createEventLog, type EventLog } from "../bus/event-log.ts";
import { createSequencer } from "../bus/sequencer.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import type { InvokeOutcome, InvokeRequest } from "../invocation/invoker.ts";
import { record } from "../invocation/record-fixture.ts";
import { createJobs } from "../jobs/jobs.ts";
import type { Store } from "../store/store.ts";
import { openTestStore, type TestStore } from "../store/test-store.ts";
import { createSubscriptions } from "../subscriptions/subscriptions.ts";
import type { RedactorOf } from "./redaction.ts";
import type { RunDetail, RunRecord } from "./rule-record.ts";
import { createRules, type Rules } from "./rules.ts";
import type { MessagesOf } from "./run-messages.ts";

export interface OperatorCall {
  /** Which node called. */
  node: string;
  params: Record<string, unknown>;
  /** RuleContext, as a plugin gets it. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it.
  context: any;
  /** It leaves the plugin's rate to live calls. */
  paced: boolean;
}

type Operator = (call: OperatorCall) => unknown;

export interface Operators {
  conditions?: Record<string, Operator>;
  actions?: Record<string, Operator>;
  variables?: Record<string, Operator>;
  /** Ids of actions that may run twice, and of conditions that answer by params and event alone. */
  idempotent?: readonly string[];
}

export interface EngineNode {
  id: string;
  rules: Rules;
  deliveries: Deliveries;
  readonly dead: boolean;
  /** Its calls never come back from now on, and its leases lapse: what a SIGKILL looks like from outside. */
  kill(): Promise<void>;
}

export interface TestEngine extends AsyncDisposable {
  store: Store;
  log: EventLog;
  /** The first node's. */
  rules: Rules;
  operators: Operators;
  node(): Promise<EngineNode>;
  nodes: EngineNode[];
  organization(id?: string): Promise<string>;
  /** Status of the plugin that has the operators, for all organisations. */
  setStatus(status: "active" | "disabled" | "gone"): void;
  publish(
    organization: string,
    type: string,
    data: unknown,
    more?: { depth?: number; id?: string; subject?: string; traceparent?: string },
  ): Promise<string>;
  save(organization: string, source: string): Promise<string>;
  /** Waits until the rule has `count` runs and all have ended; oldest first. */
  ended(organization: string, rule: string, count?: number): Promise<RunDetail[]>;
  runs(organization: string, rule: string): Promise<RunRecord[]>;
}

const plugin = asPluginId("test.operators");
const limits = { leaseMs: 60_000, pollMs: 50, graceMs: 200 };

export interface TestEngineOptions {
  driver?: "pglite" | "postgres";
  patienceMs?: number;
  /** @default of plugins without secrets */
  redactorOf?: RedactorOf;
  /** @default of actions that ask for none */
  messagesOf?: MessagesOf;
}

export async function openEngine(
  operators: Operators,
  {
    driver = "pglite",
    patienceMs,
    redactorOf = async () => (text) => text,
    messagesOf = async () => [],
  }: TestEngineOptions = {},
): Promise<TestEngine> {
  const store: TestStore = driver === "postgres" ? await openTestStore({ driver: "postgres" }) : await openTestStore();
  const log = createEventLog({ store });
  const sequencer = createSequencer({ store, pollMs: 50 });
  const consumers = createConsumers({ store });
  const audit = createAudit({ store });
  const nodes: EngineNode[] = [];
  const closing: (() => Promise<void>)[] = [];
  const listeners = new Set<(change: { organization: never; plugin: never }) => void>();
  const organizations: string[] = [];
  let status: "active" | "disabled" | "gone" = "active";
  await sequencer.start();

  const manifest = (): Manifest =>
    ({
      id: plugin,
      name: "Test",
      version: "1.0.0",
      contributes: {
        conditions: Object.keys(operators.conditions ?? {}).map((id) => ({
          id,
          idempotent: operators.idempotent?.includes(id) ?? false,
        })),
        actions: Object.keys(operators.actions ?? {}).map((id) => ({
          id,
          idempotent: operators.idempotent?.includes(id) ?? false,
        })),
        variables: Object.keys(operators.variables ?? {}).map((name) => ({ name })),
      },
    }) as unknown as Manifest;

  const call = async (node: { id: string; dead: boolean }, request: InvokeRequest): Promise<InvokeOutcome> => {
    if (status !== "active") throw new BackplaneError("plugin_not_active", { plugin, status });
    const { kind, name, args, signal } = request;
    const params = (kind === "variable" ? {} : args[0]) as Record<string, unknown>;
    const context = kind === "variable" ? args[0] : args[1];
    const made = record({ id: asExecutionId(randomUUID()), kind, contribution: name });
    const never = (): Promise<never> =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new BackplaneError("cancelled"))));
    try {
      if (node.dead) await never();
      const operator = operators[`${kind as "action"}s`]?.[name];
      if (!operator) throw new BackplaneError("function_not_found", { plugin, kind, name });
      // As across the wall: nothing is shared.
      const result = await operator(
        JSON.parse(JSON.stringify({ node: node.id, params, context, paced: request.paced ?? false })) as OperatorCall,
      );
      if (node.dead) await never();
      return { record: { ...made, result: result === undefined ? null : JSON.parse(JSON.stringify(result)) } };
    } catch (error) {
      const known =
        error instanceof BackplaneError
          ? error
          : new BackplaneError("plugin_error", { plugin, reason: (error as Error).message });
      return { record: made, error: known };
    }
  };

  const node = async (): Promise<EngineNode> => {
    const id = `node-${nodes.length + 1}`;
    const state = { id, dead: false };
    const deliveries = createDeliveries({ store, nodeId: id, limits });
    const invoker = { run: (request: InvokeRequest) => call(state, request) };
    const jobs = createJobs({ store, log: { error: (details) => console.error(details) } });
    const subscriptions = createSubscriptions({ store, consumers, deliveries, invoker });
    const rules = await createRules({
      store,
      audit,
      eventLog: log,
      deliveries,
      subscriptions,
      installations: {
        list: async (organization) =>
          status === "gone"
            ? []
            : [
                {
                  organization,
                  plugin,
                  status,
                  manifest: manifest(),
                  id: "i",
                  installedAt: new Date(0),
                } as unknown as Installation,
              ],
        onChange(listener) {
          listeners.add(listener as never);
          return { [Symbol.dispose]: () => void listeners.delete(listener as never) };
        },
      },
      packages: {
        resolve: () => Promise.reject(new BackplaneError("not_found", { thing: "package" })),
        get: () => Promise.reject(new BackplaneError("not_found", { thing: "package" })),
        list: async () => ({ packages: [], nextCursor: null }),
      },
      invoker,
      jobs,
      redactorOf,
      messagesOf,
      tickMs: 50,
      ...(patienceMs === undefined ? {} : { patienceMs }),
    });
    await deliveries.start();
    jobs.start();
    let stopped: Promise<void> | undefined;
    const stop = (): Promise<void> =>
      (stopped ??= (async () => {
        await jobs.stop();
        await deliveries.stop();
        rules[Symbol.dispose]();
      })());
    closing.push(stop);
    const made: EngineNode = {
      id,
      rules,
      deliveries,
      get dead() {
        return state.dead;
      },
      async kill() {
        state.dead = true;
        await jobs.stop();
        // Its handlers are stuck; what it held is handed out again.
        await deliveries.nodeLost(id);
        void stop();
      },
    };
    nodes.push(made);
    return made;
  };

  const first = await node();
  const engine: TestEngine = {
    store,
    log,
    operators,
    nodes,
    node,
    rules: first.rules,
    async organization(id = `org-${organizations.length + 1}`) {
      await store.db.insertInto("organizations").values({ id, name: id }).execute();
      organizations.push(id);
      return id;
    },
    setStatus(next) {
      status = next;
      for (const organization of organizations)
        for (const listener of listeners) listener({ organization: organization as never, plugin: plugin as never });
    },
    publish: async (organization, type, data, more = {}) =>
      (await store.transaction((tx) => log.publish(tx, { organization, type, data, source: "/test", ...more }))).id,
    save: async (organization, source) =>
      (await nodes.at(-1)!.rules.create({ organization: asOrganizationId(organization), actor: "test" }, { source }))
        .id,
    async runs(organization, rule) {
      const { runs } = await nodes.at(-1)!.rules.runs.list(asOrganizationId(organization), { rule, limit: 200 });
      return runs.reverse();
    },
    async ended(organization, rule, count = 1) {
      for (const since = performance.now(); ; ) {
        const runs = await engine.runs(organization, rule);
        if (runs.length >= count && runs.every(({ endedAt }) => endedAt !== null))
          return await Promise.all(
            runs.map(({ id }) => nodes.at(-1)!.rules.runs.get(asOrganizationId(organization), id)),
          );
        if (performance.now() - since > 20_000)
          throw new Error(
            `not ended: ${JSON.stringify(runs.map(({ status: is, reason, error }) => [is, reason, error]))}`,
          );
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(closing.map((stop) => stop()));
      await sequencer.stop();
      await store[Symbol.asyncDispose]();
    },
  };
  return engine;
}
