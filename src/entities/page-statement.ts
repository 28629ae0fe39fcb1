/** The statement behind a page of rows, apart so that its plan can be looked at. */
import { type RawBuilder, sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import { assertEntityType, type StoredEntity } from "./entity-record.ts";
import { compileFilter } from "./filter.ts";
import { compileOrder, type Order } from "./order.ts";

export interface QueryOptions {
  /** 1–200. @default 50 */
  limit?: number | undefined;
  /** Rows to leave out, to 100,000; `cursor` is better where rows come and go. @default 0 */
  offset?: number | undefined;
  /** `nextCursor` of a page of the same order. */
  cursor?: string | undefined;
  /** A field, with dots for inner ones; a leading `-` sorts downwards. @default "-createdAt" */
  orderBy?: string | undefined;
  /** Whether the page tells how many rows match. @default false */
  count?: boolean | undefined;
  /** @default false */
  includeDeleted?: boolean | undefined;
}

/** A row of a page, with the sort key and with `bytes` of data of it and those before it; without `data` beyond what a page holds. */
export type FoundRow = StoredEntity & { key: string; bytes: number };

export interface PageStatement {
  statement: RawBuilder<FoundRow>;
  /** `from … where …` of all that match. */
  rows: RawBuilder<unknown>;
  order: Order;
  /** The statement gives one row more than this when there is a next page. */
  size: number;
}

export function pageStatement(
  organization: OrganizationId,
  type: string,
  filter: object,
  { limit = 50, offset = 0, cursor, orderBy = "-createdAt", includeDeleted = false }: QueryOptions,
): PageStatement {
  const rows = matchingRows({ organization, type, filter, includeDeleted });
  const order = compileOrder(type, orderBy);
  const size = Math.min(Math.max(limit, 1), 200);
  const after = cursor === undefined ? sql`` : sql`and ${order.after(cursor)}`;
  const part = sql`limit ${size + 1} offset ${Math.min(Math.max(offset, 0), 100_000)}`;
  const found = searchesText(filter)
    ? // Words are found first and sorted then: the planner overrates how many rows have them, and would read every text in order.
      sql`select * from (select e.*, ${order.key} as key, ${order.by} as sort_by ${rows} ${after} offset 0) as found
        order by sort_by ${order.direction}, id ${order.direction} ${part}`
    : sql`select e.*, ${order.key} as key ${rows} ${after}
        order by ${order.by} ${order.direction}, e.id ${order.direction} ${part}`;
  const statement = sql<FoundRow>`
    select type, id, source, external_id, case when bytes <= ${maxPageBytes} then data end as data, version, plugin_id, execution_id,
      created_at, updated_at, deleted_at, source_tags, link_id, key, bytes
    from (select e.*, sum(${dataBytes}) over (rows unbounded preceding)::float8 as bytes from (${found}) e) measured`;
  return { statement, rows, order, size };
}

/** Of the data of one page's rows, as JSON text: the hub holds it several times over, and many pages are read at once. */
export const maxPageBytes = 16 * 1024 * 1024;

/** Bytes of `e.data` as text. Measured where it is large only: below that, rows are stored as they are. */
export const dataBytes = sql`case when pg_column_size(e.data) < 1900 then pg_column_size(e.data) else octet_length(e.data::text) end`;

function searchesText(filter: object): boolean {
  const { $text, $and } = filter as { $text?: unknown; $and?: unknown };
  return $text !== undefined || (Array.isArray($and) && $and.some((part) => isObject(part) && searchesText(part)));
}

export interface Matching {
  organization: OrganizationId;
  type: string;
  filter: object;
  includeDeleted?: boolean;
}

/** `from … where …`. The type is a part of the statement, once it is checked: only then are the indexes of one type used. */
export function matchingRows({ organization, type, filter, includeDeleted = false }: Matching): RawBuilder<unknown> {
  assertEntityType(type);
  const here = includeDeleted ? sql`` : sql`and e.deleted_at is null`;
  return sql`from entities e where e.organization_id = ${organization} and e.type = ${sql.lit(type)} ${here} and ${compileFilter(type, filter)}`;
}
