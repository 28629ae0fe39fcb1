/**
 * Makes `dist/`, what `npm pack` ships: JavaScript and types of the hub (Node refuses TypeScript below node_modules), the
 * guest prelude and the runner as one script each, the bundled plugins, and the package.json that names the version.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { guestPrelude } from "../src/runtimes/isolate/host/build-guest.ts";
import { runnerScript } from "../src/runtimes/isolate/host/build-runner.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

rmSync(dist, { recursive: true, force: true });
execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
mkdirSync(join(dist, "src/runtimes/isolate/guest"), { recursive: true });
writeFileSync(join(dist, "src/runtimes/isolate/guest/prelude.generated.js"), (await guestPrelude()).text);
const runner = await runnerScript();
writeFileSync(join(dist, "src/runtimes/isolate/runner/script.generated.js"), runner.text);
writeFileSync(join(dist, "src/runtimes/isolate/runner/script.generated.js.map"), runner.map);
for (const file of [
  "package.json",
  "plugin-api/manifest.schema.json",
  "plugin-api/rule.schema.json",
  "plugin-api/package.json",
  "plugin-api/src/globals.d.ts",
  "plugin-api/types/node-test.d.ts",
])
  cpSync(join(root, file), join(dist, file));
cpSync(join(root, "plugins"), join(dist, "plugins"), {
  recursive: true,
  filter: (path) => !/\.test\.ts$|\/fixtures(\/|$)|\/node_modules(\/|$)/.test(path),
});
