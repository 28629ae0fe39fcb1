import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sql } from "kysely";
import { vacuumWorn } from "./embedded-vacuum.ts";
import { openStore } from "./open-store.ts";
import { openTestStore } from "./test-store.ts";

const fill = "insert into organizations (id, name) select 'o' || n, 'x' from generate_series(1, 3000) n";

test("tables with many dead, new or changed rows are vacuumed, and others are left alone", async () => {
  await using store = await openTestStore();
  assert.deepEqual(await vacuumWorn(store), []);
  await sql.raw(fill).execute(store.db);
  assert.deepEqual(await vacuumWorn(store), ["organizations"]);
  assert.deepEqual(await vacuumWorn(store), []);
  await sql`update organizations set name = 'y' where id < 'o24'`.execute(store.db);
  assert.deepEqual(await vacuumWorn(store), ["organizations"]);
  const { rows } =
    await sql`select n_dead_tup::int as dead, n_mod_since_analyze::int as changed from pg_stat_user_tables
    where relname = 'organizations'`.execute(store.db);
  // What the rows hold was looked at a moment ago.
  assert.deepEqual(rows, [{ dead: 0, changed: 1556 }]);
});

test("a plan that was kept while the table was small is made anew once it has grown", async () => {
  await using store = await openTestStore();
  await sql`create table grown (id int primary key, text text)`.execute(store.db);
  const plan = async (): Promise<string> => {
    const { rows } = await sql<{ "QUERY PLAN": string }>`explain execute kept(1)`.execute(store.db);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  };
  await sql`insert into grown values (1, 'x')`.execute(store.db);
  await sql`vacuum analyze grown`.execute(store.db);
  await sql`set plan_cache_mode = force_generic_plan`.execute(store.db);
  await sql`prepare kept as select text from grown where id = $1`.execute(store.db);
  assert.match(await plan(), /Seq Scan/);
  await sql`insert into grown select n, 'x' from generate_series(2, 5000) n`.execute(store.db);
  assert.match(await plan(), /Seq Scan/);
  await vacuumWorn(store);
  assert.match(await plan(), /Index Scan/);
});

test("an embedded store looks after itself until it is closed", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-vacuum-"));
  const store = await openStore({ dataDir });
  try {
    await sql.raw(fill).execute(store.db);
    const vacuumed = async (): Promise<boolean> => {
      const { rows } = await sql<{
        at: Date | null;
      }>`select last_vacuum as at from pg_stat_user_tables where relname = 'organizations'`.execute(store.db);
      return rows[0]?.at !== null;
    };
    while (!(await vacuumed())) await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    await store.close();
    await rm(dataDir, { recursive: true, force: true });
  }
});
