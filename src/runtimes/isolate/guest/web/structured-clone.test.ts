import assert from "node:assert/strict";
import { test } from "node:test";
import { openTestIsolate } from "./test-isolate.ts";

test("structuredClone copies data of every kind with its cycles", async () => {
  using isolate = await openTestIsolate();
  const same = async (body: string): Promise<void> => assert.equal(await isolate.run(body), true, body);
  await same(
    `const a = { x: [1, { y: 2 }], u: undefined }; a.self = a; const b = structuredClone(a); return b !== a && b.self === b && b.x[1].y === 2 && "u" in b`,
  );
  await same(
    `const m = new Map([[{ k: 1 }, new Set([1, "a"])]]); m.set("me", m); const c = structuredClone(m); return c.get("me") === c && [...c.keys()][0].k === 1 && [...c.values()][0].has("a")`,
  );
  await same(`const d = new Date(5); return structuredClone(d) !== d && structuredClone(d).getTime() === 5`);
  await same(`const r = structuredClone(/a+/gi); return r.source === "a+" && r.flags === "gi"`);
  await same(
    `const u = new Uint16Array([1, 2, 3]).subarray(1); const c = structuredClone({ u, b: u.buffer }); return c.u instanceof Uint16Array && c.u[0] === 2 && c.u.buffer === c.b && c.b !== u.buffer && c.b.byteLength === 6`,
  );
  await same(
    `const v = structuredClone(new DataView(new ArrayBuffer(8), 2, 4)); return v.byteOffset === 2 && v.byteLength === 4`,
  );
  await same(
    `const e = new RangeError("no", { cause: { a: 1 } }); const c = structuredClone(e); return c instanceof RangeError && c.message === "no" && c.cause.a === 1 && c.stack === e.stack`,
  );
  await same(`const c = structuredClone([, 1]); return c.length === 2 && !(0 in c)`);
  await same(
    `return structuredClone(1n) === 1n && Object.is(structuredClone(-0), -0) && structuredClone(Object("s")) instanceof String`,
  );
  await same(
    `class P { a = 1; m() {} } const c = structuredClone(new P()); return c.a === 1 && Object.getPrototypeOf(c) === Object.prototype`,
  );
  await same(
    `const o = JSON.parse('{"__proto__": {"x": 1}}'); const c = structuredClone(o); return Object.getPrototypeOf(c) === Object.prototype && Object.hasOwn(c, "__proto__")`,
  );
  await same(
    `const b = new ArrayBuffer(4); const c = structuredClone(b, { transfer: [b] }); return c.byteLength === 4 && b.byteLength === 0`,
  );
});

test("structuredClone refuses what is not data with a DataCloneError", async () => {
  using isolate = await openTestIsolate();
  for (const value of [
    "() => 1",
    "Symbol()",
    "{ a() {} }",
    "new WeakMap()",
    "Promise.resolve()",
    "new URL('https://a.b')",
    "new Headers()",
    "new AbortController()",
    "[Symbol('x')]",
  ]) {
    await assert.rejects(isolate.run(`structuredClone(${value})`), /DataCloneError/, value);
  }
});
