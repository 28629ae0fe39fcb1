/**
 * Events to handlers: each delivery of kind `event` becomes one invocation of the plugin's subscription, or one call of a
 * feature of the hub that asked with `onHub`. Retry, order and dead letters are the bus's.
 */
import { sql } from "kysely";
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import type { Consumers } from "../bus/consumers.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import { DeadLetter, type Delivery } from "../bus/delivery.ts";
import type { EventRecord } from "../bus/event-record.ts";
import { deliveryFailure } from "../invocation/delivery-failure.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { hubConsumer, hubConsumerOwner, hubConsumerPrefix, parseSubscriptionConsumer } from "../policy/consumers.ts";
import type { Store, Tx } from "../store/store.ts";
import { parseTraceparent } from "../telemetry/trace.ts";

export interface SubscriptionsOptions {
  store: Store;
  consumers: Consumers;
  deliveries: Deliveries;
  invoker: Pick<Invoker, "run">;
}

/** A delivery with its event; `delivery.depth` is the event's place in a chain of causes. May come more than once. */
export type HubEventHandler = (delivery: Delivery & { event: EventRecord }) => Promise<void>;

export interface HubSubscriptionOptions {
  /** Patterns that every organisation has from its first moment on; others are added with `register`. @default [] */
  patterns?: readonly string[];
  /** Events of one organisation and pattern handled at once on a node. @default 16 */
  concurrency?: number;
  /** @default 12 */
  maxAttempts?: number;
}

/** The events that a feature of the hub gets. Two patterns that match one event are two deliveries of it. */
export interface HubSubscription {
  /** In force for every event accepted after the transaction. Repeating it changes nothing. Error: `invalid_input` for what is no pattern. */
  register(tx: Tx, organization: string, pattern: string): Promise<void>;
  /** What still waits for this pattern goes too. */
  remove(tx: Tx, organization: string, pattern: string): Promise<void>;
}

export interface Subscriptions {
  /** Registers a feature, once and before the deliveries start. `name` is part of the consumer's name and may never change. */
  onHub(name: string, handler: HubEventHandler, options?: HubSubscriptionOptions): HubSubscription;
  /** Gives a new organisation the patterns that all have; in the transaction that makes it. */
  organizationCreated(tx: Tx, organization: string): Promise<void>;
  /** Gives the patterns that all have to organisations which a hub without them has made. */
  start(): Promise<void>;
}

/** Three quarters of the calls a plugin may run at once by default: many share a commit, and slow handlers leave room for people's calls. */
const concurrency = 24;
const featureName = /^[a-z][a-z-]{0,40}$/;

export function createSubscriptions({ store, consumers, deliveries, invoker }: SubscriptionsOptions): Subscriptions {
  const features = new Map<string, readonly string[]>();

  deliveries.handle("event", (delivery) => deliverToPlugin(delivery, invoker), { concurrency });

  const register = (tx: Tx, organization: string, feature: string, pattern: string): Promise<void> =>
    consumers.register(tx, {
      organization,
      consumer: hubConsumer(feature, pattern),
      plugin: hubConsumerOwner,
      pattern,
    });

  return {
    onHub(name, handler, { patterns = [], ...options } = {}) {
      if (!featureName.test(name) || features.has(name)) throw new Error(`'${name}' is no free name of a feature`);
      features.set(name, patterns);
      deliveries.handle(
        "event",
        async (delivery) => {
          const { event } = delivery;
          if (!event) throw new DeadLetter("event_gone", "The event is past its retention.");
          await handler({ ...delivery, event });
        },
        { concurrency: 16, ...options, consumerPrefix: hubConsumerPrefix(name) },
      );
      return {
        register: (tx, organization, pattern) => register(tx, organization, name, pattern),
        remove: (tx, organization, pattern) =>
          consumers.remove(tx, { organization, consumer: hubConsumer(name, pattern) }),
      };
    },
    async organizationCreated(tx, organization) {
      for (const [feature, patterns] of features)
        for (const pattern of patterns) await register(tx, organization, feature, pattern);
    },
    async start() {
      for (const [feature, patterns] of features)
        for (const pattern of patterns)
          await sql`insert into consumers (organization_id, consumer, plugin_id, pattern)
            select id, ${hubConsumer(feature, pattern)}, ${hubConsumerOwner}, ${pattern} from organizations
            on conflict do nothing`.execute(store.db);
    },
  };
}

async function deliverToPlugin(delivery: Delivery, invoker: Pick<Invoker, "run">): Promise<void> {
  const { plugin, pattern } = parseSubscriptionConsumer(delivery.consumer);
  const { event } = delivery;
  if (!event) throw new DeadLetter("event_gone", "The event is past its retention.");
  const trace = event.traceparent ? parseTraceparent(event.traceparent) : undefined;
  try {
    const { error } = await invoker.run({
      organization: asOrganizationId(delivery.organization),
      plugin: asPluginId(plugin),
      kind: "subscription",
      name: pattern,
      args: [event],
      actor: `event:${event.id}`,
      ...(trace ? { trace } : {}),
      eventDepth: delivery.depth,
      signal: delivery.signal,
    });
    if (error) throw error;
  } catch (error) {
    throw deliveryFailure(error);
  }
}
