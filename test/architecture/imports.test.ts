/** Imports point down the floors; the table in floors.ts is the law, and this test reads every source file against it. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { type Floor, floors } from "./floors.ts";

const root = join(import.meta.dirname, "../..");
const importPattern =
  /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s*"([^"]+)"|import\("([^"]+)"\)|(?:^|\n)\s*import\s*"([^"]+)"/g;

export function floorOf(path: string): Floor | undefined {
  return floors
    .filter((floor) => path === floor.folder || path.startsWith(`${floor.folder}/`))
    .sort((a, b) => b.folder.length - a.folder.length)[0];
}

function sources(): string[] {
  return globSync(["src/**/*.ts", "plugin-api/src/**/*.ts"], { cwd: root }).sort();
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const found: string[] = [];
  for (const match of text.matchAll(importPattern)) {
    const specifier = match[1] ?? match[2] ?? match[3];
    if (specifier?.startsWith(".")) found.push(relative(root, join(root, dirname(file), specifier)));
  }
  return found;
}

/** Test files and test helpers may reach further: they boot what they test. */
const isTest = (file: string): boolean => /\.(test|contract)\.ts$/.test(file) || /(^|\/)test-[\w-]+\.ts$/.test(file);

test("every source file stands on a floor", () => {
  const files = sources();
  assert.ok(files.length > 50, `the scan found only ${files.length} files`);
  const homeless = files.filter((file) => !floorOf(file));
  assert.deepEqual(homeless, []);
});

test("imports point down the floors, or to a sibling the table names", () => {
  const breaches: string[] = [];
  for (const file of sources().filter((name) => !isTest(name))) {
    const from = floorOf(file);
    for (const target of importsOf(file)) {
      const to = floorOf(target);
      if (!from || !to || from.folder === to.folder) continue;
      const allowed = to.floor < from.floor || from.siblings?.includes(to.folder);
      if (!allowed) breaches.push(`${file} (floor ${from.floor}) imports ${target} (floor ${to.floor})`);
    }
  }
  assert.deepEqual(breaches, []);
});

test("the guest and the plugin API import neither Node nor the hub", () => {
  const breaches: string[] = [];
  for (const file of sources().filter(
    (name) => (name.startsWith("src/runtimes/isolate/guest/") || name.startsWith("plugin-api/")) && !isTest(name),
  )) {
    if (file.endsWith("guest/build.ts")) continue;
    const text = readFileSync(join(root, file), "utf8");
    if (/from\s+"node:/.test(text)) breaches.push(`${file} imports Node`);
  }
  assert.deepEqual(breaches, []);
});

test("no import rule is switched off in a source file", () => {
  const offenders = sources().filter((file) => /@ts-nocheck|@ts-ignore/.test(readFileSync(join(root, file), "utf8")));
  assert.deepEqual(offenders, []);
});
