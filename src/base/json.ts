/** JSON at a trust boundary: bytes are capped before they are decoded, and keys that pollute prototypes are dropped. */
import { BackplaneError } from "../errors/error.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };
export type JsonObject = { [key: string]: JsonValue };

/** Decodes at most `maxBytes` of UTF-8 JSON. Errors: `payload_too_large`, `invalid_json`. `__proto__` keys are removed. */
export function parseJson(bytes: Uint8Array, maxBytes: number): JsonValue {
  if (bytes.byteLength > maxBytes) {
    throw new BackplaneError("payload_too_large", { size: bytes.byteLength, limit: maxBytes });
  }
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new BackplaneError("invalid_json", { reason: "not UTF-8" });
  }
  return parseJsonText(text);
}

/** Decodes JSON text. Error: `invalid_json`. */
export function parseJsonText(text: string): JsonValue {
  try {
    return text.includes("__proto__") ? JSON.parse(text, dropProto) : JSON.parse(text);
  } catch (error) {
    throw new BackplaneError("invalid_json", {
      reason: error instanceof Error ? error.message.slice(0, 200) : "syntax",
    });
  }
}

function dropProto(this: Record<string, unknown>, key: string, value: unknown): unknown {
  return key === "__proto__" ? undefined : value;
}

const encoder = new TextEncoder();

/** UTF-8 bytes of the JSON of `value`; `undefined` becomes `null`. */
export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value) ?? "null");
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
