import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { migrations } from "./migrations/index.ts";
import { openTestStore, type TestStore } from "./test-store.ts";

let started = 0;
process.on("worker", () => (started += 1));

/** What a store that was used could leave to the one after it. */
async function look(store: TestStore): Promise<unknown> {
  const { rows } = await sql`
    select txid_current()::text as transaction,
      current_setting('work_mem') as setting,
      (select count(*) from pg_prepared_statements) as statements,
      (select count(*) from pg_listening_channels()) as channels,
      (select count(*) from pg_cursors) as cursors,
      (select string_agg(relname || ' ' || pg_relation_size(oid), ',' order by oid) from pg_class) as relations,
      (select string_agg(schemaname || sequencename || coalesce(last_value::text, ''), ',' order by 1) from pg_sequences) as sequences,
      pg_current_wal_insert_lsn()::text as log`.execute(store.db);
  return rows;
}

async function use(store: TestStore): Promise<void> {
  await store.listen("things", () => assert.fail("nobody listens any more"));
  await sql`set work_mem = '7MB'`.execute(store.db);
  await sql`declare kept cursor with hold for select 1`.execute(store.db);
  await sql`create table extra (id bigserial primary key, text text)`.execute(store.db);
  await sql`insert into extra (text) select repeat(md5(n::text), 100) from generate_series(1, 5000) as n`.execute(
    store.db,
  );
  await sql`drop table settings`.execute(store.db);
  await sql`do $$ begin perform 1; end $$`.execute(store.db);
  for (let n = 0; n < 5; n += 1)
    await store.db
      .insertInto("organizations")
      .values({ id: `o${n}`, name: "O" })
      .execute();
  await assert.rejects(
    store.transaction(async (tx) => {
      await sql`select nothing from nowhere`.execute(tx);
    }),
  );
  await sql`vacuum full extra`.execute(store.db);
}

test("a store is as new as the first, whatever was done with the one before it, and no engine is started for it", async () => {
  const looks: unknown[] = [];
  for (let n = 0; n < 4; n += 1) {
    await using store = await openTestStore();
    looks.push(await look(store));
    await use(store);
  }
  for (const next of looks.slice(1)) assert.deepEqual(next, looks[0]);
  assert.equal(started, 1);
});

test("two stores that are open at once know nothing of each other", async () => {
  await using first = await openTestStore();
  await using second = await openTestStore();
  await first.db.insertInto("organizations").values({ id: "a", name: "A" }).execute();
  assert.deepEqual(await second.db.selectFrom("organizations").select("id").execute(), []);
});

test("an engine that was ended, or that loaded a library, is not used again", async () => {
  const count = async (work: (store: TestStore) => Promise<unknown>): Promise<number> => {
    const before = started;
    // Both that wait are taken: whoever comes after the broken one has to start its own, or gets the broken one.
    await using broken = await openTestStore({ statementTimeoutMs: 800 });
    await using other = await openTestStore();
    await work(broken);
    await broken.close();
    await using next = await openTestStore();
    await next.ping();
    await other.ping();
    return started - before;
  };
  await count(async (store) => store.ping());
  assert.equal(await count(async (store) => store.ping()), 0);
  assert.equal(
    await count((store) =>
      assert.rejects(sql`select count(*) from generate_series(1, 100000000000)`.execute(store.db), {
        code: "database_unavailable",
      }),
    ),
    1,
  );
  assert.equal(await count((store) => sql`select to_tsvector('english', 'words')`.execute(store.db)), 1);
});

const skip = process.env["TEST_DATABASE_URL"] ? false : "needs TEST_DATABASE_URL";

test("databases on PostgreSQL that are made at once have the whole schema, and nothing in common", {
  skip,
}, async () => {
  const open = (): ReturnType<typeof openTestStore> => openTestStore({ driver: "postgres" });
  const [first, second] = await Promise.all([open(), open()]);
  await first.db.insertInto("organizations").values({ id: "a", name: "A" }).execute();
  await using third = await open();
  for (const store of [second, third]) {
    assert.deepEqual(await store.db.selectFrom("organizations").select("id").execute(), []);
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from schema_migrations`.execute(store.db);
    assert.equal(rows[0]!.n, migrations.length);
  }
  await first[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
});
