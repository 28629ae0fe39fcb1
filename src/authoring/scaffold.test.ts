import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { BackplaneError } from "../errors/error.ts";
import { parseManifest } from "../manifest/parse-manifest.ts";
import { checkFolder } from "./check-folder.ts";
import { idFrom, scaffold } from "./scaffold.ts";
import { pluginTypes } from "./templates/template.ts";

const tsc = join(import.meta.dirname, "../../node_modules/.bin/tsc");

async function place(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "scaffold-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

for (const type of pluginTypes) {
  test(`a new ${type} plugin validates, bundles, and type-checks with its test and no install`, async (t) => {
    const dir = join(await place(t), "my-crm");
    const made = await scaffold({ dir, type });
    assert.equal(made.id, "my-crm");
    const { folder, faults, warnings } = await checkFolder(dir);
    assert.deepEqual([faults, warnings], [[], []]);
    assert.equal(folder?.manifest.type, type);
    for (const entity of folder?.manifest.contributes.connector?.entities ?? [])
      assert.ok(folder?.manifest.permissions.includes(`data:write:${entity}`), "a sync may store what it brings");
    const checked = await promisify(execFile)(tsc, ["-p", "."], { cwd: dir }).catch(
      (error: { stdout: string }) => error,
    );
    assert.equal(checked.stdout, "");
  });
}

test("a mistake in the new plugin is found by the type check", async (t) => {
  const dir = await place(t);
  await scaffold({ dir, id: "acme.x" });
  const code = await readFile(join(dir, "index.ts"), "utf8");
  await writeFile(join(dir, "index.ts"), code.replace("ctx.config.greeting", "ctx.config.greting + fetch"));
  const checked = await promisify(execFile)(tsc, ["-p", "."], { cwd: dir }).catch((error: { stdout: string }) => error);
  assert.match(checked.stdout, /greting/);
  assert.match(checked.stdout, /'fetch'/, "the sandbox has no fetch");
});

test("nothing is written over: with one file in the way no file is written at all", async (t) => {
  const dir = await place(t);
  await writeFile(join(dir, "README.md"), "mine");
  await assert.rejects(
    scaffold({ dir, id: "acme.x" }),
    (error: unknown) =>
      error instanceof BackplaneError && error.code === "conflict" && error.message.includes("README.md"),
  );
  assert.equal(await readFile(join(dir, "README.md"), "utf8"), "mine");
  await assert.rejects(readFile(join(dir, "plugin.json")));
});

test("an id that the manifest would refuse is refused before anything is written", async (t) => {
  const dir = join(await place(t), "x");
  await assert.rejects(
    scaffold({ dir, id: "Not An Id" }),
    (error: unknown) => error instanceof BackplaneError && error.errors?.[0]?.path === "id",
  );
  await assert.rejects(readFile(join(dir, "plugin.json")));
});

test("any folder name gives a valid id", () => {
  for (const folder of [
    "Greeter",
    "My Plugin!",
    "..",
    "é ü",
    "a--b",
    "acme.crm",
    "-x-",
    "a..b",
    "日本",
    "x_y",
    "1st.-plugin",
  ]) {
    const id = idFrom(folder);
    const { faults } = parseManifest(JSON.stringify({ id, name: "x", version: "1.0.0" }));
    assert.deepEqual(faults, [], `${folder} → ${id}`);
  }
});

test("names that are reserved as event domains still give a valid plugin", async (t) => {
  for (const id of ["plugin", "backplane", "acme.7up"]) {
    const dir = join(await place(t), "p");
    await scaffold({ dir, id });
    assert.deepEqual((await checkFolder(dir)).faults, [], id);
  }
});
