/** CONTRACT, "Webhooks": any method, raw bytes, stored first; the plugin's answer; what it accepts arrives later, once per id. */
import assert from "node:assert/strict";
import { request as rawRequest } from "node:http";
import { after, before, test } from "node:test";
import { sql } from "kysely";
import { probe } from "../kit/probe-plugin.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

let hub: TestHub;
let acme: Keys;
const publicUrl = "https://hooks.example.com/base";
before(async () => {
  hub = await startTestHub({ publicUrl });
  acme = await hub.organization("acme");
  await hub.organization("globex");
  await hub.install("acme", probe({ resources: { timeoutMs: 60_000 } }));
  await hub.install("acme", probe({ id: "acme.patient", resources: { timeoutMs: 60_000 } }));
  const started = Date.now();
  hung = hook("POST", "/webhooks/acme/acme.patient?mode=hang").then((answer) => ({ answer, ms: Date.now() - started }));
});
after(() => hub[Symbol.asyncDispose]());

const base = "/webhooks/acme/acme.probe";
/** Begun first, so that the other tests run meanwhile; of a plugin of its own, which nothing deactivates. */
let hung: Promise<{ answer: TestAnswer; ms: number }>;
const hook = (
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<TestAnswer> => hub.request(method, path, { token: null, headers, ...(body === undefined ? {} : { body }) });
const stored = async (): Promise<{ url: string; status: number | null; body: string; method: string }[]> =>
  (await hub.hub.store.db.selectFrom("webhook_requests").selectAll().orderBy("received_at").execute()).map(
    ({ url, status, body, method }) => ({ url, status, method, body: Buffer.from(body).toString() }),
  );
const itemsSeen = async (): Promise<unknown[]> =>
  (await hub.request("GET", "/api/events?type=seen.item&limit=200", { token: acme.adminKey })).body.events.map(
    ({ data }: { data: unknown }) => data,
  );

test("the handler gets method, url on the public address, headers and the raw body; any method and sub-path", async () => {
  for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    const body = method === "GET" || method === "OPTIONS" ? undefined : "raw=1&x=%20y";
    const answer = await hook(
      method,
      `${base}/sms/in?b=2&a=%31`,
      body,
      body ? { "content-type": "application/x-www-form-urlencoded" } : {},
    );
    assert.equal(answer.status, 200, `${method} ${answer.text}`);
    assert.deepEqual(answer.body, {
      method,
      url: `${publicUrl}${base}/sms/in?b=2&a=%31`,
      type: body ? "application/x-www-form-urlencoded" : null,
      rawBody: body ?? "",
    });
  }
  assert.equal((await hook("HEAD", base)).status, 200);
  assert.equal((await stored()).filter(({ url }) => url.includes("/sms/in")).length, 6);
});

test("methods beyond the usual, bodies without a content type, and JSON that is none are the plugin's to judge", async () => {
  const odd = await new Promise<number>((resolve, reject) =>
    rawRequest(hub.url + base, { method: "PROPFIND" }, (answer) => resolve(answer.resume().statusCode!))
      .on("error", reject)
      .end(),
  );
  assert.equal(odd, 200);
  const untyped = await hook("POST", base, Buffer.from("{not json"), { "content-type": "" });
  assert.equal(untyped.body.rawBody, "{not json", untyped.text);
  const broken = await hook("POST", base, "{not json");
  assert.equal(broken.body.rawBody, "{not json");
  const multipart = await hook("POST", base, "--x", { "content-type": "multipart/form-data; boundary=x" });
  assert.equal(multipart.body.rawBody, "--x");
});

test("status, headers and body are the plugin's; the hub's origin stays the hub's", async () => {
  const answer = await hook("POST", `${base}?mode=headers`);
  assert.deepEqual([answer.status, answer.text], [201, "<b>hi</b>"]);
  assert.equal(answer.headers.get("x-own"), "1");
  assert.equal(answer.headers.get("content-type"), "text/html");
  assert.equal(answer.headers.get("set-cookie"), null);
  assert.equal(answer.headers.get("content-security-policy"), "sandbox; default-src 'none'");
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.equal((await hook("POST", `${base}?mode=refuse`)).status, 403);
  const nothing = await hook("POST", `${base}?mode=void`);
  assert.deepEqual([nothing.status, nothing.text], [200, ""]);
});

test("a handler that throws: 502, one that answers nonsense: 502, without a word of the hub's inside; both stay stored", async () => {
  for (const mode of ["throw", "wrong"]) {
    const answer = await hook("POST", `${base}?mode=${mode}`, `body of ${mode}`);
    assert.equal(answer.status, 502, answer.text);
    assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
    const row = (await stored()).find(({ url }) => url.endsWith(`?mode=${mode}`));
    assert.deepEqual([row?.body, row?.method], [`body of ${mode}`, "POST"]);
  }
});

