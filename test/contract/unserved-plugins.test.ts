/** What this version of the hub cannot run: it says so when it is asked to, and never pretends to. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type PluginSource, startTestHub, type TestAnswer, type TestHub } from "../kit/start-test-hub.ts";

const sentence = "remote plugins are not served by this version of the hub";
const code = `import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({ functions: { hi: () => "hi" } });`;
const contributes = { functions: [{ name: "hi", description: "x" }] };

const source = (manifest: PluginSource["manifest"]): PluginSource => ({ manifest: { contributes, ...manifest }, code });

let hub: TestHub;
before(async () => {
  hub = await startTestHub();
  await hub.organization("acme");
});
after(() => hub.close({ drainMs: 0 }));

const install = (id: string, version = "1.0.0"): Promise<TestAnswer> =>
  hub.request("POST", "/api/plugins", { org: "acme", body: { id, version, grants: "all" } });
const activate = (id: string): Promise<TestAnswer> =>
  hub.request("POST", `/api/plugins/${id}/activate`, { org: "acme" });
const publish = async (manifest: PluginSource["manifest"]): Promise<void> => {
  const { status, text } = await hub.publish("acme", source(manifest));
  assert.equal(status, 201, text);
};

test("a remote plugin can be published and installed as what it is; activation is refused with the reason", async () => {
  await publish({ id: "acme.remote", runtime: "remote" });
  const installed = await install("acme.remote");
  assert.equal(installed.status, 201, installed.text);
  assert.equal(installed.body.runtime, "remote");
  const refused = await activate("acme.remote");
  assert.equal(refused.status, 409, refused.text);
  assert.equal(refused.body.code, "activation_blocked");
  assert.equal(refused.body.detail, `Plugin 'acme.remote' cannot be activated: ${sentence}.`);
  assert.deepEqual(refused.body.errors, [{ path: "runtime", message: `${sentence}.` }]);
  const called = await hub.call("acme", "acme.remote", "hi");
  assert.equal(called.body.code, "plugin_not_active");
});

test("an active plugin whose new version is remote waits with the reason, and runs again after the way back", async () => {
  await publish({ id: "acme.moves" });
  await publish({ id: "acme.moves", version: "2.0.0", runtime: "remote" });
  await install("acme.moves");
  assert.equal((await activate("acme.moves")).status, 200);
  const upgrade = (version: string): Promise<TestAnswer> =>
    hub.request("POST", "/api/plugins/acme.moves/upgrade", { org: "acme", body: { version } });
  const { body } = await upgrade("2.0.0");
  assert.deepEqual([body.runtime, body.status, body.statusReason], ["remote", "pending_config", sentence]);
  assert.equal((await activate("acme.moves")).status, 409);
  assert.equal((await upgrade("1.0.0")).body.runtime, "isolate");
  assert.equal((await activate("acme.moves")).status, 200);
  assert.equal((await hub.call("acme", "acme.moves", "hi")).body.result, "hi");
});

test("a plugin for other versions of the hub is not installed nor upgraded to; the answer names both versions", async () => {
  await publish({ id: "acme.engine", engines: { backplane: ">=0.1.0" } });
  await publish({ id: "acme.engine", version: "2.0.0", engines: { backplane: "^99.0.0" } });
  const refused = await install("acme.engine", "2.0.0");
  assert.equal(refused.status, 409, refused.text);
  assert.equal(refused.body.code, "hub_version_unsupported");
  assert.match(refused.body.detail, /^Plugin 'acme\.engine' needs Backplane \^99\.0\.0; this hub is \d+\.\d+\.\d+/);
  assert.equal((await install("acme.engine")).status, 201);
  const upgrade = { org: "acme", body: { version: "2.0.0" } };
  const stays = await hub.request("POST", "/api/plugins/acme.engine/upgrade", upgrade);
  assert.equal(stays.body.code, "hub_version_unsupported");
  assert.equal((await hub.request("GET", "/api/plugins/acme.engine", { org: "acme" })).body.version, "1.0.0");
});
