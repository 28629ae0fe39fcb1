/**
 * Checks the known fields of known types and brings their times into one form, so that text order is time order. Unknown
 * fields and unknown types pass as they are; null empties any field.
 */
import { entitySchemas } from "../../plugin-api/src/model/entity-types.ts";
import { isObject } from "../base/json.ts";
import type { FieldError } from "../errors/error.ts";

/** The parts of JSON Schema that the model's schemas use. */
export interface FieldSchema {
  readonly type?: string | readonly string[];
  readonly format?: "date-time" | "date";
  readonly enum?: readonly string[];
  readonly items?: FieldSchema;
  readonly properties?: { readonly [field: string]: FieldSchema };
}

/** Fields of a type of the model; undefined for other types. */
export function knownFields(type: string): { readonly [field: string]: FieldSchema } | undefined {
  return Object.hasOwn(entitySchemas, type) ? entitySchemas[type as keyof typeof entitySchemas].properties : undefined;
}

/** Normalises `data` in place and adds what is wrong to `faults`, at paths that begin with `path`. */
export function checkKnownFields(
  type: string,
  data: Record<string, unknown>,
  { path, faults }: { path: string; faults: FieldError[] },
): void {
  const fields = knownFields(type);
  if (fields) checkFields(data, fields, path, faults);
}

function checkFields(
  data: Record<string, unknown>,
  fields: { readonly [field: string]: FieldSchema },
  path: string,
  faults: FieldError[],
): void {
  for (const key of Object.keys(data)) {
    const schema = Object.hasOwn(fields, key) ? fields[key] : undefined;
    const value = data[key];
    if (!schema || value === null) continue;
    const checked = checkValue(value, schema, path, key, faults);
    if (checked !== value) data[key] = checked;
  }
}

function checkValue(
  value: unknown,
  schema: FieldSchema,
  path: string,
  key: string | number,
  faults: FieldError[],
): unknown {
  const wrong = (message: string): unknown => {
    faults.push({ path: `${path}.${key}`, message });
    return value;
  };
  if (schema.enum)
    return typeof value === "string" && schema.enum.includes(value)
      ? value
      : wrong(`must be one of ${schema.enum.join(", ")}`);
  if (Array.isArray(schema.type))
    return schema.type.includes(typeof value) ? value : wrong(`must be a ${schema.type.join(" or a ")}`);
  switch (schema.type) {
    case "string": {
      if (typeof value !== "string") return wrong("must be a text");
      if (schema.format === undefined) return value;
      const time = schema.format === "date" ? normalDate(value) : normalTime(value);
      return (
        time ??
        wrong(
          schema.format === "date"
            ? "must be a day such as 2026-01-31"
            : "must be an RFC 3339 time with its zone, such as 2026-01-31T09:00:00Z",
        )
      );
    }
    case "number":
      return typeof value === "number" ? value : wrong("must be a number");
    case "boolean":
      return typeof value === "boolean" ? value : wrong("must be true or false");
    case "array": {
      if (!Array.isArray(value)) return wrong("must be a list");
      const items = schema.items;
      if (items) {
        for (const [i, item] of value.entries())
          if (item !== null) value[i] = checkValue(item, items, `${path}.${key}`, i, faults);
      }
      return value;
    }
    default:
      if (!isObject(value)) return wrong("must be an object");
      if (schema.properties) checkFields(value, schema.properties, `${path}.${key}`, faults);
      return value;
  }
}

const normalForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const rfc3339 =
  /^(\d{4}-\d\d-\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/;

/** The same moment as `2026-01-31T09:00:00.000Z`; undefined when it is no RFC 3339 time. */
export function normalTime(text: string): string | undefined {
  const parts = rfc3339.exec(text);
  if (!parts || normalDate(parts[1]!) === undefined) return undefined;
  if (normalForm.test(text) && parts[4] !== "60") return text;
  const second = parts[4] === "60" ? "59" : parts[4];
  const moment = new Date(
    `${parts[1]}T${parts[2]}:${parts[3]}:${second}${(parts[5] ?? "").slice(0, 4)}${parts[6]!.toUpperCase()}`,
  );
  const normal = Number.isNaN(moment.getTime()) ? "" : moment.toISOString();
  return normalForm.test(normal) ? normal : undefined;
}

/** The day itself; undefined when there is no such day. */
export function normalDate(text: string): string | undefined {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return undefined;
  const moment = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(moment.getTime()) && moment.toISOString().startsWith(text) ? text : undefined;
}
