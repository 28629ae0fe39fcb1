import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { openStore } from "../store/open-store.ts";
import { openTestStore } from "../store/test-store.ts";
import { createJobs } from "./jobs.ts";
import { createNodeWatch } from "./node-watch.ts";

const quiet = { error() {} };

it("a job runs again and again, never beside itself, and outlives its failures", async () => {
  await using store = await openTestStore();
  const failures: object[] = [];
  const jobs = createJobs({ store, log: { error: (details) => failures.push(details) } });
  let runs = 0;
  let running = 0;
  jobs.every("sweep", 20, async () => {
    runs += 1;
    assert.equal(++running, 1);
    await wait(10);
    running -= 1;
    if (runs === 2) throw new Error("once");
  });
  jobs.start();
  assert.throws(() => jobs.every("sweep", 20, async () => {}), TypeError);
  await wait(400);
  await jobs.stop();
  const stoppedAt = runs;
  assert.ok(runs >= 4, `${runs} runs`);
  assert.equal(failures.length, 1);
  await wait(60);
  assert.equal(runs, stoppedAt);
});

it("stop aborts a running job and waits for it", async () => {
  await using store = await openTestStore();
  const jobs = createJobs({ store, log: quiet });
  let ended = "";
  jobs.every(
    "long",
    5,
    async (signal) => {
      await wait(10_000, undefined, { signal }).catch(() => {});
      ended = "aborted";
    },
    { atStart: true },
  );
  jobs.start();
  await wait(50);
  await jobs.stop();
  assert.equal(ended, "aborted");
});

it("two hubs on one PostgreSQL share a job, and the survivor learns that the other is lost", async (t) => {
  if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
  await using first = await openTestStore({ driver: "postgres" });
  const second = await openStore({ databaseUrl: first.databaseUrl });
  let running = 0;
  let most = 0;
  const lost: string[] = [];
  const hubs = [first, second].map((store, n) => {
    const jobs = createJobs({ store, log: quiet });
    jobs.every("shared", 10, async () => {
      most = Math.max(most, ++running);
      await wait(15);
      running -= 1;
    });
    const watch = createNodeWatch({
      store,
      jobs,
      nodeId: `n${n}`,
      url: "http://x",
      log: quiet,
      heartbeatMs: 50,
      lostAfterMs: 400,
    });
    if (n === 0) watch.onNodeLost((id) => void lost.push(id));
    return { store, jobs, watch };
  });
  for (const { jobs, watch } of hubs) {
    await watch.start();
    jobs.start();
  }
  await wait(600);
  assert.equal(most, 1);
  assert.deepEqual(
    (await hubs[0]!.watch.list()).map((node) => node.id),
    ["n0", "n1"],
  );
  assert.deepEqual(lost, []);
  await hubs[1]!.jobs.stop();
  await wait(900);
  assert.deepEqual(lost, ["n1"]);
  assert.deepEqual(
    (await hubs[0]!.watch.list()).map((node) => node.id),
    ["n0"],
  );
  await hubs[0]!.watch.stop();
  assert.deepEqual(await hubs[0]!.watch.list(), []);
  await hubs[0]!.jobs.stop();
  await second.close();
});
