/** Secrets of answers that the hub keeps for a plugin: used, listed, forgotten; never read back, borrowed or sent elsewhere. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, beforeEach, test } from "node:test";
import { type PluginSource, startTestHub, type TestHub } from "../kit/start-test-hub.ts";

const token = 'access-sandbox-"1"/0123456789';
const id = "acme.bank";
const org = "acme";
let hub: TestHub;
let server: Server;
/** What the service got, in order. */
const received: { host: string; body: string; authorization: string | undefined }[] = [];
/** What `/token` answers. */
let answer: { status: number; type: string; body: string };

const code = `
import { definePlugin } from "@backplane/plugin-api";
const told = async (work) => {
  try { return { ok: await work() }; } catch (error) { return { code: error.code, message: error.message }; }
};
export default definePlugin({
  functions: {
    exchange: ({ seal, url = "https://api.vendor.com/token" }, ctx) => told(async () => {
      const response = await ctx.http.fetch(url, { method: "POST", body: "{}", seal });
      return { status: response.status, text: await response.text() };
    }),
    use: ({ url, handle }, ctx) => told(() => ctx.http.post(url, { access_token: handle }, { authorization: "Bearer " + handle })),
    get: ({ url }, ctx) => told(() => ctx.http.get(url)),
    list: (_p, ctx) => told(() => ctx.secrets.list()),
    forget: ({ name }, ctx) => told(() => ctx.secrets.forget(name)),
    hmac: ({ handle }, ctx) => told(() => ctx.crypto.hmac({ key: handle, data: "x", encoding: "hex" })),
    compare: ({ handle, guess }, ctx) => told(() => ctx.crypto.timingSafeEqual(handle, guess)),
  },
});`;

const plugin = (of = id, permissions: string[] = ["secrets:keep"]): PluginSource => ({
  manifest: {
    id: of,
    permissions: ["network:outbound:api.vendor.com", "network:outbound:other.vendor.com", ...permissions],
    contributes: {
      functions: ["exchange", "use", "get", "list", "forget", "hmac", "compare"].map((name) => ({ name })),
    },
  },
  code,
});

