/** `ctx.crypto`: hashes, HMAC (with a sealed secret as key, if wanted), and constant-time comparison. No permission is needed: nothing leaves. */
import { createHash, createHmac, timingSafeEqual, type webcrypto } from "node:crypto";
import { z } from "zod";
import { BackplaneError } from "../errors/error.ts";
import { inputSentence } from "../errors/input-faults.ts";
import { type Ability, bytesSchema, defineAbility, toBytes } from "./ability.ts";
import type { SecretsOf } from "./installation-secrets-cache.ts";
import { createTurns } from "./turns.ts";

const hashes = { "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512" } as const;
const hashName = z.enum(Object.keys(hashes) as [keyof typeof hashes]);
const textOrBytes = z.union([z.string(), bytesSchema]);
const hmacSchema = z.object({
  hash: hashName.default("SHA-256"),
  key: textOrBytes,
  data: textOrBytes,
  encoding: z.enum(["hex", "base64", "base64url", "bytes"]).default("bytes"),
});

export function createCryptoAbilities({ secretsOf }: { secretsOf: SecretsOf }): Ability[] {
  return [
    defineAbility({
      name: "crypto.digest",
      schema: z.tuple([hashName, textOrBytes]),
      run: async (_request, [hash, data]) => toBytes(createHash(hashes[hash]).update(data).digest()),
    }),
    defineAbility({
      name: "crypto.hmac",
      schema: z.tuple([hmacSchema]),
      async run({ context }, [{ hash, key, data, encoding }]) {
        const secret = typeof key === "string" ? (await secretsOf(context.installation)).fillKey(key).key : key;
        const mac = createHmac(hashes[hash], secret).update(data).digest();
        return encoding === "bytes" ? toBytes(mac) : mac.toString(encoding);
      },
    }),
    defineAbility({
      name: "crypto.timingSafeEqual",
      schema: z.tuple([textOrBytes, textOrBytes]),
      async run({ context }, values) {
        const secrets = await secretsOf(context.installation);
        const [a, b] = values.map((value) => (typeof value === "string" ? secrets.fillKey(value).key : value)) as [
          Uint8Array,
          Uint8Array,
        ];
        // Hashes have one length, so that neither the lengths nor the place of the difference show in the time.
        const digest = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();
        return timingSafeEqual(digest(a), digest(b));
      },
    }),
    createSubtleAbility(),
  ];
}

type WireKey = z.infer<typeof wireKey>;

const usages = z
  .array(z.enum(["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"]))
  .max(8);
const wireAlgorithm = z.record(z.string(), z.unknown());
const wireKey = z.object({
  type: z.enum(["secret", "public", "private"]),
  format: z.enum(["raw", "spki", "pkcs8", "jwk"]),
  data: z.union([bytesSchema, z.record(z.string(), z.unknown())]),
  algorithm: wireAlgorithm,
  extractable: z.boolean(),
  usages,
});
const material = z.union([bytesSchema, z.record(z.string(), z.unknown())]);

const operations = {
  digest: z.tuple([wireAlgorithm, bytesSchema]),
  sign: z.tuple([wireAlgorithm, wireKey, bytesSchema]),
  verify: z.tuple([wireAlgorithm, wireKey, bytesSchema, bytesSchema]),
  encrypt: z.tuple([wireAlgorithm, wireKey, bytesSchema]),
  decrypt: z.tuple([wireAlgorithm, wireKey, bytesSchema]),
  deriveBits: z.tuple([wireAlgorithm, wireKey, z.number().int().min(8).max(65_536)]),
  generateKey: z.tuple([wireAlgorithm, z.boolean(), usages]),
  importKey: z.tuple([z.enum(["raw", "spki", "pkcs8", "jwk"]), material, wireAlgorithm, z.boolean(), usages]),
  exportKey: z.tuple([z.enum(["raw", "spki", "pkcs8", "jwk"]), wireKey]),
} as const;

/** Work that grows with a number the caller names is bounded: these run on the hub's thread pool. */
const maxIterations = 600_000;
/** PBKDF2 repeats its iterations for every block of its hash that is asked for. */
const maxDerivation = 2 * maxIterations;
const maxModulusBits = 4096;
/** An RSA key of 4096 bits has 2.4 KB; an arbitrary one would choose its own cost. */
const maxKeyBytes = 8_192;
const numbers = new Set(["iterations", "modulusLength", "length", "saltLength", "tagLength"]);
const hashBits: Record<string, number> = { "SHA-1": 160, "SHA-256": 256, "SHA-384": 384, "SHA-512": 512 };
/** One piece of it holds a thread of the hub's pool for up to a second. */
const takeTurns = createTurns({ perKey: 1, total: 2 });

