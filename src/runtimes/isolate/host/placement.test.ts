import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { codeOf, resultOf, startTestRuntime, type TestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";

const definition = `{
  init(ctx) { globalThis.inits = (globalThis.inits ?? 0) + 1; ctx.logger.info("init"); },
  functions: {
    fine() { return 1; },
    inits() { return globalThis.inits; },
    async wait(ms) { await new Promise((r) => setTimeout(r, ms)); return ms; },
    stuck() { Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1); },
    loop() { for (;;); },
    async ability(ctx) { return ctx.data.getById("a", "b"); },
  },
  stop(ctx) { ctx.logger.info("stop"); },
}`;

test("instances of one group share a runner; another group has its own", async () => {
  await using harness = startTestRuntime();
  const [a, b, c] = [{}, {}, { organization: "other" }].map((more) => testInstance({ definition, ...more }));
  for (const instance of [a!, b!, c!]) resultOf(await harness.runtime.call(instance, testCall("fine")));
  const { runners, instances } = harness.runtime.status();
  assert.deepEqual(runners.map((runner) => [runner.group, runner.instances]).sort(), [
    ["acme", 2],
    ["other", 1],
  ]);
  assert.equal(instances, 3);
});

test("many first calls at once start one isolate and run init once", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, () => harness.runtime.call(instance, testCall("inits"))),
  );
  assert.deepEqual(outcomes.map(resultOf), Array(20).fill(1));
  assert.equal(harness.runtime.status().runnersStarted, 1);
});

test("calls beyond the concurrency wait; beyond the queue they are `concurrency_exceeded`", async () => {
  await using harness = startTestRuntime({ queueLength: 3 });
  const instance = testInstance({ definition, limits: { concurrency: 2 } });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, () => harness.runtime.call(instance, testCall("wait", [30]))),
  );
  const codes = outcomes.map(codeOf);
  assert.equal(codes.filter((code) => code === "ok").length, 5);
  assert.equal(codes.filter((code) => code === "concurrency_exceeded").length, 3);
});

test("release lets running calls finish, runs stop, and the isolate is gone", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  const running = harness.runtime.call(instance, testCall("wait", [100]));
  await new Promise((resolve) => setTimeout(resolve, 10));
  const released = harness.runtime.release(instance.key, { drainMs: 2000 });
  assert.equal(codeOf(await harness.runtime.call(instance, testCall("fine"))), "runtime_unavailable");
  assert.equal(resultOf(await running), 100);
  await released;
  assert.equal(harness.runtime.status().instances, 0);
  assert.deepEqual(
    harness.messages.map((message) => (message.args as string[])[1]),
    ["init", "stop"],
  );
  await harness.runtime.release("unknown");
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("inits"))), 1, "it can be started again");
});

test("release without time to drain ends calls with a retryable error", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  const running = harness.runtime.call(instance, testCall("wait", [5000]));
  await new Promise((resolve) => setTimeout(resolve, 10));
  await harness.runtime.release(instance.key);
  const outcome = await running;
  assert.ok(!outcome.ok && outcome.error.retryable);
});

test("an idle isolate is let go and comes back with the next call; an idle runner ends", async () => {
  await using harness = startTestRuntime({ idleInstanceMs: 300, idleRunnerMs: 1500 });
  const instance = testInstance({ definition });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  await until(() => harness.runtime.status().instances === 0, 5000);
  const outcome = await harness.runtime.call(instance, testCall("fine"));
  assert.equal(outcome.usage.coldStart, true);
  await until(() => harness.runtime.status().runners.length === 0, 8000);
  assert.equal(harness.runtime.status().runnersLost, 0, "that was no loss");
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("fine"))), 1);
});

test("with all runners taken, the one idle longest makes room", async () => {
  await using harness = startTestRuntime({ maxRunners: 2 });
  for (const organization of ["a", "b", "c", "a"]) {
    const instance = testInstance({ definition, organization });
    assert.equal(resultOf(await harness.runtime.call(instance, testCall("fine"))), 1);
    assert.ok(harness.runtime.status().runners.length <= 2);
  }
});

