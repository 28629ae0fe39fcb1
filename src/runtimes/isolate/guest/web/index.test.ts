import assert from "node:assert/strict";
import { test } from "node:test";
import { openTestIsolate } from "./test-isolate.ts";

test("the isolate has the web's globals by their names, and no fetch", async () => {
  using isolate = await openTestIsolate();
  const names = (await isolate.run(`return Object.getOwnPropertyNames(globalThis)`)) as string[];
  for (const name of [
    "URL",
    "Headers",
    "Request",
    "Response",
    "AbortController",
    "TextEncoder",
    "structuredClone",
    "crypto",
    "self",
  ]) {
    assert.ok(names.includes(name), name);
  }
  for (const name of ["fetch", "process", "Buffer", "require", "__backplaneSeed"])
    assert.ok(!names.includes(name), name);
  assert.equal(
    await isolate.run(`return [URL, Response, AbortSignal, DOMException].map((c) => c.name).join()`),
    "URL,Response,AbortSignal,DOMException",
  );
  assert.equal(
    await isolate.run(`return Object.keys(globalThis).filter((k) => !k.startsWith("__")).join()`),
    "entries",
  );
});

test("URL works", async () => {
  using isolate = await openTestIsolate();
  assert.equal(
    await isolate.run(`return new URL("../b?x=1#y", "https://ex.com:443/a/c").href`),
    "https://ex.com/b?x=1#y",
  );
  assert.equal(await isolate.run(`return crypto.randomUUID().length`), 36);
});
