/** What a row of the data model is: as stored, as callers see it, and the names that are the hub's own. No database work happens here. */
import { BackplaneError } from "../errors/error.ts";
import { isEntityName } from "../manifest/entity-name.ts";

/** What callers see: the data's fields with `id`, `source`, `externalId`, `version`, `createdAt`, `updatedAt` beside them; `deletedAt` on deleted rows, `linkedIds` on linked ones. */
export type EntityRow = Record<string, unknown> & { id: string };

export interface StoredEntity {
  type: string;
  id: string;
  source: string | null;
  external_id: string | null;
  data: Record<string, unknown>;
  version: number;
  plugin_id: string | null;
  execution_id: string | null;
  created_at: Date;
  updated_at: Date;
  deleted_at: Date | null;
  /** The tags that the row's own source last gave; those that others set are not among them. */
  source_tags: string[] | null;
  /** Rows that stand for the same thing share it. */
  link_id: string | null;
}

/** Fields that the hub sets; in what callers send they are names or nothing. */
export const hubFields: ReadonlySet<string> = new Set([
  "id",
  "source",
  "externalId",
  "version",
  "createdAt",
  "updatedAt",
  "deletedAt",
  "linkedIds",
  "provenance",
]);

export function presentEntity(row: StoredEntity, linkedIds: readonly string[] = []): EntityRow {
  return {
    ...row.data,
    id: row.id,
    source: row.source,
    externalId: row.external_id,
    version: row.version,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    ...(row.deleted_at === null ? {} : { deletedAt: row.deleted_at.toISOString() }),
    ...(linkedIds.length === 0 ? {} : { linkedIds: [...linkedIds] }),
  };
}

/** Error: `invalid_input`. */
export function assertEntityType(type: unknown, path = "entity"): asserts type is string {
  if (typeof type === "string" && isEntityName(type)) return;
  const message = "an entity type is lower-case letters, digits and underscores, such as `contacts`";
  throw new BackplaneError("invalid_input", {}, { errors: [{ path, message }] });
}

/** `health_samples` → `HealthSample`, `activities` → `Activity`. */
export function entityName(type: string): string {
  const singular = type.replace(/ies$/, "y").replace(/([^s])s$/, "$1");
  return singular.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
