/** Bytes as `{"$bytes": base64}` and back. */
import { decodeBase64, encodeBase64 } from "./base64.ts";
import type { WireBytes } from "./host-port.ts";
import { asBytes } from "./primordials.ts";

export function toWire(bytes: Uint8Array): WireBytes {
  return { $bytes: encodeBase64(bytes) };
}

/** Text stays text; buffers and views become wire bytes. A `TypeError` for anything else. */
export function textOrWire(value: unknown, what: string): string | WireBytes {
  if (typeof value === "string") return value;
  const bytes = asBytes(value);
  if (bytes === undefined) throw new TypeError(`${what} must be text or bytes`);
  return toWire(bytes);
}

export function fromWire(value: unknown): Uint8Array<ArrayBuffer> {
  const base64 = (value as WireBytes | null | undefined)?.$bytes;
  const bytes = typeof base64 === "string" ? decodeBase64(base64) : undefined;
  if (bytes === undefined) throw new TypeError("The hub's answer has no bytes");
  return bytes;
}
