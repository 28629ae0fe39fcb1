/**
 * Supplies `@backplane/plugin-api` to every bundle from the hub's own copy, so that a plugin folder needs no install and
 * no version of it can differ from the hub. In a checkout the copy is TypeScript, in the packed hub JavaScript.
 */
import { readFile } from "node:fs/promises";
import { dirname, extname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "esbuild";

export const pluginApiName = "@backplane/plugin-api";

const here = fileURLToPath(import.meta.url);
const sourceFolder = join(dirname(here), "..", "..", "plugin-api", "src");
const extension = extname(here);

/** Absolute path of the file behind `@backplane/plugin-api`, for type checks and test kits. */
export const pluginApiEntry = join(sourceFolder, `index${extension}`);

/** Its own namespace keeps the checkout's place out of the bundle's comments and source map. */
export function supplyPluginApi(): Plugin {
  return {
    name: "backplane-plugin-api",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^@backplane\/plugin-api(?:\/|$)/ }, ({ path }) =>
        path === pluginApiName
          ? { path: `index${extension}`, namespace: pluginApiName, sideEffects: false }
          : { errors: [{ text: `A plugin imports only "${pluginApiName}" itself, not "${path}".` }] },
      );
      onResolve({ filter: /^\.\.?\//, namespace: pluginApiName }, ({ path, importer }) => {
        const target = posix.join(posix.dirname(importer), path);
        // TypeScript sources name `.ts` files, which the packed hub has as `.js`.
        const file = extname(target) === ".ts" ? target.slice(0, -3) + extension : target;
        return { path: file, namespace: pluginApiName, sideEffects: false };
      });
      onLoad({ filter: /.*/, namespace: pluginApiName }, async ({ path }) => ({
        contents: await readFile(join(sourceFolder, path)),
        loader: path.endsWith(".json") ? "json" : path.endsWith(".ts") ? "ts" : "js",
      }));
    },
  };
}
