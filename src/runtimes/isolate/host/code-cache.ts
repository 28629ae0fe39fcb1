/**
 * Warm V8 code caches of plugin bundles. They are machine code, so: made by V8 in a runner after calls went well, never
 * taken from a guest; kept per isolation group, so that a broken runner can only hurt itself; on disk only with a MAC.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface CodeCacheOptions {
  /** Without it the cache lives in memory only. */
  dir?: string | undefined;
  /** @default 67108864 */
  memoryBytes?: number;
}

export interface CodeCacheKey {
  code: string;
  group: string;
  /** V8 version and architecture, as the runner says. */
  engine: string;
  flags: readonly string[];
  preludeHash: string;
}

const macBytes = 32;

export class CodeCache {
  readonly #memory = new Map<string, Uint8Array>();
  readonly #limit: number;
  readonly #dir: string | undefined;
  readonly #secret: Uint8Array;
  #bytes = 0;

  constructor(options: CodeCacheOptions = {}) {
    this.#limit = options.memoryBytes ?? 64 * 1024 * 1024;
    this.#dir = options.dir;
    this.#secret = options.dir === undefined ? randomBytes(32) : loadOrCreateSecret(options.dir);
  }

  nameOf(key: CodeCacheKey): string {
    const hash = createHash("sha256");
    for (const part of [key.group, key.engine, key.flags.join(" "), key.preludeHash, key.code]) {
      hash.update(`${Buffer.byteLength(part)}:`).update(part);
    }
    return hash.digest("hex");
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const held = this.#memory.get(name);
    if (held !== undefined) {
      this.#memory.delete(name);
      this.#memory.set(name, held);
      return held;
    }
    if (this.#dir === undefined) return undefined;
    try {
      const file = await readFile(join(this.#dir, `${name}.cache`));
      const bytes = file.subarray(macBytes);
      if (!timingSafeEqual(file.subarray(0, macBytes), this.#mac(name, bytes))) return undefined;
      this.#hold(name, bytes);
      return bytes;
    } catch {
      return undefined;
    }
  }

  has(name: string): boolean {
    return this.#memory.has(name);
  }

  put(name: string, bytes: Uint8Array): void {
    this.#hold(name, bytes);
    if (this.#dir === undefined) return;
    const path = join(this.#dir, `${name}.cache`);
    const temporary = `${path}.${randomBytes(6).toString("hex")}`;
    // A cache that cannot be written is only slower next time.
    void writeFile(temporary, Buffer.concat([this.#mac(name, bytes), bytes]), { mode: 0o600 })
      .then(() => renameSync(temporary, path))
      .catch(() => {});
  }

  #mac(name: string, bytes: Uint8Array): Buffer {
    return createHmac("sha256", this.#secret).update(name).update(bytes).digest();
  }

  #hold(name: string, bytes: Uint8Array): void {
    const former = this.#memory.get(name);
    if (former !== undefined) this.#bytes -= former.length;
    this.#memory.delete(name);
    this.#memory.set(name, bytes);
    this.#bytes += bytes.length;
    for (const [oldest, held] of this.#memory) {
      if (this.#bytes <= this.#limit) break;
      this.#memory.delete(oldest);
      this.#bytes -= held.length;
    }
  }
}

function loadOrCreateSecret(dir: string): Uint8Array {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, "cache.key");
  try {
    writeFileSync(path, randomBytes(32), { flag: "wx", mode: 0o600 });
  } catch {
    // Made before.
  }
  const secret = readFileSync(path);
  if (secret.length !== 32) throw new Error(`${path} is not a key of this hub; delete it`);
  return secret;
}
