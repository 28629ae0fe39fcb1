/** The test kit's connector half: one sync, or one pushed item, stored as the connector engine stores it. */
import type { TestSynced, TestSyncOptions } from "../../plugin-api/src/testing.ts";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { advance, completed, nowhere, optionsOf, type Position, storable } from "../connectors/position.ts";
import { pullBatches } from "../connectors/pull-batches.ts";
import { createEntities } from "../entities/entities.ts";
import { readAnswer } from "../incoming/channel-items.ts";
import { storeChanges } from "../incoming/incoming.ts";
import { readChanges, type StreamEnd, type SyncedItem } from "../incoming/read-batch.ts";
import { writeItems } from "../incoming/write-items.ts";
import { incomingChanges } from "../invocation/contributions.ts";
import { formatTraceparent, newTrace } from "../telemetry/trace.ts";
import type { TestedHub } from "./tested-hub.ts";

export interface ConnectorKitOptions {
  hub: TestedHub;
  organization: OrganizationId;
  id: PluginId;
  actor: string;
  failure(error: unknown, stack?: string): Error;
}

export interface ConnectorKit {
  sync(options: TestSyncOptions): Promise<TestSynced>;
  /** Calls `handleIncomingEvent` and stores what it answers. */
  incoming<T>(kind: "connector" | "channel", payload: unknown): Promise<T>;
}

export function connectorKit({ hub, organization, id, actor, failure }: ConnectorKitOptions): ConnectorKit {
  const { store, eventLog, invoker, installations } = hub;
  const entities = createEntities({ store, eventLog });
  const write = {
    organization,
    plugin: id,
    execution: null,
    traceparent: formatTraceparent(newTrace()),
    eventDepth: 0,
  };

  return {
    async sync(options) {
      const counts = { created: 0, updated: 0, deleted: 0, unchanged: 0 };
      const all: SyncedItem[] = [];
      const before = positionOf(options);
      let position = before;
      let end: StreamEnd | undefined;
      const { manifest } = await installations.get(organization, id);
      const ordered = manifest.contributes?.connector?.ordered ?? false;
      try {
        const installation = () => installations.get(organization, id);
        const batches = pullBatches({ invoker, installation, options, actor, ordered });
        for (;;) {
          const step = await batches.next();
          if (step.done) {
            end = step.value;
            break;
          }
          const { items, execution } = step.value;
          const stored = await store.transaction((tx) =>
            writeItems({ tx, entities, write: { ...write, execution } }, items),
          );
          for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += stored[name];
          position = advance(position, items);
          all.push(...items);
        }
        position = completed(position, end, options.types);
        const next = optionsOf({ position, types: options.types, ordered, full: false });
        return { items: all.map(presentItem), next, cursor: next.cursor, counts };
      } catch (error) {
        const left = storable(before, position, ordered);
        const next = optionsOf({ position: left, types: options.types, ordered, full: false });
        throw Object.assign(failure(error), { next });
      }
    },
    async incoming(kind, payload) {
      try {
        const { record, error } = await invoker.run({
          ...{ organization, plugin: id, actor },
          kind,
          name: kind === "connector" ? incomingChanges : "handleIncomingEvent",
          args: [payload],
        });
        if (error) throw failure(error, record.error?.stack);
        const installation = await installations.get(organization, id);
        const read = kind === "connector" ? readChanges : readAnswer;
        const changes = read(record.result, installation);
        await store.transaction((tx) =>
          storeChanges({ tx, entities, eventLog, write: { ...write, execution: record.id } }, changes),
        );
        return (record.result ?? null) as never;
      } catch (error) {
        throw failure(error);
      }
    },
  };
}

/** What a run stands at that is given these options, as far as own cursors go. */
function positionOf({ cursor, cursors = cursor === undefined ? {} : { "*": cursor } }: TestSyncOptions): Position {
  const last = Object.keys(cursors).findLast((type) => cursors[type] === cursor) ?? null;
  return { ...nowhere, own: { ...cursors }, last };
}

function presentItem({ changes, data: _, ...item }: SyncedItem): TestSynced["items"][number] {
  return { ...item, entities: changes.map(({ data, ...entity }) => defined({ ...entity, data })) } as never;
}

function defined(entity: object): object {
  return Object.fromEntries(Object.entries(entity).filter(([, value]) => value !== undefined));
}
