import assert from "node:assert/strict";
import { test } from "node:test";
import type { RuntimeLimits } from "../../runtime.ts";
import { codeOf, resultOf, startTestRuntime, type TestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";

/** Throws a bomb while an innocent of the same runner, and one of another, go on being called. */
async function bomb(
  harness: TestRuntime,
  body: string,
  options: { limits?: Partial<RuntimeLimits>; before?: string } = {},
): Promise<{ code: string; ms: number; worstNeighbourMs: number; worstOtherMs: number; hubLagMs: number }> {
  const echo = `{ functions: { echo(x) { return x; } } }`;
  const neighbour = testInstance({ definition: echo });
  const other = testInstance({ definition: echo, organization: "other" });
  const culprit = testInstance({
    definition: `{ functions: { async boom(ctx) { ${body} }, fine() { return "fine"; } } }`,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.before === undefined ? {} : { before: options.before }),
  });
  for (const warm of [neighbour, other]) resultOf(await harness.runtime.call(warm, testCall("echo", [1])));
  resultOf(await harness.runtime.call(culprit, testCall("fine")));

  let running = true;
  let hubLagMs = 0;
  let last = performance.now();
  const lag = setInterval(() => {
    hubLagMs = Math.max(hubLagMs, performance.now() - last - 5);
    last = performance.now();
  }, 5);
  const canary = async (instance: typeof neighbour): Promise<number> => {
    let worst = 0;
    while (running) {
      const started = performance.now();
      const outcome = await harness.runtime.call(instance, testCall("echo", [2], { idempotent: true }));
      assert.equal(resultOf(outcome), 2);
      worst = Math.max(worst, performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return worst;
  };
  const canaries = [canary(neighbour), canary(other)];
  const started = performance.now();
  const outcome = await harness.runtime.call(culprit, testCall("boom", [], { deadline: Date.now() + 15_000 }));
  const ms = performance.now() - started;
  await new Promise((resolve) => setTimeout(resolve, 50));
  running = false;
  const [worstNeighbourMs, worstOtherMs] = (await Promise.all(canaries)) as [number, number];
  clearInterval(lag);
  assert.equal(
    resultOf(await harness.runtime.call(culprit, testCall("fine"))),
    "fine",
    "the culprit itself starts again",
  );
  return { code: codeOf(outcome), ms, worstNeighbourMs, worstOtherMs, hubLagMs };
}

interface Bomb {
  title: string;
  body: string;
  codes: string[];
  before?: string;
  limits?: Partial<RuntimeLimits>;
  /** The whole runner is lost, so neighbours wait for another. */
  losesRunner?: boolean;
}

const bombs: Bomb[] = [
  { title: "for(;;)", body: "for (;;);", codes: ["cpu_exceeded"] },
  { title: "a loop after await", body: `await ctx.data.getById("a", "b"); for (;;);`, codes: ["cpu_exceeded"] },
  {
    title: "a loop in a timer",
    body: "await new Promise(() => setTimeout(() => { for (;;); }, 1));",
    codes: ["cpu_exceeded"],
  },
  { title: "an endless chain of microtasks", body: "for (;;) await 0;", codes: ["cpu_exceeded", "memory_exceeded"] },
  {
    title: "a catastrophic regular expression",
    body: `/^(a+)+$/.test("a".repeat(40) + "b");`,
    codes: ["cpu_exceeded"],
  },
  { title: "a loop in finally", body: "for (;;) { try { for (;;); } finally { continue; } }", codes: ["cpu_exceeded"] },
  {
    title: "a thrown object whose getters loop",
    body: "throw { get message() { for (;;); }, get stack() { for (;;); } };",
    codes: ["cpu_exceeded"],
  },
  {
    title: "a rejection nobody handles, with a looping getter",
    body: "Promise.reject(new Proxy({}, { get() { for (;;); }, getPrototypeOf() { for (;;); } })); return 1;",
    codes: ["ok"],
  },
  {
    title: "a looping prepareStackTrace",
    body: "throw new Error('x');",
    before: "Error.prepareStackTrace = () => { for (;;); };",
    codes: ["cpu_exceeded"],
  },
  { title: "a looping toJSON of the result", body: "return { toJSON() { for (;;); } };", codes: ["cpu_exceeded"] },
  { title: "a looping thenable", body: "return { then() { for (;;); } };", codes: ["cpu_exceeded"] },
  {
    title: "an array that grows",
    body: "const a = []; for (;;) a.push(new Array(1000).fill(a.length));",
    limits: { cpuMs: 4000 },
    codes: ["memory_exceeded"],
    losesRunner: true,
  },
  {
    title: "strings that grow",
    body: `let s = "x"; const a = []; for (;;) { s += s.slice(0, 100000) + "y"; a.push(s + a.length); }`,
    limits: { cpuMs: 4000 },
    codes: ["memory_exceeded", "plugin_error", "cpu_exceeded"],
  },
  {
    title: "a Map that grows",
    body: "const m = new Map(); for (let i = 0; ; i++) m.set(i, i);",
    limits: { cpuMs: 5000 },
    codes: ["memory_exceeded"],
    losesRunner: true,
  },
  {
    title: "typed arrays",
    body: "const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1));",
    limits: { cpuMs: 4000 },
    codes: ["memory_exceeded", "plugin_error"],
  },
  {
    title: "resizable buffers",
    body: "const a = []; for (let i = 0; i < 3000; i++) { const b = new ArrayBuffer(1, { maxByteLength: 1e6 }); a.push(b); if (b.resize) b.resize(1e6); } return a.length;",
    limits: { cpuMs: 4000 },
    codes: ["ok"],
  },
  {
    title: "a builtin that cannot be interrupted",
    body: "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);",
    codes: ["cpu_exceeded"],
    losesRunner: true,
  },
  {
    title: "a big fill",
    body: "Array(1e9).fill(0);",
    codes: ["memory_exceeded", "cpu_exceeded", "plugin_error", "runner_lost"],
    losesRunner: true,
  },
  {
    title: "squaring a BigInt",
    body: "let n = 3n; for (;;) n *= n;",
    codes: ["cpu_exceeded", "plugin_error", "memory_exceeded"],
    losesRunner: true,
  },
  {
    title: "a result of 500 MB",
    body: `return "x".repeat(500_000_000);`,
    limits: { cpuMs: 4000 },
    codes: ["limit_exceeded", "memory_exceeded", "result_invalid", "plugin_error"],
  },
  {
    title: "an error message of 500 MB",
    body: `throw new Error("x".repeat(500_000_000));`,
    limits: { cpuMs: 4000 },
    codes: ["plugin_error", "memory_exceeded"],
  },
  {
    title: "a result in which a string is shared many times",
    body: `const s = "x".repeat(100000); return Array.from({ length: 5000 }, () => s);`,
    limits: { cpuMs: 4000 },
    codes: ["limit_exceeded", "memory_exceeded", "result_invalid"],
  },
  {
    title: "a sparse array of full length",
    body: "const a = []; a.length = 2 ** 32 - 1; return a;",
    codes: ["cpu_exceeded", "memory_exceeded", "result_invalid", "limit_exceeded"],
  },
  {
    title: "a flood of log lines",
    body: `for (;;) ctx.logger.info("x".repeat(1000));`,
    codes: ["cpu_exceeded", "memory_exceeded"],
  },
  {
    title: "a flood of ability calls",
    body: `for (;;) ctx.data.getById("x", "y").catch(() => {});`,
    codes: ["cpu_exceeded", "memory_exceeded"],
  },
  {
    title: "a flood of timers",
    body: "for (;;) try { setTimeout(() => {}, 1e6) } catch {}",
    codes: ["cpu_exceeded", "memory_exceeded"],
  },
  {
    title: "a flood of rejected promises",
    body: "for (;;) Promise.reject(1);",
    codes: ["cpu_exceeded", "memory_exceeded"],
  },
  {
    title: "Intl objects",
    body: "const a = []; for (;;) a.push(new Intl.NumberFormat('de', { style: 'currency', currency: 'EUR' }));",
    limits: { cpuMs: 4000 },
    codes: ["plugin_error", "cpu_exceeded", "memory_exceeded"],
  },
  { title: "deep recursion", body: "const f = () => f(); f();", codes: ["plugin_error"] },
  {
    title: "deep JSON",
    body: "let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; return o;",
    limits: { cpuMs: 4000 },
    codes: ["result_invalid", "plugin_error", "limit_exceeded"],
  },
];

for (const { title, body, codes, before, limits, losesRunner } of bombs) {
  test(`${title}: ends as ${codes.join(" or ")}, neighbours go on`, { timeout: 30_000 }, async (t) => {
    await using harness = startTestRuntime({ standby: true });
    const seen = await bomb(harness, body, {
      limits: limits ?? {},
      ...(before === undefined ? {} : { before }),
    });
    t.diagnostic(JSON.stringify(seen));
    assert.ok(codes.includes(seen.code), seen.code);
    assert.ok(seen.hubLagMs < 250, `the hub stood still for ${seen.hubLagMs} ms`);
    assert.ok(seen.worstOtherMs < 500, `another organisation waited ${seen.worstOtherMs} ms`);
    if (losesRunner !== true) {
      assert.equal(harness.runtime.status().runnersLost, 0, "the runner survives");
      assert.ok(seen.worstNeighbourMs < 500, `a neighbour waited ${seen.worstNeighbourMs} ms`);
    }
  });
}
