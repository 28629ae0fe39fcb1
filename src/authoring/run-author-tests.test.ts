import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { linkPluginApi } from "./link-plugin-api.ts";
import { type AuthorTestOutcome, runAuthorTests } from "./run-author-tests.ts";

/** These tests are about the runner; what the kit does is proved beside it. */
const noKit = new URL("data:text/javascript,");

async function folder(t: TestContext, files: Record<string, string>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "author-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(dir, name, ".."), { recursive: true });
    await writeFile(join(dir, name), text);
  }
  return dir;
}

function run(dir: string, names: string[] = []): Promise<AuthorTestOutcome> {
  return runAuthorTests({
    dir,
    testKit: noKit,
    names,
    output: undefined,
    env: process.env,
    signal: new AbortController().signal,
  });
}

const header = 'import assert from "node:assert/strict";\nimport { describe, test } from "node:test";\n';

test("every test of the folder is counted once, with its file, its outcome and what failed", async (t) => {
  const dir = await folder(t, {
    "index.test.ts": `${header}describe("group", () => { test("good", () => {}); test("bad", () => assert.equal(1 as number, 2)); });`,
    "lib/deep.test.mjs": `${header}test("later", { skip: true }, () => {});`,
    "node_modules/x/x.test.js": "throw new Error('not ours');",
    "index.ts": "throw new Error('no test');",
  });
  const outcome = await run(dir);
  assert.deepEqual(
    { passed: outcome.passed, failed: outcome.failed, skipped: outcome.skipped },
    { passed: 1, failed: 1, skipped: 1 },
  );
  assert.deepEqual(outcome.tests.map(({ file, name, status }) => `${file} ${name} ${status}`).sort(), [
    "index.test.ts bad failed",
    "index.test.ts good passed",
    "lib/deep.test.mjs later skipped",
  ]);
  assert.match(outcome.tests.find(({ status }) => status === "failed")?.error ?? "", /1 !== 2[\s\S]*index\.test\.ts:3/);
});

test("a name narrows the tests", async (t) => {
  const dir = await folder(t, { "a.test.ts": `${header}test("one", () => {}); test("two", () => assert.fail());` });
  const outcome = await run(dir, ["one"]);
  assert.deepEqual([outcome.passed, outcome.failed], [1, 0]);
});

test("a file that does not load is a failure", async (t) => {
  const dir = await folder(t, { "a.test.ts": "const x: = 1;" });
  const outcome = await run(dir);
  assert.equal(outcome.passed, 0);
  assert.ok(outcome.failed >= 1);
});

test("what a test leaves open does not keep the run from ending", { timeout: 20_000 }, async (t) => {
  const dir = await folder(t, { "a.test.ts": `${header}test("leaky", () => { setInterval(() => {}, 1000); });` });
  assert.equal((await run(dir)).passed, 1);
});

test("without test files nothing runs, and a folder that is not there is named", async (t) => {
  assert.deepEqual(await run(await folder(t, {})), { passed: 0, failed: 0, skipped: 0, tests: [] });
  await assert.rejects(run("/nowhere/at/all"), { code: "invalid_input" });
});

test("the link to the types is made again when it is gone, and an author's own package is left alone", async (t) => {
  const dir = await folder(t, {});
  const manifest = join(dir, "node_modules/@backplane/plugin-api/package.json");
  assert.equal(await linkPluginApi(dir), true);
  assert.match(await readFile(join(manifest, "../src/index.ts"), "utf8"), /definePlugin/);
  await rm(join(manifest, "../src"));
  assert.equal(await linkPluginApi(dir), true);
  assert.match(await readFile(join(manifest, "../src/index.ts"), "utf8"), /definePlugin/);
  await writeFile(manifest, '{"name":"@backplane/plugin-api","version":"0.1.0"}');
  assert.equal(await linkPluginApi(dir), true);
  assert.equal(await readFile(manifest, "utf8"), '{"name":"@backplane/plugin-api","version":"0.1.0"}');
});

test("a folder that takes no link stays without one, quietly", async (t) => {
  const dir = await folder(t, { node_modules: "in the way" });
  assert.equal(await linkPluginApi(dir), false);
});
