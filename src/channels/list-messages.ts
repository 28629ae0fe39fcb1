/** Messages in and out, newest first, as the data model has them. */
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { isObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";
import { jsonText } from "../store/json.ts";
import type { Store } from "../store/store.ts";

export interface ListMessages {
  direction?: "inbound" | "outbound" | undefined;
  channel?: string | undefined;
  contactId?: string | undefined;
  conversationId?: string | undefined;
  status?: string | undefined;
  /** 1–200. @default 50 */
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface MessagePage {
  messages: Record<string, unknown>[];
  nextCursor: string | null;
}

/** Error: `invalid_cursor`. */
export async function listMessages(
  store: Store,
  organization: OrganizationId,
  { limit = 50, cursor, ...filter }: ListMessages,
): Promise<MessagePage> {
  const equal = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
  const size = Math.min(Math.max(limit, 1), 200);
  const { rows } = await sql<StoredMessage>`
    select id, source, external_id, data, version, created_at, updated_at, created_at::text as place from entities
    where organization_id = ${organization} and type = 'messages' and deleted_at is null
    ${Object.keys(equal).length === 0 ? sql`` : sql`and data @> ${jsonText(equal)}::jsonb`}
    ${cursor === undefined ? sql`` : after(cursor)}
    order by created_at desc, id desc limit ${size + 1}`.execute(store.db);
  const page = rows.slice(0, size);
  const last = page.at(-1);
  return {
    messages: page.map(present),
    nextCursor: rows.length > size && last ? encodeCursor([last.place, last.id]) : null,
  };
}

interface StoredMessage {
  id: string;
  source: string | null;
  external_id: string | null;
  data: unknown;
  version: number;
  created_at: Date;
  updated_at: Date;
  /** Time of creation to the microsecond, which a `Date` does not have. */
  place: string;
}

function after(cursor: string): ReturnType<typeof sql> {
  const [place, id] = decodeCursor(cursor, 2);
  if (typeof place !== "string" || typeof id !== "string" || !/^\d{4,6}-[\d :.+-]{5,40}$/.test(place))
    throw new BackplaneError("invalid_cursor");
  if (Number.isNaN(Date.parse(place.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"))))
    throw new BackplaneError("invalid_cursor");
  return sql`and (created_at, id) < (${place}::text::timestamptz, ${id})`;
}

function present(row: StoredMessage): Record<string, unknown> {
  return {
    ...(isObject(row.data) ? row.data : {}),
    id: row.id,
    source: row.source,
    externalId: row.external_id,
    version: row.version,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}
