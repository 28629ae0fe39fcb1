/** Two hubs, as processes of their own, share one PostgreSQL; one is killed with SIGKILL in the middle. With and without NATS. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { openTestStore } from "../store/test-store.ts";
import { until } from "./bus-fixture.ts";
import { createConsumers } from "./consumers.ts";
import { createEventLog } from "./event-log.ts";

const script = fileURLToPath(new URL("./fixtures/bus-node.ts", import.meta.url));

interface Line {
  node: string;
  itemId: string;
  key: string;
  attempt?: number;
  ended?: true;
  at: number;
}

async function startNode(args: string[], lines: Line[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let ready = "";
  createInterface({ input: child.stdout! }).on("line", (text) => {
    const line = JSON.parse(text) as Line & { ready?: string };
    if (line.ready) ready = line.ready;
    else lines.push({ ...line, node: args[1]! });
  });
  await until(() => ready !== "", "the node is ready", 15_000);
  assert.equal(ready, args[3] ? "jetstream" : "database");
  return child;
}

for (const withNats of [false, true]) {
  const skip = !process.env["TEST_DATABASE_URL"]
    ? "needs TEST_DATABASE_URL"
    : withNats && !process.env["TEST_NATS_URL"]
      ? "needs TEST_NATS_URL"
      : false;
  it(`two hubs share the work and one is killed: nothing is lost, keys stay in order (${withNats ? "JetStream" : "PostgreSQL alone"})`, {
    skip,
    timeout: 60_000,
  }, async () => {
    await using store = await openTestStore({ driver: "postgres" });
    const log = createEventLog({ store });
    const natsUrl = withNats ? process.env["TEST_NATS_URL"]! : "";
    await store.transaction((tx) =>
      createConsumers({ store }).register(tx, { organization: "a", consumer: "p", plugin: "p", pattern: "x.*" }),
    );
    const lines: Line[] = [];
    const stream = `death-${process.pid}`;
    const children = await Promise.all(
      ["one", "two"].map((name) => startNode([store.databaseUrl, name, stream, natsUrl], lines)),
    );
    const keys = 24;
    const expected = new Map<string, string[]>();
    for (let batch = 0; batch < 10; batch += 1) {
      await store.transaction(async (tx) => {
        const events = Array.from({ length: 60 }, (_, i) => ({ id: `${batch}-${i}`, subject: `k${i % keys}` }));
        for (const { id, subject } of events) expected.set(subject, [...(expected.get(subject) ?? []), id]);
        await log.publishAll(
          tx,
          events.map((event) => ({ ...event, organization: "a", type: "x.y", source: "/s", data: {} })),
        );
      });
    }
    await until(() => lines.filter((line) => line.ended).length > 150, "a quarter is done", 20_000);
    children[0]!.kill("SIGKILL");
    const handled = () => new Set(lines.filter((line) => line.ended).map((line) => line.itemId)).size;
    await until(() => handled() === 600, "all are handled", 30_000);
    children[1]!.kill("SIGTERM");
    await until(() => children[1]!.exitCode === 0, "it stops cleanly");
    assert.ok(new Set(lines.map((line) => line.node)).size === 2, "both took part");
    const again = lines.filter((line) => (line.attempt ?? 1) > 1);
    assert.ok(
      again.every((line) => line.node === "two"),
      "only the survivor tries again",
    );
    lines.sort((a, b) => a.at - b.at);
    for (const [key, items] of expected) {
      const ofKey = lines.filter((line) => line.key === key);
      const starts = ofKey.filter((line) => !line.ended).map((line) => line.itemId);
      // What the dead hub had handled but not settled comes again: the first appearances are in order all the same.
      assert.deepEqual([...new Set(starts)], items, key);
      for (const [i, line] of ofKey.entries()) {
        const next = ofKey[i + 1];
        if (!line.ended && next && line.node === next.node)
          assert.ok(next.ended && next.itemId === line.itemId, `${key}: ${line.itemId} overlaps`);
      }
    }
    const { count } = await store.db
      .selectFrom("deliveries")
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    assert.equal(Number(count), 0, "all settled");
    if (withNats) await dropStream(natsUrl, stream);
  });
}

async function dropStream(url: string, stream: string): Promise<void> {
  const [{ jetstreamManager }, { connect }] = await Promise.all([
    import("@nats-io/jetstream"),
    import("@nats-io/transport-node"),
  ]);
  const connection = await connect({ servers: url });
  await (await jetstreamManager(connection)).streams.delete(stream);
  await connection.close();
}
