import assert from "node:assert/strict";
import { test } from "node:test";
import type { PluginInstance } from "../../runtime.ts";
import { codeOf, resultOf, startTestRuntime, type TestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";

const definition = (boom: string): string =>
  `{ functions: { echo(x) { return x; }, async boom(ctx) { ${boom} }, async ability(ctx) { return ctx.data.getById("a", "b"); } } }`;

/** Short calls until the runner lends its main thread. */
async function promote(harness: TestRuntime, instance: PluginInstance): Promise<void> {
  for (let i = 0; i < 20_000 && harness.runtime.inlineInstances === 0; i++) {
    resultOf(await harness.runtime.call(instance, testCall("echo", [i], { idempotent: true })));
  }
  assert.equal(harness.runtime.inlineInstances, 1);
}

const bombs: { title: string; body: string; codes: string[] }[] = [
  { title: "a loop", body: "for (;;);", codes: ["cpu_exceeded"] },
  { title: "a loop after await", body: `await ctx.data.getById("a", "b"); for (;;);`, codes: ["cpu_exceeded"] },
  {
    title: "a builtin that cannot be interrupted",
    body: "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);",
    codes: ["cpu_exceeded"],
  },
  {
    title: "a Map that grows",
    body: "const m = new Map(); for (let i = 0; ; i++) m.set(i, i);",
    codes: ["memory_exceeded", "cpu_exceeded", "runner_lost"],
  },
  {
    title: "an array that grows",
    body: "const a = []; for (;;) a.push(new Array(1000).fill(a.length));",
    codes: ["memory_exceeded", "cpu_exceeded"],
  },
  { title: "an error with looping getters", body: "throw { get message() { for (;;); } };", codes: ["cpu_exceeded"] },
  {
    title: "an unhandled rejection with looping getters",
    body: "Promise.reject(new Proxy({}, { get() { for (;;); }, getPrototypeOf() { for (;;); } })); return 1;",
    codes: ["ok"],
  },
];

for (const { title, body, codes } of bombs) {
  test(`${title}, thrown by a plugin that is trusted with the main thread: ${codes.join(" or ")}, neighbours go on`, {
    timeout: 30_000,
  }, async () => {
    await using harness = startTestRuntime({ standby: true, inline: true });
    const culprit = testInstance({ definition: definition(body), limits: { cpuMs: 300 } });
    const neighbour = testInstance({ definition: definition("") });
    await promote(harness, culprit);
    resultOf(await harness.runtime.call(neighbour, testCall("echo", [1])));
    let running = true;
    const canary = (async () => {
      while (running) {
        assert.equal(resultOf(await harness.runtime.call(neighbour, testCall("echo", [2], { idempotent: true }))), 2);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    const outcome = await harness.runtime.call(
      culprit,
      testCall("boom", [], { idempotent: true, deadline: Date.now() + 15_000 }),
    );
    assert.ok(codes.includes(codeOf(outcome)), codeOf(outcome));
    running = false;
    await canary;
    assert.equal(resultOf(await harness.runtime.call(culprit, testCall("echo", [3]))), 3);
  });
}

test("a call that may not be made again is never cut short by the slice of the main thread", async () => {
  await using harness = startTestRuntime({ inline: true });
  const instance = testInstance({
    definition: definition("const until = Date.now() + 150; while (Date.now() < until); return 'done';"),
    limits: { cpuMs: 2000 },
  });
  await promote(harness, instance);
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("boom"))), "done");
  assert.equal(
    resultOf(await harness.runtime.call(instance, testCall("boom", [], { idempotent: true }))),
    "done",
    "made again on the pool",
  );
  assert.deepEqual(harness.faults, [], "using what the budget allows is no strike");
});

test("ability calls work on the main thread", async () => {
  await using harness = startTestRuntime({ inline: true });
  const instance = testInstance({ definition: definition("") });
  await promote(harness, instance);
  const outcomes = await Promise.all(
    Array.from({ length: 50 }, () => harness.runtime.call(instance, testCall("ability", [], { idempotent: true }))),
  );
  for (const outcome of outcomes) assert.deepEqual(resultOf(outcome), ["a", "b"]);
});
