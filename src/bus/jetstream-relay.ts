/**
 * Carries claimed work over NATS JetStream, so that whichever node has room runs it. The database stays the truth on order,
 * attempts and what is due: a relay claims heads under a name of its own, publishes only references, and the node that gets a message
 * takes those rows over (one statement, fenced by that name) before it runs anything. So a message that comes twice, late or
 * never is harmless: taken rows cannot be taken again, and untaken claims lapse and are claimed anew.
 *
 * While NATS is away `connected` is false and each worker serves itself from the database; the connection is retried for ever.
 */
import {
  AckPolicy,
  type Consumer,
  type ConsumerMessages,
  type JetStreamClient,
  type JsMsg,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { backoffMs } from "../base/backoff.ts";
import { sleep, withTimeout } from "../base/deferred.ts";
import { newId } from "../base/ids.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import type { BusLog } from "./bus-log.ts";
import { type ClaimAnswer, takeDeliveries, unclaimDeliveries } from "./delivery-sql.ts";
import type { Relay } from "./delivery-worker.ts";

export interface RelayOptions {
  url: string;
  /** Name of the work-queue stream; its subject is the same in lower case. */
  stream: string;
  store: Store;
  nodeId: string;
  log: BusLog;
  leaseMs: number;
}

/** What takes rows in: the worker of this node. */
interface Intake {
  readonly room: number;
  waitForRoom(items: number): Promise<void>;
  admit(rows: Awaited<ReturnType<typeof takeDeliveries>>, claimedAt: number): void;
}

interface WorkMessage {
  claim: string;
  ids: [organization: string, id: number][];
}

const idsPerMessage = 25;
const messagesPerPull = 40;
const pullMs = 2000;
const nanos = 1_000_000;
const connectTimeoutMs = 2000;

export class JetStreamRelay implements Relay {
  readonly #o: RelayOptions;
  readonly #subject: string;
  readonly #stopping = new AbortController();
  #connection: NatsConnection | undefined;
  #client: JetStreamClient | undefined;
  #pull: ConsumerMessages | undefined;
  #ready = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: RelayOptions) {
    this.#o = options;
    this.#subject = `${options.stream.toLowerCase()}.work`;
  }

  get connected(): boolean {
    return this.#ready && !this.#stopping.signal.aborted;
  }

  readonly claimName = (): string => `relay:${newId()}`;

  /** Comes back when connected, or after a short try: then it goes on trying by itself. */
  async start(intake: Intake): Promise<void> {
    let first: (() => void) | undefined;
    const settled = new Promise<void>((resolve) => (first = resolve));
    this.#loop = this.#connectLoop(intake, () => first?.());
    await Promise.race([settled, sleep(connectTimeoutMs + 500)]);
  }

  async #connectLoop(intake: Intake, tried: () => void): Promise<void> {
    for (let failures = 0; !this.#stopping.signal.aborted; ) {
      try {
        const consumer = await this.#connect();
        failures = 0;
        tried();
        await this.#pullLoop(consumer, intake);
      } catch (error) {
        failures += 1;
        if (!this.#stopping.signal.aborted)
          this.#o.log.warn({ err: error, failures }, "NATS is away; work goes on over the database");
      }
      this.#ready = false;
      tried();
      if (!this.#stopping.signal.aborted) {
        await this.#disconnect();
        await sleep(backoffMs(failures, { baseMs: 250, capMs: 5000 }), this.#stopping.signal);
      }
    }
  }

  async #connect(): Promise<Consumer> {
    const { url, stream, leaseMs } = this.#o;
    // Reconnecting is ours: a silent reconnect inside the library would leave `connected` true while publishes hang.
    const connection = await connect({
      servers: url,
      timeout: connectTimeoutMs,
      reconnect: false,
      pingInterval: 5000,
      maxPingOut: 2,
    });
    this.#connection = connection;
    const manager = await jetstreamManager(connection, { timeout: 5000 });
    const config = {
      subjects: [this.#subject],
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.File,
      // A reference is worthless once the claim it stands for has lapsed.
      max_age: Math.max(leaseMs, 1000) * nanos,
      duplicate_window: Math.min(Math.max(leaseMs, 1000), 120_000) * nanos,
    };
    await manager.streams.add({ name: stream, ...config }).catch(() => manager.streams.update(stream, config));
    const durable = {
      durable_name: "workers",
      ack_policy: AckPolicy.Explicit,
      ack_wait: 10_000 * nanos,
      max_ack_pending: 10_000,
    };
    await manager.consumers.add(stream, durable);
    this.#client = jetstream(connection, { timeout: 5000 });
    const consumer = await this.#client.consumers.get(stream, "workers");
    this.#ready = true;
    void connection.closed().then(() => {
      if (this.#connection === connection) this.#ready = false;
    });
    return consumer;
  }

  async #pullLoop(consumer: Consumer, intake: Intake): Promise<void> {
    while (this.connected) {
      await intake.waitForRoom(idsPerMessage);
      if (!this.connected) return;
      const most = Math.min(messagesPerPull, Math.floor(intake.room / idsPerMessage));
      const messages = await consumer.fetch({ max_messages: most, expires: pullMs, bind: true });
      this.#pull = messages;
      const arrived: JsMsg[] = [];
      let taking: Promise<void> = Promise.resolve();
      let busy = false;
      for await (const message of messages) {
        arrived.push(message);
        if (busy) continue;
        // What arrives while a statement runs is taken together by the next one.
        busy = true;
        taking = this.#take(arrived, intake).finally(() => {
          busy = false;
        });
        taking.catch(() => messages.stop());
      }
      await taking;
    }
  }

  /** Takes all rows the messages stand for, then confirms them: from there on the lease in the database protects the work. */
  async #take(arrived: JsMsg[], intake: Intake): Promise<void> {
    const { store, nodeId, leaseMs } = this.#o;
    while (arrived.length > 0) {
      const messages = arrived.splice(0);
      const refs = messages.flatMap((message) => {
        const { claim, ids } = message.json<WorkMessage>();
        return ids.map(([organization, id]) => ({ claim, organization, id }));
      });
      const claimedAt = performance.now();
      intake.admit(await takeDeliveries(store, { refs, owner: nodeId, leaseMs }), claimedAt);
      for (const message of messages) message.ack();
    }
  }

  async publish(claimName: string, answers: readonly ClaimAnswer[]): Promise<void> {
    const client = this.#client;
    const messages = answers.flatMap((answer) => chunks(answer));
    try {
      if (!client || !this.connected) throw new BackplaneError("internal", { traceId: "" });
      const sent = messages.map((ids, n) => {
        const work: WorkMessage = { claim: claimName, ids };
        return client.publish(this.#subject, JSON.stringify(work), { msgID: `${claimName}:${n}` });
      });
      await withTimeout(Promise.all(sent), 5000, () => new Error("JetStream did not confirm in time"));
    } catch (error) {
      // What may have gone out cannot be taken any more once it is unclaimed, so nothing runs twice.
      await unclaimDeliveries(this.#o.store, claimName);
      throw error;
    }
  }

  /** No more pulls; what was taken is the worker's. */
  async stopTaking(): Promise<void> {
    this.#stopping.abort();
    await this.#pull?.close();
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#disconnect();
    await this.#loop;
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#client = undefined;
    await connection?.close().catch(() => undefined);
  }
}

/** Runs of one key stay together: their items must be taken by one worker. */
function chunks({ rows }: ClaimAnswer): [string, number][][] {
  const byKey = Map.groupBy(rows, (row) => row.key);
  const result: [string, number][][] = [];
  let chunk: [string, number][] = [];
  for (const run of byKey.values()) {
    if (chunk.length > 0 && chunk.length + run.length > idsPerMessage) {
      result.push(chunk);
      chunk = [];
    }
    for (const row of run) chunk.push([row.organization, row.id]);
  }
  if (chunk.length > 0) result.push(chunk);
  return result;
}
