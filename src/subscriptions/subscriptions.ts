/** Events to handlers: each delivery of kind `event` becomes one invocation of the plugin's subscription. Retry, order and dead letters are the bus's. */
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import { DeadLetter } from "../bus/delivery.ts";
import { deliveryFailure } from "../invocation/delivery-failure.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { parseSubscriptionConsumer } from "../policy/consumers.ts";
import { parseTraceparent } from "../telemetry/trace.ts";

export interface SubscriptionsOptions {
  deliveries: Deliveries;
  invoker: Invoker;
}

export function registerSubscriptions({ deliveries, invoker }: SubscriptionsOptions): void {
  deliveries.handle("event", async (delivery) => {
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
  });
}
