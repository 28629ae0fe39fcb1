import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestedPlugin, TestPluginOptions } from "../../plugin-api/src/testing.ts";
import { composeHub } from "../main.ts";
import { createPluginKit } from "./plugin-kit.ts";
import { createKitHub, type KitHub } from "./tested-hub.ts";

const manifest = {
  id: "acme.kit",
  name: "Kit",
  version: "1.0.0",
  entrypoint: "./index.ts",
  permissions: [
    "network:outbound:api.example.com",
    "network:inbound",
    "event:publish:kit.*",
    "event:subscribe:order.*",
    "data:read:contacts",
  ],
  optionalPermissions: ["network:outbound:*.optional.com"],
  configSchema: {
    type: "object",
    properties: { key: { type: "string", format: "secret", hosts: ["api.example.com"] }, clientId: { type: "string" } },
    required: ["key"],
  },
  contributes: {
    functions: [
      { name: "ask", parameters: { type: "object", properties: { path: { type: "string" } }, required: ["path"] } },
      { name: "fail" },
      { name: "spin" },
      { name: "optional" },
      { name: "names" },
      { name: "connected" },
    ],
    connections: {
      account: {
        grant: "authorization_code",
        authorizationUrl: "https://api.example.com/authorize",
        tokenUrl: "https://api.example.com/token",
        hosts: ["api.example.com"],
        clientAuthentication: "none",
      },
    },
    subscriptions: ["order.*"],
  },
  resources: { cpuMs: 200 },
};

const code = `
import { definePlugin } from "@backplane/plugin-api";
export default definePlugin<{ key: string }>({
  functions: {
    async ask({ path }: { path: string }, ctx) {
      ctx.logger.warn("asking", { key: ctx.config.key });
      return { sees: ctx.config.key, answer: await ctx.http.get("https://api.example.com/" + path, { authorization: ctx.config.key }) };
    },
    fail() { throw new RangeError("out of cheese"); },
    spin() { for (;;); },
    async optional(_, ctx) { return (await ctx.http.fetch("https://a.optional.com/")).status; },
    async connected(_, ctx) { return ctx.http.get("https://api.example.com/me", { authorization: "Bearer " + ctx.config["account"] }); },
    async names(_, ctx) { return (await ctx.data.query("contacts", {}, { orderBy: "name" })).map((row) => row["name"]); },
  },
  subscriptions: {
    async "order.*"(event, ctx) { await ctx.emitEvent("kit.saw", event.data, { subject: event.subject }); },
  },
  webhook({ url, headers, rawBody }) {
    if (headers["x-ok"] !== "1") return { status: 403, body: "no" };
    return { status: 202, headers: { "content-type": "text/xml" }, body: url, accept: [JSON.parse(rawBody)] };
  },
  channel: {
    async handleIncomingEvent(item, ctx) { await ctx.emitEvent("kit.item", item); },
    async sendMessage(message) { return { externalId: "x" + message.id }; },
  },
  health() { return { status: "degraded", message: "so so" }; },
});
`;

let dir: string;
let kit: (options?: TestPluginOptions) => Promise<TestedPlugin>;
let started: Promise<KitHub> | undefined;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "kit-"));
  await writeFile(join(dir, "plugin.json"), JSON.stringify(manifest));
  await writeFile(join(dir, "index.ts"), code);
  const start = createKitHub(composeHub, join(dir, "data"));
  const make = createPluginKit({ dir, hub: () => (started = start()) });
  kit = (options = {}) => make({ config: { key: "s3cret-value" }, ...options });
});

