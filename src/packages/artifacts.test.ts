import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { asDigest, asOrganizationId } from "../base/brands.ts";
import { openTestStore } from "../store/test-store.ts";
import { digestFiles, writeArchive } from "./archive.ts";
import { createArtifacts } from "./artifacts.ts";
import type { PackageFiles } from "./read-tar.ts";

const organization = asOrganizationId("org-a");
const drivers = ["pglite", "postgres"] as const;

async function setUp(driver: (typeof drivers)[number], files: PackageFiles) {
  const store = await (driver === "postgres" ? openTestStore({ driver }) : openTestStore());
  const cacheDir = await mkdtemp(join(tmpdir(), "backplane-cache-"));
  const artifacts = createArtifacts({ store, cacheDir });
  const digest = digestFiles(files);
  const archive = await writeArchive(files);
  const address = { organization, digest, plugin: "acme.greeter" };
  return {
    store,
    cacheDir,
    artifacts,
    address,
    archive,
    put: () => store.transaction((tx) => artifacts.put(tx, address, archive)),
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await rm(cacheDir, { recursive: true, force: true });
    },
  };
}

const small = (): PackageFiles =>
  new Map([
    ["plugin.json", Buffer.from("{}")],
    ["index.js", Buffer.from("1")],
    ["index.js.map", Buffer.from("{}")],
  ]);

for (const driver of drivers) {
  const skip = driver === "postgres" && !process.env["TEST_DATABASE_URL"] ? "needs TEST_DATABASE_URL" : false;

  test(`${driver}: an archive of many chunks comes back whole, from the database and from the cache`, {
    skip,
  }, async () => {
    const files: PackageFiles = new Map([
      ["plugin.json", Buffer.from("{}")],
      ["index.js", Buffer.from(randomBytes(1_500_000).toString("hex"))],
    ]);
    await using it = await setUp(driver, files);
    await it.put();
    const chunks = await it.store.db.selectFrom("artifact_chunks").select("bytes").execute();
    assert.ok(chunks.length >= 3 && chunks.every(({ bytes }) => bytes.byteLength <= 512 * 1024));
    const bundle = await it.artifacts.loadBundle({ ...it.address, entrypoint: "./index.js" });
    assert.equal(bundle.code, Buffer.from(files.get("index.js")!).toString());
    await it.store.db.deleteFrom("artifacts").execute();
    assert.equal((await it.artifacts.get(it.address)).size, 2);
  });

  test(`${driver}: damage in the database is artifact_corrupt, and publishing again repairs it`, { skip }, async () => {
    await using it = await setUp(driver, small());
    await it.put();
    const load = () => it.artifacts.loadBundle({ ...it.address, entrypoint: "index.js" });
    for (const damage of [
      randomBytes(it.archive.byteLength),
      Buffer.from("short"),
      Buffer.alloc(0),
      await writeArchive(new Map([["index.js", Buffer.from("evil")]])),
    ]) {
      await it.store.db.updateTable("artifact_chunks").set({ bytes: damage }).execute();
      await it.store.db
        .updateTable("artifacts")
        .set({ size: Math.max(1, damage.byteLength) })
        .execute();
      await assert.rejects(load(), {
        code: "artifact_corrupt",
        message: "The stored code of plugin 'acme.greeter' does not match its digest. Publish it again.",
      });
      assert.deepEqual(await readdir(it.cacheDir), []);
    }
    await it.put();
    assert.deepEqual(await load(), { code: "1", sourceMap: "{}" });
    await rm(it.cacheDir, { recursive: true });
    await it.store.db.deleteFrom("artifact_chunks").execute();
    await assert.rejects(load(), { code: "artifact_corrupt" });
    await it.put();
    assert.equal((await load()).code, "1");
  });
}

test("a damaged cache file is fetched again and repaired; an emptied cache is filled again", async () => {
  await using it = await setUp("pglite", small());
  await it.put();
  await it.artifacts.get(it.address);
  const [name] = await readdir(it.cacheDir);
  const file = join(it.cacheDir, name!);
  const evil = await writeArchive(new Map([["index.js", Buffer.from("evil")]]));
  for (const damage of [
    Buffer.alloc(0),
    randomBytes(300),
    Buffer.from(it.archive).subarray(0, 50),
    Buffer.from(evil),
    Buffer.alloc(11 * 1024 * 1024),
  ]) {
    await writeFile(file, damage);
    assert.equal((await it.artifacts.loadBundle({ ...it.address, entrypoint: "index.js" })).code, "1");
    assert.deepEqual(await readFile(file), Buffer.from(it.archive));
  }
  await rm(it.cacheDir, { recursive: true });
  assert.equal((await it.artifacts.get(it.address)).size, 3);
  assert.equal((await readdir(it.cacheDir)).length, 1);
});

test("a cache folder that cannot be written does not stop a load", async () => {
  await using it = await setUp("pglite", small());
  await it.put();
  const blocked = join(it.cacheDir, "file");
  await writeFile(blocked, "");
  const artifacts = createArtifacts({ store: it.store, cacheDir: join(blocked, "cache") });
  assert.equal((await artifacts.get(it.address)).size, 3);
});

test("an artifact of another organisation is not found by its digest", async () => {
  await using it = await setUp("pglite", small());
  await it.put();
  const other = { ...it.address, organization: asOrganizationId("org-b") };
  await assert.rejects(it.artifacts.get(other), { code: "artifact_corrupt" });
});

test("a digest that is no digest never becomes a path", async () => {
  await using it = await setUp("pglite", small());
  for (const digest of ["sha256:../../x", "", "sha256:ABC", `sha256:${"a".repeat(63)}`]) {
    await assert.rejects(it.artifacts.get({ ...it.address, digest: asDigest(digest) }), { code: "artifact_corrupt" });
  }
});

test("the cache is cut back to its size, least recently used first", async () => {
  await using it = await setUp("pglite", small());
  const artifacts = createArtifacts({ store: it.store, cacheDir: it.cacheDir, cacheBytes: 1 });
  for (const text of ["a", "b"]) {
    const files: PackageFiles = new Map([["index.js", Buffer.from(text)]]);
    const address = { organization, digest: digestFiles(files) };
    await it.store.transaction(async (tx) => artifacts.put(tx, address, await writeArchive(files)));
    await artifacts.get(address);
    assert.deepEqual(await readdir(it.cacheDir), [`${address.digest.slice(7)}.tgz`]);
  }
});

test("many loads of one artifact at once are one load", async () => {
  await using it = await setUp("pglite", small());
  await it.put();
  const all = await Promise.all(Array.from({ length: 50 }, () => it.artifacts.get(it.address)));
  assert.equal(new Set(all).size, 1);
});
