/** Order and keyset pages: a page begins after a value and an id, so rows that come or go meanwhile shift nothing. */
import { type RawBuilder, sql } from "kysely";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { BackplaneError } from "../errors/error.ts";
import { fieldOf, jsonOf, sortableText } from "./fields.ts";

export interface Order {
  /** To sort by; `e.id` breaks ties. */
  by: RawBuilder<unknown>;
  /** The sort value as text, for the cursor. */
  key: RawBuilder<string>;
  direction: RawBuilder<unknown>;
  /** What comes after a cursor. Error: `invalid_cursor`. */
  after(cursor: string): RawBuilder<boolean>;
  cursorAt(row: { key: string; id: string }): string;
}

/** `field` or `-field`. Error: `invalid_input` at `orderBy`. */
export function compileOrder(type: string, orderBy: string): Order {
  const downwards = orderBy.startsWith("-");
  const field = fieldOf(type, downwards ? orderBy.slice(1) : orderBy);
  if (!field || orderBy.endsWith("deletedAt")) {
    const message = "must be a field, with a leading - for downwards";
    throw new BackplaneError("invalid_input", {}, { errors: [{ path: "orderBy", message }] });
  }
  const { by, key, cast, isKey } = sortKeyOf(field);
  const beyond = downwards ? sql`<` : sql`>`;
  const upTo = downwards ? sql`<=` : sql`>=`;
  return {
    by,
    key,
    direction: downwards ? sql`desc` : sql`asc`,
    after(cursor) {
      const [order, value, id] = decodeCursor(cursor, 3).map(String) as [string, string, string];
      if (order !== orderBy || !isKey(value)) throw new BackplaneError("invalid_cursor");
      const at = sql`${value}::${cast}`;
      return sql<boolean>`(${by} ${upTo} ${at} and (${by} ${beyond} ${at} or e.id ${beyond} ${id}))`;
    },
    cursorAt: (row) => encodeCursor([orderBy, row.key, row.id]),
  };
}

interface SortKey {
  by: RawBuilder<unknown>;
  key: RawBuilder<string>;
  cast: RawBuilder<unknown>;
  /** Whether the database can read it: cursors come back from outside. */
  isKey(text: string): boolean;
}

const maxKeyLength = 200;

function sortKeyOf(field: NonNullable<ReturnType<typeof fieldOf>>): SortKey {
  const asText = { cast: sql`text`, isKey: () => true };
  if (field.kind === "column") {
    if (field.holds === "text") {
      const by = sql`coalesce(${field.sql}, '')`;
      return { by, key: sql<string>`${by}`, ...asText };
    }
    if (field.holds === "number")
      return {
        by: field.sql,
        key: sql<string>`${field.sql}::text`,
        cast: sql`bigint`,
        isKey: (text) => /^\d{1,15}$/.test(text),
      };
    return {
      by: field.sql,
      // To the microsecond, unlike a Date.
      key: sql<string>`to_char(${field.sql} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
      cast: sql`timestamptz`,
      isKey: (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(text) && !Number.isNaN(Date.parse(text)),
    };
  }
  const { schema } = field;
  if (schema?.type === "string" && schema.format !== undefined) {
    const by = sortableText(field);
    return { by, key: sql<string>`${by}`, ...asText };
  }
  if (schema?.type === "string" || schema?.enum) {
    const by = sql`(left(${sortableText(field)}, ${sql.lit(maxKeyLength)}) collate "C")`;
    return { by, key: sql<string>`${by}`, ...asText };
  }
  // Numbers as numbers; long texts by their beginning, since the cursor carries it.
  const value = jsonOf(field);
  const by = sql`(case jsonb_typeof(${value}) when 'number' then ${value} when 'boolean' then ${value}
    when 'string' then to_jsonb(left(${value} #>> '{}', ${sql.lit(maxKeyLength)})) else 'null'::jsonb end)`;
  return { by, key: sql<string>`${by}::text`, cast: sql`jsonb`, isKey: isJsonScalar };
}

function isJsonScalar(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string"
      ? value.isWellFormed() && !value.includes("\0")
      : typeof value !== "object" || value === null;
  } catch {
    return false;
  }
}
