import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { assertManifest } from "../manifest/parse-manifest.ts";
import { activationBlockers, configFaults, configWithDefaults } from "./activation.ts";
import { consentOf, diffConsent, grantFault, isGrantable, keepGrants, pendingPermissions } from "./consent.ts";
import { isolationGroup } from "./isolation-group.ts";
import { permits } from "./permits.ts";

const manifest = (change: object = {}) =>
  assertManifest({
    id: "acme.notifier",
    name: "Notifier",
    version: "1.0.0",
    permissions: ["network:outbound", "event:subscribe:order.*"],
    optionalPermissions: ["data:read:contacts"],
    configSchema: {
      type: "object",
      properties: {
        channel: { type: "string", default: "#general" },
        token: { type: "string", format: "secret", minLength: 20, expose: true },
        retry: { type: "object", properties: { times: { type: "integer", default: 3 } } },
      },
      required: ["channel", "token"],
    },
    defaultConfig: { retry: { times: 5 } },
    ...change,
  });

describe("consent", () => {
  test("lists every permission with sentence, risk and whether it is required, and exposed secrets in red", () => {
    const { permissions, notices } = consentOf(manifest());
    assert.deepEqual(
      permissions.map(({ permission, required }) => [permission, required]),
      [
        ["network:outbound", true],
        ["event:subscribe:order.*", true],
        ["data:read:contacts", false],
      ],
    );
    assert.ok(permissions.every((item) => item.sentence.endsWith(".")));
    assert.deepEqual(
      notices.map(({ field, risk }) => [field, risk]),
      [["token", "high"]],
    );
  });

  const grants: [string, RegExp | undefined][] = [
    ["network:outbound", undefined],
    ["network:outbound:hooks.slack.com", undefined],
    ["event:subscribe:order.*", undefined],
    ["event:subscribe:order.created", undefined],
    ["data:read:contacts", undefined],
    ["data:write:contacts", /does not ask/],
    ["event:subscribe:invoice.*", /does not ask/],
    ["network:inbound", /does not ask/],
    ["network:outbound:localhost", /local network/],
    ["network:outbound:*", /every host/],
    ["*", /everything/],
  ];
  for (const [grant, reason] of grants) {
    test(`${grant} ${reason ? "cannot" : "can"} be granted`, () => {
      assert.equal(isGrantable(manifest(), grant), reason === undefined);
      if (reason) assert.match(grantFault(manifest(), grant)!, reason);
    });
  }

  test("naming hosts settles the bare network permission", () => {
    assert.deepEqual(pendingPermissions(manifest(), ["network:outbound:hooks.slack.com", "event:subscribe:order.*"]), [
      "data:read:contacts",
    ]);
  });

  test("a narrower grant leaves the wider wish pending", () => {
    assert.ok(pendingPermissions(manifest(), ["event:subscribe:order.created"]).includes("event:subscribe:order.*"));
  });

  test("an upgrade that asks for more is named, and its old grants give it nothing new", () => {
    const next = manifest({
      version: "2.0.0",
      permissions: ["network:outbound", "event:subscribe:order.*", "data:write:contacts"],
    });
    const diff = diffConsent(manifest(), next);
    assert.deepEqual(
      diff.added.map((item) => item.permission),
      ["data:write:contacts"],
    );
    const kept = keepGrants(next, ["network:outbound", "event:subscribe:order.*"]);
    assert.equal(permits(kept, "data:write:contacts"), false);
    assert.deepEqual(pendingPermissions(next, kept), ["data:write:contacts", "data:read:contacts"]);
  });

  test("an upgrade that asks for less lets grants lapse; one that moves a wish says so", () => {
    const next = manifest({ permissions: ["event:subscribe:order.*", "data:read:contacts"], optionalPermissions: [] });
    const diff = diffConsent(manifest(), next);
    assert.deepEqual(
      diff.removed.map((item) => item.permission),
      ["network:outbound"],
    );
    assert.deepEqual(
      diff.changed.map((item) => [item.permission, item.required]),
      [["data:read:contacts", true]],
    );
    assert.deepEqual(keepGrants(next, ["network:outbound", "data:read:contacts"]), ["data:read:contacts"]);
  });

  test("a first installation adds everything", () => assert.equal(diffConsent(undefined, manifest()).added.length, 3));

  test("grants kept over an upgrade never allow what they did not allow before", () => {
    const permission = fc.constantFrom(
      "network:outbound",
      "network:outbound:a.vendor.com",
      "network:outbound:*.vendor.com",
      "event:publish:order.*",
      "event:publish:order.x",
      "data:read:contacts",
      "read:org",
    );
    const list = fc.uniqueArray(permission, { maxLength: 4 });
    fc.assert(
      fc.property(list, list, permission, (given, wanted, needed) => {
        const kept = keepGrants({ permissions: wanted, optionalPermissions: [] }, given);
        return !permits(kept, needed) || permits(given, needed);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("activation", () => {
  test("names every missing setting and grant", () => {
    const blockers = activationBlockers(manifest(), {}, []);
    assert.deepEqual(
      blockers.map(({ kind, what }) => [kind, what]),
      [
        ["config", "token"],
        ["grant", "network:outbound"],
        ["grant", "event:subscribe:order.*"],
      ],
    );
    assert.ok(blockers.every((blocker) => blocker.sentence.length > 20));
  });

  test("is free with config and required grants; masked secrets count as given", () => {
    const grants = ["network:outbound:hooks.slack.com", "event:subscribe:order.*"];
    assert.deepEqual(activationBlockers(manifest(), { token: "********" }, grants), []);
    assert.equal(configFaults(manifest(), { token: "short" }).length, 1);
  });

  test("config lies over defaultConfig, which lies over the schema's defaults", () => {
    assert.deepEqual(configWithDefaults(manifest(), { token: "t" }), {
      channel: "#general",
      retry: { times: 5 },
      token: "t",
    });
    assert.deepEqual(configWithDefaults(manifest(), { retry: { times: 1 }, channel: "#x" }), {
      channel: "#x",
      retry: { times: 1 },
    });
  });

  test("a polluting name in a config changes nothing", () => {
    const merged = configWithDefaults(
      manifest(),
      JSON.parse('{"__proto__": {"polluted": 1}, "retry": {"__proto__": {"polluted": 1}}}'),
    );
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
    assert.equal((merged as Record<string, unknown>)["polluted"], undefined);
  });
});

describe("isolationGroup", () => {
  const subject = { organization: "o1", installation: "i1" };
  test("organisation: one runner an organisation", () =>
    assert.equal(isolationGroup("organisation", subject), "organization:o1"));
  test("plugin: alone", () => assert.equal(isolationGroup("plugin", subject), "installation:i1"));
  test("shared: all in one", () => assert.equal(isolationGroup("shared", subject), "shared"));
  test("high risk: alone in every mode", () => {
    for (const mode of ["organisation", "plugin", "shared"] as const)
      assert.equal(isolationGroup(mode, { ...subject, highRisk: true }), "installation:i1");
  });
});
