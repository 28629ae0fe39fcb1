import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import fc from "fast-check";
import { sql } from "kysely";
import { openBus, until } from "./bus-fixture.ts";
import type { PositionedEvent } from "./event-log.ts";
import { type EventInput, isEventPattern, storableJson } from "./event-record.ts";
import { createSequencer } from "./sequencer.ts";

const pglite = { name: "PGlite", store: "pglite" } as const;
const postgres = { name: "PostgreSQL", store: "postgres" } as const;
const needsPostgres = process.env["TEST_DATABASE_URL"] ? false : "needs TEST_DATABASE_URL";

const ids = (events: readonly PositionedEvent[]): string[] => events.map(({ event }) => event.id);

it("publishing the same id again is not accepted and changes nothing, in one organisation only", async () => {
  await using bus = await openBus(pglite);
  const event: EventInput = { organization: "a", id: "e", type: "x.y", source: "/s", data: { n: 1 } };
  const publish = (input: EventInput) => bus.transaction((tx) => bus.log.publish(tx, input));
  assert.deepEqual(await publish(event), { id: "e", accepted: true });
  assert.deepEqual(await publish({ ...event, data: { n: 2 } }), { id: "e", accepted: false });
  assert.deepEqual(await publish({ ...event, organization: "b" }), { id: "e", accepted: true });
  assert.deepEqual((await bus.log.get("a", "e"))?.data, { n: 1 });
  const both = await bus.transaction((tx) =>
    bus.log.publishAll(tx, [{ ...event, id: "f" }, { ...event, id: "f" }, event]),
  );
  assert.deepEqual(
    both.map((r) => r.accepted),
    [true, false, false],
  );
  await until(async () => (await bus.log.query({ organization: "a" })).events.length === 2, "stamped");
});

it("an event of a transaction that rolls back never existed", async () => {
  await using bus = await openBus(pglite);
  await assert.rejects(
    bus.transaction(async (tx) => {
      await bus.log.publish(tx, { organization: "a", id: "e", type: "x", source: "/s", data: 1 });
      throw new Error("no");
    }),
    /no/,
  );
  assert.equal(await bus.log.get("a", "e"), undefined);
});

it("events accepted at the same moment share transactions, and a wrong one fails alone", async () => {
  await using bus = await openBus(pglite);
  const accept = (id: string, type = "x.y") => bus.log.accept({ organization: "a", id, type, source: "/s", data: 1 });
  const results = await Promise.allSettled([
    ...Array.from({ length: 450 }, (_, i) => accept(`e${i}`)),
    accept("e1"),
    accept("bad", "no type"),
  ]);
  assert.deepEqual(
    results.slice(0, 450).map((r) => r.status === "fulfilled" && r.value.accepted),
    Array(450).fill(true),
  );
  assert.deepEqual(results[450], { status: "fulfilled", value: { id: "e1", accepted: false } });
  assert.equal(results[451]!.status, "rejected");
  const transactions = await sql<{ n: number }>`select count(distinct xmin::text)::int as n from events`.execute(
    bus.store.db,
  );
  await until(async () => (await bus.log.query({ organization: "a", limit: 500 })).events.length === 450, "stamped");
  assert.ok(transactions.rows[0]!.n <= 6, `${transactions.rows[0]!.n} transactions`);
  await assert.rejects(
    bus.transaction(() => accept("inside")),
    { code: "wall_crossed_in_transaction" },
  );
});

it("wrong events are refused with every wrong field named", async () => {
  await using bus = await openBus(pglite);
  const refuse = (input: Partial<EventInput>, code: string, paths?: string[]) =>
    assert.rejects(
      bus.transaction((tx) =>
        bus.log.publish(tx, { organization: "a", type: "x.y", source: "/s", data: {}, ...input }),
      ),
      (error: { code?: string; errors?: { path: string }[] }) => {
        assert.equal(error.code, code);
        if (paths)
          assert.deepEqual(
            error.errors?.map((e) => e.path),
            paths,
          );
        return true;
      },
    );
  for (const type of ["", "a..b", ".a", "a.", "a.*", "*", "a b", "é.x", "x".repeat(257)])
    await refuse({ type }, "invalid_input", ["$.type"]);
  await refuse({ type: "a b", id: "\u0000", subject: "\n", source: "" }, "invalid_input", [
    "$.id",
    "$.subject",
    "$.source",
  ]);
  await refuse({ data: "a\u0000b" }, "invalid_input", ["$.data"]);
  await refuse({ data: { x: "\ud800" } }, "invalid_input", ["$.data"]);
  await refuse({ data: 1n }, "invalid_input", ["$.data"]);
  await refuse({ data: "x".repeat(600_000) }, "payload_too_large");
  await refuse({ subject: "é".repeat(300) }, "invalid_input", ["$.subject"]);
  await refuse({ depth: 33 }, "call_depth_exceeded");
  await assert.rejects(bus.log.query({ organization: "a", type: "a*" }), { code: "invalid_input" });
  await assert.rejects(bus.log.query({ organization: "a", after: "no-such-event" }), { code: "invalid_cursor" });
});

