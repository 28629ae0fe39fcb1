import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, resultOf, startTestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";

const definition = `{ functions: {
  async *count(n) { for (let i = 0; i < n; i++) yield { i }; return "end"; },
  async *endless(ctx) {
    let i = 0;
    try { for (;;) yield i++; } finally { ctx.logger.info("closed"); }
  },
  async *fails() { yield 1; throw new Error("half way"); },
  async *loops() { yield 1; await new Promise((r) => setTimeout(r, 20)); for (;;); },
  plain() { return 5; },
  async seen() { return globalThis.made; },
  async *counts() { globalThis.made = 0; for (;;) { globalThis.made++; yield globalThis.made; } },
} }`;

test("a handler that yields arrives chunk by chunk, in order, with its result at the end", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  const stream = harness.runtime.stream(instance, testCall("count", [100]));
  const seen: number[] = [];
  for await (const chunk of stream) seen.push((JSON.parse(Buffer.from(chunk).toString()) as { i: number }).i);
  assert.deepEqual(
    seen,
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.equal(resultOf(await stream.outcome), "end");
});

test("a guest is never further ahead of a slow reader than its credit", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  const stream = harness.runtime.stream(instance, testCall("counts"));
  const iterator = stream[Symbol.asyncIterator]();
  await iterator.next();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const made = resultOf(await harness.runtime.call(instance, testCall("seen"))) as number;
  assert.ok(made <= 17, `${made} chunks were made for one that was taken`);
  await iterator.return!();
  assert.equal(codeOf(await stream.outcome), "cancelled");
});

test("leaving a stream early runs the generator's finally", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  let count = 0;
  const stream = harness.runtime.stream(instance, testCall("endless"));
  for await (const _ of stream) if (++count === 40) break;
  assert.equal(codeOf(await stream.outcome), "cancelled");
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("plain"))), 5);
});

test("an error and a loop in the middle of a stream end it with their code after the chunks before", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  for (const [handler, code] of [
    ["fails", "plugin_error"],
    ["loops", "cpu_exceeded"],
  ] as const) {
    const stream = harness.runtime.stream(instance, testCall(handler));
    const chunks: string[] = [];
    for await (const chunk of stream) chunks.push(Buffer.from(chunk).toString());
    assert.deepEqual(chunks, ["1"], handler);
    assert.equal(codeOf(await stream.outcome), code);
  }
});

test("a plain result of a streamed call has no chunks; a yielding handler called plainly is `result_invalid`", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition });
  const stream = harness.runtime.stream(instance, testCall("plain"));
  for await (const _ of stream) assert.fail("no chunk was expected");
  assert.equal(resultOf(await stream.outcome), 5);
  assert.equal(codeOf(await harness.runtime.call(instance, testCall("count", [3]))), "result_invalid");
});
