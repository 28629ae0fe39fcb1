/** Identifiers that sort by creation time: UUID version 7 (RFC 9562 section 5.7), monotonic within a process. */
import { randomHex } from "./random.ts";

let lastMs = 0;
let sequence = 0;

/** A UUIDv7 string; two calls in one process never compare out of order. */
export function newId(): string {
  let ms = Date.now();
  const random = randomHex(9);
  if (ms <= lastMs) {
    ms = lastMs;
    sequence += 1;
    if (sequence > 0xfff) {
      ms = lastMs + 1;
      sequence = 0;
    }
  } else {
    sequence = Number.parseInt(random.slice(0, 2), 16) & 0x7f;
  }
  lastMs = ms;
  const time = hexTime(ms);
  const variant = "89ab"[Number.parseInt(random[2]!, 16) & 3]!;
  return `${time.slice(0, 8)}-${time.slice(8)}-7${sequence.toString(16).padStart(3, "0")}-${variant}${random.slice(3, 6)}-${random.slice(6)}`;
}

/** Sorts before every id made at `ms` or later, and after all made before. */
export function lowestIdAt(ms: number): string {
  const time = hexTime(ms);
  return `${time.slice(0, 8)}-${time.slice(8)}`;
}

/** 32 hex digits that begin with the time: 80 bits are random. */
export const newOrderedHex = (): string => hexTime(Date.now()) + randomHex(10);

/** When the id was made, or `undefined` when it is none of ours. */
export function timeOfId(id: string): number | undefined {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : undefined;
}

const hexTime = (ms: number): string => Math.max(0, Math.floor(ms)).toString(16).padStart(12, "0");
