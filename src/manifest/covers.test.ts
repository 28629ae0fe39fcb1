import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { coversTable } from "./covers.fixture.ts";
import { covers } from "./covers.ts";
import { matchesEventPattern } from "./event-pattern.ts";
import { parsePermission } from "./permissions.ts";

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
  for (const [held, needed, covered] of coversTable) {
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
