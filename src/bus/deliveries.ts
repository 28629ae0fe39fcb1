/**
 * The one table of durable work: events to subscriptions, inbound webhooks, outbound messages and asynchronous executions wait
 * here and reach their handler at least once, in order within a key. This file is the port and its composition; the rules live in
 * delivery-worker.ts (claims, turns, leases), delivery-runner.ts (attempts) and delivery-sql.ts (statements).
 */
import { sql } from "kysely";
import { BackplaneError } from "../errors/error.ts";
import type { Store, Tx } from "../store/store.ts";
import { type BusLog, silentLog } from "./bus-log.ts";
import { cleanBus, type RetentionOptions } from "./bus-retention.ts";
import { createDeadLetters, type DeadLetters } from "./dead-letters.ts";
import type { DeliveryHandler, DeliveryInput, DeliveryKind, DeliveryRef } from "./delivery.ts";
import { createDeliveryRunner, type DeliveryTry, type HandlerOptions } from "./delivery-runner.ts";
import { lapseLeases } from "./delivery-sql.ts";
import { DeliveryWorker, type WorkerLimits } from "./delivery-worker.ts";
import { isStorableText } from "./event-record.ts";
import { insertDeliveries } from "./insert-deliveries.ts";
import { JetStreamRelay } from "./jetstream-relay.ts";
import { type ReplayOptions, replayEvents } from "./replay.ts";
import { wakeConsumers } from "./wake.ts";

export interface ConsumerLag {
  consumer: string;
  /** Deliveries that wait or run. */
  pending: number;
  dead: number;
  /** How long the oldest pending one has waited, in milliseconds. */
  oldestMs: number;
}

export interface Deliveries {
  /** Adds work in the caller's transaction. `accepted` is false for an item id the consumer had before. Errors: `invalid_input`, `payload_too_large` (1 MiB). */
  enqueue(tx: Tx, deliveries: readonly DeliveryInput[]): Promise<{ itemId: string; accepted: boolean }[]>;
  /** Registers what handles a kind; before `start`. */
  handle(kind: DeliveryKind, handler: DeliveryHandler, options?: HandlerOptions): void;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** `cancelled` when it had not started, `running` when its handler was told to stop, `undefined` when there is nothing open. */
  cancel(tx: Tx, ref: DeliveryRef): Promise<"cancelled" | "running" | undefined>;
  readonly deadLetters: DeadLetters;
  replay(options: ReplayOptions): Promise<number>;
  lag(organization: string): Promise<ConsumerLag[]>;
  /** Over all organisations. */
  backlog(): Promise<{ pending: number; dead: number }>;
  /** A job's work: removes what retention says. */
  clean(options?: RetentionOptions): Promise<{ deliveries: number; events: number }>;
  /** Hands out again at once what a lost node held. */
  nodeLost(nodeId: string): Promise<void>;
  /** Which way work travels now; `database` while NATS is away. */
  readonly driver: "database" | "jetstream";
}

export interface DeliveriesOptions {
  store: Store;
  /** Unique per process start: leases are held under it. */
  nodeId: string;
  log?: BusLog;
  natsUrl?: string | undefined;
  /** Hubs that share a database share a stream. @default "backplane" */
  stream?: string;
  limits?: Partial<WorkerLimits>;
  /** Told how each try ended; for metrics. */
  observe?(tried: DeliveryTry): void;
}

/** They are columns of indexes, whose rows the database limits. */
const maxNameBytes = 800;
const cancelChannel = "bus_cancel";

const defaultLimits: WorkerLimits = {
  slots: 256,
  slotsPerOrganization: 64,
  slotsPerConsumer: 16,
  held: 4000,
  leaseMs: 30_000,
  pollMs: 1000,
  graceMs: 10_000,
};