function createSubtleAbility(): Ability {
  return defineAbility({
    name: "crypto.subtle",
    schema: z.tuple([z.enum(Object.keys(operations) as [keyof typeof operations])]).rest(z.unknown()),
    async run({ context, signal }, [operation, ...rest]) {
      const parsed = operations[operation].safeParse(rest, { error: inputSentence });
      if (!parsed.success) throw wrong(`${operation}: ${parsed.error.issues[0]?.message ?? "wrong arguments"}`);
      try {
        const work = (): Promise<unknown> => perform(operation, parsed.data as unknown as never[]);
        return await (isCostly(operation, parsed.data) ? takeTurns(context.installation.id, signal, work) : work());
      } catch (error) {
        if (error instanceof BackplaneError) throw error;
        throw wrong(`${operation}: ${error instanceof Error ? error.message.slice(0, 200) : "failed"}`);
      }
    },
  });
}

function isCostly(operation: keyof typeof operations, args: readonly unknown[]): boolean {
  const name = String((args[0] as { name?: unknown } | undefined)?.name).toUpperCase();
  if (operation === "deriveBits") return name === "PBKDF2";
  if (operation === "generateKey" || operation === "sign" || operation === "decrypt") return name.startsWith("RSA");
  return false;
}

const wrong = (reason: string): BackplaneError =>
  new BackplaneError("ability_input", { ability: "crypto.subtle", reason });

async function perform(operation: keyof typeof operations, args: never[]): Promise<unknown> {
  const { subtle } = globalThis.crypto;
  const bytes = (result: ArrayBuffer): { $bytes: string } => toBytes(new Uint8Array(result));
  switch (operation) {
    case "digest": {
      const [algorithm, data] = args as unknown as z.infer<typeof operations.digest>;
      return bytes(await subtle.digest(await readAlgorithm(algorithm), data));
    }
    case "sign":
    case "encrypt":
    case "decrypt": {
      const [algorithm, key, data] = args as unknown as z.infer<typeof operations.sign>;
      return bytes(await subtle[operation](await readAlgorithm(algorithm), await importWire(key), data));
    }
    case "verify": {
      const [algorithm, key, signature, data] = args as unknown as z.infer<typeof operations.verify>;
      return subtle.verify(await readAlgorithm(algorithm), await importWire(key), signature, data);
    }
    case "deriveBits": {
      const [algorithm, key, length] = args as unknown as z.infer<typeof operations.deriveBits>;
      const read = await readAlgorithm(algorithm);
      checkDerivation(read as { name: string }, length);
      return bytes(await subtle.deriveBits(read, await importWire(key), length));
    }
    case "generateKey": {
      const [algorithm, extractable, wanted] = args as unknown as z.infer<typeof operations.generateKey>;
      const made = (await subtle.generateKey(await readAlgorithm(algorithm), true, wanted)) as
        | webcrypto.CryptoKey
        | webcrypto.CryptoKeyPair;
      if (!("publicKey" in made)) return exportWire(made, extractable);
      return {
        publicKey: await exportWire(made.publicKey, true),
        privateKey: await exportWire(made.privateKey, extractable),
      };
    }
    case "importKey": {
      const [format, data, algorithm, extractable, wanted] = args as unknown as z.infer<typeof operations.importKey>;
      const read = await readAlgorithm(algorithm);
      const key = await importMaterial({ format, data, algorithm: read, extractable, usages: wanted });
      return {
        type: key.type,
        format,
        data: Buffer.isBuffer(data) ? toBytes(data) : data,
        algorithm: { ...algorithm, ...plainAlgorithm(key.algorithm) },
        extractable,
        usages: key.usages,
      };
    }
    case "exportKey": {
      const [format, key] = args as unknown as z.infer<typeof operations.exportKey>;
      const exported = await subtle.exportKey(format as "jwk", await importWire(key, true));
      return exported instanceof ArrayBuffer ? bytes(exported) : exported;
    }
  }
}

