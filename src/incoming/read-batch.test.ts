import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asPluginId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import { entityTypeOf, readBatch, readChanges, readCursors, readEnd, type WhoSends } from "./read-batch.ts";

const who: WhoSends = { plugin: asPluginId("acme.crm"), grants: ["data:write:contacts", "event:publish:crm.*"] };
const batch = (...items: unknown[]): Uint8Array => Buffer.from(JSON.stringify({ items }));
const item = (more: object = {}): object => ({
  id: "1",
  type: "contact",
  entities: [{ type: "contacts", data: {} }],
  ...more,
});
const code = (expected: string) => (error: unknown) => error instanceof BackplaneError && error.code === expected;

test("an item is read as it is meant: numbers as ids, its id for entities without one, its deletion for them", () => {
  const [read] = readBatch(
    batch(item({ id: 7, deleted: true, total: 9, cursor: { a: 1 }, updatedAt: "2026-01-01T00:00:00+02:00" })),
    who,
  );
  assert.deepEqual(read, {
    ...{ id: "7", type: "contact", deleted: true, total: 9, cursor: { a: 1 }, updatedAt: "2026-01-01T00:00:00+02:00" },
    changes: [{ type: "contacts", externalId: "7", data: {}, deleted: true }],
  });
  const own = { type: "Contact", source: "acme.crm:eu", externalId: "x", id: "row", data: { a: 1 }, deleted: true };
  assert.deepEqual(readBatch(batch(item({ entities: [own] })), who)[0]?.changes, [{ ...own, type: "contacts" }]);
});

test("whatever is not as it should be is refused with its reason", () => {
  const wrong = [
    null,
    "text",
    item({ type: "no good" }),
    item({ type: undefined }),
    item({ cursor: "x".repeat(70_000) }),
  ];
  for (const one of wrong)
    assert.throws(() => readBatch(batch(one), who), code("result_invalid"), JSON.stringify(one)?.slice(0, 100));
  const alone = [
    item({ id: "" }),
    item({ id: "x".repeat(513) }),
    item({ id: "a\u0000b" }),
    item({ id: {} }),
    item({ updatedAt: "2026-01-01" }),
    item({ updatedAt: "2026-13-01T00:00:00Z" }),
    item({ updatedAt: 5 }),
    item({ total: -1 }),
    item({ total: 1.5 }),
    item({ entities: undefined }),
    item({ entities: {} }),
    item({ entities: [null] }),
    item({ entities: [{ type: "no good" }] }),
    item({ entities: [{ type: "contacts", data: [] }] }),
    item({ entities: [{ type: "contacts", externalId: 5 }] }),
    item({ entities: [{ type: "contacts" }, { type: "contacts" }] }),
  ];
  for (const one of alone) {
    const [read, neighbour] = readBatch(batch({ ...one, cursor: "c" }, item()), who);
    assert.ok(read?.refused, JSON.stringify(one)?.slice(0, 100));
    assert.deepEqual([read.changes, read.cursor], [[], "c"], "nothing of it is stored, and the cursor counts");
    assert.equal(neighbour?.refused, undefined);
  }
  for (const text of ["", "{", "[]", '{"items":5}', "null"])
    assert.throws(() => readBatch(Buffer.from(text), who), code("result_invalid"), text);
  assert.throws(() => readBatch(batch(...Array.from({ length: 1001 }, () => item())), who), code("result_invalid"));
  const crowd = item({ entities: Array.from({ length: 5001 }, (_, i) => ({ type: "contacts", externalId: `${i}` })) });
  assert.throws(() => readBatch(batch(crowd), who), code("result_invalid"));
});

test("types without permission and sources of others are refused", () => {
  assert.throws(() => readBatch(batch(item({ entities: [{ type: "tasks" }] })), who), code("permission_denied"));
  for (const source of ["other", "acme.crmx", "acme", "acme.crm2:x"])
    assert.throws(
      () => readBatch(batch(item({ entities: [{ type: "contacts", source }] })), who),
      code("permission_denied"),
      source,
    );
});

test("changes of a push are read like items, events by their permission", () => {
  assert.deepEqual(readChanges(null, who), { items: [], events: [] });
  assert.deepEqual(readChanges({ sync: true }, who).sync, {});
  assert.deepEqual(readChanges({ sync: { types: ["a", "a"], full: true } }, who).sync, { types: ["a"], full: true });
  assert.equal(readChanges({ sync: false }, who).sync, undefined);
  assert.deepEqual(readChanges({ events: [{ type: "crm.made", id: "1" }] }, who).events, [
    { type: "crm.made", data: null, references: [], id: "1" },
  ]);
  assert.throws(() => readChanges({ events: [{ type: "other.made" }] }, who), code("permission_denied"));
  for (const wrong of [
    5,
    "x",
    { items: 5 },
    { events: {} },
    { events: [{ type: "crm.*" }] },
    { events: [{ type: "crm.x", id: "" }] },
    { sync: { types: "a" } },
  ])
    assert.throws(() => readChanges(wrong, who), code("result_invalid"), JSON.stringify(wrong));
});

test("ends and cursors are read; what the database cannot hold of them is replaced", () => {
  assert.deepEqual(readEnd({ done: true, cursor: null, cursors: { a: 1, b: null } }, who), {
    done: true,
    cursors: { a: 1 },
  });
  assert.deepEqual(readCursors({ a: "x\u0000y" }, who), { a: "x\ufffdy" });
  for (const wrong of [null, {}, { done: 1 }, { done: true, cursors: [] }])
    assert.throws(() => readEnd(wrong, who), code("result_invalid"));
});

test("entity kinds of the model are known in both spellings", () => {
  const kinds = {
    Contact: "contacts",
    CalendarEvent: "calendar_events",
    Activity: "activities",
    HealthSample: "health_samples",
    File: "files",
    contacts: "contacts",
  };
  for (const [name, type] of Object.entries(kinds)) assert.equal(entityTypeOf(name), type);
});

test("any JSON at all is read or refused by name, and never breaks the hub", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (value, inner) => {
      for (const read of [
        () => readBatch(Buffer.from(JSON.stringify(value)), who),
        () => readBatch(batch(item({ entities: [inner], cursor: value })), who),
        () => readBatch(batch(value, inner), who),
        () => readChanges(value, who),
        () => readEnd(value, who),
      ])
        try {
          read();
        } catch (error) {
          assert.ok(
            error instanceof BackplaneError && ["result_invalid", "permission_denied"].includes(error.code),
            String(error),
          );
        }
    }),
    { numRuns: 300 },
  );
});
