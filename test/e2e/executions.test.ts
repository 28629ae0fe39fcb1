/** Async executions: progress, cancel, long jobs, and what a hub that stops or starts anew does with them. Nothing accepted is lost. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { probe } from "../kit/probe-plugin.ts";
import { startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

/** No `timeoutMs`: async calls get the hub's own, long one. */
const source = probe({ resources: { cpuMs: 500 } });
const plugin = "acme.probe";

interface Execution {
  id: string;
  status: string;
  result?: unknown;
  progress?: { step: number };
  error?: { code: string; message: string };
}

const enqueue = async (hub: TestHub, name: string, parameters: unknown = {}): Promise<string> => {
  const { status, body, text } = await hub.call("acme", plugin, name, parameters, { mode: "async" });
  assert.equal(status, 202, text);
  return body.executionId;
};
const read = async (hub: TestHub, id: string): Promise<Execution> =>
  (await hub.request("GET", `/api/executions/${id}`, { org: "acme" })).body;
const ended = (hub: TestHub, id: string, ms?: number): Promise<Execution> =>
  until(async () => {
    const execution = await read(hub, id);
    return !["queued", "running"].includes(execution.status) && execution;
  }, ms);
const cancel = (hub: TestHub, id: string): Promise<TestAnswer> =>
  hub.request("POST", `/api/executions/${id}/cancel`, { org: "acme" });
const marks = async (hub: TestHub, name: string): Promise<number> =>
  (await hub.hub.store.db.selectFrom("entities").select("id").where("external_id", "like", `${name}:%`).execute())
    .length;

let hub: TestHub;
before(async () => {
  hub = await startTestHub();
  await hub.organization("acme");
  await hub.install("acme", source);
});
after(() => hub[Symbol.asyncDispose]());

test("a long job reports progress while it runs, and its last progress stays on record", async () => {
  const id = await enqueue(hub, "steps", { count: 6, ms: 250 });
  const seen = new Set<number>();
  const done = await until(async () => {
    const execution = await read(hub, id);
    if (execution.progress) seen.add(execution.progress.step);
    return execution.status === "succeeded" && execution;
  }, 30_000);
  assert.ok(seen.size >= 2, `steps seen: ${[...seen]}`);
  assert.deepEqual(done.progress, { step: 6, count: 6 });
  assert.deepEqual(done.result, { count: 6 });
});

test("a running job is cancelled: it ends at once, on record and for good", async () => {
  const id = await enqueue(hub, "hang");
  await until(async () => (await read(hub, id)).status === "running");
  assert.equal((await cancel(hub, id)).status, 200);
  const execution = await ended(hub, id, 5_000);
  assert.deepEqual([execution.status, execution.error?.code], ["cancelled", "cancelled"]);
  assert.equal((await cancel(hub, id)).status, 409);
});

test("a sync call that became visible is cancelled, and its caller is told", async () => {
  const answer = hub.call("acme", plugin, "sleep", { ms: 20_000 });
  const [running] = await until(async () => {
    const { body } = await hub.request("GET", "/api/executions?status=running", { org: "acme" });
    return body.executions.length > 0 && (body.executions as Execution[]);
  });
  assert.equal((await cancel(hub, running!.id)).status, 200);
  const { status, body } = await answer;
  assert.deepEqual([status, body.code, body.success], [409, "cancelled", false]);
});

test("a sync call ends when its caller goes away", async () => {
  const abort = new AbortController();
  const asked = fetch(`${hub.url}/api/plugins/${plugin}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${hub.hub.adminToken}`,
      "x-organization-id": "acme",
      "content-type": "application/json",
    },
    body: JSON.stringify({ function: "sleep", parameters: { ms: 25_000 } }),
    signal: abort.signal,
  }).catch(() => {});
  await until(() => hub.hub.invoker.running > 0);
  abort.abort();
  await asked;
  await until(() => hub.hub.invoker.running === 0, 3_000);
});

test("long jobs leave the free slots beside them to others", async () => {
  const long: string[] = [];
  for (let n = 0; n < 12; n += 1) {
    long.push(await enqueue(hub, "hang"));
    await until(async () => (await read(hub, long[n]!)).status === "running", 5_000);
  }
  assert.equal((await ended(hub, await enqueue(hub, "echo"), 5_000)).status, "succeeded");
  for (const id of long) await cancel(hub, id);
  for (const id of long) assert.equal((await ended(hub, id)).status, "cancelled");
});

test("queued jobs are cancelled without ever running", async () => {
  const blockers = await Promise.all(Array.from({ length: 16 }, () => enqueue(hub, "hang")));
  await until(async () => (await read(hub, blockers[15]!)).status === "running");
  const id = await enqueue(hub, "mark", { name: "cancelled" });
  assert.equal((await read(hub, id)).status, "queued");
  const answer = await cancel(hub, id);
  assert.deepEqual([answer.status, answer.body.status, answer.body.error?.code], [200, "cancelled", "cancelled"]);
  for (const blocker of blockers) await cancel(hub, blocker);
  for (const blocker of blockers) assert.equal((await ended(hub, blocker)).status, "cancelled");
  assert.equal(await marks(hub, "cancelled"), 0);
  assert.equal((await read(hub, id)).status, "cancelled");
});

