import assert from "node:assert/strict";
import { test } from "node:test";
import { createContext, runInContext } from "node:vm";
import fc from "fast-check";
import { bundlePlugin } from "./bundle.ts";
import { createStackMapper, type StackMapper } from "./map-stack.ts";
import { greeterFiles, pluginFolder } from "./plugin-folder.fixture.ts";
import { displayName } from "./source-names.ts";

const script = "plugin://acme.greeter@1.0.0/index.js";
const frame = (line: number, column: number): string => `Error: x\n    at f (${script}:${line}:${column})`;

function mapWith(
  mapper: StackMapper,
  sourceMap: string,
  stack = frame(1, 1),
  key = sourceMap.slice(0, 200),
): Promise<string> {
  return mapper.mapStack({ stack, script, key, loadSourceMap: async () => sourceMap });
}

test("a stack of a bundle shows the author's files, lines and columns", async () => {
  await using folder = await pluginFolder(greeterFiles);
  await using mapper = createStackMapper();
  const { code, sourceMap } = await bundlePlugin({ dir: folder.dir, entrypoint: "index.ts" });
  const realm = createContext({});
  runInContext(code, realm, { filename: script });
  const stack: string = await runInContext(
    "__backplanePlugin.functions.hello({ who: 'nobody' }).catch((e) => e.stack)",
    realm,
    { filename: "caller" },
  );
  const mapped = await mapWith(mapper, sourceMap, stack);
  assert.match(
    mapped,
    /^Error: nobody to greet\n {4}at greet \(greet\.ts:2:31\)\n {4}at (?:\w+\.)?hello \(index\.ts:6:\d+\)\n/,
  );
  assert.doesNotMatch(mapped, /plugin:\/\//);
  assert.match(mapped, /caller:1:/);
});

test("the map is asked for once, and a stack that is known is answered without the worker", async () => {
  await using mapper = createStackMapper();
  const map = JSON.stringify({ version: 3, sources: ["a.ts"], mappings: "AAAA" });
  let loads = 0;
  const ask = (column: number): Promise<string> =>
    mapper.mapStack({
      stack: frame(1, column),
      script,
      key: "k",
      loadSourceMap: async () => (loads++ === 0 ? map : undefined),
    });
  assert.match(await ask(1), /\(a\.ts:1:1\)$/);
  assert.match(await ask(5), /\(a\.ts:1:1\)$/);
  assert.equal(await ask(1), await ask(1));
  assert.equal(loads, 1);
});

test("names that would show a machine or lead out become plain relative names", () => {
  const names: Record<string, string> = {
    "src/index.ts": "src/index.ts",
    "my plugin/index.ts": "my_plugin/index.ts",
    "file:///home/ada/plugin/index.ts": "index.ts",
    "FILE:///C:/Users/ada/index.ts": "index.ts",
    "C:\\Users\\ada\\index.ts": "index.ts",
    "webpack:///src/a.ts": "a.ts",
    "../../../../etc/passwd": "passwd",
    "src/../../../x.ts": "src/x.ts",
    "/root/app/node_modules/lib/i.js": "node_modules/lib/i.js",
    "../../node_modules/lib/i.js": "node_modules/lib/i.js",
    "a\nb\u001b[31m.ts": "ab[31m.ts",
    "x.ts:1:1)\n    at host (/secret.ts": "x.ts:1:1_at_host_/secret.ts",
    "": "unknown",
    "..": "unknown",
    "https://user:pw@host/a.ts": "a.ts",
  };
  for (const [source, shown] of Object.entries(names)) assert.equal(displayName(source), shown, source);
  assert.equal(displayName(7), "unknown");
  assert.ok(displayName("x".repeat(1e6)).length <= 200);
});

test("a map that is broken, sectioned or absurd leaves the stack as it was", async () => {
  await using mapper = createStackMapper();
  const base = { version: 3, sources: ["a.ts"], names: [] };
  const maps = [
    "",
    "{",
    "null",
    "[]",
    "7",
    JSON.stringify({ ...base, mappings: 5 }),
    JSON.stringify({ ...base, version: 2, mappings: "AAAA" }),
    JSON.stringify({ ...base, sources: "a.ts", mappings: "AAAA" }),
    JSON.stringify({ version: 3, sections: [{ offset: { line: 0, column: 0 }, map: { ...base, mappings: "AAAA" } }] }),
    JSON.stringify({ ...base, mappings: "!!!!" }),
    JSON.stringify({ ...base, mappings: "ggggggggggggggggggggggggggggggg" }),
    JSON.stringify({ ...base, mappings: "ADDD" }),
    JSON.stringify({ ...base, mappings: "AA//////+DAA" }),
    JSON.stringify({ ...base, sources: [], mappings: "AAAA" }),
    JSON.stringify({ ...base, mappings: ";".repeat(100_000) }),
  ];
  for (const map of maps) assert.equal(await mapWith(mapper, map), frame(1, 1), map.slice(0, 80));
});

test("random mappings never break a stack (property)", async () => {
  await using mapper = createStackMapper();
  const mappings = fc.string({ unit: fc.constantFrom(..."ABCDgh+/;,!9z"), maxLength: 300 });
  await fc.assert(
    fc.asyncProperty(mappings, fc.nat(5), fc.nat(400), async (text, line, column) => {
      const map = JSON.stringify({ version: 3, sources: ["a.ts"], mappings: text });
      const mapped = await mapWith(mapper, map, frame(line + 1, column + 1), `${text}`);
      assert.match(mapped, /^Error: x\n {4}at f \((?:a\.ts:\d+:\d+|plugin:.*)\)$/);
    }),
    { numRuns: 300 },
  );
});

test("a map that takes too much time or memory ends its worker; the next stack is mapped again", async () => {
  await using mapper = createStackMapper({ timeoutMs: 1500, heapMb: 64 });
  const huge = JSON.stringify({ version: 3, sources: ["a.ts"], mappings: "AAAA,".repeat(2_200_000) });
  const start = performance.now();
  assert.equal(await mapWith(mapper, huge, frame(1, 1), "huge"), frame(1, 1));
  assert.ok(performance.now() - start < 4000);
  const small = JSON.stringify({ version: 3, sources: ["a.ts"], mappings: "AAAA" });
  assert.match(await mapWith(mapper, small), /a\.ts:1:1/);
  const again = performance.now();
  assert.equal(await mapWith(mapper, huge, frame(1, 2), "huge"), frame(1, 2));
  assert.ok(performance.now() - again < 50, "a map that failed is not tried again");
});

test("a huge stack is cut before it is looked at, and only its own script is mapped", async () => {
  await using mapper = createStackMapper();
  const map = JSON.stringify({ version: 3, sources: ["a.ts"], mappings: "AAAA" });
  const long = `Error: x\n${`    at f (${script}:1:1)\n`.repeat(1e5)}`;
  const mapped = await mapWith(mapper, map, long);
  assert.ok(mapped.length <= 16_384 && mapped.split("\n").length <= 52);
  const other = `Error: ${script}:1:1\n    at g (backplane:prelude:1:1)\n    at h (<anonymous>)\n    at ${script}:1:1:1`;
  assert.equal(await mapWith(mapper, map, other), other);
});
