import assert from "node:assert/strict";
import { test } from "node:test";
import { openTestIsolate } from "./test-isolate.ts";

test("EventTarget calls listeners in order, once, and not after removal", async () => {
  using isolate = await openTestIsolate();
  assert.deepEqual(
    await isolate.run(`
      const seen = []; const target = new EventTarget();
      const b = () => seen.push("b");
      target.addEventListener("x", (e) => seen.push("a" + (e.target === target) + e.detail));
      target.addEventListener("x", b); target.addEventListener("x", b);
      target.addEventListener("x", () => seen.push("once"), { once: true });
      target.addEventListener("x", { handleEvent(e) { seen.push("object"); e.preventDefault(); } });
      const answer = target.dispatchEvent(new CustomEvent("x", { detail: 7, cancelable: true }));
      target.removeEventListener("x", b);
      target.dispatchEvent(new Event("x"));
      return [answer, seen.join()];`),
    [false, "atrue7,b,once,object,atrueundefined,object"],
  );
});

test("a listener that throws is logged and the others still run", async () => {
  using isolate = await openTestIsolate();
  assert.equal(
    await isolate.run(
      `let ran = false; const t = new EventTarget(); t.addEventListener("x", () => { throw new Error("boom"); }); t.addEventListener("x", () => { ran = true; }); t.dispatchEvent(new Event("x")); return ran`,
    ),
    true,
  );
  const [ability, [level, message]] = isolate.sent[0] as [string, [string, string]];
  assert.equal(ability, "log.write");
  assert.equal(level, "error");
  assert.match(message, /a listener of 'x'.*boom/);
});

test("AbortSignal tells its reason, times out, and follows others", async () => {
  using isolate = await openTestIsolate();
  assert.deepEqual(
    await isolate.run(`
      const c = new AbortController(); const seen = [];
      c.signal.onabort = () => seen.push("on"); c.signal.addEventListener("abort", () => seen.push("listener"));
      const any = AbortSignal.any([new AbortController().signal, c.signal]);
      c.abort(); c.abort("again");
      return [seen, c.signal.reason.name, c.signal.reason.code, any.aborted, any.reason === c.signal.reason, AbortSignal.abort(5).reason];`),
    [["on", "listener"], "AbortError", 20, true, true, 5],
  );
  assert.equal(
    await isolate.run(
      `const s = AbortSignal.timeout(5); await new Promise((r) => s.addEventListener("abort", r)); return s.reason.name`,
    ),
    "TimeoutError",
  );
  await assert.rejects(isolate.run(`AbortSignal.abort(new TypeError("mine")).throwIfAborted()`), /TypeError: mine/);
  await assert.rejects(isolate.run(`new AbortSignal()`), /TypeError: Illegal constructor/);
  assert.equal(
    await isolate.run(
      `const c = new AbortController(); let n = 0; const t = new EventTarget(); t.addEventListener("x", () => n++, { signal: c.signal }); t.dispatchEvent(new Event("x")); c.abort(); t.dispatchEvent(new Event("x")); return n`,
    ),
    1,
  );
});

test("timers fire with their arguments, repeat, and stop when cleared", async () => {
  using isolate = await openTestIsolate();
  assert.deepEqual(await isolate.run(`return new Promise((resolve) => setTimeout((...a) => resolve(a), 1, "x", 2))`), [
    "x",
    2,
  ]);
  assert.equal(
    await isolate.run(
      `return new Promise((resolve) => { let n = 0; const i = setInterval(() => { if (++n === 3) { clearInterval(i); resolve(n); } }, 1); })`,
    ),
    3,
  );
  assert.equal(
    await isolate.run(
      `let fired = false; clearTimeout(setTimeout(() => { fired = true; }, 1)); await new Promise((r) => setTimeout(r, 15)); return fired`,
    ),
    false,
  );
  assert.equal(
    await isolate.run(
      `let order = ""; queueMicrotask(() => { order += "b"; }); order += "a"; await null; return order`,
    ),
    "ab",
  );
  await isolate.run(`setTimeout(() => { throw new Error("late"); }, 1); await new Promise((r) => setTimeout(r, 15))`);
  assert.match(String(isolate.sent.at(-1)?.[1][1]), /Uncaught in setTimeout: .*late/);
});
