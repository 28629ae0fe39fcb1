import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "kysely";
import type { SyncOptions } from "../../plugin-api/src/connector.ts";
import type { OrganizationId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import { json } from "../store/json.ts";
import type { Store } from "../store/store.ts";
import { openTestStore, type TestStore } from "../store/test-store.ts";
import {
  type InstallOptions,
  installScripted,
  scriptedPlugin as plugin,
  type ScriptedConnector,
  type ScriptedItem,
  scriptedInvoker,
  startEngine,
  type TestEngine,
  vendorError,
} from "./engine-fixture.ts";
import type { Run } from "./run-records.ts";

let store: TestStore;
let engine: TestEngine;
const scripts = new Map<string, ScriptedConnector>();
const connectorOf = (organization: string): ScriptedConnector => scripts.get(organization) ?? {};
const actor = "test";

before(async () => {
  store = await openTestStore();
  engine = await startEngine({ store, invoker: scriptedInvoker(connectorOf), maxFailures: 3 });
});
after(async () => {
  await engine[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
});

async function install(connector: ScriptedConnector, options?: InstallOptions): Promise<OrganizationId> {
  const organization = await installScripted({ store, installations: engine.installations }, options);
  scripts.set(organization, connector);
  return organization;
}

async function ended(organization: OrganizationId, id: string, on = engine): Promise<Run> {
  for (let waited = 0; waited < 10_000; waited += 10) {
    const run = await on.connectors.run(organization, plugin, id);
    if (run.endedAt !== null) return run;
    await sleep(10);
  }
  assert.fail(`the run did not end: ${JSON.stringify(await on.connectors.run(organization, plugin, id))}`);
}

async function syncs(organization: OrganizationId, options: { full?: boolean; types?: string[] } = {}): Promise<Run> {
  return ended(organization, await engine.connectors.sync({ organization, plugin, actor, ...options }));
}

async function rows(organization: string, of: Store = store): Promise<string[]> {
  const found = await of.db
    .selectFrom("entities")
    .select(["external_id", "data"])
    .where("organization_id", "=", organization)
    .where("deleted_at", "is", null)
    .orderBy("external_id")
    .execute();
  return found.map(({ external_id, data }) => `${external_id}=${String(data["displayName"])}`);
}

async function events(
  organization: string,
  prefix: string,
): Promise<{ type: string; data: Record<string, unknown> }[]> {
  const found = await store.db
    .selectFrom("events")
    .select(["type", "data"])
    .where("organization_id", "=", organization)
    .where("type", "like", `${prefix}%`)
    .orderBy("seq")
    .execute();
  return found as never;
}

/** Yields the items of each call in turn, and keeps the options it was called with. */
function calls(
  ...turns: (ScriptedItem | Error | (() => Promise<void>))[][]
): ScriptedConnector & { seen: SyncOptions[] } {
  const seen: SyncOptions[] = [];
  return {
    seen,
    async *sync(options) {
      seen.push(options);
      for (const step of turns[seen.length - 1] ?? []) {
        if (step instanceof Error) throw step;
        if (typeof step === "function") await step();
        else yield step;
      }
    },
  };
}

const item = (id: string, more: Partial<ScriptedItem> = {}): ScriptedItem => ({ id, type: "contact", ...more });
const at = (day: number): string => `2026-01-${String(day).padStart(2, "0")}T00:00:00.000Z`;

test("a sync stores entities and where it stands, and says how it went", async () => {
  const connector = calls(
    [item("1", { updatedAt: at(1), total: 2 }), item("2", { updatedAt: at(3), total: 2 })],
    [item("2")],
  );
  const organization = await install(connector);
  const run = await syncs(organization);
  assert.equal(run.status, "succeeded");
  assert.deepEqual(run.counts, { items: 2, created: 2, updated: 0, deleted: 0, unchanged: 0, rejected: 0 });
  assert.deepEqual(run.progress, { contact: { items: 2, total: 2 } });
  assert.deepEqual(await rows(organization), ["1=1", "2=2"]);
  const next = await syncs(organization);
  assert.deepEqual(next.counts, { items: 1, created: 0, updated: 0, deleted: 0, unchanged: 1, rejected: 0 });
  assert.deepEqual(connector.seen, [{}, { since: at(3), cursors: { contact: { value: at(3), id: "2" } } }]);
  assert.deepEqual(
    (await events(organization, "connector.")).map(({ type, data }) => [type, data["runId"]]),
    [run, run, next, next].map(({ id }, i) => [i % 2 === 0 ? "connector.SyncStarted" : "connector.SyncCompleted", id]),
  );
  const [change] = await engine.connectors.history(organization, plugin);
  assert.deepEqual([change?.action, change?.runId, change?.actor], ["sync", run.id, actor]);
});

test("own cursors go on after an error in the middle, with what was stored before it kept", async () => {
  const many = Array.from({ length: 500 }, (_, i) => item(`a${i}`, { cursor: i }));
  const connector = calls([...many, vendorError({ status: 500 })], [item("b", { cursor: "end" })]);
  const organization = await install(connector);
  const run = await syncs(organization);
  assert.equal(run.status, "succeeded");
  assert.equal(run.calls, 2);
  assert.deepEqual(
    connector.seen.map(({ cursor }) => cursor),
    [undefined, 499],
  );
  assert.equal((await engine.connectors.state(organization, plugin)).position.own["contact"], "end");
  assert.equal((await rows(organization)).length, 501);
});

test("derived cursors are kept from an unfinished run only where items come in order", async () => {
  const first = Array.from({ length: 500 }, (_, i) => item(`a${i}`, { updatedAt: at(1 + (i >> 6)) }));
  for (const ordered of [true, false]) {
    const connector = calls([...first, new Error("half way")], []);
    const organization = await install(connector, { connector: { ordered } });
    assert.equal((await syncs(organization)).status, "succeeded");
    assert.equal(connector.seen[1]?.since, ordered ? at(8) : undefined);
  }
});

test("a connector that promises an order and does not keep it fails, and its cursor goes back", async () => {
  const connector = calls(
    [item("1", { updatedAt: at(2) })],
    [item("2", { updatedAt: at(5) }), item("3", { updatedAt: at(4) })],
  );
  const organization = await install(connector, { connector: { ordered: true } });
  await syncs(organization);
  const run = await syncs(organization);
  assert.equal(run.status, "failed");
  assert.match(run.error!.message, /`ordered`, and item '3'/);
  assert.equal((await engine.connectors.state(organization, plugin)).position.derived["*"]?.value, at(2));
});

test("429 waits as long as the service asks and goes on; nothing counts as a failure", async () => {
  const connector = calls(
    [item("1", { cursor: 1 }), vendorError({ status: 429, retryAfter: 0.3 })],
    [item("2", { cursor: 2 })],
  );
  const organization = await install(connector);
  const started = Date.now();
  const id = await engine.connectors.sync({ organization, plugin, actor });
  for (;;) {
    const run = await engine.connectors.run(organization, plugin, id);
    if (run.status === "waiting") {
      assert.equal(run.error?.code, "plugin_error");
      assert.ok(run.resumeAt!.getTime() - started >= 290);
      break;
    }
    assert.equal(run.endedAt, null);
    await sleep(5);
  }
  const run = await ended(organization, id);
  assert.equal(run.failures, 0);
  assert.ok(run.endedAt!.getTime() - started >= 290);
});

test("after some failures in a row a run fails with the reason, and the next one runs", async () => {
  const connector = calls([new Error("no")], [new Error("no")], [vendorError({ status: 500 })], [item("1")]);
  const organization = await install(connector);
  const run = await syncs(organization);
  assert.deepEqual([run.status, run.failures, run.error?.code], ["failed", 3, "plugin_error"]);
  assert.equal((await syncs(organization)).status, "succeeded");
  assert.deepEqual(
    (await events(organization, "connector.")).map(({ type }) => type.slice(10)),
    ["SyncStarted", "SyncFailed", "SyncStarted", "SyncCompleted"],
  );
});

test("what no repetition mends fails at once: permission, shape, a lost connection", async () => {
  const bad: [ScriptedConnector, string][] = [
    [{ ...calls([item("1")]), mapToUnifiedModel: () => [{ type: "tasks", data: {} }] }, "permission_denied"],
    [calls([{ id: "1" } as never]), "result_invalid"],
    [calls([vendorError({ code: "connection_expired" })]), "connection_expired"],
  ];
  for (const [connector, code] of bad) {
    const organization = await install(connector);
    const run = await syncs(organization);
    assert.deepEqual([run.status, run.error?.code], ["failed", code]);
    assert.deepEqual(await rows(organization), []);
  }
});

test("a batch is stored whole or not at all", async () => {
  // The cursors of all are written with it, and one is too large.
  const large = item("2", { cursor: "x".repeat(70_000) });
  const connector = calls([item("1"), large]);
  const organization = await install(connector);
  const run = await syncs(organization);
  assert.equal(run.status, "failed");
  assert.match(run.error!.message, /item '2'/);
  assert.deepEqual(await rows(organization), []);
  assert.deepEqual(await events(organization, "data."), []);
});

test("a complete full sync deletes what syncs have stored and it did not see, and nothing else", async () => {
  const connector = calls([item("1"), item("2"), item("3")], [item("1"), item("3")], [item("1")]);
  const organization = await install(connector);
  await syncs(organization);
  await store.db
    .insertInto("entities")
    .values({
      organization_id: organization,
      id: "own",
      source: "acme.crm:search",
      external_id: "s",
      type: "contacts",
      data: json({}),
    })
    .execute();
  await store.db
    .updateTable("entities")
    .set({ updated_at: new Date(Date.now() - 3_600_000) })
    .where("organization_id", "=", organization)
    .execute();
  const run = await syncs(organization, { full: true });
  assert.deepEqual([run.status, run.counts.deleted, run.counts.unchanged], ["succeeded", 1, 2]);
  assert.equal(connector.seen[1]?.full, true);
  assert.deepEqual(await rows(organization), ["1=1", "3=3", "s=undefined"]);
  const some = await syncs(organization, { full: true, types: ["contact"] });
  assert.equal(some.counts.deleted, 0, "a full sync of some types deletes nothing");
  assert.deepEqual(await store.db.selectFrom("connector_seen").selectAll().execute(), []);
});

test("a full sync spares what a push wrote in the minute before, and not what a sync did", async () => {
  const connector = calls([item("1"), item("2"), item("pushed")], [item("1")], [item("1")]);
  const organization = await install(connector);
  await syncs(organization);
  const pushed = (when: Date): Promise<unknown> =>
    store.db
      .updateTable("entities")
      .set({ execution_id: "of a push", updated_at: when })
      .where("organization_id", "=", organization)
      .where("external_id", "=", "pushed")
      .execute();
  await pushed(new Date());
  const first = await syncs(organization, { full: true });
  assert.equal(first.counts.deleted, 1);
  assert.deepEqual(await rows(organization), ["1=1", "pushed=pushed"]);
  await pushed(new Date(Date.now() - 61_000));
  await syncs(organization, { full: true });
  assert.deepEqual(await rows(organization), ["1=1"]);
});

test("a full sync that fails leaves the cursor as it was and deletes nothing", async () => {
  const connector = calls(
    [item("1", { cursor: "a" })],
    [item("2", { cursor: "b" }), new BackplaneError("result_invalid", { plugin, reason: "x" })],
  );
  const organization = await install(connector);
  await syncs(organization);
  const run = await syncs(organization, { full: true });
  assert.equal(run.status, "failed");
  assert.equal((await engine.connectors.state(organization, plugin)).position.own["contact"], "a");
  assert.deepEqual(await rows(organization), ["1=1", "2=2"]);
});

test("a deleted item deletes its entity; a later one brings it back", async () => {
  const connector = calls([item("1")], [item("1", { deleted: true })], [item("1")]);
  const organization = await install(connector);
  await syncs(organization);
  assert.equal((await syncs(organization)).counts.deleted, 1);
  assert.deepEqual(await rows(organization), []);
  await syncs(organization);
  assert.deepEqual(await rows(organization), ["1=1"]);
});

test("a sync that is asked for while one waits to begin is the same run, widened", async () => {
  const gate = Promise.withResolvers<void>();
  const connector = calls([() => gate.promise, item("1")], [item("2")]);
  const organization = await install(connector);
  const first = await engine.connectors.sync({ organization, plugin, actor });
  while ((await engine.connectors.run(organization, plugin, first)).status !== "running") await sleep(5);
  const second = await engine.connectors.sync({ organization, plugin, actor, types: ["contact"] });
  const third = await engine.connectors.sync({ organization, plugin, actor, types: ["mail"], full: true });
  assert.notEqual(first, second);
  assert.equal(second, third);
  gate.resolve();
  const run = await ended(organization, second);
  assert.deepEqual([run.types, run.full], [["contact", "mail"], true]);
  assert.equal(connector.seen.length, 2);
});

test("cancel stops a running sync at once, and a waiting one too", async () => {
  for (const connector of [
    calls([item("1"), () => new Promise(() => {})]),
    calls([vendorError({ status: 503, retryAfter: 3600 })]),
  ]) {
    const organization = await install(connector);
    const id = await engine.connectors.sync({ organization, plugin, actor });
    while (connector.seen.length === 0 || (await engine.connectors.run(organization, plugin, id)).status === "queued")
      await sleep(5);
    await sleep(30);
    assert.equal((await engine.connectors.cancel(organization, plugin, id)).status, "cancelled");
    await assert.rejects(engine.connectors.cancel(organization, plugin, id), { code: "conflict" });
    assert.equal((await engine.connectors.state(organization, plugin)).run, null);
    assert.deepEqual(
      (await events(organization, "connector.")).map(({ type }) => type.slice(10)),
      ["SyncStarted", "SyncFailed"],
    );
  }
});

test("pause holds a sync after its batch; resume lets it go on from there", async () => {
  const gate = Promise.withResolvers<void>();
  const page = (name: string): ScriptedItem[] =>
    Array.from({ length: 500 }, (_, i) => item(`${name}${i}`, { cursor: name }));
  const connector = calls([...page("a"), () => gate.promise, ...page("b"), ...page("c")], page("c"));
  const organization = await install(connector);
  const id = await engine.connectors.sync({ organization, plugin, actor });
  while ((await rows(organization)).length === 0) await sleep(5);
  await engine.connectors.pause({ organization, plugin, actor });
  gate.resolve();
  while ((await engine.connectors.run(organization, plugin, id)).status !== "waiting") await sleep(5);
  assert.equal((await rows(organization)).length, 1000, "the batch under way is stored");
  await assert.rejects(engine.connectors.sync({ organization, plugin, actor }), { code: "conflict" });
  await sleep(50);
  await engine.connectors.resume({ organization, plugin, actor });
  assert.equal((await ended(organization, id)).status, "succeeded");
  assert.equal((await rows(organization)).length, 1500);
  assert.equal(connector.seen[1]?.cursor, "b");
});

test("a long sync is cut into calls that go on from each other; one that cannot is told why", async () => {
  await using short = await startEngine({
    store,
    invoker: scriptedInvoker(connectorOf, { items: 10 }),
    itemsPerCall: 20,
  });
  await engine.deliveries.stop();
  try {
    const all = Array.from({ length: 95 }, (_, i) => item(`i${String(i).padStart(2, "0")}`, { cursor: i }));
    const starts: unknown[] = [];
    const organization = await install({
      async *sync({ cursor }) {
        starts.push(cursor);
        yield* all.slice(cursor === undefined ? 0 : (cursor as number) + 1);
      },
    });
    const id = await short.connectors.sync({ organization, plugin, actor });
    const run = await ended(organization, id, short);
    assert.deepEqual([run.status, run.calls, run.counts.items], ["succeeded", 5, 95]);
    assert.deepEqual(starts, [undefined, 19, 39, 59, 79]);
    const stuck = await install(calls([item("1"), new BackplaneError("deadline_exceeded")]));
    const failed = await ended(stuck, await short.connectors.sync({ organization: stuck, plugin, actor }), short);
    assert.deepEqual([failed.status, failed.error?.code], ["failed", "result_invalid"]);
    assert.match(failed.error!.message, /give items a `cursor`/);
  } finally {
    await engine.deliveries.start();
  }
});

test("a hub that is held up cannot store what another has taken over", async () => {
  const held = Promise.withResolvers<void>();
  let calls = 0;
  const page = (name: string): ScriptedItem[] =>
    Array.from({ length: 500 }, (_, i) => item(`${name}${i}`, { cursor: name }));
  const organization = await install({
    async *sync({ cursor }) {
      calls += 1;
      const mine = calls;
      if (cursor === undefined) yield* page("a");
      if (mine === 1) await held.promise;
      yield* page(mine === 1 ? "stale" : "b");
    },
  });
  const id = await engine.connectors.sync({ organization, plugin, actor });
  while ((await rows(organization)).length === 0) await sleep(5);
  await using other = await startEngine({ store, invoker: scriptedInvoker(connectorOf) });
  // As when the first hub were dead: its leases are free at once.
  await other.deliveries.nodeLost(engine.node);
  assert.equal((await ended(organization, id)).status, "succeeded");
  held.resolve();
  await sleep(100);
  assert.deepEqual(
    (await rows(organization)).filter((row) => row.startsWith("stale")),
    [],
  );
  assert.equal((await rows(organization)).length, 1000);
  assert.equal((await engine.connectors.state(organization, plugin)).position.own["contact"], "b");
});

test("a schedule runs by itself, once whatever is due; its own setting stands above the manifest's", async () => {
  const connector = calls([item("1")], [item("2")]);
  const organization = await install(connector, { connector: { schedule: "every 15m", fullSchedule: "0 3 * * *" } });
  const state = async () => engine.connectors.state(organization, plugin);
  while ((await state()).sync.nextAt === null) await sleep(5);
  assert.ok((await state()).sync.nextAt!.getTime() - Date.now() < 6_000, "the first one comes soon");
  await store.db
    .updateTable("connector_states")
    .set({ next_at: new Date(Date.now() - 1000), next_full_at: new Date(Date.now() - 1000) })
    .where("organization_id", "=", organization)
    .execute();
  await engine.tick();
  await engine.tick();
  const { runs } = await engine.connectors.runs(organization, plugin, { limit: 10 });
  assert.deepEqual(
    runs.map(({ trigger, full }) => [trigger, full]),
    [["schedule", true]],
  );
  const planned = (await state()).sync.nextAt!.getTime() - Date.now();
  assert.ok(planned > 14 * 60_000 && planned < 16 * 60_000);
  await engine.connectors.setSchedule({ organization, plugin, actor }, { schedule: "", fullSchedule: "every 2h" });
  const { sync, fullSync } = await state();
  assert.deepEqual([sync.schedule, sync.nextAt, fullSync.schedule], [null, null, "every 2h"]);
  await assert.rejects(engine.connectors.setSchedule({ organization, plugin, actor }, { schedule: "now and then" }), {
    code: "invalid_input",
  });
});

test("the position can be seen, set and reset, but not under a run; each change is kept with its name", async () => {
  const gate = Promise.withResolvers<void>();
  const connector = calls([item("1", { cursor: 1 })], [() => gate.promise], []);
  const organization = await install(connector);
  await syncs(organization);
  const who = { organization, plugin, actor: "key:7" };
  await engine.connectors.setPosition(who, { own: { contact: "mine" }, last: "contact", derived: {}, complete: true });
  const id = await engine.connectors.sync({ organization, plugin, actor });
  while ((await engine.connectors.run(organization, plugin, id)).status !== "running") await sleep(5);
  await assert.rejects(engine.connectors.reset(who), { code: "conflict" });
  gate.resolve();
  await ended(organization, id);
  assert.equal(connector.seen[1]?.cursor, "mine");
  await engine.connectors.reset(who);
  await syncs(organization);
  assert.deepEqual(connector.seen[2], {});
  const history = await engine.connectors.history(organization, plugin);
  assert.deepEqual(
    history.map(({ action, actor: by }) => [action, by]),
    [
      ["sync", actor],
      ["reset", "key:7"],
      ["set", "key:7"],
      ["sync", actor],
    ],
  );
});

test("deactivation ends open runs; what belongs to the connector goes with the installation", async () => {
  const connector = calls([item("1", { cursor: 1 }), vendorError({ status: 429, retryAfter: 3600 })]);
  const organization = await install(connector);
  const id = await engine.connectors.sync({ organization, plugin, actor });
  while ((await engine.connectors.run(organization, plugin, id)).status !== "waiting") await sleep(5);
  const { installations } = engine;
  await store.transaction(async (tx) => {
    await installations.update(tx, await installations.lock(tx, organization, plugin), { status: "disabled" });
  });
  installations.committed({ organization, plugin });
  assert.equal((await ended(organization, id)).status, "cancelled");
  await assert.rejects(engine.connectors.sync({ organization, plugin, actor }), { code: "plugin_not_active" });
  await store.transaction(async (tx) => installations.remove(tx, await installations.lock(tx, organization, plugin)));
  installations.committed({ organization, plugin });
  for (const table of ["connector_states", "connector_runs", "connector_history"] as const)
    assert.deepEqual(
      await store.db.selectFrom(table).selectAll().where("organization_id", "=", organization).execute(),
      [],
      table,
    );
});

test("a listener is registered, renewed in time, retried with backoff, and forgotten with the plugin's activity", async () => {
  const answers: (() => unknown)[] = [
    () => ({ expiresAt: new Date(Date.now() + 100_000).toISOString() }),
    () => {
      throw vendorError({ status: 500 });
    },
    () => undefined,
  ];
  const urls: string[] = [];
  const organization = await install(
    {
      registerRealtimeListener(url) {
        urls.push(url);
        return answers.shift()!();
      },
    },
    { connector: { realtime: true } },
  );
  const realtime = async () => (await engine.connectors.state(organization, plugin)).realtime;
  const makeDue = async (): Promise<void> => {
    await store.db
      .updateTable("connector_states")
      .set({ realtime_at: new Date(Date.now() - 1) })
      .where("organization_id", "=", organization)
      .execute();
    await engine.tick();
  };
  while (urls.length === 0) {
    await engine.tick();
    await sleep(5);
  }
  assert.deepEqual(urls, [`https://hub.test/webhooks/${organization}/acme.crm`]);
  const registered = (await realtime())!;
  assert.equal(registered.state, "registered");
  const renewal = registered.nextAt!.getTime() - Date.now();
  assert.ok(renewal > 75_000 && renewal <= 80_000, `${renewal} is four fifths of what was promised`);
  await engine.tick();
  assert.equal(urls.length, 1, "not before it is due");
  await makeDue();
  const failing = (await realtime())!;
  assert.deepEqual([failing.state, failing.attempts, failing.error?.code], ["failing", 1, "plugin_error"]);
  assert.equal(failing.expiresAt, registered.expiresAt, "what was promised still holds");
  await makeDue();
  assert.deepEqual([(await realtime())!.state, (await realtime())!.nextAt], ["registered", null]);
});

test("an action runs once for each idempotency key, with the same id when it is tried again", async () => {
  const seen: { id: string; type: string; parameters: unknown }[] = [];
  let fails = true;
  const organization = await install(
    {
      executeAction(action) {
        seen.push(action as never);
        if (fails) throw vendorError({ status: 500 });
        return { success: true, data: { made: seen.length } };
      },
    },
    {
      connector: {
        actions: [
          {
            name: "createEvent",
            parameters: { type: "object", properties: { title: { type: "string" } }, required: ["title"] },
          },
        ],
      },
    },
  );
  const call = { organization, plugin, name: "createEvent", parameters: { title: "x" }, idempotencyKey: "k", actor };
  await assert.rejects(engine.connectors.execute(call), { code: "plugin_error" });
  fails = false;
  const first = await engine.connectors.execute(call);
  assert.deepEqual(first.data, { made: 2 });
  assert.deepEqual(await engine.connectors.execute(call), first);
  assert.deepEqual([seen.length, seen[0]?.id === seen[1]?.id, seen[0]?.type], [2, true, "createEvent"]);
  await assert.rejects(engine.connectors.execute({ ...call, parameters: { title: "y" } }), { code: "conflict" });
  await assert.rejects(engine.connectors.execute({ ...call, parameters: {} }), { code: "invalid_parameters" });
  await assert.rejects(engine.connectors.execute({ ...call, name: "other" }), { code: "function_not_found" });
  assert.notEqual(
    (await engine.connectors.execute({ ...call, idempotencyKey: undefined })).executionId,
    first.executionId,
  );
});

test("a sync that failed for want of a connection runs again once there is one", async () => {
  const connector = calls([vendorError({ code: "connection_required" })], [item("1")], [item("2")]);
  const organization = await install(connector, { connector: { schedule: "every 1h" } });
  assert.equal((await syncs(organization)).error?.code, "connection_required");
  const plan = (next_at: Date) =>
    store.db.updateTable("connector_states").set({ next_at }).where("organization_id", "=", organization).execute();
  await plan(new Date(Date.now() + 3_600_000));
  await engine.connectors.wake(organization, plugin);
  await engine.tick();
  const { runs } = await engine.connectors.runs(organization, plugin, { limit: 1 });
  assert.deepEqual([runs[0]?.trigger, (await ended(organization, runs[0]!.id)).status], ["schedule", "succeeded"]);
  await engine.connectors.wake(organization, plugin);
  await engine.tick();
  assert.equal(
    (await engine.connectors.runs(organization, plugin, { limit: 10 })).runs.length,
    2,
    "nothing failed since",
  );
});

test("types, sources and cursors that grow with the items end the run, and the connector's row stays small", async () => {
  const many = (count: number, make: (n: number) => ScriptedItem) =>
    calls(Array.from({ length: count }, (_, n) => make(n)));
  const cases: [ScriptedConnector, RegExp][] = [
    [many(150, (n) => item(`${n}`, { type: `type${n}` })), /more than 100 types/],
    [many(40, (n) => item(`${n}`, { type: `type${n}`, cursor: "x".repeat(60_000) })), /cursors have more than/],
    [
      {
        ...many(1_200, (n) => item(`${n}`)),
        mapToUnifiedModel: ({ id }) => [{ type: "contacts", source: `${plugin}:${id}`, externalId: id, data: {} }],
      },
      /more than 1000 types and sources/,
    ],
  ];
  for (const [connector, reason] of cases) {
    const organization = await install(connector);
    const run = await syncs(organization);
    assert.equal(run.status, "failed");
    assert.equal(run.error?.code, "result_invalid");
    assert.match(run.error!.message, reason);
    const state = await store.db
      .selectFrom("connector_states")
      .selectAll()
      .where("organization_id", "=", organization)
      .executeTakeFirstOrThrow();
    assert.ok(JSON.stringify(state).length < 1_200_000);
  }
});

test("a full sync deletes nothing of a type whose grant was taken back", async () => {
  const connector = calls([item("1")], []);
  const organization = await install(connector);
  await syncs(organization);
  await store.db
    .updateTable("installations")
    .set({ grants: json(["network:inbound"]) })
    .where("organization_id", "=", organization)
    .execute();
  engine.installations.committed({ organization, plugin });
  await sql`update entities set updated_at = now() - interval '1 hour' where organization_id = ${organization}`.execute(
    store.db,
  );
  const run = await syncs(organization, { full: true });
  assert.equal(run.status, "succeeded");
  assert.deepEqual(await rows(organization), ["1=1"]);
});

test("a listener that hangs keeps no other and no schedule waiting", async () => {
  const hanging = Promise.withResolvers<null>();
  const slow = await install({ registerRealtimeListener: () => hanging.promise }, { connector: { realtime: true } });
  const quick = await install({ registerRealtimeListener: () => null }, { connector: { realtime: true } });
  const registered = async (organization: OrganizationId) =>
    (await engine.connectors.state(organization, plugin)).realtime?.state === "registered";
  for (const organization of [slow, quick])
    for (let waited = 0; waited < 5_000 && !(await due(organization)); waited += 20) await sleep(20);
  const ticking = engine.tick();
  for (let waited = 0; waited < 5_000 && !(await registered(quick)); waited += 20) await sleep(20);
  assert.equal(await registered(quick), true);
  assert.equal(await registered(slow), false);
  hanging.resolve(null);
  await ticking;
});

async function due(organization: OrganizationId): Promise<boolean> {
  const row = await store.db
    .selectFrom("connector_states")
    .select("realtime_at")
    .where("organization_id", "=", organization)
    .executeTakeFirst();
  return row?.realtime_at != null;
}
