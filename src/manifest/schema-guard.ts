/**
 * Reads a JSON Schema that a plugin supplies before anything compiles it: size, depth, number of subschemas, what its
 * references expand to, patterns, and keywords that would reach out of the document or change how ajv answers. What
 * passes here can be compiled and used on the hub's thread at bounded cost; see compile-schema.ts for the other half.
 */
import { isObject } from "../base/json.ts";
import { nearest } from "./near-miss.ts";
import { clip, type Fault, type Segment } from "./path.ts";
import { patternFault } from "./safe-pattern.ts";
import {
  arrayOfSchemas,
  inPlace,
  knownFormats,
  knownKeywords,
  mapOfSchemas,
  oneSchema,
  refusedKeywords,
} from "./schema-keywords.ts";
import { type ReferenceReport, resolveReferences, type SchemaEntry, type SchemaNodes } from "./schema-references.ts";

export const schemaCaps = {
  bytes: 64 * 1024,
  depth: 40,
  subschemas: 500,
  patternLength: 512,
  patterns: 32,
  nameLength: 128,
} as const;

/** Never throws, whatever `schema` is. Linear in its size. */
export function guardSchema(schema: unknown): ReferenceReport {
  const none: ReferenceReport = { faults: [], cost: 0, recursive: false };
  const size = sizeFault(schema);
  if (size !== undefined) return { ...none, faults: [{ path: [], message: size }] };
  if (!isObject(schema))
    return { ...none, faults: [{ path: [], message: 'A schema must be an object; write `{"type": "object"}`.' }] };
  let own: Record<string, unknown>;
  try {
    // A copy has each subschema once: an object used in two places would be counted as one.
    own = JSON.parse(JSON.stringify(schema)) as Record<string, unknown>;
  } catch {
    return { ...none, faults: [{ path: [], message: "A schema must be plain JSON." }] };
  }
  const walk = new Walk();
  walk.schema(own, []);
  const refs = walk.faults.length > 0 ? none : resolveReferences(own, walk.nodes);
  return { faults: [...walk.faults, ...refs.faults], cost: refs.cost, recursive: refs.recursive };
}

/** Prototype-changing names, depth and bytes, without recursion and no further than the cap. */
function sizeFault(root: unknown): string | undefined {
  const tooLarge = `A schema may have at most ${schemaCaps.bytes} bytes.`;
  const open: [unknown, number][] = [[root, 1]];
  let bytes = 0;
  for (let item = open.pop(); item !== undefined; item = open.pop()) {
    const [value, depth] = item;
    if (depth > schemaCaps.depth) return `A schema may be nested at most ${schemaCaps.depth} levels deep.`;
    bytes += typeof value === "string" ? value.length + 2 : 2;
    if (Array.isArray(value)) {
      if (bytes + value.length * 2 > schemaCaps.bytes) return tooLarge;
      for (const child of value) open.push([child, depth + 1]);
    } else if (isObject(value)) {
      for (const key in value) {
        if (!Object.hasOwn(value, key)) continue;
        if (key === "__proto__" || key === "constructor" || key === "prototype")
          return `A schema may not use the name \`${key}\`; choose another.`;
        bytes += key.length + 4;
        if (bytes > schemaCaps.bytes) return tooLarge;
        open.push([value[key], depth + 1]);
      }
    }
    if (bytes > schemaCaps.bytes) return tooLarge;
  }
  return undefined;
}

class Walk {
  readonly faults: Fault[] = [];
  readonly nodes: SchemaNodes = new Map();
  #patterns = 0;

