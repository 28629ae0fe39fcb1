/** CONTRACT, "Embedding", word for word, with the manifest of MLEbotics' documentation; and what else an embedder meets. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Platform } from "../../src/embed/platform.ts";
import { createPlatform, PlatformRuntime } from "../../src/main.ts";
import { packSource } from "../kit/start-test-hub.ts";

/** As MLEbotics documents it. */
const slackNotifier = {
  id: "mlebotics/slack-notifier",
  name: "Slack Notifier",
  version: "1.2.0",
  description: "Send workflow notifications to Slack.",
  author: "MLEbotics",
  license: "MIT",
  capabilities: ["notification"],
  permissions: ["network:outbound", "read:org"],
  config: [
    { key: "channel", type: "string", label: "Channel", required: true },
    { key: "token", type: "string", label: "Bot Token", required: true },
  ],
};
const code = (expected: string) => (error: { code?: string }) => error.code === expected;

let dataDir: string;
let platform: Platform;
before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "backplane-embed-"));
  platform = await createPlatform({ dataDir, logLevel: "silent" });
});
after(async () => {
  await platform.close();
  await rm(dataDir, { recursive: true, force: true });
});

test("the documented life of a plugin: pending_config, active, disabled, gone", async () => {
  const rt = await platform.runtime("org-123");
  const plugin = await rt.plugin.install(slackNotifier, { grants: "all" });
  assert.equal(plugin.status, "pending_config");
  await assert.rejects(rt.plugin.activate(plugin.id), code("activation_blocked"));
  const configured = await rt.plugin.updateConfig(plugin.id, { channel: "#alerts", token: "xoxb-canary" });
  assert.deepEqual(configured.config, { channel: "#alerts", token: "********" });
  assert.equal((await rt.plugin.activate(plugin.id)).status, "active");
  assert.deepEqual(
    (await rt.plugin.listPlugins()).map(({ id, status }) => [id, status]),
    [[slackNotifier.id, "active"]],
  );
  assert.equal((await rt.plugin.deactivate(plugin.id)).status, "disabled");
  await rt.plugin.uninstall(plugin.id);
  assert.deepEqual(await rt.plugin.listPlugins(), []);
});

test("PlatformRuntime.create is the runtime of the process's default platform, and answers as it does", async () => {
  const rt = PlatformRuntime.create("org-456");
  const plugin = await rt.plugin.install(slackNotifier, { grants: "all" });
  assert.equal((await rt.plugin.updateConfig(plugin.id, { channel: "#a", token: "xoxb-1" })).status, "pending_config");
  assert.equal((await rt.plugin.activate(plugin.id)).status, "active");
  assert.deepEqual(
    (await (await platform.runtime("org-456")).plugin.listPlugins()).map(({ id }) => id),
    [plugin.id],
  );
  assert.deepEqual(await (await platform.runtime("org-123")).plugin.listPlugins(), []);
});

test("an unknown permission is refused by name", async () => {
  const rt = await platform.runtime("org-123");
  await assert.rejects(
    rt.plugin.install({ ...slackNotifier, id: "mlebotics/other", permissions: ["launch:missiles"] }),
    (error: { code?: string; errors?: { message: string }[] }) =>
      error.code === "invalid_manifest" && JSON.stringify(error.errors).includes("launch:missiles"),
  );
});

test("a manifest without code that names no package is a declaration: it lives, and its functions answer no_code", async () => {
  const rt = await platform.runtime("org-123");
  const plugin = await rt.plugin.install({
    id: "acme.declared",
    name: "Declared",
    version: "1.0.0",
    contributes: { functions: [{ name: "hello", description: "x" }] },
  });
  assert.equal((await rt.plugin.activate(plugin.id)).status, "active");
  await assert.rejects(rt.plugin.invoke(plugin.id, "hello"), code("no_code"));
  await assert.rejects(rt.plugin.invoke(plugin.id, "other"), code("function_not_found"));
  await rt.plugin.uninstall(plugin.id);
});

test("a package's bytes are published and installed; its functions run; errors have codes", async () => {
  const rt = await platform.runtime("org-123");
  const tgz = await packSource({
    manifest: {
      id: "acme.sums",
      contributes: {
        functions: [
          { name: "add", description: "x" },
          { name: "fail", description: "x" },
        ],
      },
    },
    code: `export default { functions: { add: ({ a, b }) => a + b, fail: () => { throw new Error("no"); } } };`,
  });
  const plugin = await rt.plugin.install(tgz, { grants: "all" });
  await rt.plugin.activate(plugin.id);
  assert.equal(await rt.plugin.invoke(plugin.id, "add", { a: 2, b: 3 }), 5);
  await assert.rejects(rt.plugin.invoke(plugin.id, "fail"), code("plugin_error"));
  const executions = await rt.executions.list({ plugin: plugin.id });
  assert.deepEqual(
    executions.map(({ status }) => status),
    ["failed", "succeeded"],
  );
  await assert.rejects((await platform.runtime("org-456")).plugin.get(plugin.id), code("not_found"));
});

test("events are published once per id", async () => {
  const rt = await platform.runtime("org-123");
  assert.deepEqual(await rt.events.publish({ type: "shop.opened", id: "e-1" }), { id: "e-1" });
  assert.deepEqual(await rt.events.publish({ type: "shop.opened", id: "e-1" }), { id: "e-1" });
});

test("an event is held to what HTTP holds it to: its type, and what is the hub's or a plugin's alone", async () => {
  const rt = await platform.runtime("org-123");
  for (const event of [
    { type: "shop" },
    { type: "shop.*" },
    { type: "Shop.opened" },
    { type: "plugin.installed" },
    { type: "shop.opened", id: "plugin:acme.sums#1" },
    { type: "shop.opened", id: "hub:message:1" },
  ])
    await assert.rejects(rt.events.publish(event), code("invalid_input"), JSON.stringify(event));
});

test("one folder, one hub: a second platform on it is refused, and the first goes on", async () => {
  await assert.rejects(createPlatform({ dataDir, logLevel: "silent" }), code("data_folder_locked"));
  assert.ok(Array.isArray(await (await platform.runtime("org-123")).plugin.listPlugins()));
});
