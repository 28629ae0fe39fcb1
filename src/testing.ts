/**
 * Entry of the processes that run an author's tests: puts `testPlugin` where `@backplane/plugin-api/testing` looks for it, and
 * supplies that package from this copy of Backplane whatever the folder has installed. The hub starts at the first use.
 */
import { registerHooks } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testKitKey } from "../plugin-api/src/testing.ts";
import { createPluginKit } from "./authoring/plugin-kit.ts";
import { createKitHub } from "./authoring/tested-hub.ts";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const supplied: Record<string, string> = {
  "@backplane/plugin-api": new URL(`../plugin-api/src/index.${extension}`, import.meta.url).href,
  "@backplane/plugin-api/testing": new URL(`../plugin-api/src/testing.${extension}`, import.meta.url).href,
};

registerHooks({
  resolve(specifier, context, next) {
    const url = Object.hasOwn(supplied, specifier) ? supplied[specifier] : undefined;
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true };
  },
});

const hub = createKitHub(
  async (settings, parts) => (await import("./main.ts")).composeHub(settings, parts),
  process.env["BACKPLANE_TEST_DATA"] ?? join(tmpdir(), `backplane-test-${process.pid}`),
);

Object.assign(globalThis, {
  [testKitKey]: createPluginKit({ dir: process.env["BACKPLANE_TEST_DIR"] ?? process.cwd(), hub }),
});
