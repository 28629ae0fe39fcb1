/** The lock file serves every platform, whatever the registry of whoever wrote it last. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..", "..");
const tool = join(root, "tools", "complete-lockfile.mjs");

test("package-lock.json has an entry for every platform package, and the tool puts missing ones back", async () => {
  const text = await readFile(join(root, "package-lock.json"), "utf8");
  const folder = await mkdtemp(join(tmpdir(), "backplane-lock-"));
  try {
    const file = join(folder, "package-lock.json");
    const complete = async (content: string): Promise<{ packages: Record<string, unknown> }> => {
      await writeFile(file, content);
      const { status, stderr } = spawnSync(process.execPath, [tool, file], { encoding: "utf8" });
      assert.equal(status, 0, stderr);
      return JSON.parse(await readFile(file, "utf8"));
    };
    assert.deepEqual(await complete(text), JSON.parse(text), "run node tools/complete-lockfile.mjs");

    const lock = JSON.parse(text) as { packages: Record<string, Record<string, unknown>> };
    const name = "node_modules/@biomejs/cli-linux-x64-musl";
    const { version, os, cpu, libc } = lock.packages[name]!;
    delete lock.packages[name];
    assert.deepEqual((await complete(JSON.stringify(lock))).packages[name], {
      version,
      cpu,
      dev: true,
      libc,
      optional: true,
      os,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
