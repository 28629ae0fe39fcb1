/** Whatever a page names exists: paths, links, commands, variables, error codes, scripts, events, routes. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import type { Cli } from "../../src/edges/cli/cli.ts";
import { createProgram } from "../../src/edges/cli/program.ts";
import { apiRoutes } from "../../src/edges/http/api.ts";
import { errorTable } from "../../src/errors/table.ts";
import { codeSpans, links, type Page, readPages, root } from "./markdown.ts";

const pages = readPages();
const current = pages.filter(({ file }) => !file.startsWith("docs/adr/"));
const sources = globSync(
  ["src/**/*.ts", "plugin-api/src/**/*.ts", "tools/**/*.{ts,mjs}", "test/**/*.ts", "bench/**/*.ts"],
  {
    cwd: root,
    exclude: ["test/docs/**", "**/node_modules/**"],
  },
).map((file) => ({ file, text: readFileSync(join(root, file), "utf8") }));
const runtimeText = sources
  .filter(({ file }) => /^(src|plugin-api)\//.test(file))
  .map(({ text }) => text)
  .join("\n");

/** Every fault of all pages at once. */
function none(faults: string[]): void {
  assert.deepEqual([...new Set(faults)].sort(), []);
}

const each = (find: (page: Page) => string[]): string[] =>
  current.flatMap((page) => find(page).map((fault) => `${page.file}: ${fault}`));

test("every link leads to a file, and to a heading where it names one", () => {
  none(
    pages.flatMap((page) =>
      links(page)
        .filter((link) => !/^(https?:|mailto:)/.test(link))
        .flatMap((link) => {
          const [path = "", anchor] = link.split("#");
          const file = path === "" ? page.file : normalize(join(dirname(page.file), path));
          if (!existsSync(join(root, file))) return [`${page.file}: ${link}`];
          if (anchor === undefined || !file.endsWith(".md")) return [];
          const headings = [...readFileSync(join(root, file), "utf8").matchAll(/^#+ (.+)$/gm)].map((match) =>
            slug(match[1]!),
          );
          return headings.includes(anchor) ? [] : [`${page.file}: ${link}`];
        }),
    ),
  );
});

/** As GitHub makes anchors. */
function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");
}

test("every path in backticks exists", () => {
  const folders = "src|docs|test|tools|plugins|plugin-api|bench|bin|admin|\\.ci";
  const shaped = new RegExp(`^(?:\\./)?((?:${folders})(?:/[^\\s\`]*)?|[\\w.-]+\\.(?:md|json|ts|mjs|js))$`);
  none(
    each((page) =>
      codeSpans(page).flatMap((span) => {
        const path = shaped.exec(span)?.[1];
        if (path === undefined || /^\w+$/.test(span) || ofPlugins(span)) return [];
        // `<name>` stands for any name.
        const pattern = path.replace(/<[^>]+>/g, "*").replace(/\/$/, "");
        const found = [pattern, join(dirname(page.file), pattern)].some((candidate) =>
          candidate.includes("*") ? globSync(candidate, { cwd: root }).length > 0 : existsSync(join(root, candidate)),
        );
        return found ? [] : [span];
      }),
    ),
  );
});

/** Files of a plugin's folder or of a hub's data folder, not of this repository. */
const ofPlugins = (span: string): boolean =>
  /^(plugin\.json|index\.ts|index\.test\.ts|tsconfig\.json|quality\.json|hub\.json|index\.js|attack\.js|attack\.json|x\.test\.ts)$/.test(
    span,
  );

test("every command and every flag of it exists", () => {
  // Actions run only when a command is parsed, which does not happen here.
  const program = createProgram({
    version: "0",
    io: { stdout: process.stdout, stderr: process.stderr },
  } as unknown as Cli);
  none(each((page) => [...commandLines(page)].flatMap((line) => commandFaults(program, line))));
});

function* commandLines({ blocks, prose }: Page): Iterable<string> {
  const text = [
    ...blocks
      .filter(({ language }) => ["sh", ""].includes(language))
      .map((block) => block.text.replace(/\\\n\s*/g, " ")),
    ...[...prose.matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
  ];
  for (const part of text)
    for (const [, line = ""] of part.matchAll(/(?:^|[\s`(;&|])(?:bin\/)?backplane ((?:[a-z]|-)[^\n`#;&|]*)/g))
      yield line.trim();
}

function commandFaults(program: Command, line: string): string[] {
  let command = program;
  const words = line.match(/'[^']*'|"[^"]*"|\S+/g) ?? [];
  for (const [i, word] of words.entries()) {
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (next) command = next;
    else if (i === 0) return [`backplane ${line}`];
    else break;
  }
  const known = (flag: string): boolean =>
    flag === "--help" || command.options.some(({ long, short }) => long === flag || short === flag);
  return words
    .filter((word) => /^--?[a-z]/.test(word))
    .map((word) => word.split("=")[0]!)
    .filter((flag) => !known(flag))
    .map((flag) => `backplane ${line} (${flag})`);
}

test("every npm script exists", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const builtIn = new Set(["ci", "install", "pack", "publish"]);
  none(
    each((page) =>
      [
        ...[...codeSpans(page), ...page.blocks.map((block) => block.text)]
          .join("\n")
          .matchAll(/\bnpm (run )?([a-z][a-z-]*)/g),
      ]
        .filter(([, run, name = ""]) => !(name in scripts) && (run !== undefined || !builtIn.has(name)))
        .map(([line]) => line),
    ),
  );
});

/** Names that are no settings of ours. */
const foreign = new Set(["NODE_ENV", "PATH", "NODE_OPTIONS", "NODE_TEST_CONTEXT", "BACKPLANE_CANARY"]);

/** Variables that code reads, with the file that does. */
function variablesRead(): Map<string, string> {
  const found = new Map<string, string>();
  for (const { file, text } of sources) {
    const names = [...text.matchAll(/\benv(?:\.|\["|\.\[")([A-Z][A-Z0-9_]+)/g)].map((match) => match[1]!);
    // The hub's settings are read by name through small functions.
    if (file === "src/settings.ts")
      names.push(...[...text.matchAll(/"((?:BACKPLANE|DATABASE|NATS)_[A-Z_]+|HOST|PORT)"/g)].map((match) => match[1]!));
    for (const name of names) if (!foreign.has(name)) found.set(name, file);
  }
  return found;
}

test("every variable that a page names is read, and every one that code reads is documented", () => {
  const read = variablesRead();
  assert.ok(read.size > 25, `${read.size} variables were found in the code`);
  const mentioned =
    /\b((?:BACKPLANE|TEST|ESCAPE|SOAK|CRASH|FUZZ)_[A-Z][A-Z_]*|DATABASE_URL|NATS_URL|NO_COLOR|FORCE_COLOR)\b/g;
  none(each(({ text }) => [...text.matchAll(mentioned)].map((match) => match[1]!).filter((name) => !read.has(name))));
  const documented = new Set(
    current
      .filter(({ file }) => ["docs/operating.md", "CONTRIBUTING.md"].includes(file))
      .flatMap(({ text }) => [...text.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map((match) => match[1]!)),
  );
  none([...read].filter(([name]) => !documented.has(name)).map(([name, file]) => `${name}, read in ${file}`));
});

test("README's settings are those of the operating page, with the same defaults", () => {
  const settings = (file: string): Map<string, string> => {
    const { text } = current.find((page) => page.file === file)!;
    const rows = [...text.matchAll(/^\| ((?:`[A-Z_]+`(?:, )?)+) \|.*\| (.*) \|$/gm)];
    return new Map(
      rows.flatMap(([, names = "", fallback = ""]) =>
        [...names.matchAll(/`([A-Z_]+)`/g)].map((match) => [match[1]!, fallback] as const),
      ),
    );
  };
  const [readme, operating] = [settings("README.md"), settings("docs/operating.md")];
  assert.ok(readme.size > 12);
  none([...readme.keys()].filter((name) => !operating.has(name)));
  const ofHub = sources.find(({ file }) => file === "src/settings.ts")!.text;
  none([...operating.keys()].filter((name) => ofHub.includes(`"${name}"`) && !readme.has(name)));
});

test("every word of the shape of an error code is one, or a word of the code", () => {
  none(
    each((page) =>
      codeSpans(page)
        // Metrics are compared with theirs in reference.test.ts.
        .filter((span) => /^[a-z]+(_[a-z0-9]+)+$/.test(span) && !span.startsWith("backplane_"))
        .filter((word) => !(word in errorTable) && !new RegExp(`["'\`/: ]${word}["'\`:?, ]`).test(runtimeText)),
    ),
  );
});

test("every route that a page names exists", () => {
  const routes = apiRoutes({} as never, { version: "0", stopping: new AbortController().signal });
  const matches = (method: string | undefined, path: string): boolean =>
    routes.some((route) => {
      const pattern = `^${route.path.replace(/:\w+/g, "[^/]+").replace("/*", "/.+")}$`;
      return (
        (method === undefined || route.method === method || route.method === "ANY") && new RegExp(pattern).test(path)
      );
    });
  const open = /^\/(api\/docs)$/;
  none(
    each((page) => {
      const spans = codeSpans(page).flatMap((span) => {
        const [, method, path] =
          /^(?:(GET|POST|PUT|DELETE|PATCH|ANY) )?(\/(?:api|webhooks|metrics|healthz|readyz)[^\s?]*)/.exec(span) ?? [];
        // `/api/<actor>` is the source of an event.
        return path === undefined || path === "/api/<actor>" ? [] : [[method, path.replace(/<[^>]+>/g, "x")] as const];
      });
      const curls = page.blocks.flatMap(({ text }) =>
        [...text.replace(/\\\n\s*/g, " ").matchAll(/^curl .*$/gm)].flatMap(([line]) => curlCall(line)),
      );
      return [...spans, ...curls]
        .filter(([method, path]) => !open.test(path) && !matches(method === "ANY" ? undefined : method, path))
        .map(([method, path]) => `${method ?? "any"} ${path}`);
    }),
  );
});

function curlCall(line: string): (readonly [string, string])[] {
  const path = /(?:\$HUB|https?:\/\/127\.0\.0\.1:7400)(\/[^\s"'?]*)/.exec(line)?.[1];
  if (path === undefined) return [];
  const method = /-X (\w+)/.exec(line)?.[1] ?? (/ (-d|--data\S*) /.test(line) ? "POST" : "GET");
  return [[method, path.replaceAll(/\$\w+/g, "x")]];
}

test("every event of the hub that a page names is published", () => {
  none(
    each((page) =>
      codeSpans(page)
        .filter((span) => /^plugin\.[a-z]+$/.test(span))
        .filter((type) => !runtimeText.includes(`"${type}"`)),
    ),
  );
});

test("the changelog has an Unreleased part with something in it", () => {
  const text = readFileSync(join(root, "CHANGELOG.md"), "utf8");
  assert.match(text, /^## \[Unreleased\]\n\n### (Added|Changed|Fixed|Removed|Security|Deprecated)\n\n- /m);
});
