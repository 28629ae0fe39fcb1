/** What a field named by a caller is in SQL: a column of the hub's, a known field of the model, or anything else in the data. */
import { type RawBuilder, sql } from "kysely";
import { type FieldSchema, knownFields } from "./check-entity.ts";

export type Field =
  | { kind: "column"; sql: RawBuilder<unknown>; holds: "text" | "number" | "time" }
  | { kind: "data"; segments: readonly string[]; schema: FieldSchema | undefined };

const columns: Readonly<Record<string, Field>> = {
  id: { kind: "column", sql: sql`e.id`, holds: "text" },
  source: { kind: "column", sql: sql`e.source`, holds: "text" },
  externalId: { kind: "column", sql: sql`e.external_id`, holds: "text" },
  version: { kind: "column", sql: sql`e.version`, holds: "number" },
  createdAt: { kind: "column", sql: sql`e.created_at`, holds: "time" },
  updatedAt: { kind: "column", sql: sql`e.updated_at`, holds: "time" },
  deletedAt: { kind: "column", sql: sql`e.deleted_at`, holds: "time" },
  "provenance.plugin": { kind: "column", sql: sql`e.plugin_id`, holds: "text" },
  "provenance.execution": { kind: "column", sql: sql`e.execution_id`, holds: "text" },
};

/** Fields with a typed index of their own (migration 3): equality is spelt as the index is. */
const hot: Readonly<Record<string, readonly string[]>> = {
  messages: ["contactId", "conversationId"],
  calls: ["contactId"],
  voicemails: ["listened"],
  tasks: ["kind", "status"],
  transactions: ["accountId"],
  health_samples: ["metric"],
};

const maxSegments = 6;
const maxSegmentLength = 200;

/** Undefined when it is no field: empty parts, too many or too long ones. */
export function fieldOf(type: string, name: string): Field | undefined {
  if (Object.hasOwn(columns, name)) return columns[name];
  const segments = name.split(".");
  if (segments.length > maxSegments || segments.some((part) => part === "" || part.length > maxSegmentLength))
    return undefined;
  let fields = knownFields(type);
  let schema: FieldSchema | undefined;
  for (const segment of segments) {
    schema = fields && Object.hasOwn(fields, segment) ? fields[segment] : undefined;
    fields = (schema?.items ?? schema)?.properties;
  }
  return { kind: "data", segments, schema };
}

export const isHot = (type: string, { segments }: { segments: readonly string[] }): boolean =>
  segments.length === 1 && (hot[type]?.includes(segments[0]!) ?? false);

/** The value as jsonb. */
export function jsonOf({
  segments,
  schema,
}: {
  segments: readonly string[];
  schema: FieldSchema | undefined;
}): RawBuilder<unknown> {
  // Only names that the model's own schemas have become a part of the statement; all others are bound values.
  if (schema && segments.length === 1) return sql`(e.data->${sql.lit(segments[0]!)})`;
  return sql`(e.data #> ${[...segments]}::text[])`;
}

/** The value as text, null where there is none. */
export function textOf({
  segments,
  schema,
}: {
  segments: readonly string[];
  schema: FieldSchema | undefined;
}): RawBuilder<unknown> {
  if (schema && segments.length === 1) return sql`(e.data->>${sql.lit(segments[0]!)})`;
  return sql`(e.data #>> ${[...segments]}::text[])`;
}

/** For order and ranges of text: bytes decide, so that times sort as they are, and what is not there comes first. As the indexes spell it. */
export const sortableText = (field: {
  segments: readonly string[];
  schema: FieldSchema | undefined;
}): RawBuilder<unknown> => sql`(coalesce(${textOf(field)}, '') collate "C")`;
