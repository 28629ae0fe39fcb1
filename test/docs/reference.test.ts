/** Tables that repeat what the code says: permissions, limits, routes, `ctx`, globals, manifest fields, metrics, errors, glossary. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { authorErrorCodes } from "../../plugin-api/src/errors.ts";
import { manifestSchema } from "../../plugin-api/src/manifest.ts";
import { apiRoutes } from "../../src/edges/http/api.ts";
import type { RouteSpec } from "../../src/edges/http/route.ts";
import { errorTable } from "../../src/errors/table.ts";
import {
  describePermission,
  fixedPermissions,
  parsePermission,
  targetedExamples,
} from "../../src/manifest/permissions.ts";
import { schemaCaps } from "../../src/manifest/schema-guard.ts";
import { packageLimits } from "../../src/packages/limits.ts";
import { cutLimits, defaultCeiling, defaultLimits, type Limits } from "../../src/policy/limits.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { generatedDocs } from "../../tools/gen-docs.ts";
import { bare, codeSpans, markedTable, readPages, root, rowsOf } from "./markdown.ts";

const pages = new Map(readPages().map((page) => [page.file, page]));
const page = (file: string) => pages.get(file)!;
const source = (file: string): string => readFileSync(join(root, file), "utf8");

test("the generated parts of the docs are those of the code", () => {
  for (const { file, text } of generatedDocs())
    assert.equal(source(file), text, `${file} is stale: run node tools/gen-docs.ts`);
});

test("every code that authors are told of is in the error table", () => {
  assert.deepEqual(
    authorErrorCodes.filter((code) => !(code in errorTable)),
    [],
  );
});

test("the type of emitEvent names the codes that the page on ctx names for it", () => {
  const doc = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*emitEvent\(/.exec(source("plugin-api/src/context.ts"))?.[1] ?? "";
  const section = /## `ctx.emitEvent[\s\S]*?(?=\n## )/.exec(page("docs/plugin-guide/context.md").text)?.[0] ?? "";
  const codes = (text: string): string[] =>
    [...new Set([...text.matchAll(/`(\w+)`/g)].map(([, code = ""]) => code))].filter((code) => code in errorTable);
  assert.ok(codes(doc).length > 3);
  assert.deepEqual(codes(doc), codes(section));
});

test("codes that the page on ctx names are codes an author may meet", () => {
  const own: readonly string[] = [...authorErrorCodes, "plugin_error"];
  const named = codeSpans(page("docs/plugin-guide/context.md")).filter((span) => span in errorTable);
  assert.ok(named.length > 20);
  assert.deepEqual(
    named.filter((code) => !own.includes(code)),
    [],
  );
});

test("the page on permissions has every one, with the sentence and the risk of the code", () => {
  const rows = markedTable(page("docs/plugin-guide/permissions.md"), "permissions");
  const shown = rows.map(([permission = "", sentence, risk]) => ({ permission: bare(permission), sentence, risk }));
  assert.deepEqual(
    shown,
    shown.map(({ permission }) => describePermission(permission)),
  );
  const namespace = (text: string): string | undefined => parsePermission(text).permission?.namespace;
  const missing = [
    ...fixedPermissions.filter((text) => !shown.some(({ permission }) => permission === text)),
    ...targetedExamples.filter(
      (text) =>
        !shown.some(
          ({ permission }) => permission !== namespace(permission) && namespace(permission) === namespace(text),
        ),
    ),
  ];
  assert.deepEqual(missing, []);
});

test("the page on limits has every one, with least, default and ceiling of the code", () => {
  const rows = markedTable(page("docs/plugin-guide/limits.md"), "limits");
  const least = cutLimits({ memoryMb: 0, cpuMs: 0, timeoutMs: 0, concurrency: 0 } as never);
  const asked: readonly string[] = Object.keys(manifestSchema.$defs.resources.properties);
  const wanted = (Object.keys(defaultLimits) as (keyof Limits)[]).map((name) => [
    asked.includes(name) ? `\`${name}\`` : `(fixed) \`${name}\``,
    asked.includes(name) ? String(least[name]) : "",
    String(defaultLimits[name]),
    String(defaultCeiling[name]),
  ]);
  assert.deepEqual(
    rows.map((row) => row.slice(1, 5)),
    wanted,
  );
});

test("sizes that the guide states are those of the code", () => {
  const megabyte = 1024 * 1024;
  const guide = page("docs/plugin-guide/README.md").text;
  for (const [what, bytes] of Object.entries({
    "the tarball": packageLimits.archiveBytes,
    "the bundle": packageLimits.codeBytes,
    "the source map": packageLimits.sourceMapBytes,
  }))
    assert.ok(guide.includes(`| ${what} | ${bytes / megabyte} MB |`), what);
  assert.ok(guide.includes(`| ${packageLimits.expandedBytes / megabyte} MB, ${packageLimits.entries} entries |`));
  assert.ok(guide.includes(`| ${packageLimits.manifestBytes / 1024} KB |`));
  const { bytes, depth, subschemas, patterns, patternLength } = schemaCaps;
  assert.ok(
    page("docs/plugin-guide/manifest.md")
      .text.replaceAll("\n", " ")
      .includes(
        `at most ${bytes} bytes, ${depth} levels, ${subschemas} subschemas (1000 with references written out), ${patterns} patterns of ${patternLength} characters`,
      ),
  );
});

const who = ({ access }: RouteSpec): string =>
  "public" in access ? "public" : "hubAdmin" in access ? "hub admin" : access.role;

test("the page on the API has every route, with who may call it", () => {
  const routes = apiRoutes({} as never, { version: "0", stopping: new AbortController().signal });
  const shown = markedTable(page("docs/api.md"), "routes").map(([route = "", rule = ""]) => `${bare(route)} (${rule})`);
  const wanted = routes.map((route) => `${route.method} ${route.path} (${who(route)})`);
  assert.deepEqual(shown.toSorted(), wanted.toSorted());
});

/** Members of an interface of the author's types, functions and fields alike. */
function membersOf(name: string, file = "plugin-api/src/context.ts"): string[] {
  const body = new RegExp(`export interface ${name}(?:<.*>)? \\{\\n([\\s\\S]*?)\\n\\}`).exec(source(file))?.[1] ?? "";
  const found = [...body.replace(/\/\*\*[\s\S]*?\*\//g, "").matchAll(/^ {2}(?:readonly )?(\w+)[?(<:]/gm)].map(
    (match) => match[1]!,
  );
  assert.ok(found.length > 0, name);
  return [...new Set(found)];
}

test("the page on ctx has every member", () => {
  const spans = codeSpans(page("docs/plugin-guide/context.md")).map((span) => span.replace(/^ctx\./, ""));
  const named = (member: string): boolean =>
    spans.some((span) => span === member || span.startsWith(`${member}(`) || span.startsWith(`${member}.`));
  const faces = [
    "Logger",
    "PermissionAbilities",
    "ExecutionInfo",
    "CryptoAbilities",
    "DataAbilities",
    "HttpAbilities",
    "StorageAbilities",
    "PluginCallAbilities",
    "EmitOptions",
    "QueryOptions",
  ];
  const missing = ["PluginContext", ...faces].flatMap((face) =>
    membersOf(face)
      .filter((member) => !named(member))
      .map((member) => `${face}.${member}`),
  );
  assert.deepEqual(missing, []);
});

test("the page on tests has every option and member of the kit", () => {
  const spans = codeSpans(page("docs/plugin-guide/testing.md"));
  const named = (member: string): boolean => spans.some((span) => span === member || span.startsWith(`${member}(`));
  const missing = ["TestPluginOptions", "TestedPlugin"].flatMap((face) =>
    membersOf2(face).filter((member) => !named(member)),
  );
  assert.deepEqual(missing, []);
});

function membersOf2(name: string): string[] {
  const body =
    new RegExp(`export interface ${name}[^{]*\\{\\n([\\s\\S]*?)\\n\\}`).exec(
      source("plugin-api/src/testing.ts"),
    )?.[1] ?? "";
  const found = [...body.matchAll(/^ {2}(?:readonly )?(\w+)[?(<:]/gm)].map((match) => match[1]!);
  assert.ok(found.length > 0, name);
  return found;
}

test("the page on the runtime has every global", () => {
  const declared = [...source("plugin-api/src/globals.d.ts").matchAll(/^declare (?:const|function|class) (\w+)/gm)].map(
    (match) => match[1]!,
  );
  assert.ok(declared.length >= 30);
  const spans = codeSpans(page("docs/plugin-guide/runtime.md"));
  assert.deepEqual(
    [...new Set(declared)].filter((name) => !spans.includes(name)),
    [],
  );
});

test("the page on the manifest has every field", () => {
  const spans = new Set(codeSpans(page("docs/plugin-guide/manifest.md")));
  const { $defs, properties } = manifestSchema;
  const places: [string, object][] = [
    ["", properties],
    ["contributes.", $defs.contributes.properties],
    ["functions.", $defs.function.properties],
    ["actions.", $defs.operator.properties],
    ["dataAdapters.", $defs.dataAdapter.properties],
    ["resources.", $defs.resources.properties],
    ["security.", properties.security.properties],
    ["compliance.", properties.compliance.properties],
    ["health.", properties.health.properties],
    ["connector.", $defs.contributes.properties.connector.properties],
  ];
  assert.deepEqual(
    places.flatMap(([at, fields]) =>
      Object.keys(fields)
        .filter((name) => !spans.has(name))
        .map((name) => at + name),
    ),
    [],
  );
});

test("every metric is set by something, and the operating page names it", async () => {
  const metrics = createMetrics({ defaults: false });
  const text = source("src/telemetry/metrics.ts");
  const named = codeSpans(page("docs/operating.md")).filter((span) => span.startsWith("backplane_"));
  const known = metrics.registry.getMetricsAsArray().map(({ name }) => name);
  assert.ok(known.length > 10);
  assert.deepEqual(named.toSorted(), known.toSorted());
  for (const name of known) {
    const field = new RegExp(`(\\w+): (?:counter|gauge|histogram)\\(\\s*"${name.replace("backplane_", "")}"`).exec(
      text,
    )?.[1];
    assert.match(source("src/main.ts"), new RegExp(`metrics\\.${field}\\b`), `${name} is never set`);
  }
});

test("each word of the glossary is explained once, and where it lives exists", () => {
  const rows = page("docs/glossary.md")
    .text.split(/^## /m)
    .slice(1)
    .flatMap((part) => rowsOf(part));
  assert.ok(rows.length > 80);
  const words = rows.map(([word = ""]) => word.toLowerCase());
  assert.deepEqual(
    words.filter((word, i) => words.indexOf(word) !== i),
    [],
  );
  for (const [word, meaning = "", place = ""] of rows) {
    assert.ok(meaning.length > 10, word);
    assert.ok(existsSync(join(root, bare(place))), `${word}: ${place}`);
  }
});
