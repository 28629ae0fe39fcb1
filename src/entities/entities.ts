/**
 * The generic entity table: rows by organisation and type, found by id or by (source, external id), with provenance.
 * Every change publishes `data.<Entity>Created` or `data.<Entity>Updated` in the same transaction.
 */
import { type RawBuilder, sql } from "kysely";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import { isObject } from "../base/json.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import { isEntityName } from "../manifest/entity-name.ts";
import { isUniqueViolation } from "../store/database-errors.ts";
import { json, jsonText } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";

/** What callers see: the data's fields with `id`, `source`, `externalId`, `createdAt`, `updatedAt` beside them. */
export type EntityRow = Record<string, unknown> & { id: string };

export interface EntityItem {
  id?: string;
  /** Where the item comes from. @default the plugin's id */
  source?: string;
  /** Its id there: (source, externalId) names one row for ever, which makes a repeated upsert harmless. */
  externalId?: string;
  [field: string]: unknown;
}

export interface EntityWrite {
  organization: OrganizationId;
  plugin: PluginId;
  execution: string | null;
  traceparent: string;
  eventDepth: number;
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
  /** Creates or merges (top-level fields of the item replace those of the row). At most 500 items. */
  upsert(write: EntityWrite, type: string, items: readonly EntityItem[]): Promise<EntityRow[]>;
}

const maxItems = 500;

export function createEntities({ store, eventLog }: { store: Store; eventLog: EventLog }): Entities {
  return {
    async query(organization, type, filter, { limit = 50, offset = 0, orderBy = "-createdAt" } = {}) {
      assertType(type);
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
      return rows.map(present);
    },
    async getById(organization, type, id) {
      assertType(type);
      const row = await store.db
        .selectFrom("entities")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("type", "=", type)
        .where("id", "=", id)
        .where("deleted_at", "is", null)
        .executeTakeFirst();
      return row ? present(row) : null;
    },
    async upsert(write, type, items) {
      assertType(type);
      if (items.length > maxItems)
        throw new BackplaneError("ability_input", {
          ability: "data.upsert",
          reason: `at most ${maxItems} items at once`,
        });
      return store.transaction(async (tx) => {
        const rows: EntityRow[] = [];
        for (const item of items) rows.push(await upsertOne({ tx, eventLog, write, type, item }));
        return rows;
      });
    },
  };
}

interface UpsertOne {
  tx: Tx;
  eventLog: EventLog;
  write: EntityWrite;
  type: string;
  item: EntityItem;
}

async function upsertOne({ tx, eventLog, write, type, item }: UpsertOne): Promise<EntityRow> {
  if (!isObject(item))
    throw new BackplaneError("ability_input", { ability: "data.upsert", reason: "each item must be an object" });
  const { id, source, externalId, createdAt: _created, updatedAt: _updated, version: _version, ...data } = item;
  const origin = source ?? write.plugin;
  // In the values of an insert a conflict is found on one constraint only: the one by which the item names its row.
  const target = externalId === undefined ? (["organization_id", "type", "id"] as const) : undefined;
  const row = await tx
    .insertInto("entities")
    .values({
      organization_id: write.organization,
      type,
      id: id ?? newId(),
      source: origin,
      external_id: externalId ?? null,
      data: json(data),
      plugin_id: write.plugin,
      execution_id: write.execution,
    })
    .onConflict((conflict) =>
      (target
        ? conflict.columns([...target])
        : conflict.columns(["organization_id", "type", "source", "external_id"]).where("external_id", "is not", null)
      )
        .doUpdateSet({
          data: sql`entities.data || excluded.data`,
          version: sql`entities.version + 1`,
          plugin_id: write.plugin,
          execution_id: write.execution,
          updated_at: sql`now()`,
          deleted_at: null,
        })
        // What changes nothing is no change: vendors send the same item again and again.
        .where(
          sql<boolean>`entities.deleted_at is not null or entities.data is distinct from entities.data || excluded.data`,
        ),
    )
    .returningAll()
    .executeTakeFirst()
    .catch((error: unknown): never => {
      if (!isUniqueViolation(error)) throw error;
      const reason = "its `id` and its `externalId` name two different rows, or a row that has another name already";
      throw new BackplaneError("ability_input", { ability: "data.upsert", reason });
    });
  if (!row) return present(await existing({ tx, write, type, origin, id, externalId }));
  const presented = present(row);
  await eventLog.publish(tx, {
    organization: write.organization,
    type: `data.${entityName(type)}${row.version === 1 ? "Created" : "Updated"}`,
    source: `/plugins/${write.plugin}`,
    subject: row.id,
    data: { entity: type, id: row.id, record: presented },
    traceparent: write.traceparent,
    depth: write.eventDepth + 1,
  });
  return presented;
}

interface Named {
  tx: Tx;
  write: EntityWrite;
  type: string;
  origin: string;
  id: string | undefined;
  externalId: string | undefined;
}

function existing({ tx, write, type, origin, id, externalId }: Named): Promise<StoredEntity> {
  const rows = tx
    .selectFrom("entities")
    .selectAll()
    .where("organization_id", "=", write.organization)
    .where("type", "=", type);
  return (
    externalId === undefined
      ? rows.where("id", "=", id!)
      : rows.where("source", "=", origin).where("external_id", "=", externalId)
  ).executeTakeFirstOrThrow();
}

function orderExpression(orderBy: string): RawBuilder<unknown> {
  const field = orderBy.replace(/^-/, "");
  if (field === "createdAt") return sql`created_at`;
  if (field === "updatedAt") return sql`updated_at`;
  // The field name is a bound value, never a part of the statement.
  return sql`data -> ${field}::text`;
}

function assertType(type: unknown): asserts type is string {
  if (typeof type !== "string" || !isEntityName(type)) {
    throw new BackplaneError("ability_input", {
      ability: "data",
      reason: "an entity type is lower-case letters, digits and underscores, such as `contacts`",
    });
  }
}

/** `health_samples` → `HealthSample`, `activities` → `Activity`. */
export function entityName(type: string): string {
  const singular = type.replace(/ies$/, "y").replace(/([^s])s$/, "$1");
  return singular.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

interface StoredEntity {
  id: string;
  source: string | null;
  external_id: string | null;
  data: unknown;
  version: number;
  created_at: Date;
  updated_at: Date;
}

function present(row: StoredEntity): EntityRow {
  return {
    ...(row.data as Record<string, unknown>),
    id: row.id,
    source: row.source,
    externalId: row.external_id,
    version: row.version,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}
