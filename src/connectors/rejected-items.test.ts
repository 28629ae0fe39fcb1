/** Items that the data model refuses: set aside, counted and named, while everything else of a sync or a push is stored. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { OrganizationId } from "../base/brands.ts";
import { DeadLetter, type Delivery } from "../bus/delivery.ts";
import { json } from "../store/json.ts";
import { openTestStore, type TestStore } from "../store/test-store.ts";
import {
  installScripted,
  scriptedPlugin as plugin,
  type ScriptedConnector,
  type ScriptedItem,
  scriptedInvoker,
  startEngine,
  type TestEngine,
} from "./engine-fixture.ts";
import type { Run } from "./run-records.ts";

let store: TestStore;
let engine: TestEngine;
const scripts = new Map<string, ScriptedConnector>();

before(async () => {
  store = await openTestStore();
  engine = await startEngine({ store, invoker: scriptedInvoker((organization) => scripts.get(organization) ?? {}) });
});
after(async () => {
  await engine[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
});

async function install(connector: ScriptedConnector): Promise<OrganizationId> {
  const organization = await installScripted({ store, installations: engine.installations });
  scripts.set(organization, connector);
  return organization;
}

async function syncs(organization: OrganizationId, full = false): Promise<Run> {
  const id = await engine.connectors.sync({ organization, plugin, actor: "test", full });
  for (let waited = 0; waited < 10_000; waited += 10) {
    const run = await engine.connectors.run(organization, plugin, id);
    if (run.endedAt !== null) return run;
    await sleep(10);
  }
  assert.fail("the run did not end");
}

const item = (id: string, more: Partial<ScriptedItem> = {}): ScriptedItem => ({ id, type: "contact", ...more });
/** The data model wants a text. */
const odd = (id: string, more: Partial<ScriptedItem> = {}): ScriptedItem =>
  item(id, { data: { displayName: 7 }, ...more });
const yields = (...items: ScriptedItem[]): ScriptedConnector => ({
  async *sync() {
    yield* items;
  },
});

async function rows(organization: string): Promise<string[]> {
  const found = await store.db
    .selectFrom("entities")
    .select("external_id")
    .where("organization_id", "=", organization)
    .where("deleted_at", "is", null)
    .orderBy("external_id")
    .execute();
  return found.map(({ external_id }) => external_id!);
}

async function completedEvent(organization: string): Promise<Record<string, unknown>> {
  const { data } = await store.db
    .selectFrom("events")
    .select("data")
    .where("organization_id", "=", organization)
    .where("type", "=", "connector.SyncCompleted")
    .executeTakeFirstOrThrow();
  return data as Record<string, unknown>;
}

test("one item that the data model refuses is set aside and named; the rest is stored and the cursor goes on", async () => {
  const organization = await install(
    yields(item("1", { cursor: "a" }), odd("2", { cursor: "b" }), item("3"), odd("4", { cursor: "d" })),
  );
  const run = await syncs(organization);
  assert.equal(run.status, "succeeded", run.error?.message);
  assert.deepEqual(run.counts, { items: 4, created: 2, updated: 0, deleted: 0, unchanged: 0, rejected: 2 });
  assert.deepEqual(run.progress["contact"], { items: 4, rejected: 2 });
  assert.deepEqual(
    run.rejections.last.map(({ id, type }) => [id, type]),
    [
      ["2", "contact"],
      ["4", "contact"],
    ],
  );
  assert.match(run.rejections.last[0]!.reason, /data\.displayName must be a text/);
  assert.deepEqual(await rows(organization), ["1", "3"]);
  assert.equal((await engine.connectors.state(organization, plugin)).position.own["contact"], "d");
  assert.equal((await completedEvent(organization))["rejected"], 2);
});

test("an item that is no item is set aside like one with wrong fields, even where it is the only one", async () => {
  const wrong: ScriptedConnector[] = [
    yields(odd("1")),
    yields(item("1", { updatedAt: "yesterday" })),
    yields({ type: "contact" } as never),
    yields(item("x".repeat(600))),
    { ...yields(item("1")), mapToUnifiedModel: () => "no" },
    { ...yields(item("1")), mapToUnifiedModel: () => [{ type: "Not A Type!", data: {} }] },
  ];
  for (const connector of wrong) {
    const run = await syncs(await install(connector));
    assert.deepEqual([run.status, run.counts.items, run.counts.rejected], ["succeeded", 1, 1]);
  }
});

