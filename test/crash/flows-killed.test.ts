/** A hub killed with SIGKILL leaves connectors, channels and rules as an undisturbed one would. The long version is `npm run soak`. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { flowRuns } from "./flow-run.ts";
import { sharedDatabase, sharedNats } from "./shared-services.ts";

const seed = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

describe("hubs that are killed", { concurrency: true }, () => {
  test(`embedded: tables, cursors and sends equal an undisturbed run's (seed ${seed})`, async () => {
    const { differences, runs, kills } = await flowRuns({ seed, runs: 4 });
    assert.deepEqual(differences, []);
    assert.ok(runs === 4 && kills >= 1);
  });

  test(`two hubs on one PostgreSQL, either of which may die, leave the same (seed ${seed})`, async (t) => {
    if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
    await using database = await sharedDatabase();
    const { differences } = await flowRuns({ seed, runs: 4, hubs: 2, env: database.env });
    assert.deepEqual(differences, []);
  });

  test(`two hubs on PostgreSQL and NATS leave the same (seed ${seed})`, async (t) => {
    if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
    if (!process.env["TEST_NATS_URL"]) return t.skip("needs TEST_NATS_URL");
    await using database = await sharedDatabase();
    await using nats = await sharedNats();
    const { differences } = await flowRuns({ seed, runs: 4, hubs: 2, env: { ...database.env, ...nats.env } });
    assert.deepEqual(differences, []);
  });
});
