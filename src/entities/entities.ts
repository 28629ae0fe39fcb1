/**
 * The unified data model: rows by organisation and type, found by id or by (source, external id), with provenance.
 * Every change publishes `data.<Entity>Created`, `…Updated` or `…Deleted` in the same transaction. Checks no permissions.
 */
import { type RawBuilder, sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import { jsonText } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import { assertEntityType, type EntityRow, presentEntity, type StoredEntity } from "./entity-record.ts";
import { applyChanges, type BatchCounts, type EntityChange, type EntityWrite, WriteHistory } from "./write-batch.ts";

export type { EntityRow } from "./entity-record.ts";
export type { BatchCounts, EntityChange, EntityWrite } from "./write-batch.ts";

export interface EntityItem {
  id?: string;
  /** Where the item comes from. @default the plugin's id */
  source?: string;
  /** Its id there: (source, externalId) names one row for ever, which makes a repeated upsert harmless. */
  externalId?: string;
  [field: string]: unknown;
}

export interface QueryOptions {
  /** 1–200. @default 50 */
  limit?: number;
  offset?: number;
  /** A field of the data, or `createdAt`, `updatedAt`; a leading `-` sorts downwards. @default "-createdAt" */
  orderBy?: string;
}

export interface Entities {
  /** Rows whose data contains `filter` (equality, nested objects as subsets), newest first. Errors: `ability_input`. */
  query(
    organization: OrganizationId,
    type: string,
    filter: Record<string, unknown>,
    options?: QueryOptions,
  ): Promise<EntityRow[]>;
  getById(organization: OrganizationId, type: string, id: string): Promise<EntityRow | null>;
  /** Creates or merges (top-level fields of the item replace those of the row). At most 500 items. Error: `invalid_input` naming `items.<n>.…`. */
  upsert(write: EntityWrite, type: string, items: readonly EntityItem[]): Promise<EntityRow[]>;
  /**
   * Writes rows of any types in a few statements, with their events, in the caller's transaction, which must be repeatable.
   * At most 1,000 changes. Errors: `invalid_input` naming `changes.<n>.…`, `payload_too_large`, `call_depth_exceeded`.
   */
  writeBatch(tx: Tx, write: EntityWrite, changes: readonly EntityChange[]): Promise<BatchCounts>;
}

const maxItems = 500;

export function createEntities({ store, eventLog }: { store: Store; eventLog: EventLog }): Entities {
  const history = new WriteHistory();
  return {
    async query(organization, type, filter, { limit = 50, offset = 0, orderBy = "-createdAt" } = {}) {
      assertEntityType(type);
      const { id, source, externalId, ...data } = filter;
      let query = store.db
        .selectFrom("entities")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("type", "=", type)
        .where("deleted_at", "is", null);
      if (typeof id === "string") query = query.where("id", "=", id);
      if (typeof source === "string") query = query.where("source", "=", source);
      if (typeof externalId === "string") query = query.where("external_id", "=", externalId);
      if (Object.keys(data).length > 0) query = query.where(sql<boolean>`data @> ${jsonText(data)}::jsonb`);
      const rows = await query
        .orderBy(orderExpression(orderBy), orderBy.startsWith("-") ? "desc" : "asc")
        .orderBy("id", orderBy.startsWith("-") ? "desc" : "asc")
        .limit(Math.min(Math.max(limit, 1), 200))
        .offset(Math.min(Math.max(offset, 0), 100_000))
        .execute();
      return (rows as unknown as StoredEntity[]).map(presentEntity);
    },
    async getById(organization, type, id) {
      assertEntityType(type);
      const row = await store.db
        .selectFrom("entities")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("type", "=", type)
        .where("id", "=", id)
        .where("deleted_at", "is", null)
        .executeTakeFirst();
      return row ? presentEntity(row as unknown as StoredEntity) : null;
    },
    async upsert(write, type, items) {
      assertEntityType(type);
      const changes = items.map((item) => changeOf(type, item));
      if (items.length > maxItems) throw invalid("items", `at most ${maxItems} at once`);
      const outcomes = await store
        .groupCommit((tx) => applyChanges({ tx, eventLog, history }, write, changes))
        .catch((error: unknown): never => {
          throw namingItems(error);
        });
      return outcomes.map(({ row }) => presentEntity(row!));
    },
    async writeBatch(tx, write, changes) {
      const counts: BatchCounts = { created: 0, updated: 0, deleted: 0, unchanged: 0 };
      for (const { kind } of new Set(await applyChanges({ tx, eventLog, history }, write, changes))) counts[kind] += 1;
      return counts;
    },
  };
}

function changeOf(type: string, item: EntityItem): EntityChange {
  if (!isObject(item)) throw invalid("items", "each item must be an object");
  const { id, source, externalId } = item;
  return { type, id, source, externalId, data: item };
}

function namingItems(error: unknown): unknown {
  if (!(error instanceof BackplaneError) || error.code !== "invalid_input") return error;
  const errors = (error.errors ?? []).map(({ path, message }) => ({
    path: path.replace(/^changes\.(\d+)(\.data)?/, "items.$1"),
    message,
  }));
  return new BackplaneError("invalid_input", {}, { errors, cause: error });
}

const invalid = (path: string, message: string): BackplaneError =>
  new BackplaneError("invalid_input", {}, { errors: [{ path, message }] });

function orderExpression(orderBy: string): RawBuilder<unknown> {
  const field = orderBy.replace(/^-/, "");
  if (field === "createdAt") return sql`created_at`;
  if (field === "updatedAt") return sql`updated_at`;
  // The field name is a bound value, never a part of the statement.
  return sql`data -> ${field}::text`;
}
