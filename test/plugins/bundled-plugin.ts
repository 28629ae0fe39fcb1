/** A bundled plugin as its folder holds it, for the checks of this folder. Runs nothing of it. */
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { type ParsedManifest, parseManifest } from "../../src/manifest/parse-manifest.ts";

export const root = join(import.meta.dirname, "../..");

export interface BundledPlugin {
  /** Relative to the repository, such as `plugins/domains/greeter`. */
  folder: string;
  /** The folder's own name. */
  name: string;
  parsed: ParsedManifest;
  manifest: Manifest;
  files: string[];
  readme: string;
  quality: Record<string, unknown>;
  /** All code but the tests, with comments emptied, and with files beside the folder that it imports. */
  code: string;
  /** The same with comments. */
  commented: string;
  tests: string[];
  fixtures: string[];
}

export function bundledPlugins(): BundledPlugin[] {
  return globSync("plugins/*/*/", { cwd: root })
    .map((folder) => folder.replace(/\/$/, ""))
    .sort()
    .map(readPlugin);
}

function readPlugin(folder: string): BundledPlugin {
  const dir = join(root, folder);
  const read = (file: string): string => (existsSync(join(dir, file)) ? readFileSync(join(dir, file), "utf8") : "");
  const parsed = parseManifest(read("plugin.json"), { file: `${folder}/plugin.json` });
  const sources = globSync("**/*.ts", { cwd: dir, exclude: ["**/node_modules/**", "fixtures/**"] });
  const isTest = (file: string): boolean => file.endsWith(".test.ts");
  const own = sources
    .filter((file) => !isTest(file))
    .map(read)
    .join("\n");
  const shared = new Set([...own.matchAll(/\bfrom "(\.\.\/[\w-]+\.ts)"/g)].map((match) => match[1]!));
  const commented = [own, ...[...shared].map(read)].join("\n");
  return {
    folder,
    name: folder.split("/").at(-1)!,
    parsed,
    manifest: parsed.manifest as Manifest,
    files: readdirSync(dir),
    readme: read("README.md"),
    quality: JSON.parse(read("quality.json") || "{}") as Record<string, unknown>,
    code: withoutComments(commented),
    commented,
    tests: sources.filter(isTest),
    fixtures: globSync("fixtures/**/*.*", { cwd: dir }),
  };
}

/** Good for our own formatted code: block comments, and line comments that are not part of an address. */
export function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}
