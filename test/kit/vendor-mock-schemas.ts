/**
 * Checks of a vendor's schemas, whichever dialect they are written in. Stricter than the descriptions in one point: a field
 * that no schema names is a fault, because in a request it is a typing error and in a fixture an invention. Looser where a
 * knob says so; each use of a knob stands for a measured fault of the description.
 */
import type { AnySchemaObject } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { isObject } from "../../src/base/json.ts";
import { type Json, resolveReference } from "./vendor-mock-description.ts";

export interface SchemaQuirks {
  /** Formats that are not checked. */
  looseFormats?: readonly string[] | "all";
  /** `ignore case`: of texts, on both sides. `open answers`: the vendor may send values it did not list. @default "exact" */
  enums?: "exact" | "ignore case" | "open answers";
  /** Fields that nobody has to send, whatever the description says. */
  notRequired?: readonly string[];
  /** Whether fields that no schema names are let through. @default "neither" */
  unknownFields?: "neither" | "in answers" | "in requests" | "both";
  /** Patterns of names that are let through nevertheless, such as `^@odata\\.`. */
  knownFields?: readonly string[];
}

export type Side = "request" | "answer";

export interface VendorSchemas {
  /** What is wrong with `value`, as the vendor sees it; empty when nothing is. */
  check(schema: unknown, value: unknown, side: Side): string[];
  /** The JSON type a schema asks for, references followed; `undefined` where it leaves that open. */
  typeOf(schema: unknown): string | undefined;
  /** The schema with its own reference followed. */
  resolve(schema: unknown): Json;
}

const kept = [
  ...["const", "minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"],
  ...["minProperties", "maxProperties"],
];

const rfc2822 =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d [+-]\d{4}$/;

export function createVendorSchemas(document: Json, quirks: SchemaQuirks = {}): VendorSchemas {
  const ajv = new Ajv2020({ strict: false, allErrors: true, logger: false, unicodeRegExp: false });
  formats.default(ajv);
  ajv.addFormat("date-time-rfc-2822", rfc2822);
  ajv.addKeyword({
    keyword: "enumIgnoringCase",
    type: "string",
    compile: (values: string[]) => (text: string) => values.includes(text.toLowerCase()),
  });
  const added = new Set<string>();
  const checks = { request: new WeakMap<object, Check>(), answer: new WeakMap<object, Check>() };

  const resolve = (schema: unknown): Json => {
    let found = schema;
    while (isObject(found) && typeof found["$ref"] === "string") found = resolveReference(document, found["$ref"]);
    return isObject(found) ? found : {};
  };

  const isClosed = (side: Side): boolean =>
    ![side === "answer" ? "in answers" : "in requests", "both"].includes(quirks.unknownFields ?? "neither");

  /** Name of the definition that a reference stands for, added with all it refers to. */
  function define(reference: string, side: Side, whole: boolean): string {
    const name = `vendor:${side}/${whole ? "whole" : "part"}/${encodeURIComponent(reference)}`;
    if (!added.has(name)) {
      added.add(name);
      ajv.addSchema(translate(resolveReference(document, reference), side, whole), name);
    }
    return name;
  }

  /** `whole`: the schema alone says what fields there are. Within `allOf` it does not. */
  function translate(node: unknown, side: Side, whole: boolean): AnySchemaObject {
    if (!isObject(node)) return node === false ? { not: {} } : {};
    if (typeof node["$ref"] === "string" && !isObject(node["properties"]))
      return nullable(node, { $ref: define(node["$ref"], side, whole) });

    const closes = whole && isClosed(side) && namesFields(node);
    const alone = !isObject(node["properties"]) && node["allOf"] === undefined;
    const schema: AnySchemaObject = {};
    for (const word of kept) if (node[word] !== undefined) schema[word] = node[word];
    if (typeof node["type"] === "string" && !["any", "file"].includes(node["type"])) schema["type"] = node["type"];
    if (Array.isArray(node["type"])) schema["type"] = node["type"];
    translateBounds(node, schema);
    translateText(node, schema, side);
    if (isObject(node["properties"]))
      schema["properties"] = Object.fromEntries(
        Object.entries(node["properties"]).map(([name, child]) => [name, translate(child, side, true)]),
      );
    if (Array.isArray(node["required"]))
      schema["required"] = node["required"].filter((name) => !quirks.notRequired?.includes(name));
    if (node["items"] !== undefined) schema["items"] = translate(node["items"], side, true);
    if (isObject(node["additionalProperties"]))
      schema["additionalProperties"] = translate(node["additionalProperties"], side, true);
    else if (node["additionalProperties"] === true) schema["additionalProperties"] = true;
    // Within `allOf` a closed part would refuse the fields of its neighbours: only the whole is closed, below.
    else if (node["additionalProperties"] === false && whole && !namesFields(node) && isClosed(side))
      schema["additionalProperties"] = false;
    if (Array.isArray(node["allOf"])) schema["allOf"] = node["allOf"].map((child) => translate(child, side, false));
    // Variants overlap in most descriptions, so that one of them fits is all that is asked.
    const variants = [node["oneOf"], node["anyOf"]].filter(Array.isArray);
    if (variants.length > 0) schema["anyOf"] = variants.flat().map((child) => translate(child, side, closes && alone));
    if (node["not"] !== undefined) schema["not"] = translate(node["not"], side, false);
    if (closes && !(alone && variants.length > 0) && schema["additionalProperties"] === undefined)
      schema["unevaluatedProperties"] = false;
    if (quirks.knownFields && (schema["unevaluatedProperties"] === false || schema["additionalProperties"] === false))
      schema["patternProperties"] = Object.fromEntries(quirks.knownFields.map((pattern) => [pattern, {}]));
    return nullable(node, schema);
  }

  function translateText(node: Json, schema: AnySchemaObject, side: Side): void {
    const { format, pattern } = node;
    if (typeof format === "string" && quirks.looseFormats !== "all" && !quirks.looseFormats?.includes(format))
      schema["format"] = format;
    if (typeof pattern === "string" && isPattern(pattern)) schema["pattern"] = pattern;
    const values = node["enum"];
    if (!Array.isArray(values)) return;
    if (quirks.enums === "open answers" && side === "answer") return;
    if (quirks.enums === "ignore case" && values.every((value) => typeof value === "string"))
      schema["enumIgnoringCase"] = values.map((value) => String(value).toLowerCase());
    else schema["enum"] = isNullable(node) ? [...new Set([...values, null])] : values;
  }

  /** Whether a schema, with all it is put together from, says what fields there are and leaves no others open. */
  function namesFields(node: unknown, seen = new Set<unknown>()): boolean {
    if (!isObject(node) || seen.has(node)) return false;
    seen.add(node);
    if (typeof node["$ref"] === "string" && namesFields(resolveReference(document, node["$ref"]), seen)) return true;
    if (isObject(node["properties"]) && Object.keys(node["properties"]).length > 0) return true;
    return [node["allOf"], node["oneOf"], node["anyOf"]]
      .filter(Array.isArray)
      .flat()
      .some((child) => namesFields(child, seen));
  }

  return {
    resolve,
    typeOf(schema) {
      const { type, allOf } = resolve(schema);
      if (Array.isArray(type)) return type.find((name) => name !== "null");
      if (type === undefined && Array.isArray(allOf)) return this.typeOf(allOf[0]);
      return type as string | undefined;
    },
    check(schema, value, side) {
      const key = isObject(schema) ? schema : document;
      const check = checks[side].get(key) ?? (ajv.compile(translate(schema, side, true)) as Check);
      checks[side].set(key, check);
      if (check(value)) return [];
      return [...new Set((check.errors ?? []).filter(isTelling).map(sentence))].slice(0, 8);
    },
  };
}

