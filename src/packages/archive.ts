/**
 * The stored form of a package: a canonical tar.gz of its files (sorted, fixed times and owners), and the digest over
 * content. The digest is the SHA-256 of the lines `<sha256 of file>  <path>\n` sorted by path, so it does not depend on
 * compression and can be checked by hand: `cd package && sha256sum $(find * -type f | LC_ALL=C sort) | sha256sum`.
 */
import { createHash, hash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { pack } from "tar-stream";
import { asDigest, type Digest } from "../base/brands.ts";
import { packageLimits } from "./limits.ts";
import { type PackageFiles, readTar } from "./read-tar.ts";

/** 1985-10-26T08:15:00Z, the time npm gives to packed files. */
const fixedTime = new Date(499_162_500_000);

export function digestFiles(files: PackageFiles): Digest {
  const total = createHash("sha256");
  for (const [path, bytes] of sorted(files)) total.update(`${hash("sha256", bytes)}  ${path}\n`);
  return asDigest(`sha256:${total.digest("hex")}`);
}

export function isDigest(text: string): text is Digest {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

/** The canonical archive: equal content gives equal bytes. */
export async function writeArchive(files: PackageFiles): Promise<Uint8Array> {
  const tar = pack();
  const chunks: Buffer[] = [];
  const collected = (async () => {
    for await (const chunk of tar) chunks.push(chunk as Buffer);
  })();
  for (const [path, bytes] of sorted(files)) {
    // tar-stream copies nothing, so the view is safe as long as nobody writes to it meanwhile.
    tar.entry(
      { name: `package/${path}`, mtime: fixedTime, mode: 0o644, uid: 0, gid: 0 },
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    );
  }
  tar.finalize();
  await collected;
  const zipped = await promisify(gzip)(Buffer.concat(chunks), { level: 6 });
  // Byte 9 names the operating system that compressed; 255 is "unknown", the same everywhere.
  zipped[9] = 255;
  return zipped;
}

/** Reads an archive that `writeArchive` wrote. Throws on damage; the caller compares the digest. */
export async function readArchive(archive: Uint8Array): Promise<PackageFiles> {
  return readTar(await promisify(gunzip)(archive, { maxOutputLength: packageLimits.expandedBytes }));
}

function sorted(files: PackageFiles): [string, Uint8Array][] {
  return [...files].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