test("when a runner dies, the warm one takes over: idempotent calls are made again, others are `runner_lost`", async () => {
  await using harness = startTestRuntime({ standby: true });
  const instance = testInstance({ definition });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  await standbyReady(harness);
  const idempotent = harness.runtime.call(instance, testCall("wait", [200], { idempotent: true }));
  const other = harness.runtime.call(instance, testCall("wait", [201]));
  await new Promise((resolve) => setTimeout(resolve, 30));
  process.kill(harness.runtime.status().runners.find((runner) => runner.role === "working")!.pid, "SIGKILL");
  const killed = performance.now();
  const next = await harness.runtime.call(instance, testCall("fine"));
  assert.ok(["ok", "runner_lost"].includes(codeOf(next)));
  assert.equal(resultOf(await idempotent), 200);
  assert.equal(codeOf(await other), "runner_lost");
  assert.ok(performance.now() - killed < 2000);
  assert.ok(harness.faults.some((fault) => fault.kind === "runner_lost"));
});

test("a stuck isolate costs its runner; innocents there go on elsewhere within a second", async () => {
  await using harness = startTestRuntime({ standby: true });
  const culprit = testInstance({ definition });
  const innocent = testInstance({ definition });
  for (const instance of [culprit, innocent]) resultOf(await harness.runtime.call(instance, testCall("fine")));
  const pid = harness.runtime.status().runners.find((runner) => runner.role === "working")!.pid;
  await standbyReady(harness);
  const running = harness.runtime.call(innocent, testCall("wait", [400]));
  assert.equal(codeOf(await harness.runtime.call(culprit, testCall("stuck"))), "cpu_exceeded");
  const slow: number[] = [];
  for (let i = 0; i < 50; i++) {
    const started = performance.now();
    assert.equal(resultOf(await harness.runtime.call(innocent, testCall("fine"))), 1);
    slow.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(resultOf(await running), 400, "what ran there could finish");
  assert.ok(Math.max(...slow) < 1000, `slowest ${Math.max(...slow)} ms`);
  await until(() => !existsSync(`/proc/${pid}`), 3000);
  assert.ok(harness.faults.some((fault) => fault.kind === "strike" && fault.code === "cpu_exceeded"));
});

test("whoever costs runners runs alone, then not at all, and the hub is told why", async () => {
  await using harness = startTestRuntime({ standby: true });
  const culprit = testInstance({ definition });
  const innocent = testInstance({ definition });
  const codes: string[] = [];
  const roles: string[] = [];
  for (let i = 0; i < 5; i++) {
    codes.push(codeOf(await harness.runtime.call(culprit, testCall("stuck"))));
    roles.push(...harness.runtime.status().runners.map((runner) => runner.role));
    await until(
      () =>
        harness.faults.filter((fault) => fault.kind === "strike").length >= (i + 1) * 2 ||
        codes.at(-1) === "plugin_quarantined",
      4000,
    );
    assert.equal(resultOf(await harness.runtime.call(innocent, testCall("fine", [], { idempotent: true }))), 1);
  }
  assert.equal(codes[0], "cpu_exceeded");
  assert.equal(codes.at(-1), "plugin_quarantined");
  assert.ok(roles.includes("quarantine"));
  assert.ok(harness.faults.some((fault) => fault.kind === "quarantined"));
  await harness.runtime.release(culprit.key);
  assert.equal(resultOf(await harness.runtime.call(culprit, testCall("fine"))), 1, "a release ends the quarantine");
});

test("a runner that stands still is found out and replaced", async () => {
  await using harness = startTestRuntime({ standby: true, wedgedMs: 400 });
  const instance = testInstance({ definition });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  await standbyReady(harness);
  process.kill(harness.runtime.status().runners.find((runner) => runner.role === "working")!.pid, "SIGSTOP");
  const outcome = await harness.runtime.call(instance, testCall("fine", [], { idempotent: true }));
  assert.equal(resultOf(outcome), 1);
});

test("a call that waits for long is not taken for a runner that stands still", async () => {
  await using harness = startTestRuntime({ wedgedMs: 400 });
  const instance = testInstance({ definition });
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("wait", [2500]))), 2500);
  assert.equal(harness.runtime.status().runnersLost, 0);
});

