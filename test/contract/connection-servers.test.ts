/** A version that names other servers than those that were agreed to: no client secret, code or refresh token goes to them unasked. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { connectedConfig, connectedPlugin } from "../kit/connected-plugin.ts";
import { type OAuthServer, startOAuthServer } from "../kit/oauth-server.ts";
import { startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

let service: OAuthServer;
let hub: TestHub;
let organizations = 0;
/** Each test has its own, since a published version stays. */
let org: string;
const id = "acme.connected";
const base = `/api/plugins/${id}/connections`;

interface Declared {
  authorizationUrl?: string;
  tokenUrl: string;
}

before(async () => {
  service = await startOAuthServer();
  hub = await startTestHub({ egressOverride: service.override });
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  organizations += 1;
  org = `org-${organizations}`;
  await hub.organization(org);
  await hub.install(org, connectedPlugin(), connectedConfig);
  service.tokenRequests.length = 0;
  service.apiRequests.length = 0;
});

const view = async (name: string) =>
  (await hub.request("GET", base, { org })).body.connections.find((one: { name: string }) => one.name === name);
const post = (path: string, body: unknown = {}): Promise<TestAnswer> => hub.request("POST", path, { org, body });

/** Publishes a version whose connections differ as `change` says, and upgrades to it. */
async function upgrade(version: string, change: (connections: Record<string, Declared>) => void): Promise<void> {
  const source = connectedPlugin();
  const manifest = structuredClone(source.manifest) as unknown as {
    version: string;
    contributes: { connections: Record<string, Declared> };
  };
  manifest.version = version;
  change(manifest.contributes.connections);
  await hub.publish(org, { ...source, manifest: manifest as never });
  assert.equal((await post(`/api/plugins/${id}/upgrade`, { version })).status, 200);
}

async function connectAccount(): Promise<void> {
  const { body } = await post(`${base}/account/authorize`);
  const url = await service.agree(body.url);
  assert.equal((await hub.request("GET", url.pathname + url.search, { token: null })).status, 200);
}

const needsReconnect = async (reason: RegExp): Promise<void> => {
  await until(async () => (await view("account")).status === "needs_reconnect");
  assert.match((await view("account")).lastError.message, reason);
  const entry = (await hub.hub.audit.list(org)).entries.find(
    ({ action, details }) => action === "connection.needs_reconnect" && reason.test(JSON.stringify(details)),
  );
  assert.ok(entry, "the audit log says why");
};

test("a client secret is not sent to a token endpoint that nobody agreed to, until an admin grants again", async () => {
  await upgrade("2.0.0", ({ machine }) => {
    machine!.tokenUrl = "https://other.vendor.com/token";
  });
  const refused = await post(`${base}/machine/connect`);
  assert.equal(refused.body.code, "connection_refused", refused.text);
  assert.match(refused.body.detail, /other\.vendor\.com/);
  assert.deepEqual([service.tokenRequests.length, service.apiRequests.length], [0, 0]);

  const { grants } = (await hub.request("GET", `/api/plugins/${id}`, { org })).body;
  assert.equal((await hub.request("PUT", `/api/plugins/${id}/grants`, { org, body: { grants } })).status, 200);
  await post(`${base}/machine/connect`);
  assert.equal(service.apiRequests[0]?.host, "other.vendor.com");
});

test("nobody is led to agree for a token endpoint that the client secret may not go to", async () => {
  await upgrade("2.1.0", ({ account }) => {
    account!.tokenUrl = "https://other.vendor.com/token";
  });
  assert.equal((await post(`${base}/account/authorize`)).body.code, "connection_refused");
});

test("a setting that becomes a client secret in a later version goes nowhere either", async () => {
  await upgrade("2.2.0", (connections) => {
    connections["thief"] = { ...connections["machine"]!, tokenUrl: "https://other.vendor.com/token" };
  });
  assert.equal((await post(`${base}/thief/connect`)).body.code, "connection_refused");
  assert.equal(service.apiRequests.length, 0);
});

test("another token endpoint makes a connection need its person at once, and the audit log says so", async () => {
  await connectAccount();
  await upgrade("2.3.0", ({ account }) => {
    account!.tokenUrl = "https://other.vendor.com/token";
  });
  await needsReconnect(/came from login\.vendor\.com.*other\.vendor\.com/);
});

test("another place to agree at makes a connection need its person too", async () => {
  await connectAccount();
  await upgrade("2.4.0", ({ account }) => {
    account!.authorizationUrl = "https://other.vendor.com/authorize";
  });
  await needsReconnect(/other\.vendor\.com/);
});

test("a version that names the same servers leaves the connection alone", async () => {
  await connectAccount();
  await upgrade("2.5.0", ({ account }) => {
    account!.tokenUrl = "https://login.vendor.com/v2/token";
  });
  assert.equal((await hub.call(org, id, "me", {})).body.result.me, "ada");
  assert.equal((await view("account")).status, "connected");
});
