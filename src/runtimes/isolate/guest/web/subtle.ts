/**
 * `crypto.subtle` by ability calls `crypto.subtle [operation, …]`. The hub keeps no keys: a `CryptoKey` carries its material in
 * a private field and travels with every call as `{type, format, data, algorithm, extractable, usages}`, where `data` is
 * wire bytes, or an object for `jwk`. `importKey` and `generateKey` answer with such records.
 */
import { withAbilityErrors } from "./ability-error.ts";
import { DOMException } from "./dom-exception.ts";
import type { GuestHost, WireBytes } from "./host-port.ts";
import { asBytes, defineProperty, hidden, isArray, objectKeys, tag } from "./primordials.ts";
import { fromWire, toWire } from "./wire-bytes.ts";

export interface WireKey {
  type: "secret" | "public" | "private";
  format: string;
  data: WireBytes | Record<string, unknown>;
  algorithm: Record<string, unknown>;
  extractable: boolean;
  usages: string[];
}

let materialOf: (key: unknown, usage?: string) => WireKey;
const token = {};

export class CryptoKey {
  #wire: WireKey;

  static {
    materialOf = (key, usage) => {
      if (typeof key !== "object" || key === null || !(#wire in key)) throw new TypeError("A CryptoKey is needed");
      if (usage !== undefined && !key.#wire.usages.includes(usage)) {
        throw new DOMException(`The key is not for ${usage}`, "InvalidAccessError");
      }
      return key.#wire;
    };
  }

  constructor(secret?: object, wire?: WireKey) {
    if (secret !== token || wire === undefined) throw new TypeError("Illegal constructor: import or generate a key");
    this.#wire = wire;
  }

  get type(): string {
    return this.#wire.type;
  }
  get extractable(): boolean {
    return this.#wire.extractable;
  }
  get algorithm(): Record<string, unknown> {
    return { ...this.#wire.algorithm };
  }
  get usages(): string[] {
    return [...this.#wire.usages];
  }
}
tag(CryptoKey, "CryptoKey");

/** Names and numbers stay; bytes inside become wire bytes; a key inside (ECDH's `public`) becomes its record. */
function wireAlgorithm(algorithm: unknown): Record<string, unknown> {
  if (typeof algorithm === "string") return { name: algorithm };
  if (typeof algorithm !== "object" || algorithm === null) throw new TypeError("An algorithm is a name or an object");
  const result: Record<string, unknown> = {};
  for (const name of objectKeys(algorithm)) {
    const value = (algorithm as Record<string, unknown>)[name];
    const bytes = asBytes(value);
    if (bytes !== undefined) result[name] = toWire(bytes);
    else if (value instanceof CryptoKey) result[name] = materialOf(value);
    else if (typeof value === "object" && value !== null && !isArray(value)) result[name] = wireAlgorithm(value);
    else result[name] = value;
  }
  return result;
}

function wireData(value: unknown): WireBytes {
  const bytes = asBytes(value);
  if (bytes === undefined) throw new TypeError("The data must be an ArrayBuffer or a view on one");
  return toWire(bytes);
}

/** HMAC keys have the length of their hash's block where none is given. */
function hmacBits(algorithm: Record<string, unknown>): number {
  const { hash } = algorithm;
  const name = typeof hash === "object" ? (hash as { name?: unknown }).name : hash;
  return name === "SHA-384" || name === "SHA-512" ? 1024 : 512;
}

export type Subtle = Record<string, (...args: never[]) => Promise<unknown>>;

export function createSubtle(call: GuestHost["call"]): Subtle {
  const ask = (...args: unknown[]): Promise<unknown> => withAbilityErrors(call("crypto.subtle", args));
  const askBytes = async (...args: unknown[]): Promise<ArrayBuffer> => fromWire(await ask(...args)).buffer;
  const key = (record: unknown): CryptoKey => new CryptoKey(token, record as WireKey);

  const methods = {
    async digest(algorithm: unknown, data: unknown) {
      return askBytes("digest", wireAlgorithm(algorithm), wireData(data));
    },
    async sign(algorithm: unknown, signer: unknown, data: unknown) {
      return askBytes("sign", wireAlgorithm(algorithm), materialOf(signer, "sign"), wireData(data));
    },
    async verify(algorithm: unknown, verifier: unknown, signature: unknown, data: unknown) {
      const wire = materialOf(verifier, "verify");
      return Boolean(await ask("verify", wireAlgorithm(algorithm), wire, wireData(signature), wireData(data)));
    },
    async encrypt(algorithm: unknown, secret: unknown, data: unknown) {
      return askBytes("encrypt", wireAlgorithm(algorithm), materialOf(secret, "encrypt"), wireData(data));
    },
    async decrypt(algorithm: unknown, secret: unknown, data: unknown) {
      return askBytes("decrypt", wireAlgorithm(algorithm), materialOf(secret, "decrypt"), wireData(data));
    },
    async deriveBits(algorithm: unknown, from: unknown, length: unknown) {
      return askBytes("deriveBits", wireAlgorithm(algorithm), materialOf(from, "deriveBits"), length);
    },
    async deriveKey(algorithm: unknown, from: unknown, derived: unknown, extractable: unknown, usages: unknown) {
      const wire = materialOf(from, "deriveKey");
      const target = wireAlgorithm(derived);
      const length =
        target["length"] ?? (`${target["name"] as string}`.toUpperCase() === "HMAC" ? hmacBits(target) : 256);
      const bits = await askBytes("deriveBits", wireAlgorithm(algorithm), { ...wire, usages: ["deriveBits"] }, length);
      return methods.importKey("raw", bits, derived, extractable, usages);
    },
    async generateKey(algorithm: unknown, extractable: unknown, usages: unknown) {
      const made = (await ask("generateKey", wireAlgorithm(algorithm), Boolean(extractable), usages)) as
        | WireKey
        | { publicKey: WireKey; privateKey: WireKey };
      return "publicKey" in made ? { publicKey: key(made.publicKey), privateKey: key(made.privateKey) } : key(made);
    },
    async importKey(format: unknown, data: unknown, algorithm: unknown, extractable: unknown, usages: unknown) {
      const material = format === "jwk" ? data : wireData(data);
      return key(await ask("importKey", format, material, wireAlgorithm(algorithm), Boolean(extractable), usages));
    },
    async exportKey(format: unknown, from: unknown) {
      const wire = materialOf(from);
      if (!wire.extractable) throw new DOMException("The key is not extractable", "InvalidAccessError");
      return format === "jwk" ? ask("exportKey", format, wire) : askBytes("exportKey", format, wire);
    },
  };
  const subtle = {} as Subtle;
  hidden(subtle, methods);
  defineProperty(subtle, Symbol.toStringTag, { value: "SubtleCrypto", configurable: true });
  return subtle;
}
