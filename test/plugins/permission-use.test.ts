import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertManifest } from "../../src/manifest/parse-manifest.ts";
import { withoutComments } from "./bundled-plugin.ts";
import { uncoveredUses, unusedPermissions } from "./permission-use.ts";

const plugin = (permissions: string[], code: string, contributes: object = {}) => ({
  manifest: assertManifest({ id: "acme.x", name: "X", version: "1.0.0", permissions, contributes }),
  code,
});

describe("the scan for permissions", () => {
  const used: [permission: string, code: string, contributes?: object][] = [
    ["network:outbound:api.vendor.com", 'ctx.http.get("https://api.vendor.com/v1")'],
    ["network:outbound:*.vendor.com", "await ctx.http.post(`https://eu.vendor.com/v1`, {})"],
    ["network:inbound", "", { webhook: {} }],
    ["event:publish:order.*", 'ctx.emitEvent("order.created", {})'],
    ["event:subscribe:order.*", "", { subscriptions: ["order.created"] }],
    ["data:read:contacts", 'ctx.data.query<Contact>("contacts", {})'],
    ["data:write:contacts", 'ctx.data.upsert("contacts", item)'],
    ["storage:read", 'ctx.storage.list({ prefix: "a" })'],
    ["storage:write", 'ctx.storage.put("a", text)'],
    ["plugin:call:acme.base", 'ctx.plugins.call("acme.base", "run")'],
  ];
  for (const [permission, code, contributes] of used) {
    test(`${permission} is found in use, and missed without the use`, () => {
      assert.deepEqual(unusedPermissions(plugin([permission], code, contributes)), []);
      assert.deepEqual(unusedPermissions(plugin([permission], "")), [permission]);
    });
    if (code !== "")
      test(`${permission} is missed when only the use is there`, () =>
        assert.notDeepEqual(uncoveredUses(plugin([], code)), []));
  }

  test("a permission without an ability behind it counts as unused", () =>
    assert.deepEqual(unusedPermissions(plugin(["read:org"], "anything")), ["read:org"]));

  test("comments are not code, and addresses are not comments", () => {
    const code = withoutComments(
      '/** https://a.example */\nctx.http.get("https://b.example/x"); // https://c.example\n',
    );
    assert.ok(!code.includes("a.example") && code.includes("b.example") && !code.includes("c.example"));
  });
});
