/**
 * Accepted webhook items of channels: the handler is called, and what it answers is stored in one transaction, which items
 * that are ready at the same moment share.
 */
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import type { Delivery } from "../bus/delivery.ts";
import type { Installations } from "../installations/installations.ts";
import { deliveryFailure } from "../invocation/delivery-failure.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { pluginOfConsumer } from "../policy/consumers.ts";
import { formatTraceparent, parseTraceparent } from "../telemetry/trace.ts";
import { type ReadChanges, readChanges, type WhoSends } from "./read-batch.ts";
import { setAside, storeWithoutRefused } from "./refusals.ts";
import type { Pushed } from "./store-together.ts";

export interface ChannelItemsOptions {
  installations: Installations;
  invoker: Pick<Invoker, "run">;
  storeTogether(pushed: Pushed): Promise<void>;
}

/** The handler of such deliveries. */
export function createChannelItems({
  installations,
  invoker,
  storeTogether,
}: ChannelItemsOptions): (delivery: Delivery) => Promise<void> {
  return async (delivery) => {
    const organization = asOrganizationId(delivery.organization);
    const plugin = asPluginId(pluginOfConsumer(delivery.consumer));
    const trace = delivery.traceparent === undefined ? undefined : parseTraceparent(delivery.traceparent);
    try {
      const { record, error } = await invoker.run({
        ...{ organization, plugin, actor: `webhook:${delivery.itemId}`, signal: delivery.signal },
        kind: "channel",
        name: "handleIncomingEvent",
        args: [delivery.payload],
        ...(trace ? { trace } : {}),
      });
      if (error) throw error;
      if (!isObject(record.result)) return;
      const changes = readAnswer(record.result, await installations.get(organization, plugin));
      if (changes.items.length === 0 && changes.events.length === 0) return;
      const traceparent = formatTraceparent({ traceId: record.traceId, spanId: record.spanId });
      const write = { organization, plugin, execution: record.id, traceparent, eventDepth: 0 };
      const size = JSON.stringify(record.result).length;
      const { refused } = await storeWithoutRefused(changes.items, (items) =>
        storeTogether({ write, items, events: changes.events, size }),
      );
      if (refused.length > 0) throw setAside(refused);
    } catch (error) {
      throw deliveryFailure(error);
    }
  };
}

/** What a channel's handler answered; anything but its entities and events is nothing to us. Errors as of `readChanges`. */
export function readAnswer(result: unknown, who: WhoSends): ReadChanges {
  return isObject(result)
    ? readChanges({ entities: result["entities"], events: result["events"] }, who)
    : { items: [], events: [] };
}
