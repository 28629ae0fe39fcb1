/**
 * Reads a published tarball and says what is in it, or why it is refused. Pure and synchronous but for the final
 * compression; the hub runs it only in the worker of read-package.ts, because every byte is hostile. Runs no code.
 */
import { Script } from "node:vm";
import { gunzipSync } from "node:zlib";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import type { Digest } from "../base/brands.ts";
import { parseManifest } from "../manifest/parse-manifest.ts";
import { digestFiles, writeArchive } from "./archive.ts";
import { formatBytes, packageLimits } from "./limits.ts";
import { PackageFault, quote, refuse } from "./package-fault.ts";
import { type PackageFiles, readTar } from "./read-tar.ts";

export interface PackageContent {
  manifest: Manifest;
  files: PackageFiles;
  digest: Digest;
  /** The canonical archive: what is stored, whatever bytes were sent. */
  archive: Uint8Array;
  /** Missing in a package that only declares, or whose code runs elsewhere. */
  code?: string;
  sourceMap?: string;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Throws PackageFault. */
export async function inspectPackage(bytes: Uint8Array): Promise<PackageContent> {
  const files = readTar(expand(bytes));
  const manifest = readManifest(files);
  const code = readCode(files, manifest.entrypoint);
  const archive = await writeArchive(files);
  if (archive.byteLength > packageLimits.archiveBytes) tooLarge(archive.byteLength);
  return { manifest, files, digest: digestFiles(files), archive, ...code };
}

function expand(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength > packageLimits.archiveBytes) tooLarge(bytes.byteLength);
  if (!isGzip(bytes)) refuse("it is not a gzip file (.tgz)");
  let expanded: { buffer: Uint8Array; engine: { bytesWritten: number } };
  try {
    // The types of Node do not know what `info` changes.
    expanded = gunzipSync(bytes, { maxOutputLength: packageLimits.expandedBytes, info: true }) as never;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ERR_BUFFER_TOO_LARGE") refuse(`it expands to more than ${formatBytes(packageLimits.expandedBytes)}`);
    return refuse(code === "Z_BUF_ERROR" ? "the gzip file is truncated" : "the gzip file is damaged");
  }
  if (expanded.engine.bytesWritten !== bytes.byteLength) refuse("there is data after the end of the gzip file");
  if (isGzip(expanded.buffer)) refuse("it is compressed twice");
  return expanded.buffer;
}

function readManifest(files: PackageFiles): Manifest {
  const bytes = files.get("plugin.json");
  if (!bytes) refuse("it has no 'package/plugin.json'");
  if (bytes.byteLength > packageLimits.manifestBytes) {
    refuse(
      `plugin.json has ${formatBytes(bytes.byteLength)}; at most ${formatBytes(packageLimits.manifestBytes)} are taken`,
    );
  }
  const { manifest, faults } = parseManifest(decode(bytes, "plugin.json"), { file: "plugin.json" });
  if (!manifest || faults.length > 0) {
    const errors = faults.slice(0, 100);
    throw new PackageFault({
      code: "invalid_manifest",
      details: { plugin: claimedId(bytes), count: faults.length },
      errors,
    });
  }
  return manifest;
}

function readCode(files: PackageFiles, entrypoint: string | undefined): { code?: string; sourceMap?: string } {
  if (entrypoint === undefined) return {};
  const path = entrypoint.replace(/^\.\//, "");
  if (!/\.[cm]?js$/.test(path)) {
    refuse(`its entrypoint ${quote(entrypoint)} is not a bundled .js file; \`backplane pack\` makes one`);
  }
  const bytes = files.get(path);
  if (!bytes) refuse(`its entrypoint ${quote(entrypoint)} is not in it`);
  if (bytes.byteLength > packageLimits.codeBytes) {
    refuse(`its code has ${formatBytes(bytes.byteLength)}; at most ${formatBytes(packageLimits.codeBytes)} are taken`);
  }
  const code = decode(bytes, path);
  checkScript(code, path);
  const map = files.get(`${path}.map`);
  if (!map) return { code };
  if (map.byteLength > packageLimits.sourceMapBytes) {
    refuse(
      `its source map has ${formatBytes(map.byteLength)}; at most ${formatBytes(packageLimits.sourceMapBytes)} are taken`,
    );
  }
  return { code, sourceMap: decode(map, `${path}.map`) };
}

/** Compiles without running, with the same engine that will run it. */
function checkScript(code: string, path: string): void {
  try {
    new Script(code, { filename: "package" });
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : "it is nested too deeply";
    const line = /^package:(\d+)/.exec(error instanceof Error ? (error.stack ?? "") : "")?.[1];
    const isModule = /Cannot use import statement|Unexpected token 'export'|import\.meta/.test(reason);
    refuse(
      isModule
        ? `its code ${quote(path)} is a module, not a bundled script; \`backplane pack\` makes one`
        : `its code ${quote(path)} is not a JavaScript script: ${reason.slice(0, 200)}${line ? ` (line ${line})` : ""}`,
    );
  }
}

/** For a sentence about a manifest that could not be read: the id it claims, if it claims one. */
function claimedId(bytes: Uint8Array): string {
  try {
    const id = (JSON.parse(utf8.decode(bytes)) as { id?: unknown }).id;
    return typeof id === "string" ? id.slice(0, 100) : "?";
  } catch {
    return "?";
  }
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return refuse(`${quote(path)} is not UTF-8 text`);
  }
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function tooLarge(size: number): never {
  throw new PackageFault({ code: "payload_too_large", details: { size, limit: packageLimits.archiveBytes } });
}