export function createDeliveries({
  store,
  nodeId,
  log = silentLog,
  natsUrl,
  stream = "backplane",
  limits,
  observe,
}: DeliveriesOptions): Deliveries {
  const workerLimits = { ...defaultLimits, ...limits };
  const runner = createDeliveryRunner({ log, ...(observe ? { observe } : {}) });
  const relay =
    natsUrl === undefined
      ? undefined
      : new JetStreamRelay({ url: natsUrl, stream, store, nodeId, log, leaseMs: workerLimits.leaseMs });
  let worker: DeliveryWorker | undefined;
  let cancellations: Disposable | undefined;

  return {
    async enqueue(tx, deliveries) {
      for (const delivery of deliveries) checkInput(delivery);
      const accepted = await insertDeliveries(tx, deliveries);
      await wakeConsumers(
        store,
        tx,
        deliveries.filter((_, i) => accepted[i]),
      );
      return deliveries.map(({ itemId }, i) => ({ itemId, accepted: accepted[i]! }));
    },
    handle: runner.handle,
    async start() {
      if (worker) return;
      const started = new DeliveryWorker({ store, nodeId, log, limits: workerLimits, runner, relay });
      worker = started;
      cancellations = await store.listen(cancelChannel, (payload) => started.abort(Number(payload)));
      await relay?.start(started);
      await started.start();
    },
    async stop() {
      const stopping = worker;
      worker = undefined;
      cancellations?.[Symbol.dispose]();
      await relay?.stopTaking();
      await stopping?.stop();
      await relay?.close();
    },
    async cancel(tx, { organization, consumer, itemId }) {
      const { rows } = await sql<{ id: number; running: boolean }>`
        with open as (
          select organization_id, id, coalesce(claimed_until > now(), false) as running from deliveries
          where organization_id = ${organization} and consumer = ${consumer} and item_id = ${itemId} and state = 'pending' for update
        )
        update deliveries d set state = 'cancelled', settled_at = now(), claimed_by = null, claimed_until = null
        from open where d.organization_id = open.organization_id and d.id = open.id returning d.id, open.running`.execute(
        tx,
      );
      if (!rows[0]) return undefined;
      if (rows[0].running) await store.notify(tx, cancelChannel, String(rows[0].id));
      await wakeConsumers(store, tx, [{ organization, consumer }]);
      return rows[0].running ? "running" : "cancelled";
    },
    deadLetters: createDeadLetters({ store }),
    replay: (options) => replayEvents(store, options),
    lag: (organization) => readLag(store, organization),
    backlog: () => readBacklog(store),
    clean: (options) => cleanBus(store, options),
    async nodeLost(lost) {
      const consumers = await lapseLeases(store, lost);
      await wakeConsumers(store, store.db, consumers);
    },
    get driver() {
      return relay?.connected ? "jetstream" : "database";
    },
  };
}

function checkInput({ organization, consumer, itemId, key }: DeliveryInput): void {
  const errors = Object.entries({ organization, consumer, itemId, key })
    .filter(
      ([, value]) =>
        value !== undefined &&
        (value.length === 0 || Buffer.byteLength(value) > maxNameBytes || !isStorableText(value)),
    )
    .map(([name]) => ({
      path: `$.${name}`,
      message: `must be a text of 1 to ${maxNameBytes} bytes without control characters`,
    }));
  if (errors.length > 0) throw new BackplaneError("invalid_input", {}, { errors });
}

async function readLag(store: Store, organization: string): Promise<ConsumerLag[]> {
  const { rows } = await sql<ConsumerLag>`
    select consumer, count(*) filter (where state = 'pending')::int as pending, count(*) filter (where state = 'dead')::int as dead,
      coalesce(extract(epoch from now() - min(created_at) filter (where state = 'pending')) * 1000, 0)::float8 as "oldestMs"
    from deliveries where organization_id = ${organization} and state in ('pending', 'dead') group by consumer order by consumer`.execute(
    store.db,
  );
  return rows;
}

async function readBacklog(store: Store): Promise<{ pending: number; dead: number }> {
  const { rows } = await sql<{ state: "pending" | "dead"; count: number }>`
    select state, count(*)::int as count from deliveries where state in ('pending', 'dead') group by state`.execute(
    store.db,
  );
  const of = (state: string): number => rows.find((row) => row.state === state)?.count ?? 0;
  return { pending: of("pending"), dead: of("dead") };
}