test("what a plugin refuses leaves a row and nothing of what was sent", async () => {
  const answer = await hook("POST", `${base}?mode=refuse`, "a stranger's megabyte", { "content-type": "text/plain" });
  assert.equal(answer.status, 403);
  const row = (await stored()).find(({ url }) => url.endsWith("?mode=refuse"));
  assert.deepEqual([row?.status, row?.body], [403, ""]);
});

test("a redirect stays at the hub's own address, however it is spelled", async () => {
  const go = (to: string) => hook("GET", `${base}?mode=redirect&to=${encodeURIComponent(to)}`);
  for (const to of ["/done", "done?x=1", "https://hooks.example.com/done"]) {
    const answer = await go(to);
    assert.deepEqual([answer.status, answer.headers.get("location")], [302, to]);
  }
  for (const to of [
    "https://evil.com/",
    "//evil.com",
    "/\\evil.com",
    "\\\\evil.com",
    "http://hooks.example.com/done",
    "https://hooks.example.com@evil.com/",
    "https://hooks.example.com.evil.com/",
    "javascript:alert(1)",
    "data:text/html,x",
    " https://evil.com/",
    "/\t/evil.com",
  ]) {
    const answer = await go(to);
    assert.equal(answer.status, 502, to);
    assert.equal(answer.body.code, "result_invalid");
    assert.equal(answer.headers.get("location"), null);
  }
});

test("accepted items arrive later, once per id, also when the vendor sends them again", async () => {
  const items = [
    { id: "a", n: 1 },
    { id: "b", n: 2 },
    { id: "a", n: 3 },
  ];
  for (let n = 0; n < 3; n += 1) {
    const answer = await hook("POST", `${base}?mode=accept`, items);
    assert.deepEqual([answer.status, answer.body], [200, { taken: true }]);
  }
  await Promise.all(Array.from({ length: 10 }, () => hook("POST", `${base}?mode=accept`, [{ id: "c" }, { id: "a" }])));
  await until(async () => (await itemsSeen()).length >= 3);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual((await itemsSeen()).map((item) => (item as { id: string }).id).sort(), ["a", "b", "c"]);
});

test("a webhook and what comes of it share one trace", async () => {
  const traceId = "aaaabbbbccccddddeeeeffff00001111";
  await hook("POST", `${base}?mode=accept`, [{ id: "traced" }], { traceparent: `00-${traceId}-00f067aa0ba902b7-01` });
  const found = await until(async () => {
    const { body } = await hub.request("GET", `/api/executions?traceId=${traceId}`, { token: acme.viewerKey });
    return body.executions.length === 2 && body.executions;
  });
  assert.deepEqual(
    found.map(({ kind, status }: Record<string, string>) => [kind, status]),
    [
      ["channel", "succeeded"],
      ["webhook", "succeeded"],
    ],
  );
});

test("larger than a megabyte: 413", async () => {
  assert.equal((await hook("POST", base, "x".repeat(1024 * 1024 + 1))).status, 413);
  assert.equal((await hook("POST", `${base}?mode=void`, "x".repeat(1024 * 1024))).status, 200);
});

test("not active, not granted, not installed, of another organisation: 404, and nothing is stored", async () => {
  const before = (await stored()).length;
  for (const path of [
    "/webhooks/acme/none",
    "/webhooks/none/acme.probe",
    "/webhooks/globex/acme.probe",
    "/webhooks/acme",
    "/webhooks",
  ])
    assert.equal((await hook("POST", path, "x")).status, 404, path);
  await hub.request("POST", "/api/plugins/acme.probe/deactivate", { token: acme.adminKey });
  assert.equal((await hook("POST", base, "x")).status, 404);
  await hub.request("POST", "/api/plugins/acme.probe/activate", { token: acme.adminKey });
  assert.equal((await hook("POST", base, "x")).status, 200);
  const grants = probe().manifest["permissions"] as string[];
  await hub.request("PUT", "/api/plugins/acme.probe/grants", { token: acme.adminKey, body: { grants } });
  assert.equal((await hook("POST", base, "x")).status, 404);
  await hub.request("PUT", "/api/plugins/acme.probe/grants", { token: acme.adminKey, body: { grants: "all" } });
  assert.equal((await stored()).length, before + 1);
});

