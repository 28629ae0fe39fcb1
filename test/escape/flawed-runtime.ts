/**
 * A runtime without a wall: plugin code runs in this very process. It exists to prove that the proving ground notices each
 * kind of breach; every flaw is one breach, and `none` behaves well for code that does no harm.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createContext, runInContext } from "node:vm";
import { BackplaneError } from "../../src/errors/error.ts";
import type {
  PluginInstance,
  PluginRuntime,
  RuntimeCall,
  RuntimeCallbacks,
  RuntimeOutcome,
  RuntimeStream,
} from "../../src/runtimes/runtime.ts";

export const flaws = [
  "none",
  "host-functions-in-ctx",
  "blocks-the-loop",
  "never-answers",
  "rejects",
  "replaces-the-canary-runner",
  "fails-the-canary",
  "fails-the-neighbour",
  "loses-the-runner",
  "goes-on-burning",
  "leaves-a-process",
  "books-on-another-call",
  "calls-after-the-end",
  "lets-ungranted-abilities-through",
  "lets-logs-through",
  "lets-giant-results-through",
  "shows-host-stacks",
  "shows-another-secret",
  "answers-nonsense",
  "hangs-on-release",
] as const;

export type Flaw = (typeof flaws)[number];

export interface FlawedRuntime extends PluginRuntime {
  /** Ends what a flaw left behind. */
  cleanUp(): void;
}

const usage = { cpuMs: 1, wallMs: 1, peakMemoryBytes: 1, coldStart: false };

export function createFlawedRuntime(flaw: Flaw, callbacks: RuntimeCallbacks): FlawedRuntime {
  const groups = new Map<string, number>();
  const children: ChildProcess[] = [];
  const handlers = new Map<string, (...args: unknown[]) => unknown>();
  let nextPid = 5_000_000;
  let first: { instance: PluginInstance; call: RuntimeCall } | undefined;
  const isAttacker = (instance: PluginInstance): boolean => !/innocent|canary/.test(instance.plugin);

  const handlerOf = async (instance: PluginInstance, call: RuntimeCall): Promise<(...args: unknown[]) => unknown> => {
    const known = handlers.get(instance.key);
    if (known !== undefined) return known;
    const scope: Record<string, unknown> = { setTimeout };
    createContext(scope);
    runInContext((await instance.loadBundle()).code, scope);
    const definition = scope["__backplanePlugin"] as { functions: Record<string, (...args: unknown[]) => unknown> };
    const handler = definition.functions[call.handler[1]!]!;
    handlers.set(instance.key, handler);
    return handler;
  };

  const misbehave = (
    instance: PluginInstance,
    call: RuntimeCall,
  ): RuntimeOutcome | Promise<RuntimeOutcome> | undefined => {
    const { context, execution } = call;
    const ability = {
      context,
      execution,
      instance,
      ability: "data.query",
      args: Buffer.from("[]"),
      signal: new AbortController().signal,
    };
    const failure = (code: "internal" | "plugin_error", stack?: string): RuntimeOutcome => ({
      ok: false,
      error: new BackplaneError(
        code,
        { plugin: instance.plugin, reason: "x" },
        stack === undefined ? {} : { guestStack: stack },
      ),
      usage,
    });
    switch (flaw) {
      case "blocks-the-loop":
        for (const end = Date.now() + 900; Date.now() < end; );
        return;
      case "never-answers":
        return new Promise(() => {});
      case "rejects":
        throw new TypeError("a defect");
      case "replaces-the-canary-runner":
        groups.set("org-canary", nextPid++);
        return;
      case "loses-the-runner":
        groups.set(instance.isolationGroup, nextPid++);
        return;
      case "goes-on-burning": {
        const child = spawn(process.execPath, ["-e", "for (;;) {}"], { stdio: "ignore" });
        children.push(child);
        groups.set(instance.isolationGroup, child.pid!);
        return;
      }
      case "leaves-a-process":
        children.push(spawn("sleep", ["60"], { stdio: "ignore" }));
        return;
      case "books-on-another-call":
        void callbacks.onAbilityCall({ ...ability, execution: first!.call.execution, context: first!.call.context });
        return;
      case "calls-after-the-end":
        setTimeout(() => void callbacks.onAbilityCall(ability), 50);
        return;
      case "lets-ungranted-abilities-through":
        void callbacks.onAbilityCall({ ...ability, ability: "http.fetch" }).catch(() => {});
        return;
      case "lets-logs-through":
        for (let i = 0; i < 10; i += 1)
          callbacks.onGuestMessage({ ...ability, ability: "log.write", args: Buffer.alloc(50_000, "x") });
        return;
      case "lets-giant-results-through":
        return { ok: true, result: Buffer.from(JSON.stringify("x".repeat(2 ** 21))), usage };
      case "shows-host-stacks":
        return failure("plugin_error", new Error("x").stack);
      case "shows-another-secret":
        return failure(
          "plugin_error",
          Buffer.from((first!.instance.guest.config as { name: string }).name).toString("hex"),
        );
      case "answers-nonsense":
        return { ok: true, result: Buffer.from("undefined"), usage };
      default:
        return;
    }
  };

  const run = async (instance: PluginInstance, call: RuntimeCall): Promise<RuntimeOutcome> => {
    first ??= { instance, call };
    if (!groups.has(instance.isolationGroup)) groups.set(instance.isolationGroup, nextPid++);
    if (isAttacker(instance)) {
      const answer = misbehave(instance, call);
      if (answer !== undefined) return await answer;
    }
    const attacked = handlers.size > 2;
    const broken =
      attacked &&
      ((flaw === "fails-the-canary" && /canary/.test(instance.plugin)) ||
        (flaw === "fails-the-neighbour" && /innocent/.test(instance.plugin)));
    if (broken) return { ok: false, error: new BackplaneError("internal", { traceId: "x" }), usage };
    const ask = async (ability: string, args: unknown[]): Promise<unknown> => {
      const text = Buffer.from(JSON.stringify(args));
      const { signal } = new AbortController();
      const bytes = await callbacks.onAbilityCall({
        context: call.context,
        execution: call.execution,
        instance,
        ability,
        args: text,
        signal,
      });
      return JSON.parse(Buffer.from(bytes).toString());
    };
    const ctx: Record<string, unknown> = {
      config: instance.guest.config,
      data: { getById: (...args: unknown[]) => ask("data.getById", args) },
    };
    if (flaw !== "host-functions-in-ctx") Object.setPrototypeOf(ctx, null);
    const handler = await handlerOf(instance, call);
    const [params] = JSON.parse(Buffer.from(call.args).toString()) as unknown[];
    try {
      const text = JSON.stringify(await handler(params, ctx)) ?? "null";
      return { ok: true, result: Buffer.from(text), usage };
    } catch (error) {
      return {
        ok: false,
        error: new BackplaneError("plugin_error", { plugin: instance.plugin, reason: String(error) }),
        usage,
      };
    }
  };

  return {
    kind: "isolate",
    call: run,
    stream(): RuntimeStream {
      throw new Error("not needed here");
    },
    async release(key) {
      handlers.delete(key);
      if (flaw === "hangs-on-release") await new Promise((resolve) => setTimeout(resolve, 6000).unref());
    },
    status: () => ({
      runners: [...groups].map(([group, pid]) => ({
        id: group,
        pid,
        group,
        role: "working",
        instances: 1,
        residentBytes: 1,
      })),
      instances: handlers.size,
      runnersStarted: groups.size,
      runnersLost: 0,
      walls: [],
    }),
    async close() {},
    cleanUp() {
      for (const child of children) child.kill("SIGKILL");
    },
  };
}
