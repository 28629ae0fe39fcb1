/** Rows of the unified data model: read with filters, written, deleted, brought back and linked by people. */

import { z } from "zod";
import type { EntityFilter } from "../../../../plugin-api/src/context.ts";
import { entitySchemas } from "../../../../plugin-api/src/model/entity-types.ts";
import { asPluginId } from "../../../base/brands.ts";
import { knownFields } from "../../../entities/check-entity.ts";
import type { EntityRow, EntityWrite, Provenance, QueryOptions } from "../../../entities/entities.ts";
import { BackplaneError } from "../../../errors/error.ts";
import { inputFaults, inputSentence } from "../../../errors/input-faults.ts";
import { formatTraceparent, type Trace } from "../../../telemetry/trace.ts";
import { pageOf } from "../page-of.ts";
import { defineRoute, type RouteSpec } from "../route.ts";
import { listOf, page } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const type = z.string().min(1).max(63).describe("Such as `contacts`.");
const id = z.string().min(1).max(200);
const ids = z.array(id).min(1).max(100);
const item = z.record(z.string().max(200), z.unknown());
const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const shown = z.object({ id: z.string(), provenance: z.unknown().optional() }).catchall(z.unknown());
const list = z.object({ entities: z.array(shown) });

const listQuery = z.object({
  ...page,
  orderBy: z.string().min(1).max(300).optional().describe("A field; `-field` downwards. Newest first unless said."),
  count: flag.optional().describe("Whether to tell how many match: at most 10,000."),
  includeDeleted: flag.optional(),
  text: z.string().max(200).optional().describe("Words that words of the row begin with."),
  filter: z
    .string()
    .max(16_384)
    .optional()
    .describe("A filter as JSON. Beside it stand `field=value` and `field[gte]=value`."),
});
const ownParameters: ReadonlySet<string> = new Set(Object.keys(listQuery.shape));

