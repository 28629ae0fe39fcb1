import assert from "node:assert/strict";
import { test } from "node:test";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import { openTestStore } from "../store/test-store.ts";
import { record } from "./record-fixture.ts";
import { createRecorder } from "./recorder.ts";

const rowsIn = async (store: Store): Promise<number> =>
  (await store.db.selectFrom("executions").select("id").execute()).length;

/** The same store, whose database can be taken away. */
function withSwitch(store: Store): { store: Store; away: boolean } {
  const state = {
    away: false,
    store: new Proxy(store, {
      get(target, name, receiver) {
        if (name === "db" && state.away) throw new BackplaneError("database_unavailable");
        return Reflect.get(target, name, receiver) as unknown;
      },
    }),
  };
  return state;
}

test("writes that come together are all in the database when each is answered", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node", batchSize: 64 });
  await Promise.all(Array.from({ length: 200 }, () => recorder.write(record())));
  assert.equal(await rowsIn(store), 200);
  await recorder.close();
});

test("a write that comes in the very moment a flush ends is not left behind", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node", patienceMs: 2000 });
  for (let turns = 0; turns < 24; turns++) {
    await recorder.write(record());
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
  }
  assert.equal(await rowsIn(store), 24);
  await recorder.close();
});

test("while the database is away a caller hears so after its patience, and its record is written later", async () => {
  await using real = await openTestStore();
  const database = withSwitch(real);
  const recorder = createRecorder({ store: database.store, node: "node", patienceMs: 200 });
  database.away = true;
  await assert.rejects(recorder.write(record()), (error: BackplaneError) => error.code === "database_unavailable");
  database.away = false;
  await recorder.flush();
  assert.equal(await rowsIn(real), 1);
  await recorder.close();
});

test("a record the database refuses fails alone", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node" });
  const results = await Promise.allSettled([
    recorder.write(record()),
    recorder.write(record({ cpuMs: "not a number" as unknown as number })),
    recorder.write(record()),
  ]);
  assert.deepEqual(
    results.map((result) => result.status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.equal(await rowsIn(store), 2);
  await recorder.close();
});

test("an ended record is not overwritten by a late word of its running", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node" });
  const ended = record();
  await recorder.write(ended);
  await recorder.write({ ...ended, status: "running", endedAt: null });
  const row = await store.db.selectFrom("executions").select("status").executeTakeFirstOrThrow();
  assert.equal(row.status, "succeeded");
  await recorder.close();
});

test("a closed recorder whose database stays away rejects what waits instead of hanging", async () => {
  await using real = await openTestStore();
  const database = withSwitch(real);
  const recorder = createRecorder({ store: database.store, node: "node", patienceMs: 60_000 });
  database.away = true;
  const writes = [recorder.write(record()), recorder.write(record())].map((write) =>
    assert.rejects(write, (error: BackplaneError) => error.code === "database_unavailable"),
  );
  await assert.rejects(recorder.close());
  await Promise.all(writes);
});
