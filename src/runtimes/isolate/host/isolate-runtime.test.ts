import assert from "node:assert/strict";
import { test } from "node:test";
import { BackplaneError } from "../../../errors/error.ts";
import { codeOf, resultOf, startTestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";

test("a call reaches a handler and its result comes back as JSON", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({
    definition: `{ functions: { async hello({ who }, ctx) { return { text: ctx.config.greeting + ", " + who }; } } }`,
    config: { greeting: "Hi" },
  });
  const outcome = await harness.runtime.call(instance, testCall("hello", [{ who: "Zoë 🎈" }]));
  assert.deepEqual(resultOf(outcome), { text: "Hi, Zoë 🎈" });
  assert.equal(outcome.usage.coldStart, true);
  const second = await harness.runtime.call(instance, testCall("hello", [{ who: "you" }]));
  assert.deepEqual(resultOf(second), { text: "Hi, you" });
  assert.equal(second.usage.coldStart, false);
});

test("an ability call is answered by the hub with the context of its call", async () => {
  await using harness = startTestRuntime({ answer: (_call, args) => ({ got: args }) });
  const instance = testInstance({
    definition: `{ functions: { async get(id, ctx) { return ctx.data.getById("Order", id); } } }`,
  });
  const context = { mine: true };
  const outcome = await harness.runtime.call(instance, testCall("get", ["o-1"], { context }));
  assert.deepEqual(resultOf(outcome), { got: ["Order", "o-1"] });
  assert.equal(harness.abilityCalls[0]?.context, context);
  assert.equal(harness.abilityCalls[0]?.ability, "data.getById");
});

test("an error of an ability reaches the guest with its code, and what the guest throws comes out with name and stack", async () => {
  await using harness = startTestRuntime({
    answer: () => {
      throw new BackplaneError("permission_denied", {
        plugin: "acme.test",
        permission: "data:read:Order",
        guest: { status: 7 },
      });
    },
  });
  const instance = testInstance({
    definition: `{ functions: {
      async caught(ctx) { try { await ctx.data.getById("Order", "1"); } catch (e) { return [e.code, e.status, e instanceof Error]; } },
      async thrown() { const e = new TypeError("bad thing"); e.code = "E1"; throw e; },
    } }`,
  });
  assert.deepEqual(resultOf(await harness.runtime.call(instance, testCall("caught"))), ["permission_denied", 7, true]);
  const outcome = await harness.runtime.call(instance, testCall("thrown"));
  assert.equal(codeOf(outcome), "plugin_error");
  assert.ok(!outcome.ok);
  assert.match(outcome.error.message, /TypeError: bad thing/);
  assert.match(outcome.error.guestStack ?? "", /plugin:\/\/acme\.test@1\.0\.0\/main\.js:\d+/);
  assert.deepEqual(outcome.error.details["guest"], { name: "TypeError", code: "E1" });
});

test("a loop is stopped after its CPU budget, and the next call finds a fresh isolate", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({ definition: `{ functions: { loop() { for (;;); }, fine() { return 1; } } }` });
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("fine"))), 1);
  const started = performance.now();
  const outcome = await harness.runtime.call(instance, testCall("loop"));
  assert.equal(codeOf(outcome), "cpu_exceeded");
  assert.ok(performance.now() - started < 1500, `took ${performance.now() - started} ms`);
  assert.ok(outcome.usage.cpuMs >= 190);
  assert.equal(resultOf(await harness.runtime.call(instance, testCall("fine"))), 1);
  assert.equal(harness.faults[0]?.kind, "strike");
});

test("bytes in results, chunks and ability arguments travel as base64; the plugin's own JSON is as ever", async () => {
  await using harness = startTestRuntime();
  const instance = testInstance({
    definition: `{ functions: {
      result: () => ({ list: [new Uint8Array([1, 2, 255])], buffer: new Uint8Array([104, 105]).buffer, plain: 1 }),
      whole: () => new Uint16Array([1, 2]),
      argument: (ctx) => ctx.data.getById("Thing", { view: new DataView(new ArrayBuffer(2)) }),
      own: () => JSON.stringify({ a: new Uint8Array([7]), b: new ArrayBuffer(1) }),
      getter: () => ({ bytes: new Uint8Array(1), get fails() { throw new Error("mine"); } }),
    } }`,
  });
  const call = async (name: string): Promise<unknown> => resultOf(await harness.runtime.call(instance, testCall(name)));
  assert.deepEqual(await call("result"), { list: [{ $bytes: "AQL/" }], buffer: { $bytes: "aGk=" }, plain: 1 });
  assert.deepEqual(await call("whole"), { $bytes: "AQACAA==" });
  assert.deepEqual(await call("argument"), ["Thing", { view: { $bytes: "AAA=" } }]);
  assert.equal(await call("own"), '{"a":{"0":7},"b":{}}');
  await assert.rejects(call("getter"), { code: "result_invalid" });
  assert.equal(await call("own"), '{"a":{"0":7},"b":{}}');
});
