/**
 * The durable event log: publishes inside the caller's transaction and reads back in stamped order. It stamps nothing and
 * delivers nothing (sequencer.ts does), so an event is visible to `query` a moment after its transaction has committed.
 */
import { type RawBuilder, sql } from "kysely";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { sleep } from "../base/deferred.ts";
import { newId } from "../base/ids.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store, Tx } from "../store/store.ts";
import { assertOutsideTransaction, runOutsideTransactionScope } from "../store/transaction-scope.ts";
import { arrived, eventsInOrder, ofPattern, positionOfEvent } from "./event-positions.ts";
import {
  type CheckedEvent,
  checkEvent,
  type EventInput,
  type EventLimits,
  type EventRecord,
  type EventRow,
  isEventPattern,
  toEventRecord,
} from "./event-record.ts";
import { tailEvents } from "./event-tail.ts";

/** Woken when events wait for their position. */
export const newEventsChannel = "bus_events_new";

export interface PublishResult {
  id: string;
  /** False when the organisation has an event of this id already; the first one stands. */
  accepted: boolean;
}

export type EventsInCommon = Pick<EventInput, "organization" | "source" | "traceparent"> & {
  time: Date;
  depth: number;
};

export interface EventQuery {
  organization: string;
  /** An exact type, or a prefix that ends in `.*`. */
  type?: string | undefined;
  /** A cursor of an earlier answer, or the id of an event: what comes after it is given. */
  after?: string | undefined;
  /** @default 50 */
  limit?: number | undefined;
}

export interface PositionedEvent {
  event: EventRecord;
  /** For `after`: a position in the log, opaque to callers. */
  cursor: string;
}

export interface EventPage {
  events: PositionedEvent[];
  /** Null when nothing more is there yet. */
  nextCursor: string | null;
}

export interface EventLog {
  /** Error codes: `invalid_input`, `payload_too_large`, `call_depth_exceeded`. */
  publish(tx: Tx, event: EventInput): Promise<PublishResult>;
  /** Many at once, in this order; all of them or, when one is wrong, none. */
  publishAll(tx: Tx, events: readonly EventInput[]): Promise<PublishResult[]>;
  /**
   * Publishes in a transaction of its own, which it shares with whatever else is accepted at the same moment: many times cheaper
   * than a transaction each. Resolves when it is durable.
   */
  accept(event: EventInput): Promise<PublishResult>;
  /**
   * For one statement that writes rows and publishes what became of them, without a way to the hub and back: members of its
   * `with`, called `published` and `arrived`, that publish what `made` selects as (id, type, subject, data, traceparent), in its order;
   * null is the traceparent in common. The caller vouches for form and fresh ids, and calls `announce` afterwards. Error: `call_depth_exceeded`.
   */
  insertion(common: EventsInCommon, made: RawBuilder<unknown>): RawBuilder<unknown>;
  /** Wakes who waits for events once `tx` has committed; `ids` are those that `insertion` inserted. */
  announce(tx: Tx, ids: readonly string[]): Promise<void>;
  /** Oldest first. Error: `invalid_cursor`, `invalid_input`. */
  query(query: EventQuery): Promise<EventPage>;
  get(organization: string, id: string): Promise<EventRecord | undefined>;
  /** Follows the log from `after` (or from now), for as long as `signal` lets it. */
  tail(query: Omit<EventQuery, "limit"> & { signal?: AbortSignal | undefined }): AsyncIterable<PositionedEvent>;
}

export interface EventLogOptions {
  store: Store;
  limits?: Partial<EventLimits>;
  /** Told of every event given to the log; for metrics. */
  onPublished?(result: PublishResult): void;
}