test("when every thread is held by code that cannot be interrupted, innocents go on elsewhere soon", async () => {
  await using harness = startTestRuntime({ standby: true, inline: false });
  const innocent = testInstance({ definition });
  const bombs = Array.from({ length: availableParallelism() + 1 }, () =>
    testInstance({ definition, limits: { cpuMs: 100 } }),
  );
  for (const instance of [innocent, ...bombs]) resultOf(await harness.runtime.call(instance, testCall("fine")));
  await standbyReady(harness);
  const started = performance.now();
  const stuck = bombs.map((bomb) => harness.runtime.call(bomb, testCall("stuck")));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(resultOf(await harness.runtime.call(innocent, testCall("fine", [], { idempotent: true }))), 1);
  const ms = performance.now() - started;
  assert.ok(ms < 2000, `served again after ${ms} ms`);
  for (const outcome of await Promise.all(stuck)) assert.equal(codeOf(outcome), "cpu_exceeded");
});

test("a bundle that throws, defines nothing, or whose init fails is `plugin_load_failed`; one that loops is `cpu_exceeded`", async () => {
  await using harness = startTestRuntime();
  const cases = [
    { definition: "{}", before: `throw new Error("while loading");`, match: /while loading/ },
    { definition: "{}", before: "for (;;);", match: /CPU/, code: "cpu_exceeded" },
    { definition: "undefined", match: /definePlugin/ },
    { definition: "{}", before: "syntax error here", match: /SyntaxError|Unexpected/ },
    {
      definition: `{ async init(ctx) { await ctx.data.getById("a", "b"); throw new Error("init failed"); } }`,
      match: /init failed/,
    },
  ];
  for (const { match, code, ...plugin } of cases) {
    const outcome = await harness.runtime.call(
      testInstance({ ...plugin, limits: { timeoutMs: 20_000 } }),
      testCall("fine", [], { deadline: Date.now() + 20_000 }),
    );
    assert.ok(!outcome.ok);
    assert.equal(outcome.error.code, code ?? "plugin_load_failed");
    assert.match(outcome.error.message, match);
    assert.doesNotMatch(outcome.error.guestStack ?? "", /file:|isolated-vm/, "no frame of the platform shows");
  }
  assert.equal(harness.runtime.status().instances, 0);
});

test("inherited names and data are no handlers; methods of a connector's class are", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({
    before: "class C { sync(x, ctx) { return [x, this.y, typeof ctx]; } constructor() { this.y = 2; } }",
    definition: `{ functions: { own() { return 1; }, data: 5 }, connector: new C(), webhook: () => "hook" }`,
  });
  assert.deepEqual(resultOf(await harness.runtime.call(instance, testCall(["connector", "sync"], [1]))), [
    1,
    2,
    "object",
  ]);
  assert.equal(resultOf(await harness.runtime.call(instance, testCall(["webhook"]))), "hook");
  const paths = [
    ["functions", "toString"],
    ["functions", "constructor"],
    ["functions", "__proto__"],
    ["functions", "data"],
    ["connector", "constructor"],
    ["connector", "toString"],
    ["nothing"],
    [],
    ["functions"],
    ["functions", "own", "call"],
  ];
  for (const path of paths) {
    assert.equal(codeOf(await harness.runtime.call(instance, testCall(path))), "handler_missing", path.join("."));
  }
});

test("closing ends every runner, also while an isolate is stuck, and calls end with `shutting_down`", async () => {
  const harness = startTestRuntime({ standby: true });
  const instance = testInstance({ definition, limits: { cpuMs: 60_000 } });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  const stuck = harness.runtime.call(instance, testCall("stuck"));
  await new Promise((resolve) => setTimeout(resolve, 30));
  const pids = harness.runtime.status().runners.map((runner) => runner.pid);
  await harness.runtime.close();
  assert.equal(codeOf(await stuck), "shutting_down");
  await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), 3000);
  assert.equal(codeOf(await harness.runtime.call(instance, testCall("fine"))), "shutting_down");
});

test("a code cache made after some calls serves the next start", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  for (let i = 0; i < 5; i++) resultOf(await harness.runtime.call(instance, testCall("fine")));
  await new Promise((resolve) => setTimeout(resolve, 300));
  await harness.runtime.release(instance.key);
  const outcome = await harness.runtime.call(instance, testCall("fine"));
  assert.equal(outcome.usage.coldStart, true);
  assert.equal(resultOf(outcome), 1);
});

async function standbyReady(harness: TestRuntime): Promise<void> {
  await until(() => harness.runtime.status().runners.some((runner) => runner.role === "standby"), 5000);
  await new Promise((resolve) => setTimeout(resolve, 400));
}

async function until(condition: () => boolean, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    assert.ok(performance.now() < end, `not within ${ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
