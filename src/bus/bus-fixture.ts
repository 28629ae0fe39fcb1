/** What the bus's tests share: a store with its log and sequencer, nodes on it, and a recorder of what handlers saw. */
import { setTimeout as wait } from "node:timers/promises";
import type { Store, Tx } from "../store/store.ts";
import { openTestStore } from "../store/test-store.ts";
import { type Consumers, createConsumers } from "./consumers.ts";
import { createDeliveries, type Deliveries } from "./deliveries.ts";
import type { Delivery, DeliveryInput } from "./delivery.ts";
import type { WorkerLimits } from "./delivery-worker.ts";
import { createEventLog, type EventLog } from "./event-log.ts";
import { createSequencer, type Sequencer } from "./sequencer.ts";

export interface BusDriver {
  name: string;
  store: "pglite" | "postgres";
  natsUrl?: string;
  /** Nothing answers at `natsUrl`. */
  unreachable?: boolean;
  /** Why the suite cannot run here. */
  skip?: string;
}

export interface BusFixture extends AsyncDisposable {
  store: Store;
  databaseUrl: string | undefined;
  log: EventLog;
  sequencer: Sequencer;
  consumers: Consumers;
  /** One more node on the store; stopped with the fixture. */
  node(limits?: Partial<WorkerLimits>, prepare?: (deliveries: Deliveries) => void): Promise<Deliveries>;
  subscribe(organization: string, consumer: string, pattern: string): Promise<void>;
  publish(
    organization: string,
    type: string,
    options?: { subject?: string; id?: string; data?: unknown },
  ): Promise<string>;
  enqueue(...inputs: (Partial<DeliveryInput> & { itemId: string })[]): Promise<void>;
  transaction: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>;
  readonly stream: string;
}

export const testLimits: Partial<WorkerLimits> = { leaseMs: 1500, pollMs: 100, graceMs: 2000 };

export async function openBus(driver: BusDriver): Promise<BusFixture> {
  const store = driver.store === "postgres" ? await openTestStore({ driver: "postgres" }) : await openTestStore();
  const log = createEventLog({ store });
  const sequencer = createSequencer({ store, pollMs: 100 });
  const consumers = createConsumers({ store });
  const stream = `test-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const nodes: Deliveries[] = [];
  await sequencer.start();
  return {
    store,
    databaseUrl: "databaseUrl" in store ? String(store.databaseUrl) : undefined,
    log,
    sequencer,
    consumers,
    stream,
    transaction: (work) => store.transaction(work),
    async node(limits, prepare) {
      const nodeId = `node-${nodes.length + 1}`;
      const node = createDeliveries({
        store,
        nodeId,
        natsUrl: driver.natsUrl,
        stream,
        limits: { ...testLimits, ...limits },
      });
      nodes.push(node);
      prepare?.(node);
      await node.start();
      return node;
    },
    subscribe: (organization, consumer, pattern) =>
      store.transaction((tx) => consumers.register(tx, { organization, consumer, plugin: "test", pattern })),
    publish: async (organization, type, { subject, id, data = {} } = {}) =>
      (await store.transaction((tx) => log.publish(tx, { organization, type, subject, id, data, source: "/test" }))).id,
    enqueue: async (...inputs) => {
      const full = inputs.map(
        (input): DeliveryInput => ({ organization: "a", consumer: "c", kind: "message", payload: {}, ...input }),
      );
      await store.transaction(async (tx) =>
        (nodes[0] ?? createDeliveries({ store, nodeId: "none" })).enqueue(tx, full),
      );
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.stop()));
      await sequencer.stop();
      if (driver.natsUrl && !driver.unreachable) await dropStream(driver.natsUrl, stream);
      await store[Symbol.asyncDispose]();
    },
  };
}

async function dropStream(url: string, stream: string): Promise<void> {
  const [{ jetstreamManager }, { connect }] = await Promise.all([
    import("@nats-io/jetstream"),
    import("@nats-io/transport-node"),
  ]);
  const connection = await connect({ servers: url });
  await (await jetstreamManager(connection)).streams.delete(stream).catch(() => false);
  await connection.close();
}

export interface Seen {
  itemId: string;
  key: string;
  consumer: string;
  organization: string;
  attempt: number;
}

/** Records deliveries and checks that no key is ever handled twice at once. */
export class Recorder {
  readonly seen: Seen[] = [];
  readonly overlaps: string[] = [];
  readonly #busy = new Set<string>();
  #running = 0;
  mostRunning = 0;

  handler(work: (delivery: Delivery) => Promise<void> | void = () => {}): (delivery: Delivery) => Promise<void> {
    return async (delivery) => {
      const { organization, consumer, key, itemId, attempt } = delivery;
      const lane = JSON.stringify([organization, consumer, key]);
      if (this.#busy.has(lane)) this.overlaps.push(lane);
      this.#busy.add(lane);
      this.mostRunning = Math.max(this.mostRunning, ++this.#running);
      this.seen.push({ organization, consumer, key, itemId, attempt });
      try {
        await work(delivery);
      } finally {
        this.#busy.delete(lane);
        this.#running -= 1;
      }
    };
  }

  items(): string[] {
    return this.seen.map((s) => s.itemId);
  }

  /** Item ids by key, in the order they were handled. */
  byKey(): Map<string, string[]> {
    const keys = new Map<string, string[]>();
    for (const { key, itemId } of this.seen) keys.set(key, [...(keys.get(key) ?? []), itemId]);
    return keys;
  }
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 10_000): Promise<void> {
  for (const since = performance.now(); !(await condition()); ) {
    if (performance.now() - since > ms) throw new Error(`did not happen within ${ms} ms: ${what}`);
    await wait(5);
  }
}