/** Wire bytes and keys inside an algorithm become what WebCrypto takes; costly numbers are bounded. */
async function readAlgorithm(algorithm: Record<string, unknown>): Promise<AnyAlgorithm> {
  const read: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(algorithm)) {
    // WebCrypto would make a number of a text or a list, after the bounds below were looked at.
    if (numbers.has(name) && !Number.isSafeInteger(value)) throw wrong(`${name} must be a whole number`);
    const asBytes = bytesSchema.safeParse(value);
    const asKey = wireKey.safeParse(value);
    if (asBytes.success) read[name] = asBytes.data;
    else if (asKey.success) read[name] = await importWire(asKey.data);
    else read[name] = value;
  }
  if (typeof read["iterations"] === "number" && read["iterations"] > maxIterations)
    throw wrong(`at most ${maxIterations} iterations`);
  if (typeof read["modulusLength"] === "number" && read["modulusLength"] > maxModulusBits)
    throw wrong(`a modulus of at most ${maxModulusBits} bits`);
  const exponent = read["publicExponent"];
  if (exponent !== undefined && !(Buffer.isBuffer(exponent) && ["03", "010001"].includes(exponent.toString("hex"))))
    throw wrong("a public exponent of 3 or 65537");
  return read as unknown as AnyAlgorithm;
}

function checkDerivation(algorithm: { name: string; iterations?: number; hash?: unknown }, length: number): void {
  if (algorithm.name.toUpperCase() !== "PBKDF2") return;
  const hash =
    typeof algorithm.hash === "object" ? (algorithm.hash as { name?: unknown } | null)?.name : algorithm.hash;
  const blocks = Math.ceil(length / (hashBits[String(hash).toUpperCase()] ?? 160));
  if ((algorithm.iterations ?? 0) * blocks > maxDerivation)
    throw wrong(`at most ${maxDerivation} iterations for all blocks of ${length} bits`);
}

/** One type that all of WebCrypto's overloads take; the guest's object decides, and WebCrypto checks it. */
type AnyAlgorithm = webcrypto.AesCbcParams &
  webcrypto.EcdhKeyDeriveParams &
  webcrypto.AesKeyGenParams &
  webcrypto.HmacImportParams & { name: string };

const importWire = (key: WireKey, extractable = false): Promise<webcrypto.CryptoKey> =>
  readAlgorithm(key.algorithm).then((algorithm) =>
    importMaterial({ ...key, algorithm, extractable: extractable || key.extractable }),
  );

interface KeyMaterial {
  format: WireKey["format"];
  data: Buffer | Record<string, unknown>;
  algorithm: AnyAlgorithm;
  extractable: boolean;
  usages: z.infer<typeof usages>;
}

async function importMaterial(material: KeyMaterial): Promise<webcrypto.CryptoKey> {
  const key = await importUnbounded(material);
  const bits = (key.algorithm as { modulusLength?: number }).modulusLength;
  if (bits !== undefined && bits > maxModulusBits) throw wrong(`a modulus of at most ${maxModulusBits} bits`);
  return key;
}

function importUnbounded({
  format,
  data,
  algorithm,
  extractable,
  usages: wanted,
}: KeyMaterial): Promise<webcrypto.CryptoKey> {
  const { subtle } = globalThis.crypto;
  const size = Buffer.isBuffer(data) ? data.byteLength : JSON.stringify(data).length;
  if (format !== "raw" && size > maxKeyBytes) throw wrong(`a key of at most ${maxKeyBytes} bytes`);
  if (format === "jwk") return subtle.importKey("jwk", data as webcrypto.JsonWebKey, algorithm, extractable, wanted);
  return subtle.importKey(format, data as Buffer<ArrayBuffer>, algorithm, extractable, wanted);
}

async function exportWire(key: webcrypto.CryptoKey, extractable: boolean): Promise<Record<string, unknown>> {
  const format = key.type === "secret" ? "raw" : key.type === "public" ? "spki" : "pkcs8";
  const exported = await globalThis.crypto.subtle.exportKey(format, key);
  return {
    type: key.type,
    format,
    data: toBytes(new Uint8Array(exported)),
    algorithm: plainAlgorithm(key.algorithm),
    extractable,
    usages: key.usages,
  };
}

function plainAlgorithm(algorithm: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(algorithm).map(([name, value]) => [name, value instanceof Uint8Array ? toBytes(value) : value]),
  );
}
