/**
 * The content-addressed store of package archives: chunks in the database, with a cache folder on each node. What is
 * kept is the canonical archive (tar.gz, see archive.ts); what is checked, at every load from either place, is the
 * digest over its content. A damaged cache file is fetched again; damage in the database is `artifact_corrupt`, and
 * publishing the same content again repairs it.
 */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest, OrganizationId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";

import type { Db, Store, Tx } from "../store/store.ts";
import { digestFiles, isDigest, readArchive } from "./archive.ts";
import { packageLimits } from "./limits.ts";
import type { PackageFiles } from "./read-tar.ts";

export interface ArtifactsOptions {
  store: Store;
  /** Folder of the local cache; made when needed. It may be emptied at any time. */
  cacheDir: string;
  /** The cache is cut back to this size, least recently used first. @default 512 MB */
  cacheBytes?: number;
}

/** Where an artifact is: the organisation in whose catalog it was published (`*` for bundled plugins), and its digest. */
export interface ArtifactAddress {
  organization: OrganizationId;
  digest: Digest;
  /** For the error's sentence. */
  plugin?: string;
}

/** What a runtime loads: the script, and its source map where the package has one. */
export interface StoredBundle {
  code: string;
  sourceMap?: string;
}

export interface Artifacts {
  /** Stores the archive inside the caller's transaction; nothing happens when it is there and sound. */
  put(tx: Tx, address: ArtifactAddress, archive: Uint8Array): Promise<void>;
  /** The verified files. Error: `artifact_corrupt` (damaged or missing). */
  get(address: ArtifactAddress): Promise<PackageFiles>;
  /** The verified code for a runtime, with its source map. Error: `artifact_corrupt`. */
  loadBundle(address: ArtifactAddress & { entrypoint: string }): Promise<StoredBundle>;
}

const chunkBytes = 512 * 1024;
const markUsedMs = 3_600_000;

