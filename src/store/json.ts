/** How JSON reaches SQL: one value for a jsonb column, or many rows in one parameter. Alike on both drivers. */
import { type RawBuilder, sql } from "kysely";
import { BackplaneError } from "../errors/error.ts";

declare const jsonInput: unique symbol;
/** What a jsonb column takes; only `json` makes it. A bare array would reach SQL as an array literal, not as JSON. */
export interface JsonInput {
  readonly [jsonInput]: true;
}

/** A value for a jsonb column. `undefined` becomes JSON `null`; NUL characters and lone surrogates, which jsonb refuses, become U+FFFD. */
export function json(value: unknown): RawBuilder<JsonInput> {
  return sql<JsonInput>`${jsonText(value)}::jsonb`;
}

/**
 * Many rows as one parameter: the fastest insert on both drivers. Their number is a limit, so that the planner takes them for
 * few and joins them by an index: of a bare function it thinks a hundred, and reads a table of some thousand rows whole.
 * @example
 * await sql`insert into executions (organization_id, id, wall_ms)
 *   select * from ${jsonRows(rows, { organization_id: "text", id: "text", wall_ms: "float8" })}`.execute(store.db);
 */
export function jsonRows<Column extends string>(
  rows: readonly { readonly [name in Column]?: unknown }[],
  columns: { readonly [name in Column]: string },
): RawBuilder<unknown> {
  return jsonRowsOf(jsonText(rows), rows.length, columns);
}

/** The same of `count` rows that `jsonText` has written already. */
export function jsonRowsOf(
  text: string,
  count: number,
  columns: { readonly [name: string]: string },
): RawBuilder<unknown> {
  const definitions = Object.entries(columns).map(([name, type]) => sql`${sql.ref(name)} ${sql.raw(type)}`);
  return sql`(select * from jsonb_to_recordset(${text}::jsonb) as rows(${sql.join(definitions)}) limit ${count}) as rows`;
}

/** JSON text that jsonb takes. Error: `invalid_json` when it is nested some thousand deep or has cycles. */
export function jsonText(value: unknown): string {
  const text = stringify(value);
  // JSON.stringify escapes surrogates only when they stand alone.
  if (!text.includes("\\u0000") && !text.includes("\\ud")) return text;
  // A backslash before `u0000` may itself be escaped, and then it is text: pairs are consumed together.
  return text.replace(/\\(u0000|ud[89a-f][0-9a-f]{2}|.)/g, (pair, rest: string) =>
    rest.length > 1 ? "\\ufffd" : pair,
  );
}

function stringify(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "null";
  } catch (error) {
    const reason = error instanceof RangeError ? "it is nested too deeply" : "it is no JSON value";
    throw new BackplaneError("invalid_json", { reason }, { cause: error });
  }
}