test("a plugin without a webhook handler answers 200 and gets the request itself later", async () => {
  await hub.install("acme", {
    manifest: {
      id: "acme.silent",
      permissions: ["network:inbound", "event:publish:seen.*"],
      contributes: { channel: { description: "x", types: ["x"] } },
    },
    code: `export default { channel: { type: "x", async handleIncomingEvent(item, ctx) { await ctx.emitEvent("seen.raw", item); } } };`,
  });
  const answer = await hook("POST", "/webhooks/acme/acme.silent/x?y=1", "hello", {
    "content-type": "text/plain",
    authorization: "Bearer of-the-vendor",
  });
  assert.deepEqual([answer.status, answer.text], [200, ""]);
  const [event] = await until(async () => {
    const { body } = await hub.request("GET", "/api/events?type=seen.raw", { token: acme.viewerKey });
    return body.events.length > 0 && body.events;
  });
  const { id, headers, ...rest } = event.data;
  assert.ok(id && headers["content-type"] === "text/plain");
  // Nobody checked it, and people may see the item.
  assert.equal(headers["authorization"], undefined);
  assert.deepEqual(rest, { method: "POST", url: `${publicUrl}/webhooks/acme/acme.silent/x?y=1`, rawBody: "hello" });
});

const taker = (code: string, id: string, permissions: string[]) => ({
  manifest: {
    id,
    permissions: ["network:inbound", "event:publish:taken.*", ...permissions],
    contributes: { channel: { description: "x", types: ["x"] }, webhook: { description: "x" } },
  },
  code: `export default {
    webhook: (request) => ({ accept: [JSON.parse(request.rawBody)] }),
    channel: { type: "x", handleIncomingEvent: async (item) => (${code}) },
  };`,
});
const eventsOf = async (type: string) =>
  (await hub.request("GET", `/api/events?type=${type}&limit=200`, { token: acme.adminKey })).body.events;
const failures = async (plugin: string) =>
  (
    await hub.hub.store.db
      .selectFrom("deliveries")
      .select("error")
      .where("consumer", "=", `webhook:${plugin}`)
      .where("error", "is not", null)
      .execute()
  ).map(({ error }) => JSON.stringify(error));

test("entities and events that a channel answers are stored together, and references of events become ids", async () => {
  const code = `{
    entities: [
      { type: "messages", externalId: item.id, data: { body: "hi", conversationId: { $ref: "conversations", externalId: "c" } } },
      { type: "conversations", externalId: "c", data: { channel: "x" } },
    ],
    events: [{ type: "taken.message", id: item.id, data: {
      message: { $ref: "messages", externalId: item.id }, deep: [{ conversation: { $ref: "conversations", externalId: "c" } }],
      nobody: { $ref: "messages", externalId: "other" }, schema: { $ref: "#/definitions/x" },
    } }],
  }`;
  await hub.install("acme", taker(code, "acme.taker", ["data:write:messages", "data:write:conversations"]));
  assert.equal((await hook("POST", "/webhooks/acme/acme.taker", { id: "m1" })).status, 200);
  const [event] = await until(async () => {
    const events = await eventsOf("taken.message");
    return events.length > 0 && events;
  });
  const { rows } = await sql<{ id: string; type: string; data: Record<string, unknown>; created: string }>`
    select id, type, data, xmin::text as created from entities where source = 'acme.taker' order by type`.execute(
    hub.hub.store.db,
  );
  const [conversation, message] = rows;
  assert.equal(rows.length, 2);
  assert.equal(conversation?.created, message?.created);
  assert.equal(message?.data["conversationId"], conversation?.id);
  assert.deepEqual(event.data, {
    message: message?.id,
    deep: [{ conversation: conversation?.id }],
    nobody: null,
    schema: { $ref: "#/definitions/x" },
  });
});

test("a channel's answer that may not be stored as a whole leaves nothing: other rows, other events, references to others", async () => {
  const entity = `{ type: "messages", externalId: "m", data: { body: "x" } }`;
  const answers = [
    `{ entities: [${entity}, { type: "contacts", externalId: "c", data: {} }] }`,
    `{ entities: [${entity}], events: [{ type: "comms.MessageReceived", data: {} }] }`,
    `{ entities: [${entity}], events: [{ type: "taken.x", data: [{ $ref: "contacts", externalId: "c", source: "acme.taker" }] }] }`,
    `{ entities: [${entity}, { type: "messages", data: {} }] }`,
  ];
  for (const [n, code] of answers.entries()) {
    const id = `acme.refused${n}`;
    await hub.install("acme", taker(code, id, ["data:write:messages"]));
    assert.equal((await hook("POST", `/webhooks/acme/${id}`, { id: "1" })).status, 200);
    const [error] = await until(async () => {
      const failed = await failures(id);
      return failed.length > 0 && failed;
    });
    assert.match(String(error), /permission_denied|result_invalid/);
    const { rows } = await sql`select 1 from entities where source = ${id}`.execute(hub.hub.store.db);
    assert.equal(rows.length, 0);
  }
});

test("the handler has 10 seconds, whatever the manifest allows: then 504", async () => {
  const { answer, ms } = await hung;
  assert.equal(answer.status, 504, answer.text);
  assert.ok(ms >= 9_500 && ms < 20_000, `${ms}`);
});
