/** A hub killed with SIGKILL at any moment loses nothing that it accepted. The long version is `npm run soak`. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { killRun } from "./kill-run.ts";
import { sharedDatabase, sharedNats } from "./shared-services.ts";

const seed = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

// Side by side: most of the time they wait for leases to lapse.
describe("hubs that are killed", { concurrency: true }, () => {
  test(`embedded: what was accepted is handled after kills (seed ${seed})`, async () => {
    const { accepted, missing } = await killRun({ seed, kills: 1 });
    assert.ok(accepted > 3, `only ${accepted} requests were accepted`);
    assert.deepEqual(missing, []);
  });

  test(`two hubs on one PostgreSQL: either may die (seed ${seed})`, async (t) => {
    if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
    await using database = await sharedDatabase();
    const { accepted, missing } = await killRun({ seed, kills: 1, hubs: 2, env: database.env });
    assert.ok(accepted > 3, `only ${accepted} requests were accepted`);
    assert.deepEqual(missing, []);
  });

  test(`two hubs on PostgreSQL and NATS: either may die (seed ${seed})`, async (t) => {
    if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
    if (!process.env["TEST_NATS_URL"]) return t.skip("needs TEST_NATS_URL");
    await using database = await sharedDatabase();
    await using nats = await sharedNats();
    const { accepted, missing } = await killRun({ seed, kills: 1, hubs: 2, env: { ...database.env, ...nats.env } });
    assert.ok(accepted > 3, `only ${accepted} requests were accepted`);
    assert.deepEqual(missing, []);
  });
});