export function createEventLog({ store, limits, onPublished }: EventLogOptions): EventLog {
  const eventLimits: EventLimits = { maxDataBytes: 512 * 1024, maxDepth: 32, ...limits };

  async function publishAll(tx: Tx, inputs: readonly EventInput[]): Promise<PublishResult[]> {
    const checked = inputs.map((input) => checkEvent(input, eventLimits));
    const events = checked.map((event) => ({ ...event, id: event.id ?? newId() }));
    const accepted = new Set<string>();
    for (let at = 0; at < events.length; at += 500) {
      for (const row of await insertEvents(tx, events.slice(at, at + 500)))
        accepted.add(`${row.organization_id}\n${row.id}`);
    }
    if (accepted.size > 0) await store.notify(tx, newEventsChannel, "");
    // Within one call only the first of equal ids is the accepted one.
    const results = events.map(({ organization, id }) => ({ id, accepted: accepted.delete(`${organization}\n${id}`) }));
    if (onPublished) results.forEach(onPublished);
    return results;
  }

  async function query({ organization, type, after, limit = 50 }: EventQuery): Promise<EventPage> {
    if (type !== undefined && !isEventPattern(type)) {
      throw new BackplaneError(
        "invalid_input",
        {},
        { errors: [{ path: "$.type", message: "must be an event type, or end in .*" }] },
      );
    }
    // Who has published reads what was published: what is accepted by now gets its position first.
    await stampedSoFar(store, organization);
    const from = after === undefined ? 0 : await positionOf(store, organization, after);
    const rows = await readPositions(store, { organization, type, from, limit });
    const events = rows.map((row) => ({ event: toEventRecord(row), cursor: encodeCursor([row.position]) }));
    const complete = rows.length === (rows[0]?.found ?? 0) && rows.length < limit;
    return { events, nextCursor: complete ? null : (events.at(-1)?.cursor ?? null) };
  }

  // What is accepted while a transaction commits shares the next one.
  const waiting: { event: EventInput; answer: PromiseWithResolvers<PublishResult> }[] = [];
  let committing = false;

  async function commit(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, 200);
      try {
        const events = batch.map(({ event }) => event);
        const results = await store.transaction((tx) => publishAll(tx, events));
        for (const [i, { answer }] of batch.entries()) answer.resolve(results[i]!);
      } catch (error) {
        // Data the database refuses must not fail its neighbours: each gets a transaction of its own.
        for (const { event, answer } of batch) {
          if (batch.length === 1) answer.reject(error);
          else
            await store
              .transaction((tx) => publishAll(tx, [event]))
              .then(([result]) => answer.resolve(result!), answer.reject);
        }
      }
    }
    committing = false;
  }

  async function accept(event: EventInput): Promise<PublishResult> {
    // Checked alone, so that a wrong event fails by itself.
    checkEvent(event, eventLimits);
    assertOutsideTransaction("accepting an event");
    const answer = Promise.withResolvers<PublishResult>();
    waiting.push({ event, answer });
    if (!committing) {
      committing = true;
      void runOutsideTransactionScope(() => commit());
    }
    return await answer.promise;
  }

  return {
    accept,
    publish: async (tx, event) => (await publishAll(tx, [event]))[0]!,
    publishAll,
    insertion({ organization, source, time, traceparent, depth }, made) {
      if (depth > eventLimits.maxDepth)
        throw new BackplaneError("call_depth_exceeded", { limit: eventLimits.maxDepth });
      return sql`published as (
        insert into events (organization_id, id, source, type, subject, time, data, traceparent, depth)
        select ${organization}, made.id, ${source}, made.type, made.subject, ${time.toISOString()}::timestamptz, made.data,
          coalesce(made.traceparent, ${traceparent ?? null}), ${depth}
        from (${made}) as made returning organization_id, id, type
      ), ${arrived}`;
    },
    async announce(tx, ids) {
      if (ids.length === 0) return;
      await store.notify(tx, newEventsChannel, "");
      if (onPublished) for (const id of ids) onPublished({ id, accepted: true });
    },
    query,
    get: async (organization, id) => {
      const rows =
        await sql<EventRow>`select ${columns} from events where organization_id = ${organization} and id = ${id}`.execute(
          store.db,
        );
      return rows.rows[0] && toEventRecord(rows.rows[0]);
    },
    tail: (options) => tailEvents({ store, query }, options),
  };
}

