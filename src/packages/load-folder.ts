/**
 * Builds a plugin folder in memory: checks its manifest, bundles its entrypoint, and gives the files a package of it
 * would hold. Used by `pack`, `dev`, `install DIR` and for the bundled plugins.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import type { Digest } from "../base/brands.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { parseManifest } from "../manifest/parse-manifest.ts";
import { digestFiles } from "./archive.ts";
import { type Bundler, createBundler, type PluginBundle } from "./bundle.ts";
import { formatBytes, packageLimits } from "./limits.ts";
import { pathFault } from "./package-path.ts";
import type { PackageFiles } from "./read-tar.ts";

export interface LoadedFolder {
  /** Canonical, with the entrypoint of the package (`./index.js`) instead of the folder's. */
  manifest: Manifest;
  /** Missing when the manifest names no entrypoint. */
  code?: string;
  sourceMap?: string;
  digest: Digest;
  files: PackageFiles;
  warnings: FieldError[];
  /** Absolute paths that went in, for watching. */
  inputs: string[];
}

/** Loads the folder again and again; esbuild stays warm while the entrypoint stays the same. */
export interface FolderLoader extends AsyncDisposable {
  load(): Promise<LoadedFolder>;
}

/** Errors: `invalid_manifest`, `bundle_failed`, each with `errors` that name file, line and field. */
export async function loadFolder(dir: string): Promise<LoadedFolder> {
  await using loader = createFolderLoader(dir);
  return await loader.load();
}

export function createFolderLoader(dir: string): FolderLoader {
  let warm: { entrypoint: string; bundler: Bundler } | undefined;
  const bundle = async (entrypoint: string): Promise<PluginBundle> => {
    if (warm?.entrypoint !== entrypoint) {
      await warm?.bundler[Symbol.asyncDispose]();
      warm = undefined;
      warm = { entrypoint, bundler: await createBundler({ dir, entrypoint }) };
    }
    return warm.bundler.build();
  };
  return {
    async load() {
      const source = await readManifestFile(dir);
      const built = source.entrypoint === undefined ? undefined : await bundle(source.entrypoint);
      return assemble(dir, source, built);
    },
    async [Symbol.asyncDispose]() {
      await warm?.bundler[Symbol.asyncDispose]();
    },
  };
}

async function readManifestFile(dir: string): Promise<Manifest> {
  const file = join(dir, "plugin.json");
  const bytes = await readFile(file).catch(() => undefined);
  if (!bytes) throw manifestError(basename(dir), [{ path: "$", message: `There is no plugin.json in ${dir}.` }]);
  if (bytes.byteLength > packageLimits.manifestBytes) {
    const message = `plugin.json has ${formatBytes(bytes.byteLength)}; at most ${formatBytes(packageLimits.manifestBytes)} are taken.`;
    throw manifestError(basename(dir), [{ path: "$", message }]);
  }
  const { manifest, faults } = parseManifest(new TextDecoder().decode(bytes), { file: "plugin.json" });
  if (!manifest || faults.length > 0) throw manifestError(basename(dir), faults);
  return manifest;
}

function manifestError(plugin: string, errors: FieldError[]): BackplaneError {
  return new BackplaneError("invalid_manifest", { plugin, count: errors.length }, { errors });
}

async function assemble(dir: string, source: Manifest, built: PluginBundle | undefined): Promise<LoadedFolder> {
  const manifest: Manifest = built ? { ...source, entrypoint: "./index.js" } : source;
  const files: PackageFiles = new Map([["plugin.json", Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]]);
  if (built) {
    files.set("index.js", Buffer.from(built.code));
    files.set("index.js.map", Buffer.from(built.sourceMap));
  }
  for (const [path, bytes] of await documents(dir, source.icon)) files.set(path, bytes);
  return {
    manifest,
    ...(built && { code: built.code, sourceMap: built.sourceMap }),
    digest: digestFiles(files),
    files,
    warnings: built?.warnings ?? [],
    inputs: [join(dir, "plugin.json"), ...(built?.inputs ?? [])],
  };
}

/** README, licence and the manifest's icon travel with the code; nothing else of the folder does. */
async function documents(dir: string, icon: string | undefined): Promise<[string, Uint8Array][]> {
  const found: [string, Uint8Array][] = [];
  for (const name of (await readdir(dir)).sort()) {
    const canonical = /^readme\.md$/i.test(name)
      ? "README.md"
      : /^licen[cs]e(?:\.md|\.txt)?$/i.test(name)
        ? "LICENSE"
        : undefined;
    if (!canonical || found.some(([path]) => path === canonical)) continue;
    const info = await stat(join(dir, name));
    if (info.isFile() && info.size <= packageLimits.manifestBytes)
      found.push([canonical, await readFile(join(dir, name))]);
  }
  const image = icon?.replace(/^\.\//, "");
  if (image !== undefined && !/^[a-z]+:/i.test(image) && pathFault(image) === undefined) {
    const file = join(dir, image);
    const info = await stat(file).catch(() => undefined);
    if (info?.isFile() && info.size <= packageLimits.manifestBytes) found.push([image, await readFile(file)]);
  }
  return found;
}