export function createArtifacts({ store, cacheDir, cacheBytes = 512 * 1024 * 1024 }: ArtifactsOptions): Artifacts {
  const loading = new Map<string, Promise<PackageFiles>>();
  let writtenSincePrune = cacheBytes;

  async function load(address: ArtifactAddress): Promise<PackageFiles> {
    const file = cacheFile(address.digest);
    const cached = await readCapped(file);
    const fromCache = cached && (await verified(cached.bytes, address.digest));
    if (fromCache) {
      // The time of use, for pruning; a read-only folder is no reason to fail.
      if (Date.now() - cached.usedMs > markUsedMs) await utimes(file, new Date(), new Date()).catch(() => {});
      return fromCache;
    }
    const archive = await readChunks(store.db, address);
    const files = archive && (await verified(archive, address.digest));
    if (!archive || !files) throw new BackplaneError("artifact_corrupt", { plugin: address.plugin ?? address.digest });
    await writeCache(file, archive);
    return files;
  }

  function cacheFile(digest: Digest): string {
    // The digest becomes part of a path, so its form is checked even though it comes from our own tables.
    if (!isDigest(digest)) throw new BackplaneError("artifact_corrupt", { plugin: String(digest).slice(0, 80) });
    return join(cacheDir, `${digest.slice("sha256:".length)}.tgz`);
  }

  /** The cache is a convenience: a full disk must not stop a plugin whose code is at hand. */
  async function writeCache(file: string, archive: Uint8Array): Promise<void> {
    const temporary = `${file}.${randomUUID()}.tmp`;
    try {
      await mkdir(cacheDir, { recursive: true, mode: 0o700 });
      await writeFile(temporary, archive, { mode: 0o600, flag: "wx" });
      await rename(temporary, file);
      writtenSincePrune += archive.byteLength;
      if (writtenSincePrune * 8 < cacheBytes) return;
      writtenSincePrune = 0;
      await prune(cacheDir, cacheBytes, file);
    } catch {
      await unlink(temporary).catch(() => {});
    }
  }

  const get = (address: ArtifactAddress): Promise<PackageFiles> => {
    const key = `${address.organization} ${address.digest}`;
    const known = loading.get(key);
    if (known) return known;
    const started = load(address).finally(() => loading.delete(key));
    loading.set(key, started);
    return started;
  };

  return {
    get,

    async put(tx, { organization, digest }, archive) {
      if (archive.byteLength > packageLimits.archiveBytes) {
        throw new BackplaneError("payload_too_large", { size: archive.byteLength, limit: packageLimits.archiveBytes });
      }
      const row = { organization_id: organization, digest, size: archive.byteLength };
      const inserted = await tx
        .insertInto("artifacts")
        .values(row)
        .onConflict((on) => on.doNothing())
        .returning("digest")
        .execute();
      if (inserted.length === 0) {
        const present = await readChunks(tx, { organization, digest });
        if (present && (await verified(present, digest))) return;
        await tx
          .deleteFrom("artifact_chunks")
          .where("organization_id", "=", organization)
          .where("digest", "=", digest)
          .execute();
        await tx
          .updateTable("artifacts")
          .set({ size: archive.byteLength })
          .where("organization_id", "=", organization)
          .where("digest", "=", digest)
          .execute();
      }
      for (let n = 0; n * chunkBytes < archive.byteLength; n++) {
        const bytes = Buffer.from(archive.subarray(n * chunkBytes, (n + 1) * chunkBytes));
        await tx.insertInto("artifact_chunks").values({ organization_id: organization, digest, n, bytes }).execute();
      }
    },

    async loadBundle({ entrypoint, ...address }) {
      const files = await get(address);
      const path = entrypoint.replace(/^\.\//, "");
      const code = files.get(path);
      if (!code) throw new BackplaneError("artifact_corrupt", { plugin: address.plugin ?? address.digest });
      const map = files.get(`${path}.map`);
      return { code: text(code), ...(map && { sourceMap: text(map) }) };
    },
  };
}

async function verified(archive: Uint8Array, digest: Digest): Promise<PackageFiles | undefined> {
  try {
    const files = await readArchive(archive);
    return digestFiles(files) === digest ? files : undefined;
  } catch {
    return undefined;
  }
}

async function readChunks(db: Db | Tx, { organization, digest }: ArtifactAddress): Promise<Uint8Array | undefined> {
  const row = await db
    .selectFrom("artifacts")
    .select("size")
    .where("organization_id", "=", organization)
    .where("digest", "=", digest)
    .executeTakeFirst();
  if (!row || row.size > packageLimits.archiveBytes) return undefined;
  const chunks: Uint8Array[] = [];
  let size = 0;
  // One chunk a statement: a whole artifact in one answer would hold up everybody else's on the embedded store.
  for (let n = 0; size < row.size; n++) {
    const chunk = await db
      .selectFrom("artifact_chunks")
      .select("bytes")
      .where("organization_id", "=", organization)
      .where("digest", "=", digest)
      .where("n", "=", n)
      .executeTakeFirst();
    if (!chunk || chunk.bytes.byteLength === 0) return undefined;
    chunks.push(chunk.bytes);
    size += chunk.bytes.byteLength;
  }
  return size === row.size ? Buffer.concat(chunks) : undefined;
}

async function readCapped(file: string): Promise<{ bytes: Uint8Array; usedMs: number } | undefined> {
  try {
    const { size, mtimeMs } = await stat(file);
    return size <= packageLimits.archiveBytes ? { bytes: await readFile(file), usedMs: mtimeMs } : undefined;
  } catch {
    return undefined;
  }
}

/** Removes the least recently used files beyond `limit`, and what a killed hub left half written. */
async function prune(folder: string, limit: number, keep: string): Promise<void> {
  const files: { path: string; size: number; used: number }[] = [];
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    if (!info?.isFile()) continue;
    if (name.endsWith(".tmp")) {
      if (Date.now() - info.mtimeMs > 3_600_000) await rm(path, { force: true });
    } else if (name.endsWith(".tgz")) {
      files.push({ path, size: info.size, used: info.mtimeMs });
    }
  }
  let total = 0;
  for (const { path, size } of files.sort((a, b) => b.used - a.used)) {
    total += size;
    if (total > limit && path !== keep) await rm(path, { force: true });
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
