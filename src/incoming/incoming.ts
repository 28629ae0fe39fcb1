/** What a service pushed, as its connector or channel understood it: entities and events, stored together. */
import { sql } from "kysely";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { pluginEventId } from "../abilities/events.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { EventInput } from "../bus/event-record.ts";
import type { BatchCounts, EntityWrite } from "../entities/entities.ts";
import { jsonRows } from "../store/json.ts";
import type { Tx } from "../store/store.ts";
import type { EventReference, ReadChanges, SyncedItem } from "./read-batch.ts";
import { type ItemWriter, writeItems } from "./write-items.ts";

/** Whether accepted webhook items of the plugin go to its connector. Of one that is a channel too, where it says `realtime`. */
export function takesIncoming({ contributes }: Pick<Manifest, "contributes">): boolean {
  return (
    contributes?.connector !== undefined &&
    (contributes.channel === undefined || contributes.connector.realtime === true)
  );
}

/** In the caller's transaction. Errors: as of `writeItems`, and `invalid_input`, `payload_too_large`, `call_depth_exceeded` for events. */
export async function storeChanges(
  { eventLog, ...writer }: ItemWriter & { eventLog: EventLog },
  { items, events }: { items: readonly SyncedItem[] } & Pick<ReadChanges, "events">,
): Promise<BatchCounts> {
  const { tx, write } = writer;
  const counts = await writeItems(writer, items);
  if (events.length > 0) {
    await resolveReferences(tx, write.organization, events);
    await eventLog.publishAll(tx, eventsOf(write, events));
  }
  return counts;
}

export function eventsOf(write: EntityWrite, events: ReadChanges["events"]): EventInput[] {
  return events.map(({ type, data, subject, id }) => ({
    organization: write.organization,
    type,
    source: `/plugins/${write.plugin}`,
    data,
    traceparent: write.traceparent,
    depth: write.eventDepth + 1,
    ...(subject === undefined ? {} : { subject }),
    ...(id === undefined ? {} : { id: pluginEventId(write.plugin, id) }),
  }));
}

export const rowName = (type: string, source: string, externalId: string): string =>
  `${type}\n${source}\n${externalId}`;

/** Puts ids in the place of references; null where there is no such row. `known` has ids by `rowName`, of rows just written. */
export async function resolveReferences(
  tx: Tx,
  organization: string,
  events: ReadChanges["events"],
  known: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  const unknown: EventReference[] = [];
  for (const reference of events.flatMap(({ references }) => references)) {
    const id = known.get(rowName(reference.type, reference.source, reference.externalId));
    if (id === undefined) unknown.push(reference);
    else reference.resolve(id);
  }
  if (unknown.length === 0) return;
  const keys = unknown.map(({ type, source, externalId }, n) => ({ n, type, source, external_id: externalId }));
  // Lateral with a limit is one index search each; a plain join becomes a scan of the table where its statistics are young.
  const { rows } = await sql<{ n: number; id: string }>`
    select rows.n, e.id from ${jsonRows(keys, { n: "int", type: "text", source: "text", external_id: "text" })}
    cross join lateral (
      select e.id from entities e where e.organization_id = ${organization} and e.type = rows.type and e.source = rows.source
        and e.external_id = rows.external_id limit 1
    ) e`.execute(tx);
  const ids = new Map(rows.map(({ n, id }) => [n, id]));
  for (const [n, { resolve }] of unknown.entries()) resolve(ids.get(n) ?? null);
}