test("a cancel that races with the start has one outcome: cancelled and never run, or told that it ran", async () => {
  const ids = await Promise.all(Array.from({ length: 30 }, (_, n) => enqueue(hub, "mark", { name: `race-${n}` })));
  const answers = await Promise.all(
    ids.map(async (id, n) => {
      await new Promise((resolve) => setTimeout(resolve, (n * 7) % 60));
      return cancel(hub, id);
    }),
  );
  for (const [n, id] of ids.entries()) {
    const { status } = await ended(hub, id);
    const wasQueued =
      answers[n]!.status === 200 && answers[n]!.body.status === "cancelled" && answers[n]!.body.startedAt === null;
    const ran = await marks(hub, `race-${n}`);
    if (wasQueued) assert.deepEqual([status, ran], ["cancelled", 0], `race-${n}`);
    if (status === "succeeded") assert.equal(ran, 1);
  }
});

test("more jobs than a plugin may run at once all get their turn", async () => {
  await hub.install("acme", {
    ...source,
    manifest: { ...probe({ resources: { concurrency: 1, timeoutMs: 20_000 } }).manifest, id: "acme.narrow" },
  });
  const ids: string[] = [];
  for (let n = 0; n < 40; n += 1)
    ids.push((await hub.call("acme", "acme.narrow", "sleep", { ms: 10 }, { mode: "async" })).body.executionId);
  for (const id of ids) assert.equal((await ended(hub, id)).status, "succeeded");
});

test("uninstalling ends what is queued and what runs", async () => {
  const manifest = { ...source.manifest, id: "acme.leaving" };
  await hub.install("acme", { ...source, manifest });
  const { executionId } = (await hub.call("acme", "acme.leaving", "hang", {}, { mode: "async" })).body;
  await until(async () => (await read(hub, executionId)).status === "running");
  assert.equal((await hub.request("DELETE", "/api/plugins/acme.leaving", { org: "acme" })).status, 204);
  assert.equal((await ended(hub, executionId)).status, "cancelled");
});

test("that a plugin has no health handler is no failed execution", async () => {
  const manifest = { id: "acme.plain" };
  const code = "export default { functions: { fine() { return 1; } } };";
  await hub.install("acme", { manifest: { ...manifest, contributes: { functions: [{ name: "fine" }] } }, code });
  const { error } = await hub.hub.invoker.run({
    organization: "acme" as never,
    plugin: "acme.plain" as never,
    kind: "health",
    name: "health",
    args: [],
    actor: "system",
  });
  assert.equal(error?.code, "handler_missing");
  const { body } = await hub.request("GET", "/api/executions?plugin=acme.plain", { org: "acme" });
  assert.deepEqual(body.executions, []);
});

test("an asynchronous call whose delivery was given up is failed, not left running", async () => {
  const { executionId } = (await hub.call("acme", plugin, "hang", {}, { mode: "async" })).body;
  await until(async () => (await read(hub, executionId)).status === "running");
  const { store, invoker, nodeId } = hub.hub;
  // As when every hub that took it died.
  await store.db.updateTable("deliveries").set({ state: "dead" }).where("item_id", "=", executionId).execute();
  assert.equal(await invoker.failLost([nodeId]), 1);
  const { status, error } = await read(hub, executionId);
  assert.deepEqual([status, error?.code], ["failed", "hub_lost"]);
  assert.equal(await invoker.failLost([nodeId]), 0);
});

test("a hub that stops lets calls finish, refuses new ones with 503, and its successor goes on with what was accepted", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-restart-"));
  try {
    const first = await startTestHub({ dataDir, storage: "folder" });
    await first.organization("acme");
    await first.install("acme", source);
    const finishing = first.call("acme", plugin, "sleep", { ms: 600 });
    const stuck = await enqueue(first, "hang");
    const retriable = await enqueue(first, "retriable", { name: "again", ms: 3_000 });
    await until(
      async () =>
        (await read(first, retriable)).status === "running" && (await read(first, stuck)).status === "running",
    );
    await until(async () => (await marks(first, "again")) === 1);
    // Enqueued, and the hub stops before there is a slot.
    const blockers = await Promise.all(Array.from({ length: 14 }, () => enqueue(first, "hang")));
    const waiting = await Promise.all(
      Array.from({ length: 5 }, (_, n) => enqueue(first, "mark", { name: `waiting-${n}` })),
    );
    const event = await first.request("POST", "/api/events", {
      org: "acme",
      body: { type: "order.last", data: {}, id: "last" },
    });
    assert.equal(event.status, 202);
    const closing = first.close({ drainMs: 800 });
    await until(() => first.hub.stopping.aborted);
    const refused = await first.call("acme", plugin, "echo").catch(() => undefined);
    if (refused) assert.deepEqual([refused.status, refused.body.code], [503, "shutting_down"]);
    assert.equal((await finishing).status, 200);
    await closing;

    await using second = await startTestHub({ dataDir, storage: "folder" });
    const lost = await ended(second, stuck);
    assert.deepEqual([lost.status, lost.error?.code], ["failed", "hub_lost"]);
    for (const id of blockers) assert.ok(["failed", "running", "queued"].includes((await read(second, id)).status));
    const again = await ended(second, retriable, 30_000);
    assert.deepEqual([again.status, again.result], ["succeeded", "again"]);
    assert.equal(await marks(second, "again"), 2);
    for (const id of blockers) await cancel(second, id);
    for (const id of waiting) assert.equal((await ended(second, id, 30_000)).status, "succeeded");
    await until(async () => {
      const { body } = await second.request("GET", "/api/events?type=seen.*", { org: "acme" });
      return body.events.length === 1;
    });
    await second.close({ drainMs: 0 });
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
