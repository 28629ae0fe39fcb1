import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { covers } from "./covers.ts";
import { matchesEventPattern } from "./event-pattern.ts";
import { parsePermission } from "./permissions.ts";

const table: [held: string, needed: string, covered: boolean][] = [
  ["network:outbound:vendor.com", "network:outbound:vendor.com", true],
  ["network:outbound:vendor.com", "network:outbound:api.vendor.com", false],
  ["network:outbound:api.vendor.com", "network:outbound:vendor.com", false],
  ["network:outbound:vendor.com", "network:outbound:evilvendor.com", false],
  ["network:outbound:vendor.com", "network:outbound:vendor.com.evil.com", false],
  ["network:outbound:*.vendor.com", "network:outbound:api.vendor.com", true],
  ["network:outbound:*.vendor.com", "network:outbound:a.b.vendor.com", true],
  ["network:outbound:*.vendor.com", "network:outbound:*.eu.vendor.com", true],
  ["network:outbound:*.vendor.com", "network:outbound:vendor.com", false],
  ["network:outbound:*.vendor.com", "network:outbound:evilvendor.com", false],
  ["network:outbound:*.eu.vendor.com", "network:outbound:*.vendor.com", false],
  ["network:outbound:api.vendor.com", "network:outbound", true],
  ["network:outbound", "network:outbound:api.vendor.com", false],
  ["network:outbound", "network:inbound", false],
  ["event:publish:order.*", "event:publish:order.created", true],
  ["event:publish:order.*", "event:publish:order.item.added", true],
  ["event:publish:order.*", "event:publish:order.item.*", true],
  ["event:publish:order.item.*", "event:publish:order.*", false],
  ["event:publish:order.*", "event:publish:orders.created", false],
  ["event:publish:order.*", "event:publish:order", false],
  ["event:publish:order.created", "event:publish:order.*", false],
  ["event:publish:order.*", "event:subscribe:order.created", false],
  ["event:subscribe:order.*", "event:publish:order.created", false],
  ["data:read:contacts", "data:read:contacts", true],
  ["data:read:contacts", "data:read:Contacts", false],
  ["data:write:contacts", "data:read:contacts", false],
  ["storage:write", "storage:read", false],
  ["plugin:call:acme.base", "plugin:call:acme.base-2", false],
  ["filesystem:read:/home", "filesystem:read:/home/x", false],
];

const permission = fc.oneof(
  fc.constantFrom(
    "network:inbound",
    "network:outbound",
    "storage:read",
    "read:org",
    "data:read:contacts",
    "data:write:contacts",
  ),
  fc
    .tuple(
      fc.constantFrom("", "*."),
      fc.array(fc.constantFrom("a", "api", "eu"), { maxLength: 3 }),
      fc.constantFrom("vendor.com", "evil.co.uk"),
    )
    .map(([star, labels, domain]) => `network:outbound:${star}${[...labels, domain].join(".")}`),
  fc
    .tuple(
      fc.constantFrom("publish", "subscribe"),
      fc.array(fc.constantFrom("order", "item", "x"), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
    )
    .map(([verb, names, star]) => `event:${verb}:${names.join(".")}${star ? ".*" : names.length === 1 ? ".y" : ""}`),
);

describe("covers", () => {
  for (const [held, needed, covered] of table) {
    test(`${held} ${covered ? "covers" : "does not cover"} ${needed}`, () =>
      assert.equal(covers(held, needed), covered));
  }

  test("every permission covers itself", () => {
    fc.assert(fc.property(permission, (text) => covers(text, text)));
  });

  test("what covers a cover covers all below it", () => {
    fc.assert(
      fc.property(permission, permission, permission, (a, b, c) => !(covers(a, b) && covers(b, c)) || covers(a, c)),
      { numRuns: 20_000 },
    );
  });

  test("two that cover each other are one", () => {
    fc.assert(
      fc.property(permission, permission, (a, b) => a === b || !(covers(a, b) && covers(b, a))),
      { numRuns: 20_000 },
    );
  });

  test("nothing of one namespace covers anything of another", () => {
    fc.assert(
      fc.property(permission, permission, (a, b) => {
        const namespace = (text: string): string | undefined => parsePermission(text).permission?.namespace;
        return !covers(a, b) || namespace(a) === namespace(b);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("matchesEventPattern", () => {
  const cases: [string, string, boolean][] = [
    ["order.*", "order.created", true],
    ["order.*", "order.item.added", true],
    ["order.*", "order", false],
    ["order.*", "order.", false],
    ["order.*", "orders.created", false],
    ["order.created", "order.created", true],
    ["order.created", "order.created.x", false],
    ["*", "order.created", false],
    ["*", "*", false],
    ["", "", true],
  ];
  for (const [pattern, type, expected] of cases) {
    test(`${pattern || "(empty)"} ${expected ? "matches" : "does not match"} ${type || "(empty)"}`, () =>
      assert.equal(matchesEventPattern(pattern, type), expected));
  }
});
