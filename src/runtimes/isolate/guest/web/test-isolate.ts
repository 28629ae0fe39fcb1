/**
 * For tests: the web layer and `ctx` inside a real isolate, over a host made of callbacks that pass JSON only, as the real
 * bridge does. Tests that use it run with `--no-node-snapshot`.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import ivm from "isolated-vm";

export interface TestIsolate extends Disposable {
  /** Runs the body of an async function in the isolate; the result comes back as JSON. Rejects with the thrown error's text. */
  run(body: string): Promise<unknown>;
  /** Messages that were sent one way. */
  sent: [ability: string, args: unknown[]][];
  /** Ability calls, in order. */
  called: [ability: string, args: unknown[]][];
  /** Answers ability calls. Throw `{name, message, code, …}` to fail one. */
  answer: (ability: string, args: unknown[]) => unknown;
}

const entry = /* ts */ `
  import { buildContext } from "./ctx/index.ts";
  import { harden } from "./harden.ts";
  import { createAbort } from "./web/abort.ts";
  import { installWebApis } from "./web/index.ts";
  export { buildContext, createAbort, harden, installWebApis };
`;

/** The layer as one script that leaves its exports in \`entries\`. */
export async function bundleGuest(): Promise<string> {
  const result = await build({
    stdin: { contents: entry, resolveDir: fileURLToPath(new URL("..", import.meta.url)), loader: "ts" },
    inject: [fileURLToPath(new URL("../globals.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "entries",
    target: "es2024",
    platform: "neutral",
    minify: true,
    legalComments: "none",
  });
  return (result.outputFiles[0] as { text: string }).text;
}

const bundle = bundleGuest();
const seed = Buffer.alloc(48, 7).toString("base64");

const boot = /* js */ `
  "use strict";
  const pending = { __proto__: null };
  let last = 0;
  const timers = { __proto__: null };
  const [callOut, sendOut, timerOut] = [$0, $1, $2];
  const { stringify, parse } = JSON;
  const host = {
    call: (ability, args) => new Promise((resolve, reject) => {
      pending[++last] = { resolve, reject };
      callOut(last, ability, stringify(args));
    }),
    send: (ability, args) => sendOut(ability, stringify(args)),
    setTimer: (ms, fn) => { timers[++last] = fn; timerOut(last, ms); return last; },
    clearTimer: (id) => { delete timers[id]; },
  };
  globalThis.__hostFunctions = [host, host.call, host.send, host.setTimer, host.clearTimer, callOut, sendOut, timerOut];
  globalThis.__settle = (id, error, json) => {
    const { resolve, reject } = pending[id];
    if (error) reject(parse(json)); else resolve(parse(json));
  };
  globalThis.__fire = (id) => { const fn = timers[id]; delete timers[id]; if (fn) fn(); };
  entries.harden(globalThis);
  entries.installWebApis(globalThis, host);
  globalThis.__context = (environment, execution = {}) => {
    const abort = entries.createAbort();
    globalThis.__abort = abort.abort;
    return entries.buildContext(environment, host, { id: "exec-1", deadline: "2026-01-02T03:04:05.000Z", get signal() { return abort.signal; }, ...execution });
  };
`;

export async function openTestIsolate(): Promise<TestIsolate> {
  const isolate = new ivm.Isolate({ memoryLimit: 64 });
  const context = await isolate.createContext();
  const opened: TestIsolate = {
    sent: [],
    called: [],
    answer: () => null,
    async run(body) {
      const text = `(async () => {
        try { return JSON.stringify({ value: await (async () => { ${body}\n })() }); }
        catch (error) { return JSON.stringify({ error: String(error?.name) + ": " + String(error?.message) }); }
      })()`;
      const running = context.eval(text, { promise: true, timeout: 5000 }) as unknown as Promise<string>;
      const late = new Promise<never>((_, reject) => {
        setTimeout(reject, 10_000, new Error("The isolate did not answer within 10 s")).unref();
      });
      const json = await Promise.race([running, late]);
      const outcome = JSON.parse(json) as { value?: unknown; error?: string };
      if (outcome.error !== undefined) throw new Error(outcome.error);
      return outcome.value;
    },
    [Symbol.dispose]() {
      if (!isolate.isDisposed) isolate.dispose();
    },
  };
  const settle = (id: number, error: boolean, value: unknown): void => {
    if (isolate.isDisposed) return;
    const settler = context.global.getSync("__settle", { reference: true }) as ivm.Reference<
      (...args: unknown[]) => void
    >;
    settler.applyIgnored(undefined, [id, error, JSON.stringify(value ?? null)]);
  };
  const call = new ivm.Callback((id: number, ability: string, json: string) => {
    const args = JSON.parse(json) as unknown[];
    opened.called.push([ability, args]);
    queueMicrotask(async () => {
      try {
        settle(id, false, await opened.answer(ability, args));
      } catch (error) {
        settle(id, true, error);
      }
    });
  });
  const send = new ivm.Callback((ability: string, json: string) => {
    opened.sent.push([ability, JSON.parse(json) as unknown[]]);
  });
  const timer = new ivm.Callback((id: number, ms: number) => {
    setTimeout(() => {
      // The test may end, and the isolate with it, while the timer runs.
      if (!isolate.isDisposed) context.eval(`__fire(${id})`).catch(() => {});
    }, ms);
  });
  await context.global.set("__backplaneSeed", seed);
  await context.eval(await bundle, { filename: "file:///prelude.js" });
  await context.evalClosure(boot, [call, send, timer]);
  return opened;
}
