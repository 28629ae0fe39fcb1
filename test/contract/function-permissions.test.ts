/** The permissions of a function hold by what grants include, not by their text. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestHub } from "../kit/start-test-hub.ts";

test("a function runs when a wider grant includes what it needs, and is denied when none does", async () => {
  await using hub = await startTestHub();
  await hub.organization("acme");
  const functions = [
    { name: "emits", description: "x", permissions: ["event:publish:order.created"] },
    { name: "calls", description: "x", permissions: ["network:outbound:eu.vendor.com"] },
  ];
  await hub.install("acme", {
    manifest: {
      id: "acme.wide",
      permissions: ["event:publish:order.*"],
      optionalPermissions: ["network:outbound:*.vendor.com"],
      contributes: { functions },
    },
    code: `import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({ functions: { emits: () => "ran", calls: () => "ran" } });`,
  });
  for (const name of ["emits", "calls"]) assert.equal((await hub.call("acme", "acme.wide", name)).body.result, "ran");
  const { status } = await hub.request("PUT", "/api/plugins/acme.wide/grants", {
    org: "acme",
    body: { grants: ["event:publish:order.*"] },
  });
  assert.equal(status, 200);
  const denied = await hub.call("acme", "acme.wide", "calls");
  assert.equal(denied.body.code, "permission_denied");
  assert.equal(denied.status, 403);
});