  schema(node: unknown, path: readonly Segment[]): void {
    if (typeof node !== "boolean" && !isObject(node))
      return void this.#fault(path, "A schema must be an object, or true or false.");
    if (this.nodes.size >= schemaCaps.subschemas) {
      if (this.faults.length === 0) this.#fault(path, `A schema may have at most ${schemaCaps.subschemas} subschemas.`);
      return;
    }
    const entry: SchemaEntry = {
      children: [],
      here: [],
      own: 1,
      path,
    };
    // A boolean stands for itself wherever it is; only objects can be pointed at or repeated.
    if (typeof node === "boolean") return;
    this.nodes.set(node, entry);
    const child = (value: unknown, at: readonly Segment[], keyword: string): void => {
      this.schema(value, at);
      if (!isObject(value)) return;
      entry.children.push(value);
      if (inPlace.has(keyword)) entry.here.push(value);
    };
    for (const [keyword, value] of Object.entries(node)) {
      const at = [...path, keyword];
      this.#keyword(keyword, value, path);
      if (oneSchema.has(keyword)) child(value, at, keyword);
      else if (arrayOfSchemas.has(keyword)) {
        if (!Array.isArray(value)) this.#fault(at, `\`${keyword}\` must be an array of schemas.`);
        else for (const [i, item] of value.entries()) child(item, [...at, i], keyword);
      } else if (mapOfSchemas.has(keyword)) {
        if (!isObject(value)) this.#fault(at, `\`${keyword}\` must be an object of schemas.`);
        else for (const [name, item] of Object.entries(value)) this.#named(keyword, name, item, at, child);
      } else if (
        keyword === "enum" ||
        keyword === "required" ||
        keyword === "const" ||
        keyword === "dependentRequired"
      ) {
        entry.own += Math.ceil((JSON.stringify(value)?.length ?? 0) / 16);
      } else if (keyword === "pattern" && typeof value === "string") this.#pattern(value, at);
      else if (keyword === "$ref") {
        if (typeof value !== "string") this.#fault(at, "`$ref` must be a text such as `#/$defs/address`.");
        else entry.ref = value;
      }
    }
  }

  #named(
    keyword: string,
    name: string,
    item: unknown,
    at: readonly Segment[],
    child: (value: unknown, at: readonly Segment[], keyword: string) => void,
  ): void {
    const here = [...at, name];
    if (keyword === "patternProperties") this.#pattern(name, here);
    else if (name.length > schemaCaps.nameLength)
      this.#fault(here, `A name may have at most ${schemaCaps.nameLength} characters.`);
    else if (/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u.test(name)) this.#fault(here, "A name may not have control characters.");
    child(item, here, keyword);
  }

  #keyword(keyword: string, value: unknown, path: readonly Segment[]): void {
    const at = [...path, keyword];
    const refused = Object.hasOwn(refusedKeywords, keyword) ? refusedKeywords[keyword] : undefined;
    if (refused !== undefined && !(path.length === 0 && (keyword === "$id" || keyword === "$schema"))) {
      this.#fault(at, `\`${keyword}\` is not allowed in a plugin's schema: ${refused}.`);
    } else if (
      keyword === "$schema" &&
      !/^https?:\/\/json-schema\.org\/(draft\/2020-12|draft\/2019-09|draft-07)\/schema#?$/.test(String(value))
    ) {
      this.#fault(at, "Write a schema of draft 2020-12: `https://json-schema.org/draft/2020-12/schema`.");
    } else if (keyword === "required" && typeof value === "boolean") {
      this.#fault(at, "`required` is a list of names and stands beside `properties`; move this field's name there.");
    } else if (keyword === "items" && Array.isArray(value)) {
      this.#fault(at, "`items` is one schema since draft 2020-12; use `prefixItems` for a list.");
    } else if (keyword === "format" && typeof value === "string" && !knownFormats.has(value)) {
      const near = nearest(value, knownFormats);
      if (near !== undefined) this.#fault(at, `There is no format \`${clip(value)}\`. Did you mean \`${near}\`?`);
    } else if (!knownKeywords.has(keyword) && !keyword.startsWith("x-")) {
      const near = nearest(keyword, knownKeywords);
      if (near !== undefined)
        this.#fault(at, `\`${clip(keyword)}\` is no keyword of JSON Schema. Did you mean \`${near}\`?`);
    }
  }

  #pattern(pattern: string, at: readonly Segment[]): void {
    this.#patterns += 1;
    if (this.#patterns === schemaCaps.patterns + 1)
      return void this.#fault(at, `A schema may have at most ${schemaCaps.patterns} patterns.`);
    if (this.#patterns > schemaCaps.patterns) return;
    if (pattern.length > schemaCaps.patternLength)
      return void this.#fault(at, `A pattern may have at most ${schemaCaps.patternLength} characters.`);
    const fault = patternFault(pattern);
    if (fault !== undefined) this.#fault(at, `The pattern cannot be used: ${fault}.`);
  }

  #fault(path: readonly Segment[], message: string): void {
    if (this.faults.length < 50) this.faults.push({ path, message });
  }
}
