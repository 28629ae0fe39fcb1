import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { sql } from "kysely";
import { sleep } from "../base/deferred.ts";
import { BackplaneError } from "../errors/error.ts";
import { createStore } from "./create-store.ts";
import { migrate } from "./migrate.ts";
import { openStore } from "./open-store.ts";
import { openPgliteDriver } from "./pglite-driver.ts";
import { storeContract } from "./store.contract.ts";
import { openTestStore } from "./test-store.ts";

storeContract({ name: "PGlite", open: (options) => openTestStore(options) });

const code = (expected: string) => (error: unknown) => error instanceof BackplaneError && error.code === expected;

async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "backplane-store-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A hub in a process of its own that commits rows and prints the id of each one it got confirmed. */
function startWriter(folder: string): ChildProcess {
  const script = `
    const { openStore } = await import(${JSON.stringify(new URL("./open-store.ts", import.meta.url).href)});
    const store = await openStore({ dataDir: ${JSON.stringify(folder)} });
    for (let n = 0; ; n += 1) {
      const id = String(process.pid) + "-" + n;
      if (n % 2) await store.db.insertInto("organizations").values({ id, name: "x".repeat(2000) }).execute();
      else await store.transaction((tx) => tx.insertInto("organizations").values({ id, name: "x".repeat(2000) }).execute());
      console.log(id);
    }`;
  return spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
}

async function killAfterLines(child: ChildProcess, lines: number): Promise<string[]> {
  const confirmed: string[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    confirmed.push(line);
    if (confirmed.length === lines) child.kill("SIGKILL");
  }
  return confirmed;
}

test("a hub killed with SIGKILL loses no row it confirmed, and the next one takes over its lock", async () => {
  await using folder = await temporaryFolder();
  const confirmed: string[] = [];
  for (const lines of [50, 120]) confirmed.push(...(await killAfterLines(startWriter(folder.path), lines)));
  const store = await openStore({ dataDir: folder.path });
  const rows = await store.db.selectFrom("organizations").select("id").execute();
  await store.close();
  const kept = new Set(rows.map((row) => row.id));
  assert.ok(confirmed.length >= 170);
  assert.deepEqual(
    confirmed.filter((id) => !kept.has(id)),
    [],
  );
});

test("a folder used by a living hub answers data_folder_locked, and is free once that hub closed", async () => {
  await using folder = await temporaryFolder();
  const first = await openStore({ dataDir: folder.path });
  await first.db.insertInto("organizations").values({ id: "a", name: "A" }).execute();
  await assert.rejects(openStore({ dataDir: folder.path }), code("data_folder_locked"));
  await first.close();
  const second = await openStore({ dataDir: folder.path });
  assert.deepEqual(await second.db.selectFrom("organizations").select("id").execute(), [{ id: "a" }]);
  await second.close();
  assert.deepEqual(await readdir(folder.path), ["db"]);
});

test("a lock left by a process number that another process now has is taken over", async () => {
  await using folder = await temporaryFolder();
  await writeFile(
    join(folder.path, "hub.lock"),
    JSON.stringify({ pid: process.pid, started: "another boot:1", id: "old" }),
  );
  const store = await openStore({ dataDir: folder.path });
  assert.notEqual(JSON.parse(await readFile(join(folder.path, "hub.lock"), "utf8")).id, "old");
  await store.close();
});

test("of eight hubs that find the same dead lock one opens the folder", async () => {
  await using folder = await temporaryFolder();
  await (await openStore({ dataDir: folder.path })).close();
  await writeFile(join(folder.path, "hub.lock"), JSON.stringify({ pid: 2 ** 22 + 1, started: "", id: "dead" }));
  const tries = await Promise.allSettled(Array.from({ length: 8 }, () => openStore({ dataDir: folder.path })));
  const opened = tries.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const refused = tries.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  await Promise.all(opened.map((store) => store.close()));
  assert.equal(opened.length, 1);
  assert.ok(refused.every(code("data_folder_locked")));
});