after(async () => {
  const running = await started;
  await running?.hub.close({ drainMs: 0 });
  await running?.services[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

test("a call runs in the sandbox: the secret leaves the hub, and the plugin and its log never see it", async () => {
  await using plugin = await kit({ http: [{ url: "https://api.example.com/x", answer: { body: { n: 1 } } }] });
  const result = await plugin.call<{ sees: string; answer: unknown }>("ask", { path: "x" });
  assert.deepEqual(result.answer, { n: 1 });
  assert.doesNotMatch(result.sees, /s3cret/);
  assert.equal(plugin.requests[0]?.headers["authorization"], "s3cret-value");
  assert.equal(plugin.logs[0]?.level, "warn");
  assert.doesNotMatch(JSON.stringify(plugin.logs), /s3cret/);
});

test("a failure has the caller's code and the author's own stack", async () => {
  await using plugin = await kit();
  const error = await plugin.call("fail").catch((thrown: Error & { code?: string }) => thrown);
  assert.ok(error instanceof Error);
  assert.equal((error as { code?: string }).code, "plugin_error");
  assert.match(error.message, /out of cheese/);
  assert.match(error.stack ?? "", /index\.ts:\d+/);
  await assert.rejects(plugin.call("ask", {}), { code: "invalid_parameters" });
  await assert.rejects(plugin.call("nope"), { code: "function_not_found" });
});

test("limits hold as in production", async () => {
  await using plugin = await kit();
  await assert.rejects(plugin.call("spin"), { code: "cpu_exceeded" });
});

test("a request that no script answers fails with the script to write", async () => {
  await using plugin = await kit();
  await assert.rejects(
    plugin.call("ask", { path: "missing" }),
    /No script answered GET https:\/\/api\.example\.com\/missing/,
  );
});

test("what was not granted is denied, and granting it changes that", async () => {
  await using plugin = await kit({
    grants: manifest.permissions,
    http: [{ url: "https://a.optional.com/", answer: { status: 204 } }],
  });
  await assert.rejects(plugin.call("optional"), /egress_denied|not granted|not allowed/);
  await plugin.grant("all");
  assert.equal(await plugin.call("optional"), 204);
});

test("events reach matching subscriptions, and what they publish is there at once", async () => {
  await using plugin = await kit();
  await plugin.deliver({ type: "order.created", data: { total: 1 }, subject: "o1" });
  assert.deepEqual(
    plugin.events.map(({ type, data, subject }) => ({ type, data, subject })),
    [{ type: "kit.saw", data: { total: 1 }, subject: "o1" }],
  );
  await assert.rejects(plugin.deliver({ type: "invoice.paid" }), /subscribes to nothing/);
});

test("a webhook is answered, and what it accepted is handled", async () => {
  await using plugin = await kit();
  const refused = await plugin.webhook({ body: { id: "1" } });
  assert.deepEqual([refused.status, refused.accepted], [403, []]);
  const taken = await plugin.webhook({ path: "/in?x=1", headers: { "X-OK": "1" }, body: { id: "1" } });
  assert.equal(taken.status, 202);
  assert.equal(taken.body, `${plugin.webhookUrl}/in?x=1`);
  assert.deepEqual(plugin.events[0]?.data, { id: "1" });
});

test("channel methods, health and seeded rows", async () => {
  await using plugin = await kit({ data: { contacts: [{ name: "Bo" }, { name: "Ada" }] } });
  assert.deepEqual(await plugin.channel("sendMessage", { id: "7" }), { externalId: "x7" });
  assert.deepEqual(await plugin.health(), { status: "degraded", message: "so so" });
  assert.deepEqual(await plugin.call("names"), ["Ada", "Bo"]);
  assert.equal((await plugin.rows("contacts")).length, 2);
  assert.deepEqual(plugin.events, [], "seeding is not the plugin's doing");
});

test("two plugins in one test see nothing of each other", async () => {
  await using one = await kit({ data: { contacts: [{ name: "One" }] } });
  await using two = await kit({ http: [{ url: "https://api.example.com/x", answer: { body: 2 } }] });
  await two.call("ask", { path: "x" });
  assert.deepEqual([one.requests.length, one.logs.length, two.requests.length], [0, 0, 1]);
  assert.deepEqual(await two.call("names"), []);
});

test("a configuration that the schema refuses says which field", async () => {
  await assert.rejects(kit({ config: {} }), /key/);
  await assert.rejects(kit({ config: { key: 7 } }), /key/);
});

test("`connections` are connected: the request has the token, the plugin a handle; others say that they are not", async () => {
  await using plugin = await kit({
    connections: { account: "tok-1" },
    http: [
      { url: "https://api.example.com/me", answer: ({ headers }) => ({ body: { saw: headers["authorization"] } }) },
    ],
  });
  const answer = await plugin.call<{ saw: string }>("connected");
  assert.equal(plugin.requests[0]?.headers["authorization"], "Bearer tok-1");
  assert.match(answer.saw, /^Bearer bpsec\.v1\.account\./);
  await using other = await kit();
  await assert.rejects(other.call("connected"), /connect acme\.kit account/);
  await assert.rejects(kit({ connections: { acount: "x" } }), { code: "not_found" });
});
