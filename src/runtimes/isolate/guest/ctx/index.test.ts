import assert from "node:assert/strict";
import { test } from "node:test";
import { coversTable } from "../../../../manifest/covers.fixture.ts";
import { openTestIsolate, type TestIsolate } from "../web/test-isolate.ts";

const all = [
  "events.emit",
  "data.query",
  "data.page",
  "data.count",
  "data.getById",
  "data.upsert",
  "data.delete",
  "http.fetch",
  "plugins.call",
  "crypto.digest",
  "crypto.hmac",
  "crypto.timingSafeEqual",
  "crypto.subtle",
  "storage.get",
  "storage.put",
  "storage.delete",
  "storage.list",
];

async function withContext(
  abilities = all,
  config: unknown = { greeting: "hi", nested: { list: [1] } },
): Promise<TestIsolate> {
  const isolate = await openTestIsolate();
  const environment = {
    organization: "org-1",
    plugin: { id: "acme.x", version: "1.0.0" },
    config,
    abilities,
    permissions: ["event:publish:order.*", "storage:read"],
  };
  await isolate.run(`globalThis.ctx = __context(${JSON.stringify(environment)}, { sessionId: "s1" })`);
  return isolate;
}

test("ctx has exactly the abilities that were given; a namespace without any is absent", async () => {
  using none = await withContext([]);
  assert.deepEqual(await none.run(`return Object.keys(ctx).sort()`), [
    "config",
    "crypto",
    "execution",
    "logger",
    "organization",
    "permissions",
  ]);
  assert.deepEqual(await none.run(`return Object.keys(ctx.crypto)`), ["randomUUID"]);
  using some = await withContext(["data.query", "storage.list"]);
  assert.deepEqual(
    await some.run(
      `return [Object.keys(ctx.data), Object.keys(ctx.storage), "http" in ctx, "emitEvent" in ctx, "plugins" in ctx]`,
    ),
    [["query"], ["list"], false, false, false],
  );
  using full = await withContext();
  assert.deepEqual(await full.run(`return Object.keys(ctx).sort()`), [
    "config",
    "crypto",
    "data",
    "emitEvent",
    "execution",
    "http",
    "logger",
    "organization",
    "permissions",
    "plugins",
    "storage",
  ]);
});

test("ctx and its config cannot be changed, at any depth", async () => {
  using isolate = await withContext();
  assert.equal(
    await isolate.run(`
      const walk = (o) => Object.isFrozen(o) && Object.values(o).every((v) => typeof v !== "object" || v === null || v instanceof Date || v === ctx.execution.signal || walk(v));
      return walk(ctx)`),
    true,
  );
  await assert.rejects(isolate.run(`"use strict"; ctx.config.nested.list.push(2)`), /TypeError/);
  await assert.rejects(isolate.run(`"use strict"; ctx.data = {}`), /TypeError/);
});

