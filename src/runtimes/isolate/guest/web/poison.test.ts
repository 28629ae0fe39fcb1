import assert from "node:assert/strict";
import { test } from "node:test";
import { openTestIsolate } from "./test-isolate.ts";

/** Replaces every method and accessor of the shared prototypes by one that notes what it is shown, then works on. */
const poison = /* js */ `
  globalThis.shown = [];
  const note = (value) => { if (typeof value === "function" || (typeof value === "object" && value !== null)) __define(shown, shown.length, { value }); };
  for (const holder of [Function.prototype, Promise.prototype, Array.prototype, Map.prototype, WeakMap.prototype, Object, Reflect, JSON, Array, Promise]) {
    for (const key of Reflect.ownKeys(holder)) {
      const descriptor = Object.getOwnPropertyDescriptor(holder, key);
      if (typeof descriptor.value !== "function" || !descriptor.configurable || key === "constructor") continue;
      const original = descriptor.value;
      const nativeApply = globalThis.__nativeApply;
      descriptor.value = function (...args) { note(this); for (let i = 0; i < args.length; i++) note(args[i]); return new.target ? new original(...args) : nativeApply(original, this, args); };
      try { __define(holder, key, descriptor); } catch {}
    }
  }
  for (let i = 0; i < 8; i++) __define(Array.prototype, i, { configurable: true, set(v) { note(v); __define(this, i, { value: v, writable: true, enumerable: true, configurable: true }); }, get() {} });
`;

test("poisoned prototypes are never shown the host's functions, and ctx still works", async () => {
  using isolate = await openTestIsolate();
  isolate.answer = (ability) =>
    ability === "http.fetch"
      ? {
          status: 200,
          statusText: "",
          url: "https://a.b/",
          headers: [["content-type", "application/json"]],
          body: { $bytes: "eyJhIjoxfQ==" },
        }
      : ability === "events.emit"
        ? { id: "e" }
        : [];
  const environment = {
    organization: "o",
    plugin: { id: "p", version: "1.0.0" },
    config: { a: [1] },
    abilities: ["events.emit", "http.fetch", "data.query"],
    permissions: [],
  };
  const outcome = await isolate.run(`
    // The test's own host functions, to recognise them by identity, were kept by the boot script.
    const host = __hostFunctions;
    globalThis.__define = Object.defineProperty; globalThis.__nativeApply = Reflect.apply;
    const { stringify } = JSON;
    ${poison}
    const ctx = __context(${JSON.stringify(environment)});
    const emitted = await ctx.emitEvent("a.b", { x: [1] });
    const got = await ctx.http.get("https://a.b/");
    const rows = await ctx.data.query("X", {});
    ctx.logger.info("m", { a: 1 });
    console.log("x", [1], new Map([[1, 2]]));
    setTimeout(() => {}, 1);
    new URL("https://a.b/?q=1").searchParams.get("q");
    new AbortController().abort();
    structuredClone({ a: [1, new Map()] });
    crypto.randomUUID();
    ctx.execution.signal.addEventListener("abort", () => {});
    __abort();
    let leaked = 0;
    for (let i = 0; i < shown.length; i++) for (let n = 0; n < host.length; n++) if (shown[i] === host[n]) leaked++;
    return [leaked, emitted.id, got.a, rows.length, shown.length > 0];
  `);
  assert.deepEqual(outcome, [0, "e", 1, 0, true]);
});

test("a call site of the trusted layer gives a plugin neither its function nor its receiver", async () => {
  using isolate = await openTestIsolate();
  assert.deepEqual(
    await isolate.run(`
      const frames = [];
      Error.prepareStackTrace = (_, sites) => { for (const s of sites) if (s.getFileName() === "file:///prelude.js") frames.push(s.getFunction(), s.getThis()); return ""; };
      const params = new URLSearchParams("a=1");
      params.forEach(() => { void new Error().stack; });
      try { new Request("relative"); } catch (e) { void e.stack; }
      Error.prepareStackTrace = undefined;
      let caller; params.forEach(function probe() { try { caller = probe.caller; } catch { caller = "refused"; } });
      return [frames.length > 0, frames.every((f) => f === undefined), caller ?? null];`),
    [true, true, null],
  );
});
