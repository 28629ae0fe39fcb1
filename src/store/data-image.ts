/** A database folder as one block of bytes, and the folder that ships with PGlite so that no first boot runs initdb. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";

/** A file, or a folder when it has no bytes. `path` is relative to the database folder. */
export interface StoredFile {
  path: string;
  bytes?: Uint8Array;
}

interface ImageEntry {
  path: string;
  size: number | null;
}

/** Layout: length of the index (4 bytes, big endian), index as JSON, contents one after the other. */
export function packFiles(files: readonly StoredFile[]): Uint8Array {
  const index = Buffer.from(
    JSON.stringify(files.map((file): ImageEntry => ({ path: file.path, size: file.bytes?.byteLength ?? null }))),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32BE(index.byteLength);
  return new Uint8Array(Buffer.concat([length, index, ...files.flatMap((file) => file.bytes ?? [])]));
}

export function unpackFiles(image: Uint8Array): StoredFile[] {
  const view = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  let offset = 4 + view.readUInt32BE(0);
  const index = JSON.parse(view.toString("utf8", 4, offset)) as ImageEntry[];
  return index.map(({ path, size }) => {
    if (size === null) return { path };
    const bytes = image.subarray(offset, offset + size);
    offset += size;
    return { path, bytes };
  });
}

/** The empty database folder of exactly the PGlite version installed. */
export async function readPrepopulated(): Promise<StoredFile[]> {
  const entry = createRequire(import.meta.url).resolve("@electric-sql/pglite-prepopulatedfs");
  const archive = gunzipSync(await readFile(new URL("./prepopulatedfs.tgz", `file://${entry}`)));
  const files: StoredFile[] = [];
  // Plain ustar of a trusted package: 512-byte headers, contents padded to 512.
  for (let offset = 0; offset + 512 <= archive.byteLength && archive[offset] !== 0; ) {
    const text = (from: number, length: number): string =>
      archive.toString("utf8", offset + from, offset + from + length).replace(/\0.*$/s, "");
    const size = Number.parseInt(text(124, 12).trim() || "0", 8);
    const path = [text(345, 155), text(0, 100)]
      .filter(Boolean)
      .join("/")
      .replace(/^\.?\/+/, "")
      .replace(/\/+$/, "");
    const kind = String.fromCharCode(archive[offset + 156]!);
    offset += 512;
    if (path !== "" && kind === "5") files.push({ path });
    else if (path !== "" && (kind === "0" || kind === "\0"))
      files.push({ path, bytes: new Uint8Array(archive.subarray(offset, offset + size)) });
    offset += Math.ceil(size / 512) * 512;
  }
  return files;
}
