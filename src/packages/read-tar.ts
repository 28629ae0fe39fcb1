/**
 * A strict tar reader for hostile archives: regular files and folders only, one meaning per byte, and a refusal with a
 * reason for everything else. Our own, because libraries are lenient on purpose (they skip unknown types, merge
 * duplicate names, pass trailing bytes) and what one reader skips another may run. Pure and synchronous; called in the
 * worker of read-package.ts, and for stored archives by archive.ts.
 */
import { packageLimits } from "./limits.ts";
import { quote, refuse } from "./package-fault.ts";
import { foldPath, pathFault } from "./package-path.ts";

/** Content by path relative to the archive's `package/` folder, in archive order. The bytes are views of the input. */
export type PackageFiles = Map<string, Uint8Array>;

const BLOCK = 512;
const utf8 = new TextDecoder("utf-8", { fatal: true });

const refusedTypes: Record<string, string> = {
  "1": "a hard link",
  "2": "a symbolic link",
  "3": "a character device",
  "4": "a block device",
  "6": "a named pipe",
  "7": "a contiguous file",
  S: "a sparse file",
  K: "a long link name",
  M: "a continued volume",
  V: "a volume label",
  D: "a dumped folder",
  N: "an old long name",
  A: "an access control list",
  X: "an old extended header",
};

/** Refuses (PackageFault) whatever is not a plain archive of a `package/` folder. */
export function readTar(tar: Uint8Array): PackageFiles {
  const files: PackageFiles = new Map();
  const names = new NameRegister();
  let longName: string | undefined;
  let entries = 0;
  let offset = 0;

  while (true) {
    if (offset + BLOCK > tar.length) refuse("the archive is truncated: it has no end marker");
    const header = tar.subarray(offset, offset + BLOCK);
    if (isZero(header)) break;
    entries += 1;
    if (entries > packageLimits.entries) refuse(`it has more than ${packageLimits.entries} entries`);
    checkHeader(header, entries);
    const type = String.fromCharCode(header[156] ?? 0);
    const size = octal(header, 124, 12, "size");
    const start = offset + BLOCK;
    if (start + size > tar.length) refuse("the archive is truncated: an entry is longer than what follows");
    const body = tar.subarray(start, start + size);
    offset = start + Math.ceil(size / BLOCK) * BLOCK;

    if (type === "g" || type === "x" || type === "L") {
      if (size > packageLimits.extendedHeaderBytes) refuse("an extended header is too large");
      if (type === "g") {
        if (paxPath(body) !== undefined) refuse("a global header sets a path for all entries");
        continue;
      }
      if (longName !== undefined) refuse("two extended headers name one entry");
      // An extended header without a path still belongs to the next entry: "" says so.
      longName = (type === "x" ? paxPath(body) : gnuLongName(body)) ?? "";
      continue;
    }

    const name = longName || headerName(header);
    longName = undefined;
    const kind = refusedTypes[type];
    if (kind) refuse(`${quote(name)} is ${kind}; only plain files are taken`);
    if (type === "5") {
      if (size !== 0) refuse(`the folder ${quote(name)} has content`);
      const folder = packagePath(name.replace(/\/$/, ""), true);
      if (folder !== "") names.addFolder(folder);
    } else if (type === "0" || type === "\0") {
      const path = packagePath(name, false);
      names.addFile(path);
      files.set(path, body);
    } else {
      refuse(`${quote(name)} is an entry of unknown type ${quote(type)}`);
    }
  }
  if (longName !== undefined) refuse("an extended header stands before the end of the archive");
  if (!isZero(tar.subarray(offset))) refuse("there is data after the end of the archive");
  if (tar.length % BLOCK !== 0) refuse("the archive ends inside a block");
  return files;
}

/** Refuses two entries that some file system would take for one, and a file that is also a folder. */
class NameRegister {
  readonly #files = new Map<string, string>();
  readonly #folders = new Map<string, string>();

  addFile(path: string): void {
    const slash = path.lastIndexOf("/");
    if (slash > 0) this.addFolder(path.slice(0, slash));
    const key = foldPath(path);
    const other = this.#files.get(key) ?? this.#folders.get(key);
    if (other !== undefined) {
      refuse(
        other === path
          ? `it has two entries named ${quote(path)}`
          : `the names ${quote(other)} and ${quote(path)} are the same file on some systems`,
      );
    }
    this.#files.set(key, path);
  }

