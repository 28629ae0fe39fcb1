/** Code in the docs is compiled as a plugin's would be, and manifests in the docs are validated as the hub would. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { parseManifest } from "../../src/manifest/parse-manifest.ts";
import { type CodeBlock, readPages, root } from "./markdown.ts";

interface Placed extends CodeBlock {
  place: string;
}

const blocks: Placed[] = readPages().flatMap((page) =>
  page.blocks.map((block) => ({ ...block, place: `${page.file}:${block.line}` })),
);
const marked = (language: string, mark: string): Placed[] =>
  blocks.filter((block) => block.language === language && block.marks[0] === mark);

test("manifests in the docs are valid, in the dialect that they are said to be in", () => {
  const manifests = marked("json", "manifest");
  assert.ok(manifests.length >= 10);
  for (const { text, marks, place } of manifests) {
    const { faults, dialect } = parseManifest(text);
    assert.deepEqual(faults, [], place);
    assert.equal(dialect, marks[1] ?? "canonical", place);
  }
});

test("every block of JSON in the docs is JSON, and none of TypeScript in the plugin guide goes unchecked", () => {
  for (const { language, text, place } of blocks)
    if (language === "json") assert.doesNotThrow(() => JSON.parse(text), place);
  const unchecked = blocks.filter(
    ({ language, marks, place }) =>
      place.startsWith("docs/plugin-guide/") &&
      ((language === "ts" && !["plugin", "test"].includes(marks[0] ?? "")) ||
        (language === "json" && marks[0] !== "manifest")),
  );
  assert.deepEqual(
    unchecked.map(({ place }) => place),
    [],
  );
});

test("plugin code in the docs compiles with the sandbox's types, and so do tests in them", async () => {
  const folder = await mkdtemp(join(tmpdir(), "backplane-docs-"));
  try {
    const api = join(root, "plugin-api");
    const compile = async (kind: string, found: readonly Placed[], types: readonly string[]): Promise<string> => {
      assert.ok(found.length > 0, kind);
      const dir = join(folder, kind);
      await mkdir(dir);
      for (const [i, { text }] of found.entries()) await writeFile(join(dir, `block-${i}.ts`), `${text}\nexport {};\n`);
      await writeFile(
        join(dir, "tsconfig.json"),
        JSON.stringify({
          extends: join(root, "tsconfig.plugins.json"),
          compilerOptions: {
            rootDir: "/",
            typeRoots: [],
            paths: {
              "@backplane/plugin-api": [join(api, "src/index.ts")],
              "@backplane/plugin-api/testing": [join(api, "src/testing.ts")],
            },
          },
          files: [...found.map((_, i) => `block-${i}.ts`), ...types.map((file) => join(api, file))],
          include: [],
        }),
      );
      const { stdout } = await promisify(execFile)(join(root, "node_modules/.bin/tsc"), ["--noEmit", "-p", dir], {
        cwd: dir,
      }).catch((error: { stdout: string }) => error);
      return stdout.replace(/block-(\d+)\.ts/g, (_, i) => found[Number(i)]!.place);
    };
    assert.equal(await compile("plugin", marked("ts", "plugin"), ["src/globals.d.ts"]), "");
    assert.equal(await compile("test", marked("ts", "test"), ["src/globals.d.ts", "types/node-test.d.ts"]), "");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
