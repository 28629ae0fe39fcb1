/** Events to handlers: each delivery of kind `event` becomes one invocation of the plugin's subscription. Retry, order and dead letters are the bus's. */
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import { DeadLetter, type Delivery } from "../bus/delivery.ts";
import { deliveryFailure } from "../invocation/delivery-failure.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { parseSubscriptionConsumer } from "../policy/consumers.ts";
import { parseTraceparent } from "../telemetry/trace.ts";

export interface SubscriptionsOptions {
  deliveries: Deliveries;
  invoker: Invoker;
}

/** Three quarters of the calls a plugin may run at once by default: many share a commit, and slow handlers leave room for people's calls. */
const concurrency = 24;

export function registerSubscriptions({ deliveries, invoker }: SubscriptionsOptions): void {
  const handler = async (delivery: Delivery): Promise<void> => {
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
  };
  deliveries.handle("event", handler, { concurrency });
}