  addFolder(path: string): void {
    const segments = path.split("/");
    for (let n = 1; n <= segments.length; n++) {
      const folder = segments.slice(0, n).join("/");
      const key = foldPath(folder);
      const other = this.#files.get(key) ?? this.#folders.get(key);
      if (this.#files.has(key)) refuse(`${quote(folder)} is both a file and a folder`);
      if (other !== undefined && other !== folder)
        refuse(`the names ${quote(other)} and ${quote(folder)} are the same folder on some systems`);
      this.#folders.set(key, folder);
    }
  }
}

function packagePath(name: string, isFolder: boolean): string {
  const relative = name.startsWith("./") ? name.slice(2) : name;
  if (isFolder && (relative === "package" || name === ".")) return "";
  const fault = pathFault(relative);
  if (fault) refuse(`the entry name ${quote(name)} ${fault}`);
  if (!relative.startsWith("package/"))
    refuse(`${quote(name)} is outside the folder 'package/' that holds a package's files`);
  return relative.slice("package/".length);
}

function checkHeader(header: Uint8Array, entry: number): void {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i] ?? 0;
  const magic = Buffer.from(header.subarray(257, 263)).toString("latin1");
  if (octal(header, 148, 8, "checksum") !== sum)
    refuse(`the header of entry ${entry} has a wrong checksum, so it is damaged or not a tar archive`);
  if (magic !== "ustar\0" && magic !== "ustar ") refuse(`the header of entry ${entry} is not of the ustar format`);
}

function headerName(header: Uint8Array): string {
  const name = text(header.subarray(0, 100));
  const isGnu = header[262] === 0x20;
  const prefix = isGnu ? "" : text(header.subarray(345, 500));
  return prefix ? `${prefix}/${name}` : name;
}

/** A NUL-ended field; bytes behind the NUL would be seen by some readers and not by others. */
function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  if (end >= 0 && !isZero(field.subarray(end))) refuse("a header field hides bytes behind a NUL");
  return decode(end < 0 ? field : field.subarray(0, end));
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return refuse("an entry name is not UTF-8");
  }
}

function octal(header: Uint8Array, start: number, length: number, what: string): number {
  const field = Buffer.from(header.subarray(start, start + length)).toString("latin1");
  const digits = /^ *([0-7]{1,11})[\0 ]+$/.exec(field)?.[1];
  if (digits === undefined) refuse(`an entry's ${what} is not a plain octal number`);
  return Number.parseInt(digits, 8);
}

function gnuLongName(body: Uint8Array): string {
  const end = body.indexOf(0);
  if (end >= 0 && end !== body.length - 1) refuse("a long name hides bytes behind a NUL");
  const name = decode(end < 0 ? body : body.subarray(0, end));
  return name === "" ? refuse("a long name is empty") : name;
}

/** The `path` record of a pax header. Records that would change size, type or content are refused, the rest is ignored. */
function paxPath(body: Uint8Array): string | undefined {
  let path: string | undefined;
  let offset = 0;
  while (offset < body.length) {
    const space = body.indexOf(0x20, offset);
    const digits = space < 0 ? "" : Buffer.from(body.subarray(offset, space)).toString("latin1");
    const length = /^[1-9][0-9]{0,6}$/.test(digits) ? Number(digits) : 0;
    const end = offset + length;
    if (length <= digits.length + 2 || end > body.length || body[end - 1] !== 0x0a)
      refuse("an extended header is malformed");
    const record = decode(body.subarray(space + 1, end - 1));
    const equals = record.indexOf("=");
    if (equals < 1) refuse("an extended header is malformed");
    const key = record.slice(0, equals);
    if (key === "size" || key === "linkpath" || key === "hdrcharset" || key.startsWith("GNU.")) {
      refuse(`an extended header sets ${quote(key)}, which plain files do not need`);
    }
    if (key === "path") {
      if (path !== undefined) refuse("an extended header sets two paths");
      path = record.slice(equals + 1);
      if (path === "") refuse("an extended header sets an empty path");
    }
    offset = end;
  }
  return path;
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}
