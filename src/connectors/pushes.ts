/** What services push: an accepted webhook item goes to the connector, and what it makes of it is stored. */
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { Delivery } from "../bus/delivery.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { Entities } from "../entities/entities.ts";
import { storeChanges } from "../incoming/incoming.ts";
import { readChanges } from "../incoming/read-batch.ts";
import { setAside, storeWithoutRefused } from "../incoming/refusals.ts";
import { createStoreTogether } from "../incoming/store-together.ts";
import type { Installations } from "../installations/installations.ts";
import { incomingChanges } from "../invocation/contributions.ts";
import { deliveryFailure } from "../invocation/delivery-failure.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { pluginOfConsumer } from "../policy/consumers.ts";
import type { Store } from "../store/store.ts";
import { formatTraceparent, newTrace, parseTraceparent } from "../telemetry/trace.ts";
import { requestRun } from "./run-records.ts";

export interface PushesOptions {
  store: Store;
  invoker: Pick<Invoker, "run">;
  installations: Installations;
  entities: Pick<Entities, "writeBatch" | "writeEach" | "refusals">;
  eventLog: EventLog;
  deliveries: Deliveries;
}

/** The handler of such deliveries. */
export function createPushes(options: PushesOptions): (delivery: Delivery) => Promise<void> {
  const { store, invoker, installations, entities, eventLog, deliveries } = options;
  const storeTogether = createStoreTogether({ store, entities, eventLog });
  return async (delivery) => {
    const organization = asOrganizationId(delivery.organization);
    const plugin = asPluginId(pluginOfConsumer(delivery.consumer));
    const trace =
      (delivery.traceparent === undefined ? undefined : parseTraceparent(delivery.traceparent)) ?? newTrace();
    try {
      const { record, error } = await invoker.run({
        ...{ organization, plugin, actor: `webhook:${delivery.itemId}`, trace, signal: delivery.signal },
        kind: "connector",
        name: incomingChanges,
        args: [delivery.payload],
      });
      if (error) throw error;
      const pushed = readChanges(record.result, await installations.get(organization, plugin));
      const { items, events, sync } = pushed;
      if (items.length === 0 && events.length === 0 && sync === undefined) return;
      const traceparent = formatTraceparent({ traceId: record.traceId, spanId: record.spanId });
      const write = { organization, plugin, execution: record.id, traceparent, eventDepth: 0 };
      const size = JSON.stringify(record.result).length;
      const { refused } = await storeWithoutRefused(items, (kept) =>
        sync === undefined
          ? storeTogether({ write, items: kept, events, size })
          : store.groupCommit(async (tx) => {
              await storeChanges({ tx, entities, eventLog, write }, { ...pushed, items: kept });
              await requestRun(tx, deliveries, {
                organization,
                plugin,
                ...sync,
                trigger: "event",
                actor: `webhook:${delivery.itemId}`,
                traceparent,
              });
            }),
      );
      if (refused.length > 0) throw setAside(refused);
    } catch (error) {
      throw deliveryFailure(error);
    }
  };
}
