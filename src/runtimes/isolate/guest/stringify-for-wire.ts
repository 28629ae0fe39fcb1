/**
 * JSON of what crosses the wall, with bytes as `{"$bytes": base64}`. Costs nothing when there are none: the engine asks
 * buffers and views for a `toJSON` anyway. The plugin's own `JSON.stringify` sees them as ever.
 */
import { defineProperty, getPrototypeOf, stringify } from "./primordials.ts";
import { asBytes } from "./web/primordials.ts";
import { toWire } from "./web/wire-bytes.ts";

let crossing = false;

function toJSON(this: unknown): unknown {
  const bytes = crossing ? asBytes(this) : undefined;
  return bytes === undefined ? this : toWire(bytes);
}

for (const prototype of [getPrototypeOf(Uint8Array.prototype) as object, ArrayBuffer.prototype, DataView.prototype]) {
  defineProperty(prototype, "toJSON", { value: toJSON, writable: true, configurable: true, enumerable: false });
}

/** As `JSON.stringify`: undefined for what JSON has no word for, throws what a getter throws. */
export function stringifyForWire(value: unknown): string | undefined {
  crossing = true;
  try {
    return stringify(value) as string | undefined;
  } finally {
    crossing = false;
  }
}
