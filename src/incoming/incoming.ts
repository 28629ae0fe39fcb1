/** What a service pushed, as its connector or channel understood it: entities and events, stored together. */
import { sql } from "kysely";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { pluginEventId } from "../abilities/events.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { BatchCounts } from "../entities/entities.ts";
import type { ReadChanges, SyncedItem } from "./read-batch.ts";
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
    await resolve(writer, events);
    await eventLog.publishAll(
      tx,
      events.map(({ type, data, subject, id }) => ({
        organization: write.organization,
        type,
        source: `/plugins/${write.plugin}`,
        data,
        traceparent: write.traceparent,
        depth: write.eventDepth + 1,
        ...(subject === undefined ? {} : { subject }),
        ...(id === undefined ? {} : { id: pluginEventId(write.plugin, id) }),
      })),
    );
  }
  return counts;
}

/** Puts ids in the place of references; null where there is no such row. */
async function resolve({ tx, write }: ItemWriter, events: ReadChanges["events"]): Promise<void> {
  const references = events.flatMap((event) => event.references);
  if (references.length === 0) return;
  const { rows } = await sql<{ n: number; id: string }>`
    select r.n::int as n, e.id from unnest(${references.map(({ type }) => type)}::text[], ${references.map(({ source }) => source)}::text[],
      ${references.map(({ externalId }) => externalId)}::text[]) with ordinality as r(type, source, external_id, n)
    join entities e on e.organization_id = ${write.organization} and e.type = r.type and e.source = r.source
      and e.external_id = r.external_id`.execute(tx);
  const ids = new Map(rows.map(({ n, id }) => [n, id]));
  for (const [i, { resolve: put }] of references.entries()) put(ids.get(i + 1) ?? null);
}
