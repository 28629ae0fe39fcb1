import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CodeCache } from "./code-cache.ts";
import { resultOf, startTestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";

const key = { code: "1", group: "acme", engine: "v8", flags: ["--a"], preludeHash: "p" };

async function folder(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "cache-"));
  try {
    await run(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

test("whatever differs in code, group, engine, flags or prelude has another name", () => {
  const cache = new CodeCache();
  const names = [
    key,
    { ...key, code: "2" },
    { ...key, group: "other" },
    { ...key, engine: "v9" },
    { ...key, flags: [] },
    { ...key, preludeHash: "q" },
    { ...key, group: "acmev8", engine: "" },
  ];
  assert.equal(new Set(names.map((one) => cache.nameOf(one))).size, names.length);
});

test("a cache on disk serves the next process, but not when a byte of it was changed or the key is another", () =>
  folder(async (dir) => {
    const name = new CodeCache().nameOf(key);
    new CodeCache({ dir }).put(name, Buffer.from("machine code"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(Buffer.from((await new CodeCache({ dir }).get(name))!).toString(), "machine code");
    const file = join(dir, readdirSync(dir).find((one) => one.endsWith(".cache"))!);
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    assert.equal(await new CodeCache({ dir }).get(name), undefined);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    rmSync(join(dir, "cache.key"));
    assert.equal(await new CodeCache({ dir }).get(name), undefined);
  }));

test("in memory the oldest goes when there is no room", async () => {
  const cache = new CodeCache({ memoryBytes: 25 });
  for (const name of ["a", "b", "c"]) cache.put(name, Buffer.alloc(10));
  assert.equal(await cache.get("a"), undefined);
  assert.ok(await cache.get("b"));
});

test("a runner's cache is accepted by the next isolate and written to the folder", () =>
  folder(async (dir) => {
    const instance = testInstance({ definition: "{ functions: { fine() { return 1; } } }" });
    for (let round = 0; round < 2; round++) {
      await using harness = startTestRuntime({ cacheDir: dir });
      for (let i = 0; i < 5; i++) resultOf(await harness.runtime.call(instance, testCall("fine")));
      const end = performance.now() + 5000;
      while (!readdirSync(dir).some((file) => file.endsWith(".cache"))) {
        assert.ok(performance.now() < end, "no cache was made");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }));
