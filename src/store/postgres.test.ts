import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import pg from "pg";
import { BackplaneError } from "../errors/error.ts";
import { openStore } from "./open-store.ts";
import { storeContract, until } from "./store.contract.ts";
import { openTestStore } from "./test-store.ts";

const skip = process.env["TEST_DATABASE_URL"] ? undefined : "needs TEST_DATABASE_URL";

storeContract({ name: "PostgreSQL", open: (options) => openTestStore({ ...options, driver: "postgres" }), skip });

const code = (expected: string) => (error: unknown) => error instanceof BackplaneError && error.code === expected;

async function killSessions(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
  );
  await client.end();
}

test("eight hubs that start at once on an empty database migrate it once", async (t) => {
  if (skip) return t.skip(skip);
  await using store = await openTestStore({ driver: "postgres" });
  await sql`drop schema public cascade`.execute(store.db);
  await sql`create schema public`.execute(store.db);
  const hubs = await Promise.all(
    Array.from({ length: 8 }, () => openStore({ databaseUrl: store.databaseUrl, poolSize: 1 })),
  );
  const { rows } = await sql<{ id: number }>`select id from schema_migrations`.execute(hubs[0]!.db);
  assert.equal(new Set(rows.map((row) => row.id)).size, rows.length);
  await Promise.all(hubs.map((hub) => hub.close()));
});

test("a schema newer than the hub is refused", async (t) => {
  if (skip) return t.skip(skip);
  await using store = await openTestStore({ driver: "postgres" });
  await sql`insert into schema_migrations (id, name) values (999999, 'from the future')`.execute(store.db);
  await assert.rejects(openStore({ databaseUrl: store.databaseUrl }), code("invalid_settings"));
});

test("a database that does not answer is database_unavailable", async () => {
  await assert.rejects(openStore({ databaseUrl: "postgres://127.0.0.1:1/none" }), code("database_unavailable"));
});

test("sessions killed by the server: the transaction under way answers database_unavailable, the next statement works", async (t) => {
  if (skip) return t.skip(skip);
  await using store = await openTestStore({ driver: "postgres" });
  await assert.rejects(
    store.transaction(async (tx) => {
      await tx.insertInto("organizations").values({ id: "a", name: "A" }).execute();
      await killSessions(store.databaseUrl);
      await tx.insertInto("organizations").values({ id: "b", name: "B" }).execute();
    }),
    code("database_unavailable"),
  );
  assert.deepEqual(await store.db.selectFrom("organizations").select("id").execute(), []);
});

test("a listener whose session was killed is told to read again, and hears what follows", async (t) => {
  if (skip) return t.skip(skip);
  await using store = await openTestStore({ driver: "postgres" });
  const heard: string[] = [];
  await store.listen("things", (payload) => heard.push(payload));
  await killSessions(store.databaseUrl);
  await until(() => heard.includes(""));
  await store.notify(store.db, "things", "after");
  await until(() => heard.includes("after"));
});

test("two hubs hear each other and share named locks; a lock goes with its hub's connection", async (t) => {
  if (skip) return t.skip(skip);
  await using one = await openTestStore({ driver: "postgres" });
  const two = await openStore({ databaseUrl: one.databaseUrl });
  const heard: string[] = [];
  await two.listen("things", (payload) => heard.push(payload));
  await one.notify(one.db, "things", "hello");
  await until(() => heard.length === 1);
  const { promise: taken, resolve: take } = Promise.withResolvers<void>();
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
  const holding = one.tryWithLock("l", async () => {
    take();
    await held;
  });
  await taken;
  assert.equal(await two.tryWithLock("l", async () => true), undefined);
  await killSessions(one.databaseUrl);
  assert.equal(await two.tryWithLock("l", async () => true), true);
  letGo();
  await holding;
  await two.close();
});
