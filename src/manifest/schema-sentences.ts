/** ajv's errors as faults with a sentence that says what to write. Values are never repeated: they may be secrets. */
import type { ErrorObject } from "ajv/dist/2020.js";
import { nearest } from "./near-miss.ts";
import { clip, type Fault, pointerSegments } from "./path.ts";

export interface SentenceOptions {
  /** The value that was validated. */
  value: unknown;
  /** A better sentence for values of a certain schema, found by that schema's identity. */
  special?: ReadonlyMap<unknown, (value: unknown) => string | undefined>;
  /** @default 50 */
  limit?: number;
}

export function schemaFaults(errors: readonly ErrorObject[], options: SentenceOptions): Fault[] {
  const faults: Fault[] = [];
  const seen = new Set<string>();
  // Errors of single branches only confuse beside "matches none of".
  const choices = errors
    .filter((error) => error.keyword === "anyOf" || error.keyword === "oneOf")
    .slice(0, 200)
    .map((error) => `${error.schemaPath}/`);
  for (const error of errors) {
    if (faults.length >= (options.limit ?? 50)) break;
    if (
      error.keyword === "if" ||
      error.keyword === "propertyNames" ||
      choices.some((choice) => error.schemaPath.startsWith(choice))
    )
      continue;
    const fault = toFault(error, options);
    const key = JSON.stringify(fault);
    if (!seen.has(key)) faults.push(fault);
    seen.add(key);
  }
  return faults;
}

function toFault(error: ErrorObject, { value, special }: SentenceOptions): Fault {
  const path = pointerSegments(error.instancePath, value);
  const params = error.params as Record<string, unknown>;
  const better =
    error.keyword === "pattern" || error.keyword === "maxLength"
      ? special?.get(error.parentSchema)?.(error.data)
      : undefined;
  if (better !== undefined) return { path, message: better };
  switch (error.keyword) {
    case "required":
      return {
        path: [...path, String(params["missingProperty"])],
        missing: true,
        message: `\`${clip(String(params["missingProperty"]))}\` is missing; add it.`,
      };
    case "additionalProperties":
    case "unevaluatedProperties": {
      const name = String(params["additionalProperty"] ?? params["unevaluatedProperty"]);
      return { path: [...path, name], at: "key", message: unknownName(name, error.parentSchema) };
    }
    case "dependentRequired":
      return {
        path,
        message: `\`${clip(String(params["property"]))}\` also needs ${list(String(params["deps"]).split(", "))}.`,
      };
    default:
      return { path, message: sentence(error.keyword, params, error) };
  }
}

function unknownName(name: string, parent: unknown): string {
  const properties =
    typeof parent === "object" && parent !== null ? (parent as Record<string, unknown>)["properties"] : undefined;
  const known = typeof properties === "object" && properties !== null ? Object.keys(properties) : [];
  const near = nearest(name, known);
  if (near !== undefined) return `\`${clip(name)}\` is not a known field. Did you mean \`${near}\`?`;
  return `\`${clip(name)}\` is not a known field; remove it.${known.length > 0 ? ` Known here: ${list(known)}.` : ""}`;
}

function sentence(keyword: string, params: Record<string, unknown>, error: ErrorObject): string {
  const limit = String(params["limit"]);
  switch (keyword) {
    case "type": {
      const types = Array.isArray(params["type"]) ? params["type"].map(String) : String(params["type"]).split(",");
      return `It must be ${types.map(typeName).join(" or ")}, not ${typeName(typeOf(error.data))}.`;
    }
    case "enum": {
      const allowed = (Array.isArray(params["allowedValues"]) ? params["allowedValues"] : []) as unknown[];
      const near =
        typeof error.data === "string"
          ? nearest(
              error.data,
              allowed.filter((item) => typeof item === "string"),
            )
          : undefined;
      return `It must be one of ${list(allowed.map((item) => (typeof item === "string" ? item : JSON.stringify(item))))}.${near === undefined ? "" : ` Did you mean \`${clip(near)}\`?`}`;
    }
    case "const":
      return `It must be \`${clip(JSON.stringify(params["allowedValue"]) ?? "")}\`.`;
    case "pattern": {
      const own = (error.parentSchema as Record<string, unknown> | undefined)?.["patternErrorMessage"];
      return typeof own === "string"
        ? clip(own, 300)
        : `It must match the pattern \`${clip(String(params["pattern"]), 120)}\`.`;
    }
    case "format":
      return (
        formatSentences[String(params["format"])] ?? `It must be written as \`${clip(String(params["format"]))}\`.`
      );
    case "minLength":
      return limit === "1" ? "It must not be empty." : `It must have at least ${limit} characters.`;
    case "maxLength":
      return `It may have at most ${limit} characters.`;
    case "minimum":
      return `It must be at least ${limit}.`;
    case "maximum":
      return `It must be at most ${limit}.`;
    case "exclusiveMinimum":
      return `It must be more than ${limit}.`;
    case "exclusiveMaximum":
      return `It must be less than ${limit}.`;
    case "multipleOf":
      return `It must be a multiple of ${String(params["multipleOf"])}.`;
    case "minItems":
      return `It must have at least ${limit} item(s).`;
    case "maxItems":
      return `It may have at most ${limit} items.`;
    case "uniqueItems":
      return "It may have each item only once.";
    case "minProperties":
      return `It must have at least ${limit} field(s).`;
    case "maxProperties":
      return `It may have at most ${limit} fields.`;
    case "anyOf":
      return "It matches none of the allowed forms.";
    case "oneOf":
      return "It must match exactly one of the allowed forms.";
    case "not":
      return "It has a form that is not allowed here.";
    case "contains":
      return "It lacks an item of the form that is needed.";
    case "false schema":
    case "unevaluatedItems":
    case "additionalItems":
    case "items":
      return "Nothing may stand here; remove it.";
    default:
      return `It does not meet \`${clip(keyword)}\`.`;
  }
}

const formatSentences: Record<string, string> = {
  "date-time": "It must be a time such as `2026-01-31T09:30:00Z`.",
  date: "It must be a date such as `2026-01-31`.",
  time: "It must be a time of day such as `09:30:00Z`.",
  email: "It must be an e-mail address.",
  uri: "It must be an address with its scheme, such as `https://vendor.com/x`.",
  url: "It must be an address with its scheme, such as `https://vendor.com/x`.",
  uuid: "It must be a UUID.",
  hostname: "It must be a host name.",
  regex: "It must be a regular expression.",
};

function typeName(type: string): string {
  const names: Record<string, string> = {
    string: "a text",
    number: "a number",
    integer: "a whole number",
    boolean: "true or false",
    array: "a list",
    object: "an object",
    null: "null",
  };
  return names[type] ?? clip(type);
}

function typeOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function list(words: readonly string[]): string {
  const shown = words.slice(0, 24).map((word) => `\`${clip(word)}\``);
  return words.length > 24 ? `${shown.join(", ")}, …` : shown.join(", ");
}
