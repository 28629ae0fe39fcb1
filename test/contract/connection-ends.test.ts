/** How connections end at the service, and how idle ones are kept from ending there. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { connectedConfig, connectedPlugin } from "../kit/connected-plugin.ts";
import { type OAuthServer, startOAuthServer } from "../kit/oauth-server.ts";
import { startTestHub, type TestHub } from "../kit/start-test-hub.ts";

let service: OAuthServer;
let hub: TestHub;
const org = "acme";
const id = "acme.connected";
const base = `/api/plugins/${id}/connections`;

before(async () => {
  service = await startOAuthServer();
  hub = await startTestHub({ egressOverride: service.override });
  await hub.organization(org);
  const source = connectedPlugin();
  const { connections } = (source.manifest as unknown as { contributes: { connections: Record<string, object> } })
    .contributes;
  Object.assign(connections["account"]!, { revocationUrl: "https://login.vendor.com/revoke" });
  await hub.install(org, source, connectedConfig);
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  service.failing = undefined;
  const { body } = await hub.request("POST", `${base}/account/authorize`, { org, body: {} });
  const url = await service.agree(body.url);
  assert.equal((await hub.request("GET", url.pathname + url.search, { token: null })).status, 200);
  service.tokenRequests.length = 0;
  service.revocations.length = 0;
});

const disconnect = () => hub.request("DELETE", `${base}/account`, { org });
const audited = async () =>
  (await hub.hub.audit.list(org)).entries.filter(({ action }) => /^connection\.revo/.test(action))[0];

test("disconnecting takes the refresh token back at the service, and the audit log says so", async () => {
  const refresh = service.issued.at(-1)!;
  assert.match(refresh, /^rt-/);
  assert.equal((await disconnect()).status, 204);
  const [form] = service.revocations;
  assert.deepEqual([form?.get("token"), form?.get("token_type_hint")], [refresh, "refresh_token"]);
  assert.equal((await audited())?.action, "connection.revoked");
});

test("a service that refuses does not keep a connection from ending; the audit log says why", async () => {
  service.failing = { status: 503, body: { error: "busy" } };
  assert.equal((await disconnect()).status, 204);
  const entry = await audited();
  assert.equal(entry?.action, "connection.revocation_failed");
  assert.match(JSON.stringify(entry?.details), /503|busy/);
  assert.ok(!JSON.stringify(entry).includes(service.issued.at(-1)!));
  const { body } = await hub.request("GET", base, { org });
  assert.equal(body.connections[0].status, "not_connected");
});

test("a refresh token that nobody used for a week is renewed once, however many nodes look; a younger one is left alone", async () => {
  assert.equal(await hub.hub.connections.renewIdle(), 0);
  const idleFor = (days: number) =>
    hub.hub.store.db
      .updateTable("connections")
      .set({ connected_at: new Date(Date.now() - days * 86_400_000), refreshed_at: null })
      .where("name", "=", "account")
      .execute();
  await idleFor(6);
  hub.hub.connections.tokens.forget();
  assert.equal(await hub.hub.connections.renewIdle(), 0);
  await idleFor(8);
  hub.hub.connections.tokens.forget();
  await Promise.all([hub.hub.connections.renewIdle(), hub.hub.connections.renewIdle()]);
  assert.deepEqual(
    service.tokenRequests.map(({ grant }) => grant),
    ["refresh_token"],
  );
  assert.equal(await hub.hub.connections.renewIdle(), 0);
  const { body } = await hub.request("GET", base, { org });
  assert.ok(body.connections[0].refreshedAt);
  assert.equal((await hub.call(org, id, "me", {})).body.result.me, "ada");
});
