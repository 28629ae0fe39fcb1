import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, resultOf, startTestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";

test("log lines past the limit of a call are left out, with one line that says so", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({
    definition: `{ functions: { talk(ctx) { for (let i = 0; i < 1000; i++) ctx.logger.info("x".repeat(100)); return 1; } } }`,
    limits: { logBytes: 2000 },
  });
  for (let call = 1; call <= 2; call++) {
    resultOf(await harness.runtime.call(instance, testCall("talk")));
    const lines = harness.messages.splice(0).map((message) => (message.args as string[])[1]!);
    assert.ok(lines.length > 5 && lines.length < 25, `${lines.length} lines`);
    assert.match(lines.at(-1)!, /longer than allowed/);
  }
});

test("too many ability calls or timers, and messages that are too large, fail in the guest with `limit_exceeded`", async () => {
  await using harness = startTestRuntime({ answer: () => new Promise((resolve) => setTimeout(resolve, 50, 1)) });
  const instance = testInstance({
    definition: `{ functions: {
      async abilities(ctx) {
        const all = await Promise.allSettled(Array.from({ length: 20 }, () => ctx.data.getById("a", "b")));
        return all.map((one) => one.reason?.code ?? one.value);
      },
      timers() { try { for (let i = 0; ; i++) setTimeout(() => {}, 1000); } catch (error) { return error.code; } },
      async large(ctx) { try { await ctx.data.getById("a", "x".repeat(200_000)); } catch (error) { return error.code; } },
      result() { return ["x".repeat(99_999), "y"]; },
      wide() { return "é".repeat(60_000); },
    } }`,
    limits: { pendingAbilityCalls: 5, messageBytes: 100_000 },
  });
  const codes = resultOf(await harness.runtime.call(instance, testCall("abilities"))) as unknown[];
  assert.deepEqual(codes, [...Array(5).fill(1), ...Array(15).fill("limit_exceeded")]);
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("timers"))), "limit_exceeded");
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("large"))), "limit_exceeded");
  assert.equal(codeOf(await harness.runtime.call(instance, testCall("result"))), "limit_exceeded");
  assert.equal(
    codeOf(await harness.runtime.call(instance, testCall("wide"))),
    "limit_exceeded",
    "bytes count, not characters",
  );
  const big = testCall("large", ["x".repeat(100_000)]);
  assert.equal(codeOf(await harness.runtime.call(instance, big)), "limit_exceeded", "arguments too");
});

test("an answer of an ability that is too large becomes an error in the guest", async () => {
  await using harness = startTestRuntime({ answer: () => "x".repeat(200_000) });
  const instance = testInstance({
    definition: `{ functions: { async get(ctx) { try { await ctx.data.getById("a", "b"); } catch (error) { return error.code; } } } }`,
    limits: { messageBytes: 100_000 },
  });
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("get"))), "limit_exceeded");
});

test("ctx of a call that is over can do nothing more", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({
    definition: `{ functions: {
      keep(ctx) { globalThis.kept = ctx; return 1; },
      async use() { globalThis.kept.logger.info("late"); try { await globalThis.kept.data.getById("a", "b"); } catch (error) { return error.code; } },
    } }`,
  });
  resultOf(await harness.runtime.call(instance, testCall("keep")));
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("use"))), "cancelled");
  assert.deepEqual(harness.messages, []);
  assert.deepEqual(harness.abilityCalls, []);
});

test("poisoned built-ins change nothing of what leaves the isolate", async () => {
  await using harness = startTestRuntime({ answer: () => ({ ok: 1 }) });
  const instance = testInstance({
    before: `
      const evil = () => { throw new Error("evil"); };
      JSON.stringify = evil; JSON.parse = evil; Promise.reject = evil;
      Reflect.apply = evil; Object.defineProperty = evil; Object.hasOwn = evil; Function.prototype.call = evil;
      Function.prototype.apply = evil; Array.prototype[Symbol.iterator] = evil; String.prototype.split = evil;
      String.prototype.slice = evil; Map.prototype.get = evil; Array.prototype.push = evil;
      const keys = ["0", "1", "call", "ended", "id", "pending"];
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i];
        Reflect.defineProperty(Object.prototype, key, { get() { return undefined; }, set() { throw new Error("trap"); }, configurable: true });
      }`,
    definition: `{ functions: { async get(id, ctx) { return ctx.data.getById("Order", id); }, fail() { throw new TypeError("real"); } } }`,
  });
  assert.deepEqual(resultOf(await harness.runtime.call(instance, testCall("get", ["1"]))), { ok: 1 });
  const failed = await harness.runtime.call(instance, testCall("fail"));
  assert.ok(!failed.ok && failed.error.message.includes("TypeError: real"));
});

test("nothing of the platform lies in the global scope, and isolates have randomness of their own", async () => {
  await using harness = startTestRuntime();
  const definition = `{ functions: {
    names() { return Object.getOwnPropertyNames(globalThis); },
    random() { return crypto.randomUUID(); },
    gone() { return ["SharedArrayBuffer", "Atomics", "WebAssembly"].map((name) => typeof globalThis[name]); },
    async code() { return [await import("node:fs").then(() => "imported", () => "refused"), typeof require, typeof process]; },
  } }`;
  const [a, b] = [testInstance({ definition }), testInstance({ definition })];
  const names = resultOf(await harness.runtime.call(a, testCall("names"))) as string[];
  assert.deepEqual(
    names.filter((name) => /backplane|entries|enter|drain|ivm/i.test(name)),
    [],
  );
  assert.deepEqual(resultOf(await harness.runtime.call(a, testCall("gone"))), Array(3).fill("undefined"));
  assert.deepEqual(resultOf(await harness.runtime.call(a, testCall("code"))), ["refused", "undefined", "undefined"]);
  const random = await Promise.all([a, a, b].map((instance) => harness.runtime.call(instance, testCall("random"))));
  assert.equal(new Set(random.map(resultOf)).size, 3);
});
