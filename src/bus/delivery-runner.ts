/** Runs one claimed item through its handler and turns what happens into a settlement. Knows handlers and attempts, not queues. */
import { type BackoffOptions, backoffMs } from "../base/backoff.ts";
import type { BusLog } from "./bus-log.ts";
import { DeadLetter, type Delivery, type DeliveryHandler, type DeliveryKind, faultOf, RetryLater } from "./delivery.ts";
import type { Settlement } from "./delivery-sql.ts";
import type { Item } from "./lane.ts";

export interface HandlerOptions {
  /** Only for consumers whose name starts so; the longest matching prefix wins. @default "" */
  consumerPrefix?: string;
  /** Tries before a dead letter. @default 12 */
  maxAttempts?: number;
  backoff?: BackoffOptions;
  /** Handlers of one consumer that run at once on a node. */
  concurrency?: number;
  /** Keeps a settled row until retention, so that the same item id stays refused. @default false for events (the event log refuses them), else true */
  keepDone?: boolean;
}

export interface DeliveryTry {
  kind: DeliveryKind;
  outcome: "done" | "retry" | "dead";
  attempt: number;
  /** From enqueued to the beginning of this try. */
  waitedMs: number;
}

export interface DeliveryRunnerOptions {
  log: BusLog;
  observe?(tried: DeliveryTry): void;
}

export interface DeliveryRunner {
  handle(kind: DeliveryKind, handler: DeliveryHandler, options?: HandlerOptions): void;
  kinds(): DeliveryKind[];
  concurrency(consumer: string, kind: DeliveryKind | undefined): number | undefined;
  /** The settlement, or `undefined` when the item is not ours any more. Never rejects. */
  run(item: Item): Promise<Settlement | undefined>;
}

interface Registration extends HandlerOptions {
  kind: DeliveryKind;
  handler: DeliveryHandler;
}

const noHandlerMs = 5000;

export function createDeliveryRunner({ log, observe }: DeliveryRunnerOptions): DeliveryRunner {
  const registrations: Registration[] = [];

  function find(consumer: string, kind: DeliveryKind | undefined): Registration | undefined {
    return registrations.find(
      (r) => (kind === undefined || r.kind === kind) && consumer.startsWith(r.consumerPrefix ?? ""),
    );
  }

  async function run(item: Item): Promise<Settlement | undefined> {
    const { organization, id, attempts, kind } = item;
    const settle = (rest: Omit<Settlement, "organization" | "id" | "attempts">): Settlement => ({
      organization,
      id,
      attempts,
      ...rest,
    });
    const registration = find(item.consumer, kind);
    if (!registration) return settle({ outcome: "retry", ms: noHandlerMs, counted: false });
    const { maxAttempts = 12, keepDone = kind !== "event" } = registration;
    if (attempts > maxAttempts) {
      const message = `It was started ${maxAttempts} times and each time the hub was lost before it ended.`;
      return settle({ outcome: "dead", counted: false, fault: { code: "attempts_exhausted", message } });
    }
    if (kind === "event" && item.event === undefined) {
      return settle({ outcome: "dead", fault: { code: "event_gone", message: "The event was removed by retention." } });
    }
    try {
      await registration.handler(toDelivery(item, maxAttempts));
      // Cancelled or lost while it ran: the row is someone else's or closed, a settlement would not match it.
      return settle({ outcome: keepDone ? "done" : "drop" });
    } catch (error) {
      if (item.abort.signal.aborted) return isStopping(item) ? settle({ outcome: "release" }) : undefined;
      if (error instanceof RetryLater)
        return settle({ outcome: "retry", ms: Math.max(0, error.ms), counted: false, fault: faultOf(error) });
      const fault = faultOf(error);
      if (error instanceof DeadLetter || attempts >= maxAttempts) {
        log.warn(
          { organization, consumer: item.consumer, item: item.itemId, fault },
          "a delivery became a dead letter",
        );
        return settle({ outcome: "dead", fault });
      }
      return settle({ outcome: "retry", ms: backoffMs(attempts, registration.backoff), fault });
    }
  }

  async function observed(item: Item): Promise<Settlement | undefined> {
    const { kind, attempts: attempt } = item;
    const waitedMs = Math.max(0, Date.now() - item.createdAt.getTime());
    const settlement = await run(item);
    // What was given back or is somebody else's now was no try.
    if (settlement && settlement.outcome !== "release") {
      const outcome = settlement.outcome === "drop" ? "done" : settlement.outcome;
      observe!({ kind, outcome, attempt, waitedMs });
    }
    return settlement;
  }

  return {
    handle(kind, handler, options = {}) {
      registrations.push({ kind, handler, ...options });
      registrations.sort((a, b) => (b.consumerPrefix ?? "").length - (a.consumerPrefix ?? "").length);
    },
    kinds: () => [...new Set(registrations.map((r) => r.kind))],
    concurrency: (consumer, kind) => find(consumer, kind)?.concurrency,
    run: observe ? observed : run,
  };
}

/** The reason given to handlers that are aborted because the hub stops; their items are given back, not failed. */
export class HubStops extends Error {
  override name = "HubStops";
}

const isStopping = (item: Item): boolean => item.abort.signal.reason instanceof HubStops;

function toDelivery(item: Item, maxAttempts: number): Delivery {
  const { organization, id, consumer, kind, key, itemId, attempts, payload, event, depth, traceparent, createdAt } =
    item;
  return {
    organization,
    id,
    consumer,
    kind,
    key,
    itemId,
    attempt: attempts,
    maxAttempts,
    payload,
    ...(event ? { event } : {}),
    depth,
    ...(traceparent === undefined ? {} : { traceparent }),
    enqueuedAt: createdAt,
    signal: item.abort.signal,
  };
}
