/** For tests: writes tar archives byte by byte, so that every field of a header can lie. */
import { gzipSync } from "node:zlib";

export interface TarEntry {
  name: string | Uint8Array;
  body?: string | Uint8Array;
  type?: string;
  /** Raw text of header fields, when they should differ from the truth. */
  size?: string;
  checksum?: string;
  magic?: string;
  prefix?: string;
  link?: string;
  /** Body left out although the header announces it. */
  cut?: boolean;
}

const BLOCK = 512;

export function tarEntry({ name, body = "", type = "0", ...lies }: TarEntry): Buffer {
  const content = Buffer.from(body as string);
  const header = Buffer.alloc(BLOCK);
  Buffer.from(name as string).copy(header, 0, 0, 100);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(lies.size ?? `${content.length.toString(8).padStart(11, "0")}\0`, 124, 12, "latin1");
  header.write("00000000000\0", 136);
  header.write(type, 156, 1, "latin1");
  if (lies.link) header.write(lies.link, 157);
  header.write(lies.magic ?? "ustar\x0000", 257, "latin1");
  if (lies.prefix) header.write(lies.prefix, 345);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(lies.checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
  if (lies.cut) return header;
  return Buffer.concat([header, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)]);
}

export function tar(entries: readonly (TarEntry | Buffer)[], end: Uint8Array = Buffer.alloc(2 * BLOCK)): Buffer {
  return Buffer.concat([...entries.map((entry) => (Buffer.isBuffer(entry) ? entry : tarEntry(entry))), end]);
}

export function tgz(entries: readonly (TarEntry | Buffer)[]): Buffer {
  return gzipSync(tar(entries));
}

/** A pax header that sets `records` for the next entry. */
export function pax(records: Record<string, string>, type = "x"): Buffer {
  const body = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest + 1;
    while (String(length).length + rest !== length) length = String(length).length + rest;
    return `${length} ${key}=${value}\n`;
  });
  return tarEntry({ name: "PaxHeader/x", type, body: body.join("") });
}

/** A minimal acceptable package; `more` is added, or replaces what has its name. */
export function packageEntries(manifest: object, code: string, more: TarEntry[] = []): TarEntry[] {
  const base: TarEntry[] = [
    { name: "package/plugin.json", body: JSON.stringify(manifest) },
    { name: "package/index.js", body: code },
  ];
  return [...base.filter((entry) => !more.some((other) => other.name === entry.name)), ...more];
}