export function entityRoutes({ entities }: HttpServices): RouteSpec[] {
  const withProvenance = async (
    organization: EntityWrite["organization"],
    entityType: string,
    rows: readonly EntityRow[],
  ): Promise<(EntityRow & { provenance: Provenance | undefined })[]> => {
    const found = await entities.provenance(
      organization,
      entityType,
      rows.map((row) => row.id),
    );
    return rows.map((row) => ({ ...row, provenance: found.get(row.id) }));
  };

  return [
    defineRoute({
      method: "GET",
      path: "/api/entities",
      summary: "Types of entity, with how many rows there are and the schema of those the model has",
      tag: "entities",
      access: { role: "viewer" },
      query: z.strictObject(page),
      success: {
        status: 200,
        schema: listOf(
          "types",
          z.object({ type: z.string(), count: z.number(), countCapped: z.boolean(), schema: z.unknown() }),
        ),
      },
      errors: ["invalid_cursor"],
      async handler({ organization, query }) {
        const counts = new Map((await entities.types(organization)).map((row) => [row.type, row]));
        const names = [...new Set([...Object.keys(entitySchemas), ...counts.keys()])];
        const { items, nextCursor } = pageOf(names, (name) => name, query);
        const types = items.map((name) => ({
          type: name,
          count: counts.get(name)?.count ?? 0,
          countCapped: counts.get(name)?.countCapped ?? false,
          schema: Object.hasOwn(entitySchemas, name) ? entitySchemas[name as keyof typeof entitySchemas] : null,
        }));
        return { types, nextCursor };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/entities/:type",
      summary: "Read rows: filtered, ordered, in pages",
      tag: "entities",
      access: { role: "viewer" },
      params: z.strictObject({ type }),
      query: listQuery,
      // Fields of the data are parameters too.
      openQuery: true,
      success: {
        status: 200,
        schema: z.object({
          entities: z.array(shown),
          nextCursor: z.string().nullable(),
          count: z.number().optional(),
          countCapped: z.boolean().optional(),
        }),
      },
      errors: ["invalid_input", "invalid_cursor"],
      async handler({ organization, params, query }) {
        const { options, filter } = readQuery(params.type, query as Record<string, unknown>);
        const { items, ...rest } = await entities.page(organization, params.type, filter, options);
        return { entities: await withProvenance(organization, params.type, items), ...rest };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/entities/:type/:id",
      summary: "One row, with which plugin and which execution wrote it",
      tag: "entities",
      access: { role: "viewer" },
      params: z.strictObject({ type, id }),
      query: z.strictObject({ includeDeleted: flag.optional() }),
      success: { status: 200, schema: shown },
      errors: ["not_found", "invalid_input"],
      async handler({ organization, params, query: { includeDeleted = false } }) {
        const rows = await entities.query(organization, params.type, { id: params.id }, { includeDeleted });
        const [row] = await withProvenance(organization, params.type, rows);
        if (!row) throw noSuchRow(params.type);
        return row;
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/entities/:type",
      summary: "Create or merge one row or several, by `id` or by `source` and `externalId`",
      tag: "entities",
      access: { role: "member" },
      params: z.strictObject({ type }),
      body: z.union([item, z.array(item).min(1).max(500)], "must be a row, or a list of 1 to 500 rows"),
      success: { status: 200, schema: list },
      errors: ["invalid_input"],
      async handler({ organization, params, body, actor, trace }) {
        const items = (Array.isArray(body) ? body : [body]).map(withoutNulls);
        const empty = items.flatMap((given, i) => (Object.keys(given).length === 0 ? [`items.${i}`] : []));
        if (empty.length > 0) throw invalid(empty.map((path) => ({ path, message: "has no fields" })));
        const rows = await entities.upsert(writeOf({ organization, actor, trace }), params.type, items);
        return { entities: await withProvenance(organization, params.type, rows) };
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/entities/:type/:id",
      summary: "Mark a row as deleted",
      tag: "entities",
      access: { role: "member" },
      params: z.strictObject({ type, id }),
      success: { status: 204 },
      errors: ["not_found", "invalid_input"],
      async handler({ organization, params, actor, trace }) {
        const deleted = await entities.delete(writeOf({ organization, actor, trace }), params.type, [params.id]);
        if (deleted === 0) throw noSuchRow(params.type);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/entities/:type/:id/restore",
      summary: "Bring a deleted row back",
      tag: "entities",
      access: { role: "member" },
      params: z.strictObject({ type, id }),
      success: { status: 200, schema: shown },
      errors: ["not_found", "invalid_input"],
      async handler({ organization, params, actor, trace }) {
        const row = await entities.restore(writeOf({ organization, actor, trace }), params.type, params.id);
        return (await withProvenance(organization, params.type, [row]))[0];
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/entities/:type/:id/link",
      summary: "Say that other rows stand for the same person; answers with all that are linked now",
      tag: "entities",
      access: { role: "member" },
      params: z.strictObject({ type, id }),
      body: z.strictObject({ ids }),
      success: { status: 200, schema: list },
      errors: ["not_found", "invalid_input"],
      handler: async ({ organization, params, body, actor, trace }) => ({
        entities: await entities.link(writeOf({ organization, actor, trace }), params.type, [params.id, ...body.ids]),
      }),
    }),
    defineRoute({
      method: "POST",
      path: "/api/entities/:type/:id/unlink",
      summary: "Take the row out of those it is linked with; answers with it and those that stay",
      tag: "entities",
      access: { role: "member" },
      params: z.strictObject({ type, id }),
      success: { status: 200, schema: list },
      errors: ["not_found", "invalid_input"],
      handler: async ({ organization, params, actor, trace }) => ({
        entities: await entities.unlink(writeOf({ organization, actor, trace }), params.type, [params.id]),
      }),
    }),
  ];
}

const noSuchRow = (name: string): BackplaneError => new BackplaneError("not_found", { thing: `row of ${name}` });

function writeOf({
  organization,
  actor,
  trace,
}: {
  organization: EntityWrite["organization"];
  actor: string;
  trace: Trace;
}): EntityWrite {
  return {
    organization,
    plugin: asPluginId("api"),
    execution: null,
    traceparent: formatTraceparent(trace),
    eventDepth: 0,
    eventSource: `/api/${actor}`,
  };
}

/** As a row that was read has them. */
function withoutNulls({ id: given, source, externalId, ...fields }: Record<string, unknown>): Record<string, unknown> {
  return {
    ...fields,
    ...(given === null || given === undefined ? {} : { id: given }),
    ...(source === null || source === undefined ? {} : { source }),
    ...(externalId === null || externalId === undefined ? {} : { externalId }),
  };
}

const operators = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "exists", "contains", "startsWith"];
const bracketed = new RegExp(`^(.+)\\[(${operators.join("|")})\\]$`);

function readQuery(
  entityType: string,
  query: Record<string, unknown>,
): { options: QueryOptions; filter: EntityFilter } {
  const own = Object.fromEntries(Object.entries(query).filter(([name]) => ownParameters.has(name)));
  const parsed = listQuery.safeParse(own, { error: inputSentence });
  if (!parsed.success) throw invalid(inputFaults(parsed.error));
  const { filter: json, text, ...options } = parsed.data;
  const parts: EntityFilter[] = json === undefined ? [] : [parseFilter(json)];
  if (text !== undefined) parts.push({ $text: text });
  for (const [name, value] of Object.entries(query)) {
    if (ownParameters.has(name)) continue;
    const [, field = name, operator = "eq"] = bracketed.exec(name) ?? [];
    if (field === name && name.endsWith("]"))
      throw invalid([{ path: name, message: `the operator in brackets must be one of ${operators.join(", ")}` }]);
    for (const one of Array.isArray(value) ? value : [value])
      parts.push(clause(entityType, field, operator, String(one)));
  }
  return { options, filter: parts.length === 0 ? {} : { $and: parts } };
}

function parseFilter(text: string): EntityFilter {
  try {
    const filter: unknown = JSON.parse(text);
    if (typeof filter === "object" && filter !== null && !Array.isArray(filter)) return filter as EntityFilter;
  } catch {
    // said below
  }
  throw invalid([{ path: "filter", message: "must be a JSON object" }]);
}

function clause(entityType: string, field: string, operator: string, text: string): EntityFilter {
  switch (operator) {
    case "exists":
      return { [field]: { $exists: text !== "false" } };
    case "in":
      return { [field]: { $in: text.split(",").flatMap((part) => readings(entityType, field, part)) } };
    case "eq":
      return { [field]: { $in: readings(entityType, field, text) } };
    case "ne":
      return { $not: { [field]: { $in: readings(entityType, field, text) } } };
    case "contains":
    case "startsWith":
      return { [field]: { [`$${operator}`]: text } };
    default:
      return { [field]: { [`$${operator}`]: readings(entityType, field, text).at(-1) } };
  }
}

/** A parameter is text; where the schema does not say what the field holds it may mean a number, too. */
function readings(entityType: string, field: string, text: string): (string | number | boolean)[] {
  const fields = knownFields(entityType);
  const schema = fields && Object.hasOwn(fields, field) ? fields[field] : undefined;
  const readsAs =
    schema?.type ??
    (schema?.enum || /^(id|source|externalId|createdAt|updatedAt|deletedAt|provenance\..*)$/.test(field)
      ? "string"
      : undefined);
  if (readsAs === "string") return [text];
  const number = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : undefined;
  const other = number ?? (text === "true" ? true : text === "false" ? false : undefined);
  if (field === "version" || readsAs === "number" || readsAs === "boolean") return [other ?? text];
  return other === undefined ? [text] : [text, other];
}

const invalid = (errors: { path: string; message: string }[]): BackplaneError =>
  new BackplaneError("invalid_input", {}, { errors });
