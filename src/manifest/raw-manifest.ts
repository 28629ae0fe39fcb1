/** Careful looks into a manifest whose shape may be wrong anywhere: what has the right shape, and nothing else. */
import { isObject } from "../base/json.ts";
import { covers } from "./covers.ts";
import { parsePermission } from "./permissions.ts";

export type Raw = Record<string, unknown>;

/** Required and optional, those that parse. */
export function declaredPermissions(raw: Raw): string[] {
  return ["permissions", "optionalPermissions"].flatMap((field) =>
    texts(raw[field])
      .map(([, text]) => text)
      .filter((text) => parsePermission(text).permission !== undefined),
  );
}

export function coversValid(held: string, needed: string): boolean {
  return parsePermission(held).permission !== undefined && covers(held, needed);
}

export function contributes(raw: Raw): Raw {
  return isObject(raw["contributes"]) ? raw["contributes"] : {};
}

export function texts(value: unknown): [number, string][] {
  return Array.isArray(value)
    ? value.flatMap((item, i): [number, string][] => (typeof item === "string" ? [[i, item]] : []))
    : [];
}

export function objects(value: unknown): [number, Raw][] {
  return Array.isArray(value) ? value.flatMap((item, i): [number, Raw][] => (isObject(item) ? [[i, item]] : [])) : [];
}
