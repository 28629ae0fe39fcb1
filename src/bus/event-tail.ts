/**
 * Follows the event log for one listener (an SSE stream, `events tail`): reads what is there, then sleeps until the
 * sequencer has stamped events of the organisation, with a slow poll in case a wake-up was lost.
 */

import { sql } from "kysely";
import { encodeCursor } from "../base/cursor.ts";
import { sleep } from "../base/deferred.ts";
import type { Store } from "../store/store.ts";
import type { EventPage, EventQuery, PositionedEvent } from "./event-log.ts";

/** Woken when events have got their position; the payload is a JSON list of organisations, or `*` when they are too many to name. */
export const stampedEventsChannel = "bus_events_stamped";

interface TailPorts {
  store: Store;
  query(query: EventQuery): Promise<EventPage>;
}

interface TailOptions {
  organization: string;
  type?: string | undefined;
  after?: string | undefined;
  signal?: AbortSignal | undefined;
}

const pageSize = 200;
const pollMs = 2000;

export async function* tailEvents({ store, query }: TailPorts, options: TailOptions): AsyncGenerator<PositionedEvent> {
  const { organization, type, signal } = options;
  let woken = new AbortController();
  const subscription = await store.listen(stampedEventsChannel, (payload) => {
    if (payload === "*" || payload.includes(JSON.stringify(organization))) woken.abort();
  });
  const stop = (): void => woken.abort();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    let after = options.after ?? encodeCursor([await lastPosition(store)]);
    while (!signal?.aborted) {
      woken = new AbortController();
      const { events, nextCursor } = await query({ organization, type, after, limit: pageSize });
      for (const positioned of events) {
        if (signal?.aborted) return;
        after = positioned.cursor;
        yield positioned;
      }
      if (nextCursor === null) await sleep(pollMs, signal?.aborted ? AbortSignal.abort() : woken.signal);
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    subscription[Symbol.dispose]();
  }
}

async function lastPosition(store: Store): Promise<number> {
  const result = await sql<{
    last: number;
  }>`select case when is_called then last_value else 0 end as last from event_position`.execute(store.db);
  return Number(result.rows[0]?.last ?? 0);
}
