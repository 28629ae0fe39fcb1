/**
 * Gives a consumer past events again, in log order. What still waits of that range is replaced, so a key's events never come in a
 * mixed order; what is being handled right now is left alone and comes once more.
 */
import { sql } from "kysely";
import { newId } from "../base/ids.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import { ofPattern } from "./event-positions.ts";
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
      from instanceof Date
        ? sql`p.accepted_at >= ${from.toISOString()}::timestamptz`
        : sql`p.last >= ${from} and p.first + u.nth - 1 >= ${from}`;
    const range = sql`event_positions p cross join lateral unnest(p.ids) with ordinality as u(id, nth)`;
    await sql`delete from deliveries d where d.organization_id = ${organization} and d.consumer = ${consumer}
      and d.state in ('pending', 'dead') and (d.claimed_until is null or d.claimed_until <= now())
      and d.event_id in (select u.id from ${range} where p.organization_id = ${organization} and ${since})`.execute(tx);
    const replayed = await sql<{ count: number }>`
      with again as (
        insert into deliveries (organization_id, consumer, kind, key, item_id, event_id, traceparent)
        select ${organization}, ${consumer}, 'event', coalesce(e.subject, u.id), u.id || ${`~${newId()}`}, u.id, e.traceparent
        from ${range}
        cross join lateral (select subject, traceparent from events where organization_id = ${organization} and id = u.id limit 1) e
        where p.organization_id = ${organization} and ${since} and ${ofPattern(pattern)}
        order by p.last, u.nth returning 1
      ) select count(*)::int as count from again`.execute(tx);
    await wakeConsumers(store, tx, [{ organization, consumer }]);
    return replayed.rows[0]?.count ?? 0;
  });
}
