/**
 * Random bytes without a call to the host: a ChaCha20 generator with fast key erasure, seeded by the hub when the plugin is
 * loaded. A blank isolate of the pool has no seed, so nothing random can be drawn before.
 */
import { DOMException } from "./dom-exception.ts";
import { setBytes, subarray } from "./primordials.ts";

const keyWords = 8;
/** Three blocks: small, because a cold engine takes a while for each. */
const poolSize = 192;
const key = new Uint32Array(keyWords);
const state = new Uint32Array(16);
const work = new Uint32Array(16);
const pool = new Uint8Array(poolSize);
let used = poolSize;
let seeded = false;

/** Mixes 32 bytes of the hub's randomness in. May be called again at any time. */
export function seedRandom(seed: Uint8Array): void {
  if (seed.length < 32) throw new TypeError("The seed must have 32 bytes");
  for (let i = 0; i < 32; i++) {
    const word = i >> 2;
    key[word] = (key[word] as number) ^ ((seed[i] as number) << ((i & 3) * 8));
  }
  seeded = true;
  used = poolSize;
}

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

function quarter(a: number, b: number, c: number, d: number): void {
  const w = work as unknown as number[];
  w[a] = (w[a] as number) + (w[b] as number);
  w[d] = rotate((w[d] as number) ^ (w[a] as number), 16);
  w[c] = (w[c] as number) + (w[d] as number);
  w[b] = rotate((w[b] as number) ^ (w[c] as number), 12);
  w[a] = (w[a] as number) + (w[b] as number);
  w[d] = rotate((w[d] as number) ^ (w[a] as number), 8);
  w[c] = (w[c] as number) + (w[d] as number);
  w[b] = rotate((w[b] as number) ^ (w[c] as number), 7);
}

/** One block of ChaCha20 (RFC 8439) with a zero nonce. */
function block(counter: number): Uint32Array {
  state[0] = 0x61707865;
  state[1] = 0x3320646e;
  state[2] = 0x79622d32;
  state[3] = 0x6b206574;
  for (let i = 0; i < keyWords; i++) state[4 + i] = key[i] as number;
  state[12] = counter;
  state[13] = state[14] = state[15] = 0;
  for (let i = 0; i < 16; i++) work[i] = state[i] as number;
  for (let round = 0; round < 10; round++) {
    quarter(0, 4, 8, 12);
    quarter(1, 5, 9, 13);
    quarter(2, 6, 10, 14);
    quarter(3, 7, 11, 15);
    quarter(0, 5, 10, 15);
    quarter(1, 6, 11, 12);
    quarter(2, 7, 8, 13);
    quarter(3, 4, 9, 14);
  }
  for (let i = 0; i < 16; i++) work[i] = (work[i] as number) + (state[i] as number);
  return work;
}

/** Fills the pool, and replaces the key by the first bytes of the stream, so that drawn bytes cannot be found again. */
function refill(): void {
  const next = new Uint32Array(keyWords);
  for (let n = 0; n < poolSize / 64 + 1; n++) {
    const words = block(n);
    for (let i = 0; i < 16; i++) {
      const word = words[i] as number;
      if (n === 0) {
        if (i < keyWords) next[i] = word;
        continue;
      }
      const at = (n - 1) * 64 + i * 4;
      pool[at] = word;
      pool[at + 1] = word >>> 8;
      pool[at + 2] = word >>> 16;
      pool[at + 3] = word >>> 24;
    }
  }
  for (let i = 0; i < keyWords; i++) key[i] = next[i] as number;
  used = 0;
}

/** Writes random bytes over all of `target`. */
export function fillRandom(target: Uint8Array): void {
  if (!seeded) throw new DOMException("There is no randomness yet: draw it inside a handler", "OperationError");
  let at = 0;
  while (at < target.length) {
    if (used === poolSize) refill();
    const size = Math.min(poolSize - used, target.length - at);
    setBytes(target, subarray(pool, used, used + size), at);
    pool.fill(0, used, used + size);
    used += size;
    at += size;
  }
}

const hexDigits = "0123456789abcdef";

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    text += (hexDigits[byte >> 4] as string) + hexDigits[byte & 15];
  }
  return text;
}

export function randomHex(length: number): string {
  const bytes = new Uint8Array(length);
  fillRandom(bytes);
  return toHex(bytes);
}

/** A version 4 UUID. */
export function randomUuid(): string {
  const bytes = new Uint8Array(16);
  fillRandom(bytes);
  bytes[6] = ((bytes[6] as number) & 15) | 64;
  bytes[8] = ((bytes[8] as number) & 63) | 128;
  const hex = toHex(bytes);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
