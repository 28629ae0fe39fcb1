/**
 * Events per second from accepted to handled: one subscription of a sandboxed plugin in a whole hub, against a bare consumer
 * (an empty JavaScript handler) on the same store, log, sequencer and delivery driver.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { createConsumers } from "../src/bus/consumers.ts";
import { createDeliveries } from "../src/bus/deliveries.ts";
import { createEventLog, type EventLog } from "../src/bus/event-log.ts";
import { createSequencer } from "../src/bus/sequencer.ts";
import { subscriptionConsumer } from "../src/policy/consumers.ts";
import { openStore } from "../src/store/open-store.ts";
import type { Store } from "../src/store/store.ts";
import type { BenchContext, Benchmark, Measured } from "./benchmark.ts";
import { sleep } from "./parts/engine.ts";
import { freshDatabase } from "./parts/fresh-database.ts";
import { startBenchHub } from "./parts/hub.ts";
import { interleave, median, ratios } from "./statistics.ts";

interface Driver {
  goal: "events-pglite" | "events-postgres" | "events-jetstream";
  database: string | undefined;
  nats: string | undefined;
  missing?: string;
}

export const benchmark: Benchmark = {
  name: "events",
  goals: ["events-pglite", "events-postgres", "events-jetstream"],
  async run(context) {
    const database = process.env["TEST_DATABASE_URL"];
    const nats = process.env["TEST_NATS_URL"];
    const needs = (...names: string[]): { missing?: string } => {
      const absent = names.filter((name) => !process.env[name]);
      return absent.length === 0 ? {} : { missing: `needs ${absent.join(" and ")}` };
    };
    const drivers: Driver[] = [
      { goal: "events-pglite", database: undefined, nats: undefined },
      { goal: "events-postgres", database, nats: undefined, ...needs("TEST_DATABASE_URL") },
      { goal: "events-jetstream", database, nats, ...needs("TEST_DATABASE_URL", "TEST_NATS_URL") },
    ];
    const rows: Measured[] = [];
    for (const driver of drivers) {
      rows.push(
        driver.missing === undefined ? await measure(driver, context) : { goal: driver.goal, note: driver.missing },
      );
    }
    return rows;
  },
};

/** Publishes and waits until the handler has seen everything; gives events per second. */
type Burst = () => Promise<number>;

async function measure(driver: Driver, { rounds, quick, log }: BenchContext): Promise<Measured> {
  const count = quick ? 500 : 2000;
  await using opened = new AsyncDisposableStack();
  const bare = await openBare(driver, count, opened);
  const sandboxed = await openSandboxed(driver, count, opened);
  await interleave(1, { bare, sandboxed });
  const perSecond = await interleave(Math.min(rounds, 4), { bare, sandboxed });
  const samples = ratios(perSecond.sandboxed, perSecond.bare);
  log(
    `${driver.goal}: bare ${Math.round(median(perSecond.bare))}/s, sandboxed ${Math.round(median(perSecond.sandboxed))}/s`,
  );
  return {
    goal: driver.goal,
    value: median(samples),
    samples,
    parts: { "sandboxed /s": median(perSecond.sandboxed), "bare /s": median(perSecond.bare) },
  };
}

async function openBare(driver: Driver, count: number, opened: AsyncDisposableStack): Promise<Burst> {
  const database = driver.database === undefined ? undefined : await freshDatabase(driver.database, opened);
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-bench-"));
  opened.defer(() => rm(dataDir, { recursive: true, force: true }));
  const store = await openStore(database === undefined ? { dataDir } : { databaseUrl: database });
  opened.defer(() => store.close());
  const eventLog = createEventLog({ store });
  const sequencer = createSequencer({ store });
  const deliveries = createDeliveries({
    store,
    nodeId: "bare",
    natsUrl: driver.nats,
    stream: stream("bare", opened, driver),
  });
  let handled = 0;
  deliveries.handle("event", async () => {
    handled += 1;
  });
  await store.transaction((tx) =>
    createConsumers({ store }).register(tx, {
      organization: "bench",
      consumer: subscriptionConsumer("backplane.bench", "order.*"),
      plugin: "backplane.bench",
      pattern: "order.*",
    }),
  );
  await deliveries.start();
  await sequencer.start();
  opened.defer(async () => {
    await sequencer.stop();
    await deliveries.stop();
  });
  return () => burst({ store, eventLog, count, handled: () => handled });
}

async function openSandboxed(driver: Driver, count: number, opened: AsyncDisposableStack): Promise<Burst> {
  const database = driver.database === undefined ? undefined : await freshDatabase(driver.database, opened);
  const bench = await startBenchHub({
    ...(database === undefined ? {} : { databaseUrl: database, masterKey: Buffer.alloc(32, 7).toString("base64") }),
    ...(driver.nats === undefined ? {} : { natsUrl: driver.nats, natsStream: stream("hub", opened, driver) }),
  });
  opened.use(bench);
  const { hub, organization } = bench;
  const ended = async (): Promise<number> => {
    const { count: rows } = await hub.store.db
      .selectFrom("executions")
      .select((e) => e.fn.countAll<number>().as("count"))
      .where("organization_id", "=", organization)
      .where("kind", "=", "subscription")
      .where("status", "=", "succeeded")
      .executeTakeFirstOrThrow();
    const { rows: batches } = await sql<{
      count: number;
    }>`select coalesce(sum(count), 0)::int as count from execution_batches
      where organization_id = ${organization} and keys = array['backplane.bench', 'subscription', 'order.*', 'succeeded']`.execute(
      hub.store.db,
    );
    return Number(rows) + batches[0]!.count;
  };
  let before = 0;
  return async () => {
    before = await ended();
    let seen = before;
    let looking: Promise<void> | undefined;
    const speed = await burst({
      store: hub.store,
      eventLog: hub.eventLog,
      count,
      // The record is what the outside sees; asked now and then, so that asking costs little.
      handled: () => {
        looking ??= sleep(25)
          .then(ended)
          .then((now) => {
            seen = now;
            looking = undefined;
          });
        return seen;
      },
    });
    await looking;
    return speed;
  };
}

interface BurstOptions {
  store: Store;
  eventLog: EventLog;
  count: number;
  handled(): number;
}

async function burst({ store, eventLog, count, handled }: BurstOptions): Promise<number> {
  const goal = handled() + count;
  const from = performance.now();
  for (let at = 0; at < count; at += 100) {
    await store.transaction((tx) =>
      eventLog.publishAll(
        tx,
        Array.from({ length: 100 }, (_, n) => ({
          organization: "bench",
          type: "order.placed",
          source: "/bench",
          data: { order: at + n, total: 129.9, currency: "EUR", items: ["a", "b", "c"] },
        })),
      ),
    );
  }
  while (handled() < goal) {
    if (performance.now() - from > 60_000) throw new Error(`only ${handled() - goal + count} of ${count} events came`);
    await sleep(2);
  }
  return (count / (performance.now() - from)) * 1000;
}

function stream(name: string, opened: AsyncDisposableStack, { nats }: Driver): string {
  const unique = `bench-${name}-${process.pid}`;
  if (nats !== undefined) opened.defer(() => dropStream(nats, unique));
  return unique;
}

async function dropStream(url: string, name: string): Promise<void> {
  const [{ jetstreamManager }, { connect }] = await Promise.all([
    import("@nats-io/jetstream"),
    import("@nats-io/transport-node"),
  ]);
  const connection = await connect({ servers: url });
  await (await jetstreamManager(connection)).streams.delete(name).catch(() => false);
  await connection.close();
}
