/**
 * Brings what a caller hands over into the form the database keeps: plain JSON, well-formed text, within caps, with its
 * references found. Only so does an item that is sent again equal the row it made, and cause no event.
 */
import type { FieldError } from "../errors/error.ts";

/** Of one entity. */
export const dataCaps = { depth: 24, values: 20_000, characters: 256 * 1024, keyLength: 200 };

/** A place in the data that names a row of a source instead of holding its id. */
export interface Reference {
  type: string;
  /** @default the source of the item */
  source: string | undefined;
  externalId: string;
  /** The field it is the value of, where it is not deeper. */
  field: string | undefined;
  resolve(id: string | null): void;
}

export interface CleanData {
  data: Record<string, unknown>;
  references: Reference[];
}

/** Where a value stands: how deep, and in what of the copy. */
interface Place {
  at(): string;
  depth: number;
  holder: Record<string, unknown> | unknown[];
  key: string | number;
}

/** A copy without the keys in `without`. Faults are added to `faults`, at paths that begin with `path`. */
export function cleanData(
  given: Readonly<Record<string, unknown>>,
  { without, path, faults }: { without: ReadonlySet<string>; path: string; faults: FieldError[] },
): CleanData {
  const references: Reference[] = [];
  let values = 0;
  let characters = 0;
  const before = faults.length;
  const fault = (at: string, message: string): null => {
    if (faults.length - before < 20) faults.push({ path: at, message });
    return null;
  };

  function text(value: string): string {
    characters += value.length;
    return value.isWellFormed() && !value.includes("\0") ? value : value.toWellFormed().replaceAll("\0", "\ufffd");
  }

  function clean(value: unknown, { at, depth, holder, key }: Place): unknown {
    values += 1;
    if (typeof value === "string") return text(value);
    if (typeof value === "boolean" || value === null) return value;
    if (typeof value === "number") return Number.isFinite(value) ? value + 0 : fault(at(), "must be a finite number");
    if (typeof value !== "object") return fault(at(), "is no JSON value");
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? fault(at(), "is no time") : value.toISOString();
    if (depth > dataCaps.depth) return fault(at(), `is nested more than ${dataCaps.depth} deep`);
    if (Array.isArray(value)) return list(value, at, depth + 1);
    if (Object.hasOwn(value, "$ref")) return reference(value as Record<string, unknown>, { at, depth, holder, key });
    return object(value as Record<string, unknown>, at, depth + 1);
  }

  const full = (): boolean => values > dataCaps.values || characters > dataCaps.characters;

  function list(value: readonly unknown[], at: () => string, depth: number): unknown[] {
    const copy: unknown[] = [];
    for (let i = 0; i < value.length && !full(); i++)
      copy.push(clean(value[i] ?? null, { at: () => `${at()}.${i}`, depth, holder: copy, key: i }));
    return copy;
  }

  function object(value: Record<string, unknown>, at: () => string, depth: number): Record<string, unknown> {
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      const item = value[key];
      if (item === undefined || key === "__proto__" || (depth === 0 && without.has(key))) continue;
      if (full()) break;
      if (key.length > dataCaps.keyLength) {
        fault(at(), `has a field name of more than ${dataCaps.keyLength} characters`);
        continue;
      }
      const name = text(key);
      copy[name] = clean(item, { at: () => `${at()}.${name}`, depth, holder: copy, key: name });
    }
    return copy;
  }

  function reference(value: Record<string, unknown>, { at, depth, holder, key }: Place): null {
    const { $ref: type, externalId, source } = value;
    const names = [type, externalId, ...(source == null ? [] : [source])];
    if (!names.every((name) => typeof name === "string" && name !== "" && name.length <= 512))
      return fault(at(), 'a reference is {"$ref": type, "externalId": id} and, where it is another, the "source"');
    references.push({
      type: text(type as string),
      externalId: text(externalId as string),
      source: source == null ? undefined : text(source as string),
      field: depth === 0 ? String(key) : undefined,
      resolve(id) {
        (holder as Record<string | number, unknown>)[key] = id;
      },
    });
    return null;
  }

  const data = object(given as Record<string, unknown>, () => path, 0);
  if (values > dataCaps.values) fault(path, `has more than ${dataCaps.values} values`);
  if (characters > dataCaps.characters) fault(path, `has more than ${dataCaps.characters} characters`);
  return { data, references };
}

/** Equality of JSON values; the order of an object's keys does not matter. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!sameJson(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  for (const key of keys) {
    if (!Object.hasOwn(b, key)) return false;
    if (!sameJson((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key])) return false;
  }
  return true;
}
