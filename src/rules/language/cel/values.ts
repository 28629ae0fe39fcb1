/**
 * Values while an expression runs: JSON, plus bigint (`int`), Date (`timestamp`), CelDuration and `absent`. Equality and
 * conversions to JSON and to text, all at bounded cost.
 */
import { isObject } from "../../../base/json.ts";
import { ruleLimits } from "../limits.ts";
import { CelFailure, type Frame, fail } from "./failure.ts";
import type { CelType } from "./types.ts";

export class CelDuration {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
  toString(): string {
    return `${this.ms / 1000}s`;
  }
}

/** What `event.?x` gives when there is no `x`. Null once it leaves the expression. */
export const absent = Symbol("absent");

export function typeOf(value: unknown): CelType | "absent" {
  switch (typeof value) {
    case "string":
      return "string";
    case "bigint":
      return "int";
    case "number":
      return "double";
    case "boolean":
      return "bool";
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return "list";
      if (value instanceof Date) return "timestamp";
      return value instanceof CelDuration ? "duration" : "map";
    default:
      return "absent";
  }
}

export function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

/** As CEL compares: 1 and 1.0 are equal, values of different types are not. Pays for what it looks at. */
export function equal(a: unknown, b: unknown, frame: Frame, offset: number): boolean {
  if (a === b) return true;
  if (isNumber(a) && isNumber(b)) return Number.isNaN(a) ? false : !(a < b) && !(a > b);
  if (typeof a === "string" && typeof b === "string") {
    if (a.length === b.length) frame.spend(a.length >> 6, offset);
    return false;
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Date) return b instanceof Date && a.getTime() === b.getTime();
  if (a instanceof CelDuration) return b instanceof CelDuration && a.ms === b.ms;
  if (b instanceof Date || b instanceof CelDuration) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    frame.spend(a.length + 1, offset);
    return a.every((item, i) => equal(item, b[i], frame, offset));
  }
  if (Array.isArray(b)) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const keys = Object.keys(left);
  const other = Object.keys(right);
  frame.spend(keys.length + other.length + 1, offset);
  return (
    keys.length === other.length &&
    keys.every((key) => Object.hasOwn(right, key) && equal(left[key], right[key], frame, offset))
  );
}

const maxJsonValues = 20_000;
const maxJsonDepth = 64;

/** A copy with nothing but JSON in it. An int beyond 2^53 becomes its digits. Failure: `size`. */
export function toJson(value: unknown, offset = 0): unknown {
  let values = 0;
  let text = 0;
  const convert = (item: unknown, depth: number): unknown => {
    // Lists may hold the same list a thousand times: what is small in memory is not small as JSON.
    if (++values > maxJsonValues || depth > maxJsonDepth) return fail("size", "The value is too large.", offset);
    switch (typeof item) {
      case "string":
        text += item.length;
        if (text > ruleLimits.textLength * 2) return fail("size", "The value is too large.", offset);
        return item;
      case "bigint":
        return Number.isSafeInteger(Number(item)) ? Number(item) : String(item);
      case "number":
        return Number.isFinite(item) ? item : String(item);
      case "boolean":
        return item;
      case "object": {
        if (item === null) return null;
        if (item instanceof Date) return item.toISOString();
        if (item instanceof CelDuration) return item.toString();
        if (Array.isArray(item)) return item.map((child) => convert(child, depth + 1));
        const copy: Record<string, unknown> = {};
        for (const key of Object.keys(item)) {
          if (key !== "__proto__") copy[key] = convert((item as Record<string, unknown>)[key], depth + 1);
          text += key.length;
        }
        return copy;
      }
      default:
        return null;
    }
  };
  return convert(value, 0);
}

/** As it stands in a longer text: null is nothing, lists and objects are JSON. */
export function toText(value: unknown, offset = 0): string {
  const plain = toJson(value, offset);
  if (plain === null) return "";
  return isObject(plain) || Array.isArray(plain) ? JSON.stringify(plain) : String(plain);
}

export function isFinal(error: unknown): boolean {
  return !(error instanceof CelFailure) || error.final;
}
