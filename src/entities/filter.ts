/**
 * Compiles a filter to SQL with every value bound. A filter is `{field: value}` (equality; objects and lists as subsets),
 * `{field: {$gt: value, …}}`, `$and`, `$or`, `$not` and `$text`. Long because it is a table of operators.
 */
import { type RawBuilder, sql } from "kysely";
import { isObject } from "../base/json.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { jsonText } from "../store/json.ts";
import { type FieldSchema, knownFields, normalDate, normalTime } from "./check-entity.ts";
import { type Field, fieldOf, isHot, jsonOf, sortableText, textOf } from "./fields.ts";

export const filterCaps = { clauses: 50, depth: 5, characters: 16_384, listed: 200, textWords: 12, textLength: 200 };

type Condition = RawBuilder<boolean>;
type DataField = Extract<Field, { kind: "data" }>;
type ColumnField = Extract<Field, { kind: "column" }>;

/** A condition on `entities e`. Error: `invalid_input` naming each place as `filter.…`. */
export function compileFilter(type: string, filter: unknown): Condition {
  return new Compiler(type).compile(filter);
}

class Compiler {
  #type: string;
  #faults: FieldError[] = [];
  #clauses = 0;

  constructor(type: string) {
    this.#type = type;
  }

  compile(filter: unknown): Condition {
    const size = jsonText(filter).length;
    if (size > filterCaps.characters) this.#fault("filter", `has ${size} characters, at most ${filterCaps.characters}`);
    const condition = this.#faults.length > 0 ? sql<boolean>`false` : this.#group(filter, "filter", 0);
    if (this.#faults.length > 0) throw new BackplaneError("invalid_input", {}, { errors: this.#faults.slice(0, 20) });
    return condition;
  }

  #fault(path: string, message: string): Condition {
    if (this.#faults.length < 20) this.#faults.push({ path, message });
    return sql<boolean>`false`;
  }

  #group(filter: unknown, path: string, depth: number): Condition {
    if (!isObject(filter)) return this.#fault(path, "must be an object");
    if (depth > filterCaps.depth) return this.#fault(path, `is nested more than ${filterCaps.depth} deep`);
    const conditions: Condition[] = [];
    for (const [key, value] of Object.entries(filter)) {
      if (value === undefined) continue;
      const at = `${path}.${key}`;
      if (++this.#clauses > filterCaps.clauses)
        return this.#fault(at, `is one of more than ${filterCaps.clauses} clauses`);
      conditions.push(key.startsWith("$") ? this.#combined(key, value, at, depth) : this.#field(key, value, at));
    }
    return conditions.length === 0 ? sql<boolean>`true` : all(conditions);
  }

  #combined(key: string, value: unknown, path: string, depth: number): Condition {
    switch (key) {
      case "$and":
      case "$or": {
        if (!Array.isArray(value) || value.length === 0) return this.#fault(path, "must be a list of filters");
        if (value.length > filterCaps.clauses) return this.#fault(path, `has more than ${filterCaps.clauses} clauses`);
        const parts = value.map((part, i) => this.#group(part, `${path}.${i}`, depth + 1));
        return key === "$and" ? all(parts) : sql<boolean>`(${sql.join(parts, sql` or `)})`;
      }
      case "$not":
        return sql<boolean>`(${this.#group(value, path, depth + 1)}) is not true`;
      case "$text":
        return this.#text(value, path);
      default:
        return this.#fault(path, "is no operator here; there are $and, $or, $not and $text");
    }
  }

  #text(value: unknown, path: string): Condition {
    if (typeof value !== "string" || value.length > filterCaps.textLength)
      return this.#fault(path, `must be a text of at most ${filterCaps.textLength} characters`);
    // As entity_text cuts them: addresses and numbers are several words.
    const words = value.split(/[\s@./_\-+:]+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
    if (words.length === 0 || words.length > filterCaps.textWords)
      return this.#fault(path, `must have 1 to ${filterCaps.textWords} words`);
    // Each word begins a word of the row. Quoted, so that nothing in it is an operator.
    const query = words.map((word) => `'${word.replace(/['\\]/g, "$&$&")}':*`).join(" & ");
    return sql<boolean>`entity_text(e.data) @@ to_tsquery('simple', ${query})`;
  }

  #field(name: string, value: unknown, path: string): Condition {
    const field = fieldOf(this.#type, name);
    if (!field) return this.#fault(path, "is no field: at most 6 names, with dots between them");
    const operators = isObject(value) ? Object.keys(value).filter((key) => key.startsWith("$")) : [];
    if (!isObject(value) || operators.length === 0) return this.#equal(field, value, path);
    const given = Object.entries(value);
    if (operators.length < given.length) return this.#fault(path, "mixes operators with fields");
    this.#clauses += given.length - 1;
    if (this.#clauses > filterCaps.clauses)
      return this.#fault(path, `is one of more than ${filterCaps.clauses} clauses`);
    return all(given.map(([operator, operand]) => this.#operator(field, operator, operand, `${path}.${operator}`)));
  }

  #operator(field: Field, operator: string, operand: unknown, path: string): Condition {
    switch (operator) {
      case "$eq":
        return this.#equal(field, operand, path);
      case "$ne":
        return sql<boolean>`(${this.#equal(field, operand, path)}) is not true`;
      case "$gt":
      case "$gte":
      case "$lt":
      case "$lte":
        return this.#compare(field, comparisons[operator], operand, path);
      case "$in":
        return this.#in(field, operand, path);
      case "$exists":
        if (typeof operand !== "boolean") return this.#fault(path, "must be true or false");
        return sql<boolean>`${field.kind === "column" ? field.sql : textOf(field)} is ${operand ? sql`not ` : sql``}null`;
      case "$contains":
        return this.#contains(field, operand, path);
      case "$startsWith": {
        if (typeof operand !== "string") return this.#fault(path, "must be a text");
        if (field.kind === "column" && field.holds !== "text") return this.#fault(path, "is for texts only");
        return sql<boolean>`starts_with(${field.kind === "column" ? field.sql : textOf(field)}, ${operand})`;
      }
      default:
        return this.#fault(path, `is no operator; there are ${operatorNames}`);
    }
  }

  #equal(field: Field, value: unknown, path: string): Condition {
    if (value === undefined) return this.#fault(path, "has no value");
    if (field.kind === "column") {
      if (value === null) return sql<boolean>`${field.sql} is null`;
      return sql<boolean>`${field.sql} = ${this.#columnValue(field, value, path)}`;
    }
    if (value === null) return sql<boolean>`${textOf(field)} is null`;
    const normal = this.#value(field.schema, value, path);
    if (isHot(this.#type, field) && typeof normal !== "object")
      return sql<boolean>`${textOf(field)} = ${String(normal)}`;
    if (field.segments.length === 1 && field.segments[0] === "tags")
      return sql<boolean>`(e.data->'tags' @> ${jsonText(Array.isArray(normal) ? normal : [normal])}::jsonb and e.data ? 'tags')`;
    return sql<boolean>`e.data @> ${jsonText(this.#around(field, normal))}::jsonb`;
  }

  /** The value as a part of a row: lists on the way to it are lists with such an element. */
  #around({ segments }: DataField, value: unknown): unknown {
    const wrap = (at: number, fields: { readonly [field: string]: FieldSchema } | undefined): unknown => {
      if (at === segments.length) return value;
      const name = segments[at]!;
      const schema = fields && Object.hasOwn(fields, name) ? fields[name] : undefined;
      const inner = wrap(at + 1, (schema?.items ?? schema)?.properties);
      const inList = schema?.type === "array" && !(at === segments.length - 1 && Array.isArray(value));
      return { [name]: inList ? [inner] : inner };
    };
    return wrap(0, knownFields(this.#type));
  }

  #compare(field: Field, operator: RawBuilder<unknown>, value: unknown, path: string): Condition {
    if (typeof value !== "string" && typeof value !== "number")
      return this.#fault(path, "must be a text, a time or a number");
    if (field.kind === "column") return sql<boolean>`${field.sql} ${operator} ${this.#columnValue(field, value, path)}`;
    const normal = this.#value(field.schema, value, path);
    if (typeof normal === "number")
      return sql<boolean>`(jsonb_typeof(${jsonOf(field)}) = 'number' and ${jsonOf(field)} ${operator} ${JSON.stringify(normal)}::jsonb)`;
    if (field.schema)
      return sql<boolean>`(${sortableText(field)} ${operator} ${normal} and ${textOf(field)} is not null)`;
    return sql<boolean>`(jsonb_typeof(${jsonOf(field)}) = 'string' and ${sortableText(field)} ${operator} ${normal})`;
  }

  #in(field: Field, values: unknown, path: string): Condition {
    if (!Array.isArray(values) || values.length > filterCaps.listed)
      return this.#fault(path, `must be a list of at most ${filterCaps.listed} values`);
    if (values.some((value) => typeof value === "object" && value !== null))
      return this.#fault(path, "must be a list of texts, numbers, true, false or null");
    if (values.length === 0) return sql<boolean>`false`;
    if (field.kind === "data" && isHot(this.#type, field) && !values.includes(null)) {
      const texts = values.map((value, i) => String(this.#value(field.schema, value, `${path}.${i}`)));
      return sql<boolean>`${textOf(field)} = any(${texts}::text[])`;
    }
    return sql<boolean>`(${sql.join(
      values.map((value, i) => this.#equal(field, value, `${path}.${i}`)),
      sql` or `,
    )})`;
  }

  #contains(field: Field, value: unknown, path: string): Condition {
    if (value === null || value === undefined) return this.#fault(path, "has no value");
    if (field.kind === "column") {
      if (field.holds !== "text" || typeof value !== "string") return this.#fault(path, "is for texts only");
      return sql<boolean>`position(lower(${value}) in lower(${field.sql})) > 0`;
    }
    if (field.segments.length === 1 && field.segments[0] === "tags") return this.#equal(field, value, path);
    const element = sql`${jsonOf(field)} @> ${jsonText(Array.isArray(value) ? value : [value])}::jsonb`;
    if (typeof value !== "string") return sql<boolean>`(${element})`;
    return sql<boolean>`case jsonb_typeof(${jsonOf(field)}) when 'string' then position(lower(${value}) in lower(${textOf(field)})) > 0 else ${element} end`;
  }

  #columnValue({ holds }: ColumnField, value: unknown, path: string): RawBuilder<unknown> {
    if (holds === "number") {
      if (typeof value === "number" && Number.isSafeInteger(value)) return sql`${value}::bigint`;
      this.#fault(path, "must be a whole number");
    } else if (holds === "time") {
      const time = typeof value === "string" ? timeIn(value) : undefined;
      if (time !== undefined) return sql`${time}::timestamptz`;
      this.#fault(path, timeFault);
    } else {
      if (typeof value === "string") return sql`${value}::text`;
      this.#fault(path, "must be a text");
    }
    return sql`null`;
  }

  /** As the model keeps it. */
  #value(schema: FieldSchema | undefined, value: unknown, path: string): unknown {
    if (typeof value === "number" && !Number.isFinite(value)) this.#fault(path, "must be a finite number");
    if (schema?.format === "date-time" && typeof value === "string") {
      const time = timeIn(value);
      if (time === undefined) this.#fault(path, timeFault);
      return time ?? value;
    }
    return value;
  }
}

const all = (conditions: readonly Condition[]): Condition =>
  conditions.length === 1 ? conditions[0]! : sql<boolean>`(${sql.join(conditions, sql` and `)})`;

const comparisons = { $gt: sql`>`, $gte: sql`>=`, $lt: sql`<`, $lte: sql`<=` };
const operatorNames = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $exists, $contains, $startsWith";
const timeFault = "must be an RFC 3339 time with its zone, or a day";

const timeIn = (text: string): string | undefined =>
  normalTime(text) ?? (normalDate(text) === undefined ? undefined : `${text}T00:00:00.000Z`);
