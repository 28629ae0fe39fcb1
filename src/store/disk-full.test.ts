import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { sleep } from "../base/deferred.ts";
import { BackplaneError } from "../errors/error.ts";
import { mapDatabaseError } from "./database-errors.ts";
import { openStore } from "./open-store.ts";

const run = promisify(execFile);
const code = (expected: string) => (error: unknown) => error instanceof BackplaneError && error.code === expected;

/** A small disk of its own, or undefined where this user may not mount one. */
async function smallDisk(megabytes: number): Promise<({ path: string } & AsyncDisposable) | undefined> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return undefined;
  const path = await mkdtemp(join(tmpdir(), "backplane-disk-"));
  try {
    await run("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", path]);
  } catch {
    await rm(path, { recursive: true, force: true });
    return undefined;
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      await run("umount", [path]);
      await rm(path, { recursive: true, force: true });
    },
  };
}

async function fill(folder: string, name: string, leaveMb: number): Promise<void> {
  const disk = await statfs(folder);
  await writeFile(join(folder, name), Buffer.alloc(Math.max(0, disk.bavail * disk.bsize - leaveMb * 2 ** 20)));
}

for (const [title, leaveMb] of [
  ["under its tables", 1],
  ["under its write-ahead log", 20],
] as const) {
  test(`a disk that is full ${title} answers storage_full, loses nothing, and works again once there is space`, async (t) => {
    await using disk = await smallDisk(110);
    if (!disk) return t.skip("needs the right to mount a tmpfs");
    const store = await openStore({ dataDir: join(disk.path, "data") });
    await fill(disk.path, "ballast", leaveMb);
    const insert = (n: number) =>
      store.db
        .insertInto("files")
        .values({
          organization_id: "o",
          plugin_id: "p",
          path: String(n),
          content_type: "x",
          size: 1,
          bytes: randomBytes(20_000),
        })
        .execute();
    let confirmed = 0;
    await assert.rejects(async () => {
      for (; confirmed < 5000; confirmed += 1) await insert(confirmed);
    }, code("storage_full"));
    await assert.rejects(insert(-1), code("storage_full"), "and again");
    await rm(join(disk.path, "ballast"));
    await sleep(1100);
    await insert(confirmed);
    const { n } = await store.db
      .selectFrom("files")
      .select((eb) => eb.fn.countAll<number>().as("n"))
      .executeTakeFirstOrThrow();
    assert.equal(n, confirmed + 1);
    await store.close();
  });
}

test("a first start without space answers storage_full and leaves no half database behind", async (t) => {
  await using disk = await smallDisk(20);
  if (!disk) return t.skip("needs the right to mount a tmpfs");
  await assert.rejects(openStore({ dataDir: join(disk.path, "data") }), code("storage_full"));
  await run("mount", ["-o", "remount,size=110m", disk.path]);
  const store = await openStore({ dataDir: join(disk.path, "data") });
  await store.ping();
  await store.close();
});

test("errors of drivers get our codes by SQLSTATE, by system error and by message; others pass", () => {
  const error = (message: string, code?: string): Error =>
    Object.assign(new Error(message), code === undefined ? {} : { code });
  const cases: [Error, string | undefined][] = [
    [error("could not extend file", "53100"), "storage_full"],
    [error("write", "ENOSPC"), "storage_full"],
    [error('could not write to file "pg_wal/xlogtemp.1": No space left on device', "XX000"), "storage_full"],
    [error("connect ECONNREFUSED", "ECONNREFUSED"), "database_unavailable"],
    [error("terminating connection due to administrator command", "57P01"), "database_unavailable"],
    [error("canceling statement due to statement timeout", "57014"), "database_unavailable"],
    [error("sorry, too many clients already", "53300"), "database_unavailable"],
    [error("connection failure", "08006"), "database_unavailable"],
    [error("Connection terminated unexpectedly"), "database_unavailable"],
    [error("timeout exceeded when trying to connect"), "database_unavailable"],
    [error("duplicate key", "23505"), undefined],
    [error('relation "connection terminated" does not exist', "42P01"), undefined],
    [new TypeError("a defect of ours"), undefined],
  ];
  for (const [given, expected] of cases) {
    const mapped = mapDatabaseError(given);
    if (expected === undefined) assert.equal(mapped, given);
    else assert.ok(code(expected)(mapped), given.message);
  }
});