it("whatever JSON is published comes back the same", async () => {
  await using bus = await openBus(pglite);
  let n = 0;
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ noUnicodeString: false }), async (value) => {
      const data: unknown = JSON.parse(JSON.stringify(value).replaceAll("-0", "0"));
      const id = `e${n++}`;
      try {
        await bus.publish("a", "x", { id, data });
      } catch (error) {
        assert.equal((error as { code?: string }).code, "invalid_input");
        assert.ok(/\\u(0000|d[89a-f])/.test(JSON.stringify(data)), "only what cannot be stored is refused");
        return;
      }
      assert.deepEqual((await bus.log.get("a", id))?.data, data);
    }),
    { numRuns: 60 },
  );
});

it("payloads that cannot be stored are mended, all others left as they are", () => {
  assert.equal(storableJson("a\u0000b\\u0000", "$"), String.raw`"a\ufffdb\\u0000"`);
  assert.equal(storableJson({ x: "\ud800", y: "😀\u0001" }, "$"), String.raw`{"x":"\ufffd","y":"😀\u0001"}`);
  assert.throws(() => storableJson(1n, "$.payload"), { code: "invalid_input" });
  assert.equal(isEventPattern("a.b.*"), true);
  for (const bad of ["a*", "*.a", "a.*.b", "", "a..b"]) assert.equal(isEventPattern(bad), false, bad);
});

it("a query walks oldest first by cursor or event id, filters by type and prefix, and sees one organisation", async () => {
  await using bus = await openBus(pglite);
  for (let i = 0; i < 7; i += 1) await bus.publish("a", i % 2 ? "order.created" : "order.line.added", { id: `e${i}` });
  await bus.publish("b", "order.created", { id: "other" });
  await bus.publish("a", "orders.created", { id: "e7" });
  await until(async () => (await bus.log.query({ organization: "a" })).events.length === 8, "stamped");
  const first = await bus.log.query({ organization: "a", limit: 3 });
  assert.deepEqual(ids(first.events), ["e0", "e1", "e2"]);
  const second = await bus.log.query({ organization: "a", limit: 3, after: first.nextCursor! });
  assert.deepEqual(ids(second.events), ["e3", "e4", "e5"]);
  assert.deepEqual(ids((await bus.log.query({ organization: "a", after: "e5" })).events), ["e6", "e7"]);
  assert.deepEqual(ids((await bus.log.query({ organization: "a", type: "order.created" })).events), ["e1", "e3", "e5"]);
  assert.equal((await bus.log.query({ organization: "a", type: "order.*" })).events.length, 7);
  assert.deepEqual(ids((await bus.log.query({ organization: "a", type: "order.line.*", after: "e1" })).events), [
    "e2",
    "e4",
    "e6",
  ]);
  await assert.rejects(bus.log.query({ organization: "a", after: "other" }), { code: "invalid_cursor" });
});

it("a page of large events is short, its cursor goes on, and none is left out", async () => {
  await using bus = await openBus(pglite);
  for (let n = 0; n < 40; n++)
    await bus.transaction((tx) =>
      bus.log.publish(tx, { organization: "a", id: `e${n}`, type: "x.y", source: "/s", data: "x".repeat(500_000) }),
    );
  const seen: string[] = [];
  for (let after: string | undefined, pages = 1; ; pages += 1) {
    const { events, nextCursor } = await bus.log.query({ organization: "a", limit: 200, after });
    seen.push(...ids(events));
    if (nextCursor === null) {
      assert.equal(pages, 2);
      break;
    }
    assert.ok(JSON.stringify(events).length < 18_000_000);
    after = nextCursor;
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 40 }, (_, n) => `e${n}`),
  );
});

