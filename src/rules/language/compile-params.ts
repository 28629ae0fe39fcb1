/**
 * Params of an operator: their `{{ }}` become checked expressions, and the rest is held against the operator's schema as
 * far as it is known before a run. What only a run knows is checked again when the operator is called.
 */
import { isObject } from "../../base/json.ts";
import { compilePluginSchema } from "../../manifest/compile-schema.ts";
import { dottedPath, type Segment } from "../../manifest/path.ts";
import { typeNames } from "./cel/compile.ts";
import type { CelEnvironment } from "./cel/environment.ts";
import type { Expression } from "./cel/expression.ts";
import type { CelType } from "./cel/types.ts";
import type { RuleReading } from "./rule-reading.ts";
import { splitTemplate } from "./split-template.ts";
import type { Template } from "./types.ts";

interface Unknown {
  path: readonly Segment[];
  type: CelType;
}

export interface CompiledParams {
  template: Template;
  expressions: Expression[];
}

export interface CompileParamsOptions {
  reading: RuleReading;
  /** Where `params` stands in the rule. */
  path: readonly Segment[];
  environment: CelEnvironment;
  operator: string;
  /** The operator's; absent takes anything. */
  schema: Record<string, unknown> | undefined;
}

export function compileParams(params: unknown, options: CompileParamsOptions): CompiledParams {
  const builder = new Builder(options);
  const template = builder.build(params ?? {}, options.path);
  if (options.schema !== undefined) checkAgainst(params ?? {}, options.schema, builder.unknown, options);
  return { template, expressions: builder.expressions };
}

class Builder {
  readonly expressions: Expression[] = [];
  readonly unknown: Unknown[] = [];
  readonly #options: CompileParamsOptions;

  constructor(options: CompileParamsOptions) {
    this.#options = options;
  }

  build(value: unknown, path: readonly Segment[]): Template {
    if (typeof value === "string") return this.#text(value, path);
    if (Array.isArray(value)) {
      const items = value.map((item, i) => this.build(item, [...path, i]));
      return items.every((item) => item.kind === "literal")
        ? { kind: "literal", value: items.map((item) => item.value) }
        : { kind: "list", items };
    }
    if (!isObject(value)) return { kind: "literal", value };
    const fields = Object.entries(value).map(([name, item]): [string, Template] => {
      if (name.includes("{{"))
        this.#options.reading.fault(
          "template",
          "Names of fields cannot hold `{{ }}`; only values can.",
          [...path, name],
          "key",
        );
      return [name, this.build(item, [...path, name])];
    });
    const literals = fields.flatMap(([name, field]) =>
      field.kind === "literal" ? [[name, field.value] as const] : [],
    );
    return literals.length === fields.length
      ? { kind: "literal", value: Object.fromEntries(literals) }
      : { kind: "object", fields };
  }

  #text(text: string, path: readonly Segment[]): Template {
    if (!text.includes("{{")) return { kind: "literal", value: text };
    const { reading, environment } = this.#options;
    const { parts, unclosed } = splitTemplate(text);
    if (unclosed !== undefined) {
      reading.faultIn(
        "template",
        "This `{{` has no `}}`. To write two braces as they are, write `\\{{`.",
        path,
        unclosed,
      );
      return { kind: "literal", value: text };
    }
    const compiled = parts.map((part): string | Expression | undefined => {
      if ("text" in part) return part.text;
      const expression = reading.expression(part.expression, {
        path,
        from: part.offset,
        environment,
        code: "template",
      });
      if (expression !== undefined) this.expressions.push(expression);
      return expression;
    });
    const where = dottedPath(path);
    const only = compiled.filter((part) => typeof part !== "string" || part.trim() !== "");
    const [first] = only;
    if (only.length === 1 && typeof first !== "string") {
      this.unknown.push({ path, type: first?.type ?? "dyn" });
      return first === undefined ? { kind: "literal", value: null } : { kind: "value", path: where, expression: first };
    }
    const known = compiled.filter((part) => part !== undefined);
    if (known.every((part) => typeof part === "string")) return { kind: "literal", value: known.join("") };
    this.unknown.push({ path, type: "string" });
    return { kind: "text", path: where, parts: known };
  }
}

