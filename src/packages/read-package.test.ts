import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { test } from "node:test";
import { BackplaneError } from "../errors/error.ts";
import { packageLimits } from "./limits.ts";
import { packPlugin } from "./pack.ts";
import { greeterFiles, greeterManifest, pluginFolder } from "./plugin-folder.fixture.ts";
import { readPackage } from "./read-package.ts";
import { runInWorker } from "./run-in-worker.ts";
import { packageEntries, tgz } from "./tar.fixture.ts";

test("what pack writes is read back with the same digest, code and manifest", async () => {
  await using folder = await pluginFolder(greeterFiles);
  const packed = await packPlugin(folder.dir);
  const read = await readPackage(packed.tgz);
  assert.equal(read.digest, packed.digest);
  assert.equal(read.code, packed.code);
  assert.equal(read.sourceMap, packed.sourceMap);
  assert.deepEqual(read.manifest, packed.manifest);
  assert.deepEqual([...read.files.keys()], ["README.md", "index.js", "index.js.map", "plugin.json"]);
  assert.deepEqual(Buffer.from(read.archive), Buffer.from(packed.tgz));
});

test("faults found in the worker become the platform's errors", async () => {
  await assert.rejects(readPackage(tgz([{ name: "../x" }])), (error) => {
    assert.ok(error instanceof BackplaneError && error.code === "invalid_package");
    assert.equal(error.message, 'The package cannot be read: the entry name "../x" leads out of its folder.');
    return true;
  });
  await assert.rejects(
    readPackage(tgz(packageEntries({}, ""))),
    (error) => error instanceof BackplaneError && error.code === "invalid_manifest" && (error.errors?.length ?? 0) > 0,
  );
  await assert.rejects(readPackage(Buffer.alloc(packageLimits.archiveBytes + 1)), { code: "payload_too_large" });
});

test("the hub's thread stays free while the worst packages are read", async () => {
  const manifest = { ...greeterManifest, entrypoint: "./index.js" };
  const large = tgz(
    packageEntries(manifest, `x=${"[1],".repeat(1).repeat(10)}1;/*${randomBytes(2_000_000).toString("hex")}*/`, [
      { name: "package/blob", body: randomBytes(5_000_000) },
    ]),
  );
  const deep = tgz(packageEntries(manifest, `x=${"[".repeat(2e6)}`));
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const outcomes = await Promise.allSettled([
    readPackage(large),
    readPackage(deep),
    readPackage(large),
    readPackage(deep),
  ]);
  delay.disable();
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled", "rejected"],
  );
  assert.ok(delay.max / 1e6 < 250, `event loop held for ${delay.max / 1e6} ms`);
});

test("work that takes too long or too much memory is ended, and the next piece runs", async () => {
  const module = (source: string): URL => new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  const limits = { timeoutMs: 400, heapMb: 32 };
  assert.deepEqual(await runInWorker(module("for(;;);"), null, limits), { ok: false, failure: "timeout" });
  const memory = await runInWorker(
    module("const a=[]; for(;;) a.push(new Array(1e5).fill(0).map(Math.random));"),
    null,
    { ...limits, timeoutMs: 20_000 },
  );
  assert.equal(memory?.ok === false && memory.failure, "memory");
  assert.equal((await runInWorker(module("process.exit(3)"), null, limits))?.ok, false);
  const answer = await runInWorker<number>(
    module("import { parentPort, workerData } from 'node:worker_threads'; parentPort.postMessage(workerData + 1)"),
    1,
    { ...limits, timeoutMs: 5000 },
  );
  assert.deepEqual(answer, { ok: true, value: 2 });
});

test("a worker sees nothing of the hub's environment", async () => {
  const source =
    "import { parentPort } from 'node:worker_threads'; parentPort.postMessage(Object.keys(process.env).length)";
  const answer = await runInWorker<number>(new URL(`data:text/javascript,${encodeURIComponent(source)}`), null, {
    timeoutMs: 5000,
  });
  assert.deepEqual(answer, { ok: true, value: 0 });
});
