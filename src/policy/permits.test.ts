import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { grantedHosts, hostAllowed, permits } from "./permits.ts";

describe("permits", () => {
  const grants = [
    "network:outbound",
    "network:outbound:api.vendor.com",
    "network:outbound:*.cdn.vendor.com",
    "event:publish:order.*",
    "data:read:contacts",
  ];
  const table: [string, boolean][] = [
    ["network:outbound:api.vendor.com", true],
    ["network:outbound:vendor.com", false],
    ["network:outbound:x.api.vendor.com", false],
    ["network:outbound:eu.cdn.vendor.com", true],
    ["network:outbound:cdn.vendor.com", false],
    ["network:inbound", false],
    ["event:publish:order.created", true],
    ["event:publish:plugin.installed", false],
    ["event:subscribe:order.created", false],
    ["data:read:contacts", true],
    ["data:write:contacts", false],
    ["*", false],
    ["", false],
  ];
  for (const [needed, expected] of table)
    test(`${needed || "(nothing)"} is ${expected ? "allowed" : "denied"}`, () =>
      assert.equal(permits(grants, needed), expected));

  test("nothing is allowed without grants", () => assert.equal(permits([], "read:org"), false));

  test("grantedHosts are the named ones", () =>
    assert.deepEqual(grantedHosts(grants), ["api.vendor.com", "*.cdn.vendor.com"]));
});

describe("hostAllowed", () => {
  const grants = ["network:outbound", "network:outbound:api.vendor.com", "network:outbound:*.vendor.io"];
  const table: [string, boolean][] = [
    ["api.vendor.com", true],
    ["API.vendor.com", false],
    ["api.vendor.com.", false],
    ["api.vendor.com:443", false],
    ["a.vendor.io", true],
    ["*.vendor.io", false],
    ["vendor.io", false],
    ["127.0.0.1", false],
    ["[::1]", false],
    ["localhost", false],
    ["", false],
    ["evil.com/.vendor.io", false],
    ["evil.com#.vendor.io", false],
  ];
  for (const [host, expected] of table)
    test(`${host || "(empty)"} is ${expected ? "allowed" : "denied"}`, () =>
      assert.equal(hostAllowed(grants, host), expected));

  test("an address is denied even when a grant slipped through that names it", () => {
    assert.equal(hostAllowed(["network:outbound:10.0.0.1"], "10.0.0.1"), false);
  });
});
