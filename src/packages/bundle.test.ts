import assert from "node:assert/strict";
import { test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { BackplaneError } from "../errors/error.ts";
import { bundlePlugin, createBundler } from "./bundle.ts";
import { greeterFiles, pluginFolder } from "./plugin-folder.fixture.ts";

/** Runs a bundle in an empty realm: what it needs from outside itself is missing there. */
function definitionOf(code: string): Record<string, never> {
  const realm = createContext(Object.create(null));
  runInContext(code, realm);
  return runInContext("globalThis.__backplanePlugin", realm);
}

async function failureOf(files: Record<string, string>, entrypoint = "index.ts"): Promise<BackplaneError> {
  await using folder = await pluginFolder(files);
  const error = await bundlePlugin({ dir: folder.dir, entrypoint }).then(
    () => assert.fail("bundled"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof BackplaneError && error.code === "bundle_failed", String(error));
  return error;
}

test("a TypeScript folder becomes one script that leaves its definition in globalThis.__backplanePlugin", async () => {
  await using folder = await pluginFolder(greeterFiles);
  const { code, sourceMap, inputs } = await bundlePlugin({ dir: folder.dir, entrypoint: "./index.ts" });
  const plugin = definitionOf(code) as unknown as { functions: { hello(p: object): Promise<object> } };
  assert.deepEqual({ ...(await plugin.functions.hello({ who: "Ada" })) }, { text: "Hello, Ada" });
  assert.equal(plugin.functions.hello.name, "hello");
  const map = JSON.parse(sourceMap);
  assert.deepEqual(
    map.sources.filter((s: string) => !s.includes("plugin-api")),
    ["greet.ts", "index.ts", "backplane-entry"],
  );
  assert.equal(map.sourcesContent, undefined);
  assert.deepEqual(inputs.map((input) => input.slice(folder.dir.length + 1)).sort(), ["greet.ts", "index.ts"]);
});

test("two folders with equal content in different places give equal bytes", async () => {
  await using one = await pluginFolder(greeterFiles);
  await using two = await pluginFolder({});
  await two.write(Object.fromEntries(Object.entries(greeterFiles).map(([path, text]) => [`deep/er/${path}`, text])));
  const first = await bundlePlugin({ dir: one.dir, entrypoint: "index.ts" });
  const second = await bundlePlugin({ dir: `${two.dir}/deep/er`, entrypoint: "./index.ts" });
  assert.equal(first.code, second.code);
  assert.equal(first.sourceMap, second.sourceMap);
  assert.ok(!first.code.includes("/tmp") && !first.sourceMap.includes("/tmp"));
});

test("npm packages are bundled, CommonJS and browser replacements included", async () => {
  await using folder = await pluginFolder({
    "index.ts": `import { a } from "esm"; import cjs from "cjs"; export default { a, cjs };`,
    "node_modules/esm/package.json": JSON.stringify({
      name: "esm",
      main: "node.js",
      browser: { "./node.js": "./web.js", fs: false },
    }),
    "node_modules/esm/node.js": "export const a = 'node'",
    "node_modules/esm/web.js": "import fs from 'fs'; export const a = 'web' + Object.keys(fs).length",
    "node_modules/cjs/package.json": JSON.stringify({ name: "cjs" }),
    "node_modules/cjs/index.js":
      "let c; try { c = require('crypto') } catch { c = 'none' }; module.exports = { c, env: process.env.NODE_ENV }",
  });
  const plugin = definitionOf((await bundlePlugin({ dir: folder.dir, entrypoint: "index.ts" })).code);
  assert.equal(JSON.stringify(plugin), '{"a":"web0","cjs":{"c":"none","env":"production"}}');
});

test("a package that stands in for a Node built-in is used; an unused built-in does no harm", async () => {
  await using folder = await pluginFolder({
    "index.ts": `import { on } from "events"; import { used } from "lib"; export default { on, used };`,
    "node_modules/events/package.json": JSON.stringify({ name: "events", main: "e.js" }),
    "node_modules/events/e.js": "exports.on = 1",
    "node_modules/lib/package.json": JSON.stringify({ name: "lib", main: "l.js", type: "module", sideEffects: false }),
    "node_modules/lib/l.js":
      "import net from 'node:net'; export const unused = () => net.connect(); export const used = 2",
  });
  const plugin = definitionOf((await bundlePlugin({ dir: folder.dir, entrypoint: "index.ts" })).code);
  assert.equal(JSON.stringify(plugin), '{"on":1,"used":2}');
});

test("a Node built-in is refused with the chain of imports that leads to it", async (t) => {
  const lib = (source: string): Record<string, string> => ({
    "index.ts": `import "./a.ts";\nexport default {};`,
    "a.ts": `// first line\nimport { x } from "lib";\nconsole.log(x);`,
    "node_modules/lib/package.json": JSON.stringify({ name: "lib" }),
    "node_modules/lib/index.js": source,
  });
  const ways: Record<string, string> = {
    "node:net": `\nimport net from "node:net"; export const x = net;`,
    fs: `\nconst fs = require("fs"); exports.x = fs;`,
    "fs/promises": `\nexports.x = () => import("fs/promises");`,
    child_process: `\nexport * from "child_process";`,
  };
  for (const [name, source] of Object.entries(ways)) {
    await t.test(name, async () => {
      const error = await failureOf(lib(source));
      assert.deepEqual(error.errors, [
        {
          path: "node_modules/lib/index.js",
          message: `The Node built-in "${name}" does not exist in a plugin; what a plugin can do is on its ctx. Imported by: index.ts → a.ts → node_modules/lib/index.js → ${name}.`,
          line: 2,
        },
      ]);
    });
  }
});

test("code that would be loaded later is refused with its line", async () => {
  const named = await failureOf({ "index.ts": `export default { f(name: string) {\n  return import(name);\n} };` });
  assert.equal(named.errors?.[0]?.line, 2);
  assert.match(named.errors?.[0]?.message ?? "", /cannot load code later/);
  const url = await failureOf({ "index.ts": `import x from "https://esm.example/x";\nexport default { x };` });
  assert.match(url.errors?.[0]?.message ?? "", /"https:\/\/esm.example\/x" is not part of the bundle/);
  const caught = await failureOf({ "index.ts": `export default { f: () => import("./gone.ts").catch(() => 1) };` });
  assert.equal(caught.errors?.[0]?.path, "index.ts");
});

test("a fixed dynamic import is bundled and answers without a module loader", async () => {
  await using folder = await pluginFolder({
    "index.ts": `export default { f: async () => (await import("./later.ts")).value };`,
    "later.ts": "export const value = 7;",
  });
  const { code } = await bundlePlugin({ dir: folder.dir, entrypoint: "index.ts" });
  assert.doesNotMatch(code, /\bimport\(/);
  const plugin = definitionOf(code) as unknown as { f(): Promise<number> };
  assert.equal(await plugin.f(), 7);
});

test("faults of the author's code name file, line and column", async () => {
  const syntax = await failureOf({ "index.ts": `export default {\n  a: ,\n};` });
  assert.deepEqual(syntax.errors, [{ path: "index.ts", message: 'Unexpected ","', line: 2, column: 6 }]);
  const missing = await failureOf({ "index.ts": `import x from "not-installed";\nexport default x;` });
  assert.deepEqual(
    missing.errors?.map(({ path, line }) => [path, line]),
    [["index.ts", 1]],
  );
  const noDefault = await failureOf({ "index.ts": "export const a = 1;" });
  assert.match(noDefault.errors?.[0]?.message ?? "", /no default export/);
  const awaits = await failureOf({ "index.ts": "await 1;\nexport default {};" });
  assert.match(awaits.errors?.[0]?.message ?? "", /init\(ctx\)/);
});

test("an entrypoint outside the folder, missing, or a folder is refused", async () => {
  for (const entrypoint of ["../index.ts", "/etc/passwd", "gone.ts", "src", "."]) {
    assert.match((await failureOf({ "src/index.ts": "export default {}" }, entrypoint)).message, /entrypoint/);
  }
});

test("a bundler rebuilds within a second and recovers from a fault", async () => {
  await using folder = await pluginFolder(greeterFiles);
  await using bundler = await createBundler({ dir: folder.dir, entrypoint: "index.ts" });
  const first = await bundler.build();
  await folder.write({ "greet.ts": "export const greet = (" });
  await assert.rejects(bundler.build(), { code: "bundle_failed" });
  await folder.write({ "greet.ts": "export const greet = () => 'changed';" });
  const start = performance.now();
  const third = await bundler.build();
  assert.ok(performance.now() - start < 1000);
  assert.notEqual(first.code, third.code);
  assert.match(third.code, /changed/);
});

test("only the folder's own tsconfig.json counts", async () => {
  await using folder = await pluginFolder({
    "tsconfig.json": JSON.stringify({
      compilerOptions: { paths: { x: ["./wrong.ts"] }, target: "es5", jsx: "broken" },
    }),
    "plugin/index.ts": "export default class { static a = 1 }",
    "own/tsconfig.json": JSON.stringify({ compilerOptions: { paths: { "~/*": ["./src/*"] } } }),
    "own/index.ts": `import { a } from "~/a.ts"; export default a;`,
    "own/src/a.ts": "export const a = { own: 1 }",
  });
  const plain = await bundlePlugin({ dir: `${folder.dir}/plugin`, entrypoint: "index.ts" });
  assert.deepEqual(plain.warnings, []);
  assert.match((await bundlePlugin({ dir: `${folder.dir}/own`, entrypoint: "index.ts" })).code, /own:1/);
});

test("sloppy code of npm packages is bundled as it is, also for an author with a strict tsconfig.json", async () => {
  for (const config of [undefined, JSON.stringify({ compilerOptions: { strict: true } })]) {
    await using folder = await pluginFolder({
      ...(config !== undefined && { "tsconfig.json": config }),
      "index.ts": `import sloppy from "sloppy"; export default { sloppy };`,
      "node_modules/sloppy/package.json": JSON.stringify({ name: "sloppy" }),
      "node_modules/sloppy/index.js":
        "implied = 010; module.exports = implied + (function () { return this === undefined ? 100 : 0; })();",
    });
    const { code } = await bundlePlugin({ dir: folder.dir, entrypoint: "index.ts" });
    assert.equal(JSON.stringify(definitionOf(code)), '{"sloppy":8}');
  }
});
