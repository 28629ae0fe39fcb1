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

export interface PageStatement {
  statement: RawBuilder<StoredEntity & { key: string }>;
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
  const statement = searchesText(filter)
    ? // Words are found first and sorted then: the planner overrates how many rows have them, and would read every text in order.
      sql<
        StoredEntity & { key: string }
      >`select * from (select e.*, ${order.key} as key, ${order.by} as sort_by ${rows} ${after} offset 0) as found
        order by sort_by ${order.direction}, id ${order.direction} ${part}`
    : sql<StoredEntity & { key: string }>`select e.*, ${order.key} as key ${rows} ${after}
        order by ${order.by} ${order.direction}, e.id ${order.direction} ${part}`;
  return { statement, rows, order, size };
}

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