before(async () => {
  server = createServer(async (request, response) => {
    const body = await text(request);
    const { host = "", authorization } = request.headers;
    received.push({ host, body, authorization });
    if (request.url === "/token") {
      response.writeHead(answer.status, { "content-type": answer.type, "x-token": token.replaceAll('"', "") });
      response.end(answer.body);
    } else if (request.url === "/away") {
      response.writeHead(307, { location: "https://other.vendor.com/echo" }).end();
    } else {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(
        JSON.stringify({ body, authorization, later: token, base64: Buffer.from(token).toString("base64") }),
      );
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const hosts = ["api.vendor.com", "other.vendor.com"].map((host) => [host, origin]);
  hub = await startTestHub({ egressOverride: JSON.stringify(Object.fromEntries(hosts)) });
  await hub.organization(org);
  await hub.install(org, plugin());
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  received.length = 0;
  answer = {
    status: 200,
    type: "application/json",
    body: JSON.stringify({ data: { access_token: token }, again: `Bearer ${token}`, item_id: "item-1" }),
  };
});

const call = async (name: string, parameters: unknown = {}, [of, organization] = [id, org] as [string, string]) =>
  (await hub.call(organization, of, name, parameters)).body.result;

async function exchange(name = "item-1"): Promise<string> {
  const { ok } = await call("exchange", { seal: { "data.access_token": name } });
  return JSON.parse(ok.text).data.access_token;
}

test("a field of an answer is sealed before the plugin sees it, and its handle becomes the value at its host", async () => {
  const { ok } = await call("exchange", { seal: { "data.access_token": "item-1" } });
  const { data, again, item_id } = JSON.parse(ok.text);
  assert.match(data.access_token, /^bpsec\.v1\.item-1\./);
  assert.deepEqual([again, item_id], [`Bearer ${data.access_token}`, "item-1"]);
  assert.ok(!ok.text.includes("0123456789"));
  const used = await call("use", { url: "https://api.vendor.com/echo", handle: data.access_token });
  assert.equal(JSON.parse(received.at(-1)!.body).access_token, token);
  assert.equal(received.at(-1)!.authorization, `Bearer ${token}`);
  assert.ok(!JSON.stringify(used).includes("0123456789"), "what the service quotes is a handle");
  const [kept] = (await call("list")).ok;
  assert.deepEqual([kept.name, kept.host], ["item-1", "api.vendor.com"]);
  const stored = JSON.stringify([
    await hub.hub.store.db.selectFrom("kept_secrets").selectAll().execute(),
    await hub.hub.audit.list(org),
    await hub.hub.store.db.selectFrom("executions").selectAll().execute(),
  ]);
  assert.ok(!stored.includes("0123456789"), "the value is in no row");
  assert.match(stored, /secret\.kept/);
});

test("a value spelled with escapes is sealed all the same", async () => {
  answer.body = `{"data":{"access_token":"\\u0061bcdefgh-${"x".repeat(8)}"}}`;
  const { ok } = await call("exchange", { seal: { "data.access_token": "escaped" } });
  assert.ok(!/bcdefgh/.test(ok.text), ok.text);
});

test("a kept secret cannot be read back: not by an echo, not later, not by a hash or a comparison", async () => {
  const handle = await exchange();
  const later = await call("get", { url: "https://api.vendor.com/later" });
  assert.ok(!JSON.stringify(later).includes("0123456789"), "an answer to another request");
  assert.ok(!JSON.stringify(later).includes(Buffer.from(token).toString("base64").slice(4, 20)), "in another encoding");
  assert.equal((await call("hmac", { handle })).code, "secret_misused");
  assert.equal((await call("compare", { handle, guess: token })).code, "secret_misused");
});

test("a kept secret goes to the host it came from and nowhere else, whatever hosts are granted", async () => {
  const handle = await exchange();
  const elsewhere = await call("use", { url: "https://other.vendor.com/echo", handle });
  assert.equal(elsewhere.code, "secret_misused");
  assert.match(elsewhere.message, /came from api\.vendor\.com/);
  received.length = 0;
  await call("use", { url: "https://api.vendor.com/away", handle });
  for (const { host, body, authorization } of received)
    if (host === "other.vendor.com") assert.ok(!`${body} ${authorization}`.includes("0123456789"), "after a redirect");
  const inPath = await call("get", { url: `https://api.vendor.com/${handle}` });
  assert.equal(inPath.code, "secret_misused");
});

test("another plugin, another organisation and a plugin installed anew cannot use the handle or see the name", async () => {
  const handle = await exchange();
  await hub.install(org, plugin("acme.thief"));
  await hub.organization("globex");
  await hub.install("globex", plugin());
  for (const who of [
    ["acme.thief", org],
    [id, "globex"],
  ] as [string, string][]) {
    assert.equal((await call("use", { url: "https://api.vendor.com/echo", handle }, who)).code, "secret_misused");
    assert.deepEqual((await call("list", {}, who)).ok, []);
    assert.equal((await call("forget", { name: "item-1" }, who)).ok, false);
  }
  // A row moved under another's name does not open.
  const { db } = hub.hub.store;
  await call("exchange", { seal: { "data.access_token": "item-1" } }, [id, "globex"]);
  const { sealed } = await db
    .selectFrom("kept_secrets")
    .select("sealed")
    .where("organization_id", "=", org)
    .where("name", "=", "item-1")
    .executeTakeFirstOrThrow();
  await db.updateTable("kept_secrets").set({ sealed }).where("organization_id", "=", "globex").execute();
  await hub.hub.store.notify(db, "kept_secrets", "");
  await new Promise((resolve) => setTimeout(resolve, 200));
  const theirs = (await call("list", {}, [id, "globex"])).ok;
  assert.deepEqual(theirs, [{ ...theirs[0], host: "" }]);

  await hub.request("DELETE", `/api/plugins/acme.thief`, { org });
  await hub.request("DELETE", `/api/plugins/${id}`, { org });
  const left = await db.selectFrom("kept_secrets").select("name").where("organization_id", "=", org).execute();
  assert.deepEqual(left, [], "uninstalling deletes them");
  await hub.install(org, plugin());
  assert.equal((await call("use", { url: "https://api.vendor.com/echo", handle })).code, "secret_misused");
});

test("without `secrets:keep` nothing is kept or used; taken back, the handles work no longer", async () => {
  await hub.install(org, plugin("acme.plain", []));
  const who: [string, string] = ["acme.plain", org];
  assert.equal((await call("exchange", { seal: { "data.access_token": "x" } }, who)).code, "permission_denied");
  assert.equal(received.length, 0, "nothing was asked of the service");
  const handle = await exchange();
  const grants = ["network:outbound:api.vendor.com", "network:outbound:other.vendor.com"];
  await hub.request("PUT", `/api/plugins/${id}/grants`, { org, body: { grants } });
  const refused = await call("use", { url: "https://api.vendor.com/echo", handle });
  assert.equal(refused.code, "secret_misused");
  const later = await call("get", { url: "https://api.vendor.com/later" });
  assert.ok(!JSON.stringify(later).includes("0123456789"), "answers are searched all the same");
  await hub.request("PUT", `/api/plugins/${id}/grants`, { org, body: { grants: [...grants, "secrets:keep"] } });
  assert.ok((await call("use", { url: "https://api.vendor.com/echo", handle })).ok);
});

test("an answer without the field, or with one that cannot be kept, gives nothing to the plugin", async () => {
  for (const body of ["{}", "no json", '{"data":{"access_token":5}}', '{"data":{"access_token":"short"}}']) {
    answer.body = body;
    assert.equal((await call("exchange", { seal: { "data.access_token": "x" } })).code, "secret_misused", body);
  }
  answer.body = JSON.stringify({ data: { access_token: "x".repeat(9_000) } });
  assert.equal((await call("exchange", { seal: { "data.access_token": "x" } })).code, "secret_misused");
  answer = { status: 400, type: "application/json", body: '{"error":"no"}' };
  assert.deepEqual((await call("exchange", { seal: { "data.access_token": "x" } })).ok, {
    status: 400,
    text: '{"error":"no"}',
  });
  for (const seal of [{ "": "x" }, { a: "no name" }, { "__proto__.x": "../y" }, { a: "x", b: "x" }, 5])
    assert.equal((await call("exchange", { seal })).code, "ability_input", JSON.stringify(seal));
});

test("an installation has a hundred at most; forgotten ones make room and work no longer", async () => {
  const handle = await exchange("first");
  assert.equal((await call("forget", { name: "first" })).ok, true);
  assert.equal((await call("use", { url: "https://api.vendor.com/echo", handle })).code, "secret_misused");
  assert.equal((await call("forget", { name: "first" })).ok, false);
  const there = (await call("list")).ok.length;
  const { db } = hub.hub.store;
  const row = { organization_id: org, plugin_id: id, sealed: "x" };
  const { id: installation_id } = await db
    .selectFrom("installations")
    .select("id")
    .where("organization_id", "=", org)
    .where("plugin_id", "=", id)
    .executeTakeFirstOrThrow();
  const rows = Array.from({ length: 100 - there }, (_, n) => ({ ...row, installation_id, name: `n${n}` }));
  await db.insertInto("kept_secrets").values(rows).execute();
  assert.equal((await call("exchange", { seal: { "data.access_token": "more" } })).code, "limit_exceeded");
});