const columns = sql`organization_id, id, source, type, subject, time, data, traceparent`;

async function insertEvents(
  tx: Tx,
  events: (CheckedEvent & { id: string })[],
): Promise<{ organization_id: string; id: string }[]> {
  // One parameter instead of nine a row: half the time of a batch. The data is JSON text already and is not parsed again here.
  const rows = events.map(({ organization, id, source, type, subject, time, data, traceparent, depth }) => {
    const fields = JSON.stringify({
      organization_id: organization,
      id,
      source,
      type,
      subject,
      time,
      traceparent,
      depth,
    });
    return `${fields.slice(0, -1)},"data":${data}}`;
  });
  const result = await sql<{ organization_id: string; id: string }>`
    with published as (insert into events (organization_id, id, source, type, subject, time, data, traceparent, depth)
    select organization_id, id, source, type, subject, time, data, traceparent, depth
    from jsonb_to_recordset(${`[${rows.join(",")}]`}::jsonb) as rows(organization_id text, id text, source text, type text,
      subject text, time timestamptz, data jsonb, traceparent text, depth int)
    on conflict (organization_id, id) do nothing returning organization_id, id, type), ${arrived}
    select organization_id, id from published`.execute(tx);
  return result.rows;
}

/** Waits until every event that the organisation had when this was called has its position; at most a second, should the sequencer be away. */
async function stampedSoFar(store: Store, organization: string): Promise<void> {
  const waiting = async (upTo: number | undefined): Promise<number | undefined> => {
    const { rows } = await sql<{ seq: number | null }>`
      select max(seq) as seq from event_arrivals where organization_id = ${organization}
      ${upTo === undefined ? sql`` : sql`and seq <= ${upTo}`}`.execute(store.db);
    return rows[0]?.seq ?? undefined;
  };
  const last = await waiting(undefined);
  if (last === undefined) return;
  const until = performance.now() + 1000;
  while (performance.now() < until && (await waiting(last)) !== undefined) await sleep(5);
}

/** Position of a cursor, or of an event named by its id. */
async function positionOf(store: Store, organization: string, after: string): Promise<number> {
  try {
    const [position] = decodeCursor(after, 1);
    if (typeof position === "number" && Number.isSafeInteger(position)) return position;
  } catch {
    // not a cursor: an event's id, then
  }
  const position = await positionOfEvent(store.db, organization, after);
  if (position === undefined) throw new BackplaneError("invalid_cursor");
  return position;
}

interface ReadOptions {
  organization: string;
  type: string | undefined;
  from: number;
  limit: number;
}

/** Bytes of data in one page: a reader holds it several times over, and many read at once. */
const maxPageBytes = 16 * 1024 * 1024;

/** At most `limit`, and fewer where they are large; `found` tells how many there were of `limit`. */
async function readPositions(
  store: Store,
  { organization, type, from, limit }: ReadOptions,
): Promise<(EventRow & { position: number; found: number })[]> {
  const where = type === undefined ? undefined : ofPattern(type);
  const page = eventsInOrder({ organization, after: from, where, columns, limit });
  const result = await sql<EventRow & { position: number; found: number }>`
    select ${columns}, position, found from (
      select *, row_number() over (order by position) as n, count(*) over ()::int as found,
        sum(case when pg_column_size(data) < 1900 then pg_column_size(data) else octet_length(data::text) end) over (order by position) as bytes
      from (${page}) as page
    ) as measured where n = 1 or bytes <= ${maxPageBytes} order by position`.execute(store.db);
  return result.rows.map((row) => ({ ...row, position: Number(row.position) }));
}