test("abilities are called by the agreed names and argument tuples", async () => {
  using isolate = await withContext();
  isolate.answer = (ability) =>
    ability === "events.emit" ? { id: "e1" } : ability.startsWith("crypto.") ? { $bytes: "AQ==" } : null;
  await isolate.run(`
    await ctx.emitEvent("order.made", { a: 1 }, { subject: "o1" });
    await ctx.data.query("Contact", { name: "x" });
    await ctx.data.getById("Contact", "c1");
    await ctx.data.upsert("Contact", [{ id: "c1" }]);
    await ctx.data.page("Contact", {}, { limit: 2 });
    await ctx.data.count("Contact");
    await ctx.data.delete("Contact", "c1");
    await ctx.plugins.call("acme.y", "do");
    await ctx.storage.put("a.bin", new Uint8Array([255]), { contentType: "x/y" });
    await ctx.storage.put("a.txt", "text");
    await ctx.storage.get("a.bin");
    await ctx.storage.list({ prefix: "a" });
    await ctx.crypto.digest("SHA-256", "x");
    await ctx.crypto.hmac({ key: "bpsec_1", data: new Uint8Array([1]) });
  `);
  assert.deepEqual(isolate.called, [
    ["events.emit", ["order.made", { a: 1 }, { subject: "o1" }]],
    ["data.query", ["Contact", { name: "x" }]],
    ["data.getById", ["Contact", "c1"]],
    ["data.upsert", ["Contact", [{ id: "c1" }]]],
    ["data.page", ["Contact", {}, { limit: 2 }]],
    ["data.count", ["Contact", {}]],
    ["data.delete", ["Contact", "c1"]],
    ["plugins.call", ["acme.y", "do", {}]],
    ["storage.put", ["a.bin", { $bytes: "/w==" }, { contentType: "x/y" }]],
    ["storage.put", ["a.txt", "text"]],
    ["storage.get", ["a.bin"]],
    ["storage.list", [{ prefix: "a" }]],
    ["crypto.digest", ["SHA-256", { $bytes: "eA==" }]],
    ["crypto.hmac", [{ hash: "SHA-256", key: "bpsec_1", data: { $bytes: "AQ==" }, encoding: "bytes" }]],
  ]);
});

test("logger and progress are sent one way", async () => {
  using isolate = await withContext();
  await isolate.run(`ctx.logger.info("hello", { a: 1 }); ctx.logger.debug(5); ctx.execution.progress({ done: 3 })`);
  assert.deepEqual(isolate.sent, [
    ["log.write", ["info", "hello", { a: 1 }]],
    ["log.write", ["debug", "5"]],
    ["progress.report", [{ done: 3 }]],
  ]);
});

test("permissions.has answers as the hub decides, for every row of the table", async () => {
  using isolate = await openTestIsolate();
  const answers = await isolate.run(
    `return ${JSON.stringify(coversTable)}.map(([held, needed]) => __context({ organization: "o", plugin: { id: "a.b", version: "1.0.0" }, config: {}, abilities: [], permissions: [held] }, {}).permissions.has(needed))`,
  );
  assert.deepEqual(
    answers,
    coversTable.map(([, , covered]) => covered),
  );
});

test("execution tells id, deadline, session and signal; permissions answer with wildcards", async () => {
  using isolate = await withContext();
  assert.deepEqual(
    await isolate.run(
      `const { execution: e, permissions: p } = ctx; __abort(); return [e.id, e.deadline instanceof Date, e.deadline.toISOString(), e.sessionId, "userId" in e, e.signal.aborted, p.has("event:publish:order.made"), p.has("event:publish:order.*"), p.has("event:publish:order"), p.has("event:publish:orders.x"), p.has("storage:read"), p.has("storage:write")]`,
    ),
    ["exec-1", true, "2026-01-02T03:04:05.000Z", "s1", false, true, true, true, false, false, true, false],
  );
});

test("a failed ability rejects with an AbilityError that has the hub's code and fields", async () => {
  using isolate = await withContext();
  isolate.answer = () => {
    throw { name: "BackplaneError", message: "Not granted.", code: "permission_denied", status: 403, body: { a: 1 } };
  };
  assert.deepEqual(
    await isolate.run(
      `try { await ctx.data.query("X", {}); } catch (e) { return [e instanceof Error, e.name, e.message, e.code, e.status, e.body, typeof e.stack]; }`,
    ),
    [true, "AbilityError", "Not granted.", "permission_denied", 403, { a: 1 }, "string"],
  );
});

