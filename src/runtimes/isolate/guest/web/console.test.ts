import assert from "node:assert/strict";
import { test } from "node:test";
import { openTestIsolate } from "./test-isolate.ts";

test("console lines reach the log with their level, formatted", async () => {
  using isolate = await openTestIsolate();
  await isolate.run(`
    console.log("hi %s %d %j", "you", "42", { a: 1 }, [1, "x"]);
    console.warn({ a: new Map([["k", new Set([1])]]), d: new Date(0), e: undefined, f() {}, b: new Uint8Array([1, 2]) });
    console.error(new TypeError("bad"));
    console.debug("d"); console.assert(1, "no"); console.assert(0, "yes"); console.count(); console.group("g"); console.info("in"); console.groupEnd();
  `);
  assert.deepEqual(
    isolate.sent.map(([, [level]]) => level),
    ["info", "warn", "error", "debug", "error", "info", "info", "info"],
  );
  const lines = isolate.sent.map(([, [, message]]) => message as string);
  assert.equal(lines[0], `hi you 42 {"a":1} [ 1, "x" ]`);
  assert.equal(
    lines[1],
    `{ a: Map(1) { "k" => Set(1) { 1 } }, d: 1970-01-01T00:00:00.000Z, e: undefined, f: [function f], b: Uint8Array(2) [ 1, 2 ] }`,
  );
  assert.match(lines[2] as string, /^TypeError: bad\n {4}at /);
  assert.equal(lines[4], "Assertion failed yes");
  assert.equal(lines[7], "  in");
});

test("a huge, deep, cyclic or hostile value costs one bounded line", async () => {
  using isolate = await openTestIsolate();
  await isolate.run(`
    const a = { big: "x".repeat(1e6), list: Array.from({ length: 1e5 }, (_, i) => i) }; a.me = a;
    console.log(a);
    let deep = {}; for (let i = 0; i < 1e5; i++) deep = { deep }; console.log(deep);
    console.log(new Proxy({}, { ownKeys() { throw 1; } }), { get secret() { throw new Error("never run"); } });
    console.log("%s", "x".repeat(1e6));
  `);
  for (const [, [, message]] of isolate.sent) assert.ok((message as string).length < 9000);
  assert.match(isolate.sent[2]?.[1][1] as string, /cannot be read.*\[getter\]/);
});
