/**
 * Turns `key=value` words into a configuration: each value becomes what the plugin's schema says it is. What is not named
 * stays as it is, masked secrets among it, which the hub keeps.
 */
import { isObject, parseJsonText } from "../../base/json.ts";
import { BackplaneError } from "../../errors/error.ts";
import type { CliIo } from "./cli.ts";
import { usageFailure } from "./failure.ts";
import { readTextArgument } from "./json-argument.ts";

export interface ConfigSources {
  /** The manifest's configSchema; unknown: values that are JSON are read as JSON. */
  schema: unknown;
  current: Record<string, unknown>;
  io: CliIo;
}

type Json = Record<string, unknown>;

/** A repeatable option; unlike a list, values may hold commas. */
export function collectAssignment(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** Words: `key=value`, `key=@file`, `key=-` (standard input), `key.sub=value`. Error: a usage failure that names the key. */
export async function configFrom(words: readonly string[], { schema, current, io }: ConfigSources): Promise<Json> {
  let config = structuredClone(current);
  for (const word of words) {
    const at = word.indexOf("=");
    if (at < 1) throw usageFailure(`'${word}' is not of the form key=value.`);
    const [key, given] = [word.slice(0, at), word.slice(at + 1)];
    const path = pathOf(key, schema);
    const field = fieldSchema(schema, path);
    const text = await readTextArgument(io, given);
    const fromElsewhere = text !== given && !given.startsWith("@@");
    config = setAt(config, path, typedValue(fromElsewhere ? text.replace(/\r?\n$/, "") : text, field, key)) as Json;
  }
  return config;
}

export function unset(config: Json, keys: readonly string[], schema: unknown): Json {
  return keys.reduce<Json>((left, key) => setAt(left, pathOf(key, schema), undefined) as Json, structuredClone(config));
}

/** A key with dots is a path, unless the schema has a property of just that name. */
function pathOf(key: string, schema: unknown): string[] {
  const properties = isObject(schema) && isObject(schema["properties"]) ? schema["properties"] : {};
  if (Object.hasOwn(properties, key) || !key.includes(".")) return [checked(key)];
  return key.split(".").map(checked);
}

function checked(name: string): string {
  if (name === "" || ["__proto__", "constructor", "prototype"].includes(name))
    throw usageFailure(`'${name}' cannot be the name of a setting.`);
  return name;
}

function fieldSchema(schema: unknown, path: readonly string[]): Json | undefined {
  let here: unknown = schema;
  for (const name of path) {
    if (!isObject(here) || !isObject(here["properties"])) return undefined;
    here = Object.hasOwn(here["properties"], name) ? here["properties"][name] : undefined;
  }
  return isObject(here) ? here : undefined;
}

export function typedValue(text: string, schema: Json | undefined, key: string): unknown {
  const types = typesOf(schema);
  if (types.length === 0) return guess(text);
  for (const type of types) {
    const value = as(type, text);
    if (value !== undefined) return value;
  }
  const wanted = types.map((type) => names[type] ?? type).join(" or ");
  throw usageFailure(`'${key}' takes ${wanted}, not '${text.length > 60 ? `${text.slice(0, 57)}...` : text}'.`);
}

/** Strings come last: every text is one. */
function typesOf(schema: Json | undefined): string[] {
  const declared =
    schema?.["type"] ??
    (Array.isArray(schema?.["enum"])
      ? [
          ...new Set(
            schema["enum"].map((value) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value)),
          ),
        ]
      : []);
  const types = (Array.isArray(declared) ? declared : [declared]).filter((type) => typeof type === "string");
  return types.toSorted((a, b) => Number(a === "string") - Number(b === "string"));
}

const names: Record<string, string> = {
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  object: "a JSON object",
  array: "a JSON array, or values with commas between",
  null: "null",
};

function as(type: string, text: string): unknown {
  switch (type) {
    case "string":
      return text;
    case "number":
    case "integer": {
      const value = text.trim() === "" ? Number.NaN : Number(text);
      return Number.isFinite(value) && (type === "number" || Number.isInteger(value)) ? value : undefined;
    }
    case "boolean": {
      const word = text.trim().toLowerCase();
      return ["true", "yes", "on", "1"].includes(word)
        ? true
        : ["false", "no", "off", "0"].includes(word)
          ? false
          : undefined;
    }
    case "null":
      return text === "null" ? null : undefined;
    case "object": {
      const value = json(text);
      return isObject(value) ? value : undefined;
    }
    case "array": {
      const value = json(text);
      if (Array.isArray(value)) return value;
      return /^\s*[[{]/.test(text) ? undefined : text === "" ? [] : text.split(",").map((part) => guess(part.trim()));
    }
    default:
      return guess(text);
  }
}

/** Without a schema: what reads as JSON is JSON. */
function guess(text: string): unknown {
  const value = json(text);
  return value === undefined ? text : value;
}

function json(text: string): unknown {
  try {
    return parseJsonText(text);
  } catch (error) {
    if (error instanceof BackplaneError) return undefined;
    throw error;
  }
}

function setAt(target: unknown, [name, ...rest]: readonly string[], value: unknown): unknown {
  if (name === undefined) return value;
  const { [name]: inner, ...others } = isObject(target) ? target : {};
  const next = setAt(inner, rest, value);
  return next === undefined ? others : { ...others, [name]: next };
}