test("http.get parses by content type and throws on a status that is not 2xx", async () => {
  using isolate = await withContext();
  const reply = (status: number, type: string, body: string): unknown => ({
    status,
    statusText: "",
    url: "https://api.x/",
    headers: [["content-type", type]],
    body: { $bytes: Buffer.from(body).toString("base64") },
  });
  isolate.answer = () => reply(200, "application/vnd.api+json; charset=utf-8", `{"é":1}`);
  assert.deepEqual(await isolate.run(`return ctx.http.get("https://api.x/y?a b", { "X-Key": "bpsec_1" })`), { é: 1 });
  assert.deepEqual(isolate.called[0], [
    "http.fetch",
    [{ url: "https://api.x/y?a%20b", method: "GET", headers: [["x-key", "bpsec_1"]] }],
  ]);
  isolate.answer = () => reply(200, "text/plain", "plain");
  assert.equal(await isolate.run(`return ctx.http.get(new URL("https://api.x/"))`), "plain");
  isolate.answer = () => reply(404, "application/json", `{"error":"gone"}`);
  assert.deepEqual(
    await isolate.run(
      `try { await ctx.http.get("https://api.x/"); } catch (e) { return [e.name, e.status, e.body, e.headers["content-type"]]; }`,
    ),
    ["HttpError", 404, { error: "gone" }, "application/json"],
  );
  isolate.answer = () => reply(200, "application/json", "<html>");
  await assert.rejects(
    isolate.run(`return ctx.http.get("https://api.x/")`),
    /SyntaxError: The answer of https:\/\/api.x\/ says it is JSON/,
  );
  isolate.answer = () => ({ status: 204, statusText: "", url: "https://api.x/", headers: [], body: { $bytes: "" } });
  assert.equal(await isolate.run(`return ctx.http.get("https://api.x/")`), "");
});

test("http.post sends JSON, except text, bytes and forms", async () => {
  using isolate = await withContext();
  isolate.answer = () => ({ status: 200, statusText: "OK", url: "https://a.b/", headers: [], body: "" });
  await isolate.run(`
    const u = "https://a.b/";
    await ctx.http.post(u, { a: 1 }); await ctx.http.post(u, "text", { "content-type": "text/x" });
    await ctx.http.post(u, new URLSearchParams({ a: "1 2" })); await ctx.http.post(u, new Uint8Array([1])); await ctx.http.post(u);
  `);
  const requests = isolate.called.map(([, [request]]) => request as { headers: string[][]; body?: unknown });
  assert.deepEqual(
    requests.map((request) => request.body),
    [`{"a":1}`, "text", "a=1+2", { $bytes: "AQ==" }, ""],
  );
  assert.deepEqual(
    requests.map((request) => request.headers),
    [
      [["content-type", "application/json"]],
      [["content-type", "text/x"]],
      [["content-type", "application/x-www-form-urlencoded;charset=UTF-8"]],
      [],
      [["content-type", "application/json"]],
    ],
  );
});

test("http.fetch gives a Response of any status and stops waiting when its signal aborts", async () => {
  using isolate = await withContext();
  isolate.answer = () => ({
    status: 500,
    statusText: "Oh",
    url: "https://a.b/final",
    headers: [
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
      ["x-bad", "€"],
    ],
    body: { $bytes: "AP8=" },
  });
  assert.deepEqual(
    await isolate.run(
      `const r = await ctx.http.fetch("https://a.b/", { method: "PATCH", body: "x", redirect: "manual" }); return [r instanceof Response, r.status, r.ok, r.statusText, r.url, r.redirected, r.headers.getSetCookie(), [...await r.bytes()]]`,
    ),
    [true, 500, false, "Oh", "https://a.b/final", true, ["a=1", "b=2"], [0, 255]],
  );
  isolate.answer = () => new Promise(() => {});
  assert.equal(
    await isolate.run(
      `const c = new AbortController(); setTimeout(() => c.abort(), 2); try { await ctx.http.fetch("https://a.b/", { signal: c.signal }); } catch (e) { return e.name; }`,
    ),
    "AbortError",
  );
  await assert.rejects(
    isolate.run(`return ctx.http.fetch("https://a.b/", { headers: { a: "x\\r\\nHost: evil" } })`),
    /line break/,
  );
  await assert.rejects(isolate.run(`return ctx.http.fetch("file:///etc/passwd")`), /TypeError: Only http and https/);
});
