/** Deliveries that were given up: what they are and why, and how they come back. Retried ones keep their id and so their place in the order of their key. */
import { sql } from "kysely";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import type { JsonValue } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import type { DeliveryFault, DeliveryKind } from "./delivery.ts";
import { type EventRecord, toEventRecord } from "./event-record.ts";
import { wakeConsumers } from "./wake.ts";

export interface DeadLetterRecord {
  id: string;
  organization: string;
  consumer: string;
  kind: DeliveryKind;
  key: string;
  itemId: string;
  event?: EventRecord;
  payload?: JsonValue;
  attempts: number;
  error: DeliveryFault;
  createdAt: Date;
  diedAt: Date;
}

export interface DeadLetterFilter {
  organization: string;
  consumer?: string | undefined;
  /** Code of the fault. */
  code?: string | undefined;
}

export interface DeadLetters {
  /** Newest first. Error: `invalid_cursor`. */
  list(
    filter: DeadLetterFilter & { limit?: number | undefined; cursor?: string | undefined },
  ): Promise<{ deadLetters: DeadLetterRecord[]; nextCursor: string | null }>;
  /** Tries one again, with all its attempts. Error: `not_found`. */
  retry(organization: string, id: string): Promise<void>;
  /** How many were put back. */
  retryAll(filter: DeadLetterFilter): Promise<number>;
}

interface Row {
  id: number;
  consumer: string;
  kind: DeliveryKind;
  key: string;
  item_id: string;
  payload: JsonValue;
  attempts: number;
  error: DeliveryFault | null;
  created_at: Date;
  settled_at: Date;
  event_id: string | null;
  source: string | null;
  type: string | null;
  subject: string | null;
  time: Date | null;
  data: unknown;
  traceparent: string | null;
}

export function createDeadLetters({ store }: { store: Store }): DeadLetters {
  async function revive(filter: DeadLetterFilter, id?: number): Promise<number> {
    return await store.transaction(async (tx) => {
      const revived = await sql<{ consumer: string }>`
        update deliveries d set state = 'pending', due = now(), attempts = 0, settled_at = null, claimed_by = null, claimed_until = null
        where ${matching(filter)} ${id === undefined ? sql`` : sql`and d.id = ${id}`} returning d.consumer`.execute(tx);
      const consumers = [...new Set(revived.rows.map((row) => row.consumer))];
      await wakeConsumers(
        store,
        tx,
        consumers.map((consumer) => ({ organization: filter.organization, consumer })),
      );
      return revived.rows.length;
    });
  }

  return {
    async list({ limit = 50, cursor, ...filter }) {
      const before = cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(decodeCursor(cursor, 1)[0]);
      if (!Number.isSafeInteger(before)) throw new BackplaneError("invalid_cursor");
      const { rows } = await sql<Row>`
        select d.id, d.consumer, d.kind, d.key, d.item_id, d.payload, d.attempts, d.error, d.created_at, d.settled_at, d.event_id,
          e.source, e.type, e.subject, e.time, e.data, e.traceparent
        from deliveries d left join events e on e.organization_id = d.organization_id and e.id = d.event_id
        where ${matching(filter)} and d.id < ${before} order by d.id desc limit ${limit + 1}`.execute(store.db);
      const page = rows.slice(0, limit);
      const nextCursor = rows.length > limit ? encodeCursor([Number(page.at(-1)!.id)]) : null;
      return { deadLetters: page.map((row) => toRecord(filter.organization, row)), nextCursor };
    },
    async retry(organization, id) {
      const found = /^\d{1,15}$/.test(id) ? await revive({ organization }, Number(id)) : 0;
      if (found === 0) throw new BackplaneError("not_found", { thing: "dead letter" });
    },
    retryAll: (filter) => revive(filter),
  };
}

const matching = ({
  organization,
  consumer,
  code,
}: DeadLetterFilter) => sql`d.organization_id = ${organization} and d.state = 'dead'
  ${consumer === undefined ? sql`` : sql`and d.consumer = ${consumer}`} ${code === undefined ? sql`` : sql`and d.error ->> 'code' = ${code}`}`;

function toRecord(organization: string, row: Row): DeadLetterRecord {
  const { source, type, subject, time, data, traceparent, event_id: eventId } = row;
  const event =
    eventId !== null && source !== null && type !== null && time !== null
      ? toEventRecord({ organization_id: organization, id: eventId, source, type, subject, time, data, traceparent })
      : undefined;
  return {
    id: String(row.id),
    organization,
    consumer: row.consumer,
    kind: row.kind,
    key: row.key,
    itemId: row.item_id,
    ...(event ? { event } : { payload: row.payload }),
    attempts: row.attempts,
    error: row.error ?? { code: "unknown", message: "" },
    createdAt: row.created_at,
    diedAt: row.settled_at,
  };
}
