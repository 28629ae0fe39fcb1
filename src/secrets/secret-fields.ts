/**
 * Finds the secret fields of a config: those whose schema says `"format": "secret"`, however deep, through local references
 * and combinators. When several schemas apply to one place, a single one that says secret is enough: the safe side is to seal.
 */
import { RE2JS } from "re2js";
import { isObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";

type Schema = Record<string, unknown>;
export type ConfigPath = readonly (string | number)[];

export interface SecretField {
  path: ConfigPath;
  /** The path as text: `auth.token`, `keys.0`; unique, since dots within names are escaped. */
  field: string;
  hosts: string[];
  expose: boolean;
}

export interface SecretPlace extends SecretField {
  value: unknown;
}

/** Bound on schema visits: a schema of doubled references grows without end otherwise. */
const MAX_VISITS = 50_000;
const MAX_DEPTH = 64;

/** Secret fields that have a value (other than null) in `config`. Error: `invalid_config` when the schema is too entangled. */
export function findSecrets(schema: unknown, config: unknown): SecretPlace[] {
  const found: SecretPlace[] = [];
  const budget = { left: MAX_VISITS };
  const visit = (schemas: Schema[], value: unknown, path: ConfigPath): void => {
    if (value === undefined || value === null) return;
    if (path.length > MAX_DEPTH) throw tooEntangled();
    const applicable = expand(schemas, schema, budget);
    const secret = applicable.find((candidate) => candidate["format"] === "secret");
    if (secret) {
      found.push({ ...describe(secret, path), value });
    } else if (Array.isArray(value)) {
      value.forEach((item, index) => void visit(itemSchemas(applicable, index), item, [...path, index]));
    } else if (isObject(value)) {
      for (const [name, child] of Object.entries(value))
        visit(propertySchemas(applicable, name), child, [...path, name]);
    }
  };
  if (isObject(schema)) visit([schema], config, []);
  return found;
}

/** Secret fields that a schema names, without a config: for consent. Array items and free names appear as `*`. */
export function listSecretFields(schema: unknown): SecretField[] {
  const found = new Map<string, SecretField>();
  const budget = { left: MAX_VISITS };
  const visit = (schemas: Schema[], path: ConfigPath, above: readonly Schema[]): void => {
    // A schema within itself repeats its fields; naming them once is enough.
    const applicable = expand(schemas, schema, budget).filter((candidate) => !above.includes(candidate));
    const secret = applicable.find((candidate) => candidate["format"] === "secret");
    if (secret) {
      const described = describe(secret, path);
      found.set(described.field, described);
      return;
    }
    if (path.length > MAX_DEPTH) throw tooEntangled();
    const next = [...above, ...applicable];
    for (const [name, children] of childSchemas(applicable)) visit(children, [...path, name], next);
  };
  if (isObject(schema)) visit([schema], [], []);
  return [...found.values()];
}

/** A deep copy of `config` with other values at some places. */
export function replaceAt<T>(config: T, changes: readonly { path: ConfigPath; value: unknown }[]): T {
  const byPath = new Map(changes.map(({ path, value }) => [JSON.stringify(path), value]));
  const copy = (value: unknown, path: ConfigPath): unknown => {
    const key = JSON.stringify(path);
    if (byPath.has(key)) return byPath.get(key);
    if (Array.isArray(value)) return value.map((item, index) => copy(item, [...path, index]));
    if (!isObject(value)) return value;
    const result: Record<string, unknown> = {};
    for (const [name, child] of Object.entries(value)) {
      if (name !== "__proto__") result[name] = copy(child, [...path, name]);
    }
    return result;
  };
  return copy(config, []) as T;
}

export function fieldName(path: ConfigPath): string {
  return path.map((part) => String(part).replaceAll("~", "~0").replaceAll(".", "~1")).join(".");
}

function describe(schema: Schema, path: ConfigPath): SecretField {
  const hosts = Array.isArray(schema["hosts"]) ? schema["hosts"].filter((host) => typeof host === "string") : [];
  return { path, field: fieldName(path), hosts, expose: schema["expose"] === true };
}

/** The schemas and all that apply to the same place through references and combinators, each once. */
function expand(schemas: readonly Schema[], root: unknown, budget: { left: number }): Schema[] {
  const all = new Set<Schema>();
  const add = (schema: unknown): void => {
    if (!isObject(schema) || all.has(schema)) return;
    budget.left -= 1;
    if (budget.left < 0) throw tooEntangled();
    all.add(schema);
    const reference = schema["$ref"] ?? schema["$dynamicRef"];
    if (typeof reference === "string") add(resolve(root, reference));
    for (const word of ["allOf", "anyOf", "oneOf"]) if (Array.isArray(schema[word])) schema[word].forEach(add);
    for (const word of ["if", "then", "else"]) add(schema[word]);
    if (isObject(schema["dependentSchemas"])) Object.values(schema["dependentSchemas"]).forEach(add);
  };
  schemas.forEach(add);
  return [...all];
}

function resolve(root: unknown, reference: string): unknown {
  if (!reference.startsWith("#")) return undefined;
  let place: unknown = root;
  for (const part of reference
    .slice(1)
    .split("/")
    .filter((piece, index) => index > 0 || piece !== "")) {
    const name = decode(part).replaceAll("~1", "/").replaceAll("~0", "~");
    const parent: unknown = place;
    place =
      (isObject(parent) || Array.isArray(parent)) && Object.hasOwn(parent, name) ? (parent as Schema)[name] : undefined;
  }
  return place;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function propertySchemas(schemas: readonly Schema[], name: string): Schema[] {
  const result: unknown[] = [];
  for (const schema of schemas) {
    const { properties, patternProperties, additionalProperties, unevaluatedProperties } = schema;
    const own = isObject(properties) && Object.hasOwn(properties, name);
    if (own) result.push(properties[name]);
    let matched = own;
    if (isObject(patternProperties)) {
      for (const [pattern, child] of Object.entries(patternProperties)) {
        if (!matches(pattern, name)) continue;
        matched = true;
        result.push(child);
      }
    }
    if (!matched) result.push(additionalProperties, unevaluatedProperties);
  }
  return result.filter(isObject);
}

/** Plugin-supplied patterns run on RE2; one that RE2 cannot read counts as matching. */
function matches(pattern: string, name: string): boolean {
  try {
    return RE2JS.compile(pattern).matcher(name).find();
  } catch {
    return true;
  }
}

function itemSchemas(schemas: readonly Schema[], index: number): Schema[] {
  const result: unknown[] = [];
  for (const { prefixItems, items, additionalItems, unevaluatedItems } of schemas) {
    const fixed = Array.isArray(prefixItems) ? prefixItems : Array.isArray(items) ? items : [];
    if (index < fixed.length) result.push(fixed[index]);
    else result.push(Array.isArray(items) ? additionalItems : items, unevaluatedItems);
  }
  return result.filter(isObject);
}

function childSchemas(schemas: readonly Schema[]): Map<string, Schema[]> {
  const children = new Map<string, Schema[]>();
  const add = (name: string, child: unknown): void => {
    if (isObject(child)) children.set(name, [...(children.get(name) ?? []), child]);
  };
  for (const schema of schemas) {
    if (isObject(schema["properties"]))
      for (const [name, child] of Object.entries(schema["properties"])) add(name, child);
    if (isObject(schema["patternProperties"]))
      for (const child of Object.values(schema["patternProperties"])) add("*", child);
    for (const word of [
      "additionalProperties",
      "unevaluatedProperties",
      "items",
      "additionalItems",
      "unevaluatedItems",
    ])
      add("*", schema[word]);
    for (const list of [schema["prefixItems"], schema["items"]])
      if (Array.isArray(list)) for (const child of list) add("*", child);
  }
  return children;
}

function tooEntangled(): BackplaneError {
  return new BackplaneError(
    "invalid_config",
    { plugin: "?" },
    { errors: [{ path: "$", message: "the schema or the value nests too deeply" }] },
  );
}