interface Fault {
  keyword: string;
  instancePath: string;
  message?: string;
  params: Record<string, unknown>;
}

type Check = ((value: unknown) => boolean) & { errors?: Fault[] | null };

/** The frames around a fault say nothing of their own. */
const isTelling = ({ keyword }: Fault): boolean => keyword !== "anyOf" && keyword !== "allOf";

function sentence({ instancePath, message, keyword, params }: Fault): string {
  const more = Object.values(params).filter((value) => typeof value === "string" || Array.isArray(value));
  const detail = ["unevaluatedProperties", "additionalProperties", "enum"].includes(keyword)
    ? ` (${more.flat().join(", ")})`
    : keyword === "enumIgnoringCase"
      ? " (not one of the values)"
      : "";
  return `${instancePath === "" ? "/" : instancePath} ${message ?? keyword}${detail}`;
}

function translateBounds(node: Json, schema: AnySchemaObject): void {
  for (const [word, limit] of [
    ["exclusiveMinimum", "minimum"],
    ["exclusiveMaximum", "maximum"],
  ] as const) {
    const value = node[word];
    // Draft 4 says true beside `minimum`; later ones say the number.
    if (typeof value === "number") schema[word] = value;
    else if (value === true && typeof node[limit] === "number") {
      schema[word] = node[limit];
      delete schema[limit];
    }
    // Discovery documents write bounds as texts.
    if (typeof schema[limit] === "string") schema[limit] = Number(schema[limit]);
  }
}

const isNullable = (node: Json): boolean => node["nullable"] === true || node["x-nullable"] === true;

function nullable(node: Json, schema: AnySchemaObject): AnySchemaObject {
  return isNullable(node) ? { anyOf: [{ type: "null" }, schema] } : schema;
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}
