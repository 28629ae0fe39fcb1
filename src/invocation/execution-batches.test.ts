import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { asExecutionId, asOrganizationId, asPluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import { openTestStore } from "../store/test-store.ts";
import type { ExecutionRecord } from "./execution-record.ts";
import { createExecutions, type ListExecutions } from "./executions.ts";
import { record } from "./record-fixture.ts";
import { createRecorder, type Recorder } from "./recorder.ts";

const acme = asOrganizationId("acme");
const many = (count: number, changes: Partial<ExecutionRecord> = {}): ExecutionRecord[] =>
  Array.from({ length: count }, () => record(changes));
const writeOnce = (recorder: Recorder, records: readonly ExecutionRecord[]): Promise<unknown> =>
  Promise.all(records.map((one) => recorder.write(one, { once: true })));
const countIn = async (store: Store, table: "executions" | "execution_batches"): Promise<number> =>
  (await store.db.selectFrom(table).select("organization_id").execute()).length;
const newestFirst = (records: readonly ExecutionRecord[]): string[] =>
  records
    .map(({ id }) => id)
    .sort()
    .reverse();

async function listAll(store: Store, filter: ListExecutions = {}, organization = acme): Promise<string[]> {
  const executions = createExecutions({ store });
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page = await executions.list(organization, { limit: 7, ...filter, ...(cursor === null ? {} : { cursor }) });
    ids.push(...page.executions.map(({ id }) => id));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return ids;
}

test("ended calls that come together share a row and are read back whole", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node" });
  const records = many(100, { error: { code: "plugin_error", message: "no \u0000 way" }, status: "failed" });
  await writeOnce(recorder, records);
  assert.equal(await countIn(store, "executions"), 0);
  assert.equal(await countIn(store, "execution_batches"), 1);
  const executions = createExecutions({ store });
  for (const one of records.slice(0, 5))
    assert.deepEqual(await executions.get(acme, one.id), { ...one, progress: null });
  await recorder.close();
});

test("few, large and foreign ones become rows", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node" });
  await writeOnce(recorder, many(7));
  assert.equal(await countIn(store, "executions"), 7);
  await writeOnce(recorder, [
    ...many(8),
    record({ result: "x".repeat(40_000) }),
    record({ id: asExecutionId("not-ours") }),
  ]);
  assert.equal(await countIn(store, "executions"), 9);
  assert.equal(await countIn(store, "execution_batches"), 1);
  assert.equal((await listAll(store)).length, 17);
  await recorder.close();
});

test("lists page through rows and batches as one, whatever they filter by", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node" });
  const all: ExecutionRecord[] = [];
  const parent = asExecutionId(newId());
  for (let round = 0; round < 12; round++) {
    const batch = [
      ...many(6),
      ...many(2, { plugin: asPluginId("acme.other"), contribution: "bye" }),
      record({ status: "failed", parent, traceId: `${round}`.padStart(32, "a") }),
    ];
    const row = record({ plugin: asPluginId("acme.other") });
    all.push(...batch, row);
    await writeOnce(recorder, batch);
    await recorder.write(row);
  }
  const matching = (test: (one: ExecutionRecord) => boolean): string[] => newestFirst(all.filter(test));
  assert.deepEqual(await listAll(store), newestFirst(all));
  assert.deepEqual(await listAll(store, { limit: 50 }), newestFirst(all));
  assert.deepEqual(
    await listAll(store, { plugin: "acme.other" }),
    matching(({ plugin }) => plugin === "acme.other"),
  );
  assert.deepEqual(
    await listAll(store, { status: "failed", parent }),
    matching(({ status }) => status === "failed"),
  );
  assert.deepEqual(
    await listAll(store, { contribution: "bye", limit: 1 }),
    matching(({ contribution }) => contribution === "bye"),
  );
  const { traceId } = all.find(({ status }) => status === "failed")!;
  assert.deepEqual(
    await listAll(store, { traceId }),
    matching((one) => one.traceId === traceId),
  );
  const since = all[60]!.createdAt;
  assert.deepEqual(
    await listAll(store, { since }),
    matching(({ createdAt }) => createdAt >= since),
  );
  assert.deepEqual(await listAll(store, { status: "running" }), []);
  assert.deepEqual(await listAll(store, { traceId: "no trace" }), []);
  await recorder.close();
});

test("one organisation's batches are not another's", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node" });
  const other = asOrganizationId("other");
  const ours = many(10);
  const theirs = many(10, { organization: other });
  await writeOnce(
    recorder,
    ours.flatMap((one, n) => [one, theirs[n]!]),
  );
  assert.deepEqual(await listAll(store), newestFirst(ours));
  assert.deepEqual(await listAll(store, {}, other), newestFirst(theirs));
  await assert.rejects(
    createExecutions({ store }).get(acme, theirs[0]!.id),
    (error: BackplaneError) => error.code === "not_found",
  );
  await recorder.close();
});

test("what another hub wrote and a batch whose commit was repeated show once", async () => {
  await using store = await openTestStore();
  const recorders = [createRecorder({ store, node: "one" }), createRecorder({ store, node: "two" })];
  const records = many(20);
  await writeOnce(recorders[0]!, records.slice(0, 15));
  await writeOnce(recorders[0]!, records);
  await writeOnce(recorders[1]!, records.slice(3, 6));
  assert.deepEqual(await listAll(store), newestFirst(records));
  for (const recorder of recorders) await recorder.close();
});

test("an ended one in a batch cannot be cancelled, and retention takes batches along", async () => {
  await using store = await openTestStore();
  const recorder = createRecorder({ store, node: "node" });
  const executions = createExecutions({ store });
  const records = many(20);
  await writeOnce(recorder, records);
  await assert.rejects(executions.cancel(acme, records[0]!.id), (error: BackplaneError) => error.code === "conflict");
  assert.equal(await executions.deleteEndedBefore(new Date(Date.now() - 60_000)), 0);
  assert.equal(await executions.deleteEndedBefore(new Date(Date.now() + 60_000)), 20);
  assert.deepEqual(await listAll(store), []);
  await recorder.close();
});

test("a batch the database refuses is written row by row", async () => {
  await using store = await openTestStore();
  await sql`alter table execution_batches add check (count < 10)`.execute(store.db);
  const recorder = createRecorder({ store, node: "node" });
  const records = many(10);
  await writeOnce(recorder, records);
  assert.equal(await countIn(store, "executions"), 10);
  await recorder.close();
});
