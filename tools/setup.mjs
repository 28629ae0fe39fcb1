#!/usr/bin/env node
/**
 * All set-up of a checkout, in plain JavaScript that any Node ≥ 18 can run: installs the locked dependencies (the npm
 * package `node` among them, which brings Node 24) and checks that the native parts work. Does nothing when the lockfile
 * has not changed since. Flags: --quiet says nothing when there is nothing to do.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const quiet = process.argv.includes("--quiet");
const modules = join(root, "node_modules");
const stampFile = join(modules, ".backplane-setup");
const node = join(modules, ".bin", "node");

function fail(sentence) {
  console.error(`setup: ${sentence}`);
  process.exit(1);
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, stdio: ["ignore", quiet ? "ignore" : 2, 2], ...options });
}

function lockHash() {
  return createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
}

if (Number(process.versions.node.split(".")[0]) < 18) {
  fail(
    `Node ${process.versions.node} is too old to install anything. Use Node 18 or newer; Backplane brings its own Node 24.`,
  );
}

const wanted = lockHash();
const stamped = existsSync(stampFile) ? readFileSync(stampFile, "utf8") : "";
if (stamped === wanted && existsSync(node)) process.exit(0);

if (!quiet) console.error("setup: installing the locked dependencies (once per lockfile)");
const windows = process.platform === "win32";
const install = run(
  windows ? "npm.cmd" : "npm",
  ["ci", "--no-audit", "--no-fund", "--include=dev", "--loglevel=error"],
  { shell: windows },
);
if (install.status !== 0)
  fail("`npm ci` failed; its message is above. The npm registry must be reachable for the first start.");

// Where install scripts are switched off (npm config ignore-scripts), the packages that need theirs get it here.
if (!existsSync(node))
  fail(
    "the npm package `node` did not supply its binary. Is `ignore-scripts` or `omit=optional` set? Unset it and start again.",
  );
const version = spawnSync(node, ["-p", "process.versions.node"], { encoding: "utf8" });
if (version.status !== 0 || Number(version.stdout.split(".")[0]) < 24) {
  const script = join(modules, "node", "installArchSpecificPackage.js");
  if (existsSync(script)) run(process.execPath, [script], { cwd: dirname(script) });
}
const again = spawnSync(node, ["-p", "process.versions.node"], { encoding: "utf8" });
if (again.status !== 0 || Number(again.stdout.split(".")[0]) < 24)
  fail("Node 24 could not be installed from the npm package `node`.");

const native = spawnSync(
  node,
  ["--no-node-snapshot", "-e", "require('isolated-vm');require('esbuild').transformSync('1')"],
  { cwd: root, encoding: "utf8" },
);
if (native.status !== 0) fail(`a native dependency does not load under Node ${again.stdout.trim()}:\n${native.stderr}`);

writeFileSync(stampFile, wanted);
if (!quiet) console.error("setup: done");
