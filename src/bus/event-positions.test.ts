/** Migration 8 on a database of migration 7 that is in use: events with positions, and events that wait for theirs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { createStore } from "../store/create-store.ts";
import type { StoreDriver } from "../store/driver.ts";
import { migrate } from "../store/migrate.ts";
import { migrations } from "../store/migrations/index.ts";
import { openPgliteDriver } from "../store/pglite-driver.ts";
import { openPostgresDriver } from "../store/postgres-driver.ts";
import type { Store } from "../store/store.ts";
import { openTestStore } from "../store/test-store.ts";
import { createEventLog } from "./event-log.ts";
import { createSequencer } from "./sequencer.ts";

const onFault = (error: unknown): void => {
  throw error;
};

test("events with and without positions come out of migration 8 in their order: PGlite", async () => {
  await movesEvents(await openPgliteDriver({ statementTimeoutMs: 30_000, onFault }));
});

test("events with and without positions come out of migration 8 in their order: PostgreSQL", {
  skip: process.env["TEST_DATABASE_URL"] ? false : "needs TEST_DATABASE_URL",
}, async () => {
  await using server = await openTestStore({ driver: "postgres" });
  const name = `${new URL(server.databaseUrl).pathname.slice(1)}_old`;
  await sql`create database ${sql.ref(name)}`.execute(server.db);
  try {
    const databaseUrl = Object.assign(new URL(server.databaseUrl), { pathname: `/${name}` }).href;
    await movesEvents(await openPostgresDriver({ databaseUrl, poolSize: 3, statementTimeoutMs: 30_000, onFault }));
  } finally {
    await sql`drop database ${sql.ref(name)} with (force)`.execute(server.db);
  }
});

async function movesEvents(driver: StoreDriver): Promise<void> {
  const store = createStore(driver);
  try {
    await migrate(
      driver,
      migrations.filter(({ id }) => id < 8),
    );
    await fill(store);
    assert.ok((await migrate(driver)).includes(8));
    const log = createEventLog({ store });
    const sequencer = createSequencer({ store });
    const page = async (organization: string, more: { type?: string; after?: string } = {}) =>
      (await log.query({ organization, limit: 5000, ...more })).events.map(({ event }) => event.id);
    const stamped = Array.from({ length: 2500 }, (_, n) => `s${2500 - n}`);
    const waiting = Array.from({ length: 1100 }, (_, n) => `w${n + 1}`);

    // The first query waits a second for positions that nobody gives yet.
    assert.deepEqual(await page("a"), stamped);
    assert.deepEqual(await page("a", { after: "s1200" }), stamped.slice(1301));
    assert.deepEqual(await page("a", { type: "x.rare" }), ["s2000", "s1000"]);
    assert.deepEqual(await page("b"), ["other"]);
    while ((await sequencer.runOnce())! > 0);
    assert.deepEqual(await page("a"), [...stamped, ...waiting]);
    assert.deepEqual(await page("a", { type: "x.rare" }), ["s2000", "s1000", "w1000"]);
    const again = { organization: "a", id: "s7", type: "x.y", source: "/s", data: 1 };
    assert.equal((await log.accept(again)).accepted, false);
    assert.equal((await log.accept({ ...again, id: "new" })).accepted, true);
    assert.equal(await sequencer.runOnce(), 1);
    assert.equal((await page("a")).at(-1), "new");
    const { rows } = await sql<{ first: number; last: number }>`
      select min(first)::int as first, max(last)::int as last from event_positions where organization_id = 'a'`.execute(
      store.db,
    );
    assert.deepEqual(rows[0], { first: 1, last: 2500 + 1 + 1100 + 1 });
  } finally {
    await store.close();
  }
}

/** Positions run against `seq` and through two organisations; every thousandth event is of another type. */
async function fill(store: Store): Promise<void> {
  const type = sql`case when n % 1000 = 0 then 'x.rare' else 'x.y' end`;
  await sql`insert into events (organization_id, id, position, source, type, subject, time, data)
    select 'a', 's' || n, 2500 - n + case when n < 1300 then 2 else 1 end, '/s', ${type}, 'k', now(), to_jsonb(n)
    from generate_series(1, 2500) n`.execute(store.db);
  await sql`insert into events (organization_id, id, position, source, type, time, data)
    values ('b', 'other', 1202, '/s', 'x.y', now(), '1')`.execute(store.db);
  await sql`select setval('event_position', 2501)`.execute(store.db);
  await sql`insert into events (organization_id, id, source, type, subject, time, data)
    select 'a', 'w' || n, '/s', ${type}, 'k', now(), to_jsonb(n) from generate_series(1, 1100) n`.execute(store.db);
}
