import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, resultOf, startTestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";

const definition = `{ functions: {
  fine() { return 1; },
  loop() { for (;;); },
  async never() { await new Promise(() => {}); },
  async polite(ctx) {
    await new Promise((resolve, reject) => ctx.execution.signal.addEventListener("abort", () => reject(new Error("stopped"))));
  },
  async ability(ctx) { await ctx.data.getById("Order", "1"); return 1; },
  async stubborn() { for (;;) { const until = Date.now() + 20; while (Date.now() < until); await new Promise((r) => setTimeout(r, 1)); } },
} }`;

test("aborting ends a call that waits with `cancelled`, and the guest's signal aborts", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  const abort = new AbortController();
  const started = performance.now();
  const outcome = harness.runtime.call(instance, testCall("polite", [], { signal: abort.signal }));
  setTimeout(() => abort.abort(), 20);
  assert.equal(codeOf(await outcome), "cancelled");
  assert.ok(performance.now() - started < 500);
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("fine"))), 1);
  assert.equal(harness.runtime.status().instances, 1, "the isolate is kept");
});

test("aborting a loop stops its use of CPU long before its budget", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition, limits: { cpuMs: 60_000 } });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  const abort = new AbortController();
  const outcome = harness.runtime.call(instance, testCall("loop", [], { signal: abort.signal }));
  setTimeout(() => abort.abort(), 50);
  assert.equal(codeOf(await outcome), "cancelled");
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("fine"))), 1);
  assert.equal((await cpuWithin(harness.runtime.status().runners[0]!.pid, 300)) < 150, true, "the runner is quiet");
  assert.deepEqual(harness.faults, [], "being cancelled is no strike");
});

test("a call past its deadline is `deadline_exceeded`, whether it loops, waits or ignores its signal", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition, limits: { cpuMs: 60_000 } });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  for (const handler of ["loop", "never", "stubborn"]) {
    const started = performance.now();
    const outcome = await harness.runtime.call(instance, testCall(handler, [], { deadline: Date.now() + 100 }));
    assert.equal(codeOf(outcome), "deadline_exceeded", handler);
    assert.ok(performance.now() - started < 1000, `${handler} took ${performance.now() - started} ms`);
    assert.equal(resultOf(await harness.runtime.call(instance, testCall("fine"))), 1, handler);
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(
    (await cpuWithin(harness.runtime.status().runners[0]!.pid, 300)) < 150,
    true,
    "nothing goes on in the background",
  );
});

test("an aborted signal is seen by the ability that is under way, and its late answer is dropped", async () => {
  let seen: AbortSignal | undefined;
  let finish: (value: unknown) => void = () => {};
  await using harness = startTestRuntime({
    answer: (call) => {
      seen = call.signal;
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
  });
  const instance = testInstance({ definition });
  resultOf(await harness.runtime.call(instance, testCall("fine")));
  const outcome = await harness.runtime.call(instance, testCall("ability", [], { deadline: Date.now() + 300 }));
  assert.equal(codeOf(outcome), "deadline_exceeded");
  assert.equal(seen?.aborted, true);
  finish(1);
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("fine"))), 1);
});

test("an already aborted signal and a passed deadline never reach a runner", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  assert.equal(
    codeOf(await harness.runtime.call(instance, testCall("fine", [], { signal: AbortSignal.abort() }))),
    "cancelled",
  );
  assert.equal(
    codeOf(await harness.runtime.call(instance, testCall("fine", [], { deadline: Date.now() - 1 }))),
    "deadline_exceeded",
  );
  assert.equal(harness.runtime.status().instances, 0);
});

/** CPU a process uses within some time, ms. */
async function cpuWithin(pid: number, ms: number): Promise<number> {
  const { readFileSync } = await import("node:fs");
  const used = (): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  };
  const before = used();
  await new Promise((resolve) => setTimeout(resolve, ms));
  return used() - before;
}