test("a folder left half-made by a first start that died is made anew", async () => {
  await using folder = await temporaryFolder();
  const half = join(folder.path, "db.new");
  await (await import("node:fs/promises")).mkdir(half);
  await writeFile(join(half, "PG_VERSION"), "18");
  const store = await openStore({ dataDir: folder.path });
  await store.ping();
  await store.close();
});

test("a statement past its deadline ends the worker; committed rows, statements and listeners come back with the next", async () => {
  await using folder = await temporaryFolder();
  const store = await openStore({ dataDir: folder.path, statementTimeoutMs: 700 });
  const heard: string[] = [];
  await store.listen("things", (payload) => heard.push(payload));
  await store.db.insertInto("organizations").values({ id: "a", name: "A" }).execute();
  for (let n = 0; n < 4; n += 1) await sql`select 1 as prepared`.execute(store.db);
  const endless = sql`select count(*) from generate_series(1, 100000000000) as n`;
  const waiting = Promise.allSettled([
    endless.execute(store.db),
    store.db.selectFrom("organizations").select("id").execute(),
  ]);
  const [ended, next] = await waiting;
  assert.ok(ended.status === "rejected" && code("database_unavailable")(ended.reason));
  assert.deepEqual(next.status === "fulfilled" && next.value, [{ id: "a" }]);
  await sql`select 1 as prepared`.execute(store.db);
  await assert.rejects(
    store.transaction(async (tx) => {
      await tx.insertInto("organizations").values({ id: "b", name: "B" }).execute();
      await endless.execute(tx);
    }),
    code("database_unavailable"),
  );
  await store.notify(store.db, "things", "after");
  await sleep(50);
  assert.deepEqual(heard, ["", "", "after"], "an empty payload tells that messages may be missing");
  assert.deepEqual(await store.db.selectFrom("organizations").select("id").execute(), [{ id: "a" }]);
  await store.close();
});

test("a transaction that forgets its connection is rolled back, and the others go on", async () => {
  const driver = await openPgliteDriver({ statementTimeoutMs: 10_000, idleInTransactionMs: 100, onFault: () => {} });
  await migrate(driver);
  const store = createStore(driver);
  const forgetful = store.transaction(async (tx) => {
    await tx.insertInto("organizations").values({ id: "a", name: "A" }).execute();
    await sleep(300);
    await tx.insertInto("organizations").values({ id: "b", name: "B" }).execute();
  });
  const [lost, others] = await Promise.allSettled([
    forgetful,
    sleep(10).then(() => store.db.selectFrom("organizations").select("id").execute()),
  ]);
  assert.ok(lost.status === "rejected" && code("database_unavailable")(lost.reason));
  assert.deepEqual(others.status === "fulfilled" && others.value, []);
  await store.close();
});

test("a statement that overflows the engine's stack fails, never passes for done, and the database comes back", async () => {
  await using folder = await temporaryFolder();
  const store = await openStore({ dataDir: folder.path });
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  const insert = (value: string) =>
    sql`insert into settings (key, value) values (${value.slice(0, 9)}, ${value}::jsonb)`.execute(store.db);
  await insert("1");
  await assert.rejects(insert(deep), code("database_unavailable"));
  const rows = await store.db.selectFrom("settings").select("value").execute();
  assert.deepEqual(rows, [{ value: 1 }]);
  await store.close();
});

test("the embedded database waits for the disk at each commit, unless told not to", async () => {
  await using folder = await temporaryFolder();
  for (const [syncToDisk, expected] of [
    [undefined, "on"],
    [false, "off"],
  ] as const) {
    const store = await openStore({ dataDir: folder.path, syncToDisk });
    const { rows } = await sql<{ fsync: string }>`select current_setting('fsync') as fsync`.execute(store.db);
    assert.equal(rows[0]!.fsync, expected);
    await store.close();
  }
});
