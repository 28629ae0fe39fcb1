/**
 * Seals single values as JWE (AES-256 key wrap, AES-256-GCM). What a value belongs to stands in the protected header, which
 * the encryption authenticates: a sealed value copied to another organisation, installation or field does not open.
 * Knows nothing of configs and schemas; those are in config.ts.
 */
import { createHash, createHmac, hkdfSync } from "node:crypto";
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from "jose";
import { isObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";

/** What a sealed value belongs to. */
export interface SecretBinding {
  organization: string;
  installation: string;
  /** Path of the config field, as secret-fields.ts spells it. */
  field: string;
}

/** What the admin agreed to when the value was entered; a later manifest cannot widen it. */
export interface SecretConsent {
  hosts: readonly string[];
  expose: boolean;
  /** Hosts of token endpoints that the hub may send it to as a client's secret. Absent: it was sealed before this was asked. */
  endpoints?: readonly string[];
}

export interface OpenedSecret extends SecretConsent {
  value: string;
}

/** By the key that seals now, by a former one that still opens, or by none of ours. */
export type SealedBy = "current" | "former" | "unknown";

export interface Vault {
  /** Id of the key that seals now. */
  readonly keyId: string;
  seal(binding: SecretBinding, value: string, consent: SecretConsent): Promise<string>;
  /** Error: `secret_unreadable`. */
  open(binding: SecretBinding, sealed: string): Promise<OpenedSecret>;
  /** The same value under the current key; unchanged when it is already. Error: `secret_unreadable`. */
  rotate(binding: SecretBinding, sealed: string): Promise<string>;
  /** Read from the header alone; nothing is opened. */
  sealedBy(sealed: string): SealedBy;
  /** Keyed hashes of `text`, the current key's first: names that nobody without a master key can make up. */
  mark(text: string): string[];
}

export interface VaultOptions {
  /** 32 bytes each. The first seals; all open. */
  masterKeys: readonly Uint8Array[];
}

const TYPE = "backplane-secret";
const MAX_SEALED = 131_072;

interface VaultKey {
  id: string;
  wrap: Uint8Array;
  mark: Uint8Array;
}

/** Error: `invalid_settings` for keys of a wrong length or none. */
export function createVault({ masterKeys }: VaultOptions): Vault {
  const keys = masterKeys.map(deriveKeys);
  const current = keys[0];
  if (current === undefined) throw new BackplaneError("invalid_settings", { reason: "no master key was given" });

  return {
    keyId: current.id,
    seal,
    open,
    async rotate(binding, sealed) {
      if (readHeader(sealed)?.["kid"] === current.id) return sealed;
      const { value, ...consent } = await open(binding, sealed);
      return await seal(binding, value, consent);
    },
    sealedBy(sealed) {
      const kid = readHeader(sealed)?.["kid"];
      return kid === current.id ? "current" : keys.some(({ id }) => id === kid) ? "former" : "unknown";
    },
    mark: (text) => keys.map(({ mark }) => createHmac("sha256", mark).update(text).digest("base64url").slice(0, 27)),
  };

  async function seal(binding: SecretBinding, value: string, consent: SecretConsent): Promise<string> {
    return await new CompactEncrypt(new TextEncoder().encode(value))
      .setProtectedHeader({
        alg: "A256KW",
        enc: "A256GCM",
        typ: TYPE,
        kid: current!.id,
        org: binding.organization,
        inst: binding.installation,
        field: binding.field,
        hosts: [...consent.hosts],
        expose: consent.expose,
        ...(consent.endpoints === undefined ? {} : { endpoints: [...consent.endpoints] }),
      })
      .encrypt(current!.wrap);
  }

  async function open(binding: SecretBinding, sealed: string): Promise<OpenedSecret> {
    const unreadable = (cause?: unknown): BackplaneError =>
      new BackplaneError("secret_unreadable", { field: binding.field }, { cause });
    const header = readHeader(sealed);
    const key = keys.find(({ id }) => id === header?.["kid"]);
    if (key === undefined) throw unreadable();
    let opened: Awaited<ReturnType<typeof compactDecrypt>>;
    try {
      opened = await compactDecrypt(sealed, key.wrap, {
        keyManagementAlgorithms: ["A256KW"],
        contentEncryptionAlgorithms: ["A256GCM"],
      });
    } catch (error) {
      throw unreadable(error);
    }
    // Only what decryption has authenticated counts from here on.
    const { typ, org, inst, field, hosts, expose, endpoints } = opened.protectedHeader as Record<string, unknown>;
    const belongs =
      typ === TYPE && org === binding.organization && inst === binding.installation && field === binding.field;
    if (!belongs || !Array.isArray(hosts)) throw unreadable();
    return {
      value: new TextDecoder().decode(opened.plaintext),
      hosts: hosts.map(String),
      expose: expose === true,
      ...(Array.isArray(endpoints) ? { endpoints: endpoints.map(String) } : {}),
    };
  }
}

function deriveKeys(master: Uint8Array): VaultKey {
  if (master.byteLength !== 32) {
    throw new BackplaneError("invalid_settings", {
      reason: `a master key has ${master.byteLength} bytes instead of 32`,
    });
  }
  // One purpose, one key: a flaw in one use then tells nothing about the others.
  const derive = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync("sha256", master, new Uint8Array(), `backplane ${purpose}`, 32));
  return {
    id: createHash("sha256").update(derive("key id")).digest("base64url").slice(0, 16),
    wrap: derive("secret wrap"),
    mark: derive("secret handles"),
  };
}

function readHeader(sealed: string): Record<string, unknown> | undefined {
  if (sealed.length > MAX_SEALED) return undefined;
  try {
    const header: unknown = decodeProtectedHeader(sealed);
    return isObject(header) ? header : undefined;
  } catch {
    return undefined;
  }
}
