/** `backplane rules …` against a hub: what a person who keeps rules in files does in a day. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type CliRun, runForTest } from "../../src/edges/cli/test-cli.ts";
import { ruleOperators } from "../kit/rule-operators.ts";
import { startTestHub, type TestHub, until } from "../kit/start-test-hub.ts";

let hub: TestHub;
let folder: string;
before(async () => {
  hub = await startTestHub();
  await hub.organization("acme");
  await hub.install("acme", ruleOperators());
  folder = await mkdtemp(join(tmpdir(), "backplane-rules-"));
  await mkdir(join(folder, "rules/night"), { recursive: true });
  await writeFile(join(folder, "rules/day.yaml"), rule("day", 1));
  await writeFile(join(folder, "rules/night/night.yml"), rule("night", 2));
  await writeFile(
    join(folder, "wrong.yaml"),
    "name: Wrong\ntrigger: {event: meter.read}\nactions:\n  - operator: test.noet\n    params: {text: x}\n",
  );
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const rule = (id: string, above: number): string =>
  `id: ${id}\nname: The ${id}\ntrigger: {event: meter.read, filter: event.value > ${above}.0}\nactions:\n  - operator: test.note\n    params: {text: "${id} {{ event.value }}"}\n`;

const run = (...args: string[]): Promise<CliRun> =>
  runForTest(["rules", ...args], {
    cwd: folder,
    env: { BACKPLANE_URL: hub.url, BACKPLANE_TOKEN: hub.hub.adminToken, BACKPLANE_ORG: "acme" },
  });
const ok = async (...args: string[]): Promise<CliRun> => {
  const ended = await run(...args);
  assert.equal(ended.code, 0, ended.err + ended.out);
  return ended;
};

test("lint names file, line and column, and exits with 1; what is right exits with 0", async () => {
  for (const foreign of [".github", "node_modules/x"]) {
    await mkdir(join(folder, "rules", foreign), { recursive: true });
    await writeFile(join(folder, "rules", foreign, "ci.yml"), "on: push");
  }
  assert.match((await ok("lint", "rules")).out, /^2 rules are valid\.$/m);
  const wrong = await run("lint", "rules", "wrong.yaml");
  assert.equal(wrong.code, 1);
  assert.match(wrong.out, /^wrong\.yaml:4:\d+ .*test\.noet/m);
  const machine = await run("lint", "wrong.yaml", "--json");
  assert.deepEqual(
    machine
      .json<{ valid: boolean; files: { faults: { line: number }[] }[] }>()
      .files[0]!.faults.map(({ line }) => line),
    [4],
  );
  assert.equal((await run("lint", "nowhere.yaml")).code, 1);
});

test("apply saves a folder once, and says where a fault is when one file has one", async () => {
  assert.match((await ok("apply", "rules", "--reason", "first")).out, /day created \(version 1\)\nnight created/);
  assert.match((await ok("apply", "rules")).out, /day unchanged \(version 1\)/);
  const wrong = await run("apply", "rules", "wrong.yaml");
  assert.equal(wrong.code, 1);
  assert.match(wrong.err, /wrong\.yaml:4:\d+.*test\.noet/);
});

test("list, show, disable and enable", async () => {
  assert.match((await ok("list")).out, /day +The day +v1 +enabled/);
  assert.equal((await ok("show", "day")).out, rule("day", 1));
  assert.match((await ok("disable", "day")).out, /day is disabled/);
  assert.deepEqual(
    (await ok("list", "--state", "disabled", "--json")).json<{ rules: { id: string }[] }>().rules.map(({ id }) => id),
    ["day"],
  );
  assert.match((await ok("enable", "day")).out, /day is enabled/);
});

test("runs show what happened, and replay what would have", async () => {
  for (const value of [1.5, 2.5, 3.5])
    await hub.request("POST", "/api/events", { org: "acme", body: { type: "meter.read", data: { value } } });
  await until(
    async () =>
      (await ok("runs", "--rule", "day", "--status", "succeeded", "--json")).json<{ runs: unknown[] }>().runs.length ===
      3,
  );
  const [{ id }] = (await ok("runs", "--rule", "day", "--json")).json<{ runs: { id: string }[] }>().runs as [
    { id: string },
  ];
  assert.match((await ok("runs", id)).out, /day succeeded[\s\S]*1 +test\.note +succeeded +1×/);
  assert.equal((await run("runs", id, "--cancel")).code, 1);
  await writeFile(join(folder, "draft.yaml"), rule("day", 3));
  const { out } = await ok("replay", "draft.yaml", "--days", "1");
  assert.match(out, /draft +3 +1 +0 +0 +0 +1/);
  assert.match(out, /Only the draft: 0\. Only the live rule: 2\. Otherwise: 0\. The same: 1\./);
  assert.match(out, /only live .*meter\.read/);
  const bad = await run("replay", "wrong.yaml");
  assert.equal(bad.code, 1);
  assert.match(bad.err, /wrong\.yaml:4:\d+/);
  assert.equal((await run("replay", "rules")).code, 2);
});

test("delete", async () => {
  assert.match((await ok("delete", "night")).out, /night is deleted/);
  assert.equal((await run("show", "night")).code, 1);
});