test("what only the stored rows refuse is set aside too, and its neighbours are counted once", async () => {
  const organization = await install({
    ...yields(item("1"), item("2"), item("3")),
    mapToUnifiedModel: ({ id }) => [{ type: "contacts", externalId: id, data: { displayName: id } }],
  });
  await syncs(organization);
  const ids = await store.db
    .selectFrom("entities")
    .select(["external_id", "id"])
    .where("organization_id", "=", organization)
    .execute();
  const idOf = (name: string): string => ids.find(({ external_id }) => external_id === name)!.id;
  scripts.set(organization, {
    ...yields(item("new"), item("1"), item("3")),
    // The name of one row with the id of another.
    mapToUnifiedModel: ({ id }) => [
      { type: "contacts", externalId: id, ...(id === "1" ? { id: idOf("2") } : {}), data: { displayName: `${id}!` } },
    ],
  });
  const run = await syncs(organization);
  assert.deepEqual(run.counts, { items: 3, created: 1, updated: 1, deleted: 0, unchanged: 0, rejected: 1 });
  assert.equal(run.rejections.last[0]?.id, "1");
});

test("more than twenty refused items that are more than half of their kind fail the run with the reason", async () => {
  const many = (count: number, make: (id: string) => ScriptedItem): ScriptedItem[] =>
    Array.from({ length: count }, (_, n) => make(`${make.name}${n}`));
  const few = await syncs(await install(yields(...many(20, odd))));
  assert.deepEqual([few.status, few.counts.rejected], ["succeeded", 20]);

  const half = await syncs(await install(yields(...many(30, item), ...many(30, odd))));
  assert.deepEqual([half.status, half.counts.rejected], ["succeeded", 30]);

  const others = many(100, item).map((one) => ({ ...one, type: "company" }));
  const organization = await install(yields(...others, ...many(21, odd)));
  const run = await syncs(organization);
  assert.deepEqual([run.status, run.error?.code, run.counts.rejected], ["failed", "result_invalid", 21]);
  assert.match(run.error!.message, /21 of 21 items of the type contact.*'odd0': data\.displayName must be a text/);
  assert.deepEqual(await rows(organization), []);
});

test("a run keeps the last fifty that were refused", async () => {
  const items = Array.from({ length: 200 }, (_, n) => (n % 3 === 0 ? odd(`${n}`) : item(`${n}`)));
  const run = await syncs(await install(yields(...items)));
  assert.deepEqual([run.counts.rejected, run.rejections.last.length], [67, 50]);
  assert.equal(run.rejections.last.at(-1)?.id, "198");
});

test("a full sync leaves the row of a refused item alone, and deletes nothing when it cannot tell which that is", async () => {
  const organization = await install(yields(item("1"), item("2"), item("gone")));
  await syncs(organization);
  // Pushes of the last minute are spared, and so would these rows be.
  await store.db
    .updateTable("entities")
    .set({ updated_at: new Date(Date.now() - 3_600_000) })
    .execute();
  scripts.set(organization, {
    ...yields(item("1"), item("2")),
    mapToUnifiedModel: ({ id }) => (id === "2" ? "no" : [{ type: "contacts", data: { displayName: id } }]),
  });
  const unknown = await syncs(organization, true);
  assert.deepEqual([unknown.status, unknown.counts.deleted, unknown.counts.rejected], ["succeeded", 0, 1]);
  assert.deepEqual(await rows(organization), ["1", "2", "gone"]);

  scripts.set(organization, yields(item("1"), odd("2")));
  const named = await syncs(organization, true);
  assert.deepEqual([named.status, named.counts.deleted, named.counts.rejected], ["succeeded", 1, 1]);
  assert.deepEqual(await rows(organization), ["1", "2"]);
});

test("of a pushed item everything but what is refused is stored, and it is a dead letter at once", async () => {
  const organization = await install({
    handleIncomingEvent: () => ({
      items: [item("1"), odd("2")],
      events: [{ type: "crm.Changed", data: {}, id: "e-1" }],
    }),
  });
  const handle = engine.connectors.receive(await engine.installations.get(organization, plugin))!;
  const delivery = {
    organization,
    consumer: `webhook:${plugin}`,
    itemId: "i-1",
    payload: json({}),
    signal: new AbortController().signal,
  } as unknown as Delivery;
  await assert.rejects(handle(delivery), (error) => {
    assert.ok(error instanceof DeadLetter);
    assert.equal(error.code, "result_invalid");
    assert.match(error.message, /item '2': data\.displayName must be a text/);
    return true;
  });
  assert.deepEqual(await rows(organization), ["1"]);
  const events = await store.db
    .selectFrom("events")
    .select("type")
    .where("organization_id", "=", organization)
    .where("type", "=", "crm.Changed")
    .execute();
  assert.equal(events.length, 1);
});
