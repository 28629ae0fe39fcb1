/**
 * Puts `node_modules/@backplane/plugin-api` into a plugin's folder: a small package.json whose `src` is a link to the hub's
 * own copy. Editors, `tsc` and Node then find the types as if they were installed, and always of this hub's version.
 * Builds and tests do not depend on it.
 */
import { cp, lstat, mkdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pluginApiEntry, pluginApiName } from "../packages/plugin-api-source.ts";

const isTypeScript = import.meta.url.endsWith(".ts");
const source = dirname(pluginApiEntry);
const root = dirname(source);
/** The hub's own package, so that its folder is left alone. */
const home = fileURLToPath(new URL(isTypeScript ? "../.." : "../../..", import.meta.url));

/** What a plugin's code, test and editor may import. */
export const pluginApiExports = (extension: "ts" | "js"): Record<string, unknown> => {
  const types = (name: string): string => `./src/${name}.${extension === "ts" ? "ts" : "d.ts"}`;
  return {
    ".": { types: types("index"), default: `./src/index.${extension}` },
    "./testing": { types: types("testing"), default: `./src/testing.${extension}` },
    "./globals": { types: "./src/globals.d.ts" },
    "./node-test": { types: "./types/node-test.d.ts" },
    "./manifest.schema.json": "./manifest.schema.json",
    "./package.json": "./package.json",
  };
};

/** Quiet where it cannot be done (a read-only folder), because nothing but the editor misses it. Returns whether it stands. */
export async function linkPluginApi(dir: string): Promise<boolean> {
  const target = join(dir, "node_modules", ...pluginApiName.split("/"));
  try {
    // Bundled plugins find the workspace's own link above them.
    if (`${join(dir)}/`.startsWith(join(home, "plugins"))) return true;
    const there = await lstat(target).catch(() => undefined);
    // Somebody linked or installed their own.
    if (there?.isSymbolicLink()) return true;
    const manifest = `${JSON.stringify({ name: pluginApiName, version: "0.0.0-linked", private: true, type: "module", exports: pluginApiExports(isTypeScript ? "ts" : "js") }, null, 2)}\n`;
    const before = await readFile(join(target, "package.json"), "utf8").catch(() => undefined);
    if (before !== undefined && !before.includes("-linked")) return true;
    await mkdir(target, { recursive: true });
    for (const folder of ["src", "types"]) await link(join(root, folder), join(target, folder));
    const schema = await readFile(join(root, "manifest.schema.json"), "utf8").catch(() => undefined);
    if (schema !== undefined) await writeFile(join(target, "manifest.schema.json"), schema);
    if (before !== manifest) await writeFile(join(target, "package.json"), manifest);
    return true;
  } catch {
    return false;
  }
}

/** A junction needs no right on Windows; a copy does where links are impossible. */
async function link(from: string, to: string): Promise<void> {
  if ((await readlink(to).catch(() => undefined)) === from) return;
  await rm(to, { recursive: true, force: true });
  await symlink(from, to, "junction").catch(() => cp(from, to, { recursive: true }));
}
