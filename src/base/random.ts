/** Random hex digits from a pool: ids and traces need a few bytes each, and a call of the system's generator for each costs more than the rest of them. */
import { randomFillSync } from "node:crypto";

const pool = Buffer.alloc(4096);
let used = pool.byteLength;

/** `bytes` ≤ 64 random bytes as lower-case hex, each handed out once. For identifiers, not for keys: the pool stays in memory. */
export function randomHex(bytes: number): string {
  if (used + bytes > pool.byteLength) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString("hex", used - bytes, used);
}