it("a tail gives what is there after its cursor, then what comes, and ends with its signal", async () => {
  await using bus = await openBus(pglite);
  await bus.publish("a", "x.1", { id: "old" });
  await bus.publish("a", "x.1", { id: "older" });
  await until(async () => (await bus.log.query({ organization: "a" })).events.length === 2, "stamped");
  const stop = new AbortController();
  const [fromOld, fromNow]: [string[], string[]] = [[], []];
  const follow = async (into: string[], after?: string): Promise<void> => {
    for await (const { event } of bus.log.tail({ organization: "a", type: "x.*", after, signal: stop.signal }))
      into.push(event.id);
  };
  const tails = [follow(fromOld, "old"), follow(fromNow)];
  await wait(100);
  const since = performance.now();
  await bus.publish("b", "x.1", { id: "foreign" });
  await bus.publish("a", "y.1", { id: "other type" });
  await bus.publish("a", "x.2", { id: "new" });
  await until(() => fromOld.length === 2 && fromNow.length === 1, "the new one");
  assert.ok(performance.now() - since < 1500, "woken, not polled");
  stop.abort();
  await Promise.all(tails);
  assert.deepEqual([fromOld, fromNow], [["older", "new"], ["new"]]);
});

it("a transaction that began first and commits last gets the later position and is not skipped", {
  skip: needsPostgres,
}, async () => {
  await using bus = await openBus(postgres);
  await bus.subscribe("a", "p", "x.*");
  const held = Promise.withResolvers<void>();
  const drawn = Promise.withResolvers<void>();
  const slow = bus.transaction(async (tx) => {
    await bus.log.publish(tx, { organization: "a", id: "slow", type: "x.1", source: "/s", subject: "s", data: 1 });
    drawn.resolve();
    await held.promise;
  });
  await drawn.promise;
  await bus.publish("a", "x.1", { id: "quick", subject: "s" });
  await until(async () => (await bus.log.query({ organization: "a" })).events.length === 1, "the quick one");
  const before = await bus.log.query({ organization: "a" });
  held.resolve();
  await slow;
  await until(
    async () => (await bus.log.query({ organization: "a", after: before.events[0]!.cursor })).events.length === 1,
    "the slow one",
  );
  assert.deepEqual(ids((await bus.log.query({ organization: "a" })).events), ["quick", "slow"]);
  const got: string[] = [];
  await bus.node({}, (node) => node.handle("event", async ({ itemId }) => void got.push(itemId)));
  await until(() => got.length === 2, "both delivered");
  assert.deepEqual(got, ["quick", "slow"]);
});

it("several sequencers and many writers: every event gets one position, and no reader ever misses one", {
  skip: needsPostgres,
}, async () => {
  await using bus = await openBus(postgres);
  const others = [1, 2].map(() => createSequencer({ store: bus.store, pollMs: 50, batchSize: 20 }));
  for (const sequencer of others) await sequencer.start();
  const stop = new AbortController();
  const read: string[] = [];
  const cursors: string[] = [];
  const reader = (async () => {
    for await (const { event, cursor } of bus.log.tail({ organization: "a", after: undefined, signal: stop.signal })) {
      read.push(event.id);
      cursors.push(cursor);
    }
  })();
  await wait(50);
  const writers = Array.from({ length: 6 }, async (_, w) => {
    for (let i = 0; i < 30; i += 1) {
      await bus.transaction(async (tx) => {
        await bus.log.publish(tx, { organization: "a", id: `${w}-${i}`, type: "x", source: "/s", data: 1 });
        await wait(Math.random() * 4);
      });
    }
  });
  await Promise.all(writers);
  await until(() => read.length >= 180, "all read");
  stop.abort();
  await reader;
  assert.equal(new Set(read).size, 180);
  assert.equal(new Set(cursors).size, 180);
  for (let w = 0; w < 6; w += 1)
    assert.deepEqual(
      read.filter((id) => id.startsWith(`${w}-`)),
      Array.from({ length: 30 }, (_, i) => `${w}-${i}`),
    );
  for (const sequencer of others) await sequencer.stop();
});

it("a consumer registered before an event was accepted always gets it, with no cache between", async () => {
  await using bus = await openBus(pglite);
  const got: string[] = [];
  await bus.node({}, (node) =>
    node.handle("event", async ({ consumer, itemId }) => void got.push(`${consumer}:${itemId}`)),
  );
  for (let i = 0; i < 20; i += 1) {
    await bus.subscribe("a", `c${i}`, "x.*");
    await bus.publish("a", "x.1", { id: `e${i}` });
  }
  const expected = 210;
  await until(() => got.length >= expected - 190, "first");
  await until(
    () => Array.from({ length: 20 }, (_, i) => `c${i}:e${i}`).every((one) => got.includes(one)),
    "each its own",
  );
  await until(() => got.length >= expected, "all");
  await bus.transaction((tx) => bus.consumers.remove(tx, { organization: "a", consumer: "c0" }));
  assert.equal((await bus.consumers.list("a", "test")).length, 19);
  await assert.rejects(bus.subscribe("a", "bad", "x*"), { code: "invalid_input" });
});
