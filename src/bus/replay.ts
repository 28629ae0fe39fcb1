/**
 * Gives a consumer past events again, in log order. What still waits of that range is replaced, so a key's events never come in a
 * mixed order; what is being handled right now is left alone and comes once more.
 */
import { sql } from "kysely";
import { newId } from "../base/ids.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import { lockSequencer } from "./sequencer-lock.ts";
import { wakeConsumers } from "./wake.ts";

export interface ReplayOptions {
  organization: string;
  consumer: string;
  /** Events accepted from this time on, or from this position in the log. */
  from: Date | number;
}

/** How many events were put before the consumer. Error: `not_found` (no such consumer). */
export async function replayEvents(store: Store, { organization, consumer, from }: ReplayOptions): Promise<number> {
  return await store.transaction(async (tx) => {
    // New events of the consumer must queue behind the replayed ones, so the sequencer waits.
    await lockSequencer(store, tx, "wait");
    const found = await sql<{ pattern: string }>`
      select pattern from consumers where organization_id = ${organization} and consumer = ${consumer}`.execute(tx);
    const pattern = found.rows[0]?.pattern;
    if (pattern === undefined) throw new BackplaneError("not_found", { thing: "consumer" });
    const since =
      from instanceof Date ? sql`e.accepted_at >= ${from.toISOString()}::timestamptz` : sql`e.position >= ${from}`;
    const ofType =
      pattern === "*"
        ? sql``
        : pattern.endsWith(".*")
          ? sql`and starts_with(e.type, ${pattern.slice(0, -1)})`
          : sql`and e.type = ${pattern}`;
    await sql`delete from deliveries d using events e
      where d.organization_id = ${organization} and d.consumer = ${consumer} and d.state in ('pending', 'dead')
        and (d.claimed_until is null or d.claimed_until <= now())
        and e.organization_id = ${organization} and e.id = d.event_id and e.position is not null and ${since}`.execute(
      tx,
    );
    const replayed = await sql<{ count: number }>`
      with again as (
        insert into deliveries (organization_id, consumer, kind, key, item_id, event_id, traceparent)
        select e.organization_id, ${consumer}, 'event', coalesce(e.subject, e.id), e.id || ${`~${newId()}`}, e.id, e.traceparent
        from events e where e.organization_id = ${organization} and e.position is not null and ${since} ${ofType}
        order by e.position returning 1
      ) select count(*)::int as count from again`.execute(tx);
    await wakeConsumers(store, tx, [{ organization, consumer }]);
    return replayed.rows[0]?.count ?? 0;
  });
}
