import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readPackage } from "../packages/read-package.ts";
import { type DevBuild, type DevEvent, devBuild, runDevSession } from "./dev-session.ts";
import { scaffold } from "./scaffold.ts";

interface Session {
  dir: string;
  builds: DevBuild[];
  /** Resolves with the next event of the loop. */
  next(): Promise<DevEvent>;
  edit(file: string, change: (text: string) => string): Promise<void>;
}

async function start(t: TestContext, use: (build: DevBuild) => boolean = () => true): Promise<Session> {
  const dir = await mkdtemp(join(tmpdir(), "dev-"));
  await scaffold({ dir, id: "acme.dev" });
  const stop = new AbortController();
  const builds: DevBuild[] = [];
  const queue: DevEvent[] = [];
  let wake: (() => void) | undefined;
  const running = runDevSession({
    dir,
    signal: stop.signal,
    onEvent(event) {
      queue.push(event);
      wake?.();
    },
    async use(build) {
      builds.push(build);
      return use(build);
    },
  });
  t.after(async () => {
    stop.abort();
    await running;
    await rm(dir, { recursive: true, force: true });
  });
  return {
    dir,
    builds,
    async next() {
      while (queue.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return queue.shift()!;
    },
    async edit(file, change) {
      const path = join(dir, file);
      await writeFile(path, change(await readFile(path, "utf8")));
    },
  };
}

test("a change is built and handed over in less than a second, under a version of its own", async (t) => {
  const session = await start(t);
  const first = await session.next();
  assert.equal(first.kind, "ready");
  await session.edit("index.ts", (text) => text.replace("}, $", "}! $"));
  const second = await session.next();
  assert.equal(second.kind, "ready");
  assert.ok(second.kind === "ready" && second.ms < 1000, `took ${second.kind === "ready" ? second.ms : 0} ms`);
  const [before, after] = session.builds;
  assert.match(after!.version, /^0\.1\.0-dev\.\d+$/);
  assert.notEqual(after!.version, before!.version);
  const content = await readPackage(after!.tgz);
  assert.equal(content.manifest.version, after!.version);
  assert.match(content.code ?? "", /! \$\{/);
});

test("a build that fails names file and line, hands nothing over, and the next good one does", async (t) => {
  const session = await start(t);
  await session.next();
  await session.edit("index.ts", (text) => `${text}\nthis is no code\n`);
  const broken = await session.next();
  assert.ok(broken.kind === "broken");
  assert.equal(broken.diagnostics[0]?.file, "index.ts");
  assert.ok((broken.diagnostics[0]?.line ?? 0) > 10);
  assert.equal(session.builds.length, 1);
  await session.edit("plugin.json", (text) => text.replace('"version": "0.1.0"', '"version": "nope"'));
  const worse = await session.next();
  assert.ok(
    worse.kind === "broken" &&
      worse.diagnostics.some(({ file, field }) => file === "plugin.json" && field === "version"),
  );
  await session.edit("plugin.json", (text) => text.replace("nope", "0.2.0"));
  await session.edit("index.ts", (text) => text.replace("\nthis is no code\n", ""));
  let event = await session.next();
  while (event.kind === "broken") event = await session.next();
  assert.equal(event.kind, "ready");
  assert.match(session.builds.at(-1)!.version, /^0\.2\.0-dev\./);
});

test("a refused build is offered again at the next change, and taking a change back says so", async (t) => {
  let refuse = true;
  const session = await start(t, () => !refuse);
  await session.edit("README.md", (text) => `${text}\n`);
  while (session.builds.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
  refuse = false;
  await session.edit("index.ts", (text) => `// a comment that changes nothing of the bundle\n${text}`);
  assert.equal((await session.next()).kind, "ready");
  const count = session.builds.length;
  await session.edit("index.ts", (text) => `${text}\n`);
  assert.equal((await session.next()).kind, "unchanged");
  assert.equal(session.builds.length, count);
});

test("files that editors replace, and folders that are new, are seen", async (t) => {
  const session = await start(t);
  await session.next();
  await mkdir(join(session.dir, "lib"));
  await writeFile(join(session.dir, "lib/word.ts"), 'export const word = "Hej";\n');
  const text = await readFile(join(session.dir, "index.ts"), "utf8");
  const aside = join(session.dir, ".index.ts.swp");
  await writeFile(
    aside,
    text
      .replace("import {", 'import { word } from "./lib/word.ts";\nimport {')
      .replace("{ctx.config.greeting}", "{word}"),
  );
  await rename(aside, join(session.dir, "index.ts"));
  let event = await session.next();
  while (event.kind === "unchanged") event = await session.next();
  assert.equal(event.kind, "ready");
  await writeFile(join(session.dir, "lib/word.ts"), 'export const word = "Moin";\n');
  assert.equal((await session.next()).kind, "ready");
  assert.match((await readPackage(session.builds.at(-1)!.tgz)).code ?? "", /Moin/);
});

test("a pre-release version stays one, and versions never repeat", async () => {
  const manifest = { id: "a", name: "A", version: "1.0.0-beta.1" } as never;
  const files = new Map([["plugin.json", Buffer.from("{}")]]);
  const versions = await Promise.all(
    Array.from({ length: 5 }, async () => (await devBuild({ manifest, files })).version),
  );
  assert.match(versions[0]!, /^1\.0\.0-beta\.1\.dev\.\d+$/);
  assert.equal(new Set(versions).size, 5);
});
