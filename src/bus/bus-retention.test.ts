import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { openBus, until } from "./bus-fixture.ts";
import { cleanBus, retentionFor } from "./bus-retention.ts";

const day = 24 * 60 * 60 * 1000;

test("events and dead letters are kept as long as the setting says, settled deliveries a week at most", () => {
  assert.deepEqual(retentionFor(90), { doneMs: 7 * day, deadMs: 90 * day, eventsMs: 90 * day });
  assert.deepEqual(retentionFor(2), { doneMs: 2 * day, deadMs: 2 * day, eventsMs: 2 * day });
});

for (const store of ["pglite", "postgres"] as const)
  test(`retention walks past what it spares, in every organisation, and comes to an end: ${store}`, {
    skip: store === "postgres" && !process.env["TEST_DATABASE_URL"] ? "needs TEST_DATABASE_URL" : false,
  }, async () => {
    await using bus = await openBus({ name: store, store });
    const { db } = bus.store;
    const counts = async () => {
      const { rows } = await sql<{
        events: number;
        positions: number;
      }>`select (select count(*)::int from events) as events,
        (select count(*)::int from event_positions) as rows,
        (select coalesce(sum(last - first + 1), 0)::int from event_positions) as positions`.execute(db);
      return rows[0]!;
    };
    const publish = (organization: string, type: string, count: number) =>
      bus.transaction((tx) =>
        bus.log.publishAll(
          tx,
          Array.from({ length: count }, (_, n) => ({ organization, id: `${type}-${n}`, type, source: "/s", data: n })),
        ),
      );
    await bus.subscribe("a", "slow", "x.*");
    await publish("a", "x.held", 600);
    await publish("a", "y.free", 6000);
    await publish("a", "x.half", 100);
    await publish("b", "y.free", 700);
    await until(async () => (await sql`select 1 from event_arrivals`.execute(db)).rows.length === 0, "all stamped");
    await sql`update deliveries set state = 'done', settled_at = now() where item_id like 'x.half-%' and item_id <> 'x.half-7'`.execute(
      db,
    );

    assert.deepEqual(await cleanBus(bus.store, { eventsMs: day }), { deliveries: 0, events: 0 });
    assert.deepEqual(await cleanBus(bus.store, { eventsMs: 0 }), { deliveries: 0, events: 6000 + 99 + 700 });
    assert.deepEqual(
      await counts(),
      { events: 601, rows: 3, positions: 601 },
      "two rows of what is held, one of the one that is kept",
    );
    const left = await bus.log.query({ organization: "a", after: "x.held-599" });
    assert.deepEqual(
      left.events.map(({ event }) => event.id),
      ["x.half-7"],
    );
    assert.deepEqual(await cleanBus(bus.store, { eventsMs: 0 }), { deliveries: 0, events: 0 });
    await sql`update deliveries set state = 'cancelled', settled_at = now()`.execute(db);
    assert.deepEqual(await cleanBus(bus.store, { eventsMs: 0 }), { deliveries: 0, events: 601 });
    assert.deepEqual(await counts(), { events: 0, rows: 0, positions: 0 });
  });