/** Messages of schemas that choose between forms may be about a value that is not known yet. */
function checkAgainst(
  params: unknown,
  schema: Record<string, unknown>,
  unknown: readonly Unknown[],
  { reading, path, operator }: CompileParamsOptions,
): void {
  let compiled: ReturnType<typeof compilePluginSchema>;
  try {
    compiled = compilePluginSchema(schema);
  } catch {
    // The plugin's own fault, told where it is installed.
    return;
  }
  const inside = unknown.map((item) => ({ ...item, path: item.path.slice(path.length) }));
  const unseen = new Set(inside.map((item) => item.path.map((s) => (typeof s === "number" ? "*" : s)).join(".")));
  const loose = inside.flatMap((item) => choicesAbove(schema, item.path));
  for (const fault of compiled.validate(params, unseen.size === 0 ? {} : { unseen })) {
    if (loose.some((prefix) => isWithin(fault.path, prefix))) continue;
    const at = segmentsOf(fault.path);
    const key = fault.message.includes("is not a known field") ? "key" : undefined;
    reading.fault("params", `\`${operator}\`: ${fault.message}`, [...path, ...at], key);
  }
  for (const item of inside) {
    const wrong = wrongType(schemaAt(schema, item.path), item.type);
    if (wrong !== undefined)
      reading.fault(
        "params",
        `\`${operator}\`: It must be ${wrong}, but the expression gives ${typeNames[item.type]}.`,
        [...path, ...item.path],
      );
  }
}

function isWithin(dotted: string, prefix: string): boolean {
  return prefix === "$" || dotted === prefix || dotted.startsWith(`${prefix}.`) || dotted.startsWith(`${prefix}[`);
}

/** A dotted path back to segments. */
function segmentsOf(dotted: string): Segment[] {
  const segments: Segment[] = [];
  if (dotted === "$") return segments;
  for (const [, index, quoted, name] of dotted.matchAll(/\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\.?([\w$-]+)/g))
    segments.push(index !== undefined ? Number(index) : quoted !== undefined ? unquote(quoted) : name!);
  return segments;
}

function unquote(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    return text;
  }
}

const choices = ["anyOf", "oneOf", "not", "if", "contains", "dependentSchemas", "unevaluatedProperties"];

/** Places above `path` where the schema chooses by the value: dotted, `$` for the whole. */
function choicesAbove(schema: Record<string, unknown>, path: readonly Segment[]): string[] {
  const found: string[] = [];
  for (let length = 0; length < path.length; length++) {
    const node = schemaAt(schema, path.slice(0, length));
    if (node !== undefined && choices.some((keyword) => Object.hasOwn(node, keyword)))
      found.push(dottedPath(path.slice(0, length)));
  }
  return found;
}

/** The subschema for the value at `path` by `properties`, `items` and references; undefined when it takes more to know. */
function schemaAt(root: Record<string, unknown>, path: readonly Segment[]): Record<string, unknown> | undefined {
  let node = resolve(root, root);
  for (const segment of path) {
    if (node === undefined) return undefined;
    let next: unknown;
    if (typeof segment === "number") next = node["prefixItems"] === undefined ? node["items"] : undefined;
    else {
      const properties = node["properties"];
      next =
        isObject(properties) && Object.hasOwn(properties, segment)
          ? properties[segment]
          : node["patternProperties"] === undefined
            ? node["additionalProperties"]
            : undefined;
    }
    node = resolve(root, next);
  }
  return node;
}

function resolve(root: Record<string, unknown>, schema: unknown): Record<string, unknown> | undefined {
  let node = schema;
  for (let hops = 0; hops < 16 && isObject(node) && typeof node["$ref"] === "string"; hops++) {
    const parts = node["$ref"].startsWith("#/") ? node["$ref"].slice(2).split("/") : undefined;
    let target: unknown = parts === undefined ? undefined : root;
    for (const part of parts ?? []) target = isObject(target) && Object.hasOwn(target, part) ? target[part] : undefined;
    node = target;
  }
  return isObject(node) ? node : undefined;
}

const jsonTypes: Partial<Record<CelType, readonly string[]>> = {
  null: ["null"],
  bool: ["boolean"],
  int: ["integer", "number"],
  // A double may be whole.
  double: ["number", "integer"],
  string: ["string"],
  list: ["array"],
  map: ["object"],
  timestamp: ["string"],
  duration: ["string"],
};

const wantedNames: Record<string, string> = {
  string: "a text",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  null: "null",
};

function wrongType(schema: Record<string, unknown> | undefined, type: CelType): string | undefined {
  const given = jsonTypes[type];
  const wanted = schema?.["type"];
  if (given === undefined || wanted === undefined) return undefined;
  const list = (Array.isArray(wanted) ? wanted : [wanted]).filter((item) => typeof item === "string");
  if (list.length === 0 || list.some((item) => given.includes(item))) return undefined;
  return list.map((item) => wantedNames[item] ?? item).join(" or ");
}
