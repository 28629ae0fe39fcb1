/** A hub killed with SIGKILL while rules run: every event has its one run, finished steps are not done again, and nothing that may not run twice does. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ruleOperators } from "../kit/rule-operators.ts";
import { packSource } from "../kit/start-test-hub.ts";
import { type CrashHub, mulberry32, must, sleep, startHub } from "./crash-hub.ts";
import { sharedDatabase } from "./shared-services.ts";

const seed = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

const rule = `id: killed
name: Killed
mode: parallel
max: 4
trigger: {event: kill.me}
actions:
  - {id: a, operator: test.again, params: {text: "a {{ event.n }}", ms: 40}}
  - {id: b, operator: test.append, params: {text: "b {{ event.n }}", ms: 40}}
  - {id: c, operator: test.note, params: {text: "{{ steps.a.again }}, {{ steps.b.appended }}"}}
`;

// biome-ignore lint/suspicious/noExplicitAny: answers of many routes.
const ask = (url: string, method: string, path: string, body?: unknown): Promise<any> =>
  must(url, path, { method, body });

async function killRules({ env = {}, hubs = 1 }: { env?: Record<string, string>; hubs?: number }): Promise<void> {
  const random = mulberry32(seed);
  const folder = await mkdtemp(join(tmpdir(), "backplane-crash-"));
  const dirs = Array.from({ length: hubs }, (_, n) => join(folder, `hub-${n}`));
  const running: CrashHub[] = [];
  try {
    for (const dir of dirs) running.push(await startHub(dir, env));
    const { url } = running[0]!;
    await ask(url, "POST", "/api/packages", await packSource(ruleOperators()));
    await ask(url, "POST", "/api/plugins", { id: "acme.operators", grants: "all", config: {} });
    await ask(url, "POST", "/api/plugins/acme.operators/activate", {});
    await ask(url, "POST", "/api/rules", { source: rule });
    let sent = 0;
    for (let kill = 0; kill < 1; kill += 1) {
      for (let n = 0; n < 6; n += 1, sent += 1)
        await ask(running[n % hubs]!.url, "POST", "/api/events", {
          type: "kill.me",
          id: `event-${sent}`,
          data: { n: sent },
        });
      await sleep(random() * 700);
      const victim = Math.floor(random() * hubs);
      running[victim]!.child.kill("SIGKILL");
      running[victim] = await startHub(dirs[victim]!, env);
    }
    await judge(running[0]!.url, sent);
  } finally {
    for (const { child } of running) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

interface Run {
  id: string;
  eventId: string;
  status: string;
  reason: string | null;
}

async function judge(url: string, sent: number): Promise<void> {
  let runs: Run[] = [];
  for (const until = Date.now() + 90_000; ; await sleep(300)) {
    runs = (await ask(url, "GET", "/api/rules/killed/runs?limit=200")).runs;
    if (runs.length === sent && runs.every(({ status }) => status !== "queued" && status !== "running")) break;
    assert.ok(
      Date.now() < until,
      `seed ${seed}: ${JSON.stringify(runs.filter(({ status }) => /^(queued|running)$/.test(status)))}`,
    );
  }
  assert.equal(new Set(runs.map(({ eventId }) => eventId)).size, sent, "one run an event");
  const { result: notes } = await ask(url, "POST", "/api/plugins/acme.operators", {
    function: "notes",
    parameters: {},
  });
  const byKey = Map.groupBy(notes as { key?: string; text: string }[], ({ key }) => key ?? "");
  for (const { id, status, reason } of runs) {
    const detail = JSON.stringify(await ask(url, "GET", `/api/rules/runs/${id}`));
    const bare = byKey.get(`${id}:b`) ?? [];
    assert.ok(bare.length <= 1, `seed ${seed}: what may not run twice did: ${detail}`);
    if (status === "succeeded") assert.equal(bare.length, 1, `seed ${seed}: ${detail}`);
    else assert.deepEqual([status, reason], ["failed", "outcome_unknown"], `seed ${seed}: ${detail}`);
    assert.ok((byKey.get(`${id}:a`) ?? []).length >= 1, `seed ${seed}: ${detail}`);
  }
  assert.ok(runs.filter(({ status }) => status === "succeeded").length >= sent / 3, `seed ${seed}`);
}

// Side by side: most of the time they wait for leases to lapse.
describe("hubs that are killed", { concurrency: true }, () => {
  test(`embedded: rules go on after kills (seed ${seed})`, { timeout: 240_000 }, () => killRules({}));

  test(`two hubs on one PostgreSQL: either may die (seed ${seed})`, { timeout: 240_000 }, async (t) => {
    if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
    await using database = await sharedDatabase();
    await killRules({ env: database.env, hubs: 2 });
  });
});
