/**
 * Runs the test files of a plugin's folder with Node's own runner, in a process of its own that has the test kit loaded.
 * Types are stripped, not checked. The hub the kit starts has its data in a folder that is gone afterwards.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { glob, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { getCompileCacheDir } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { BackplaneError } from "../errors/error.ts";
import { linkPluginApi } from "./link-plugin-api.ts";

export interface AuthorTestOptions {
  dir: string;
  /** Module that supplies `testPlugin`; loaded before the tests. */
  testKit: URL;
  /** Patterns of test names; none: all. */
  names: readonly string[];
  /** Where the runner's report for people goes; `undefined`: nowhere. */
  output: Writable | undefined;
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
}

export interface AuthorTest {
  file: string;
  name: string;
  status: "passed" | "failed" | "skipped";
  ms: number;
  error?: string;
}

export interface AuthorTestOutcome {
  passed: number;
  failed: number;
  skipped: number;
  tests: AuthorTest[];
}

const reporter = new URL(
  import.meta.url.endsWith(".ts") ? "./author-test-reporter.ts" : "./author-test-reporter.js",
  import.meta.url,
);

/** Error: `invalid_input` when there is no such folder. */
export async function runAuthorTests({
  dir,
  testKit,
  names,
  output,
  env,
  signal,
}: AuthorTestOptions): Promise<AuthorTestOutcome> {
  if (!(await stat(dir).catch(() => undefined))?.isDirectory())
    throw new BackplaneError("invalid_input", {}, { errors: [{ path: "dir", message: `there is no folder ${dir}` }] });
  const files = await testFiles(dir);
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0, tests: [] };
  await linkPluginApi(dir);
  const scratch = await mkdtemp(join(tmpdir(), "backplane-test-"));
  try {
    const results = join(scratch, "results.jsonl");
    // One process, hence one hub for all files. It ends when the last test has, whatever a test left open.
    const args = [
      "--no-warnings",
      "--import",
      testKit.href,
      "--test",
      "--test-isolation=none",
      "--test-force-exit",
      ...names.map((name) => `--test-name-pattern=${name}`),
      ...(output ? ["--test-reporter=spec", "--test-reporter-destination=stdout"] : []),
      `--test-reporter=${reporter.href}`,
      `--test-reporter-destination=${results}`,
      ...files,
    ];
    const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...clean } = env;
    const child = spawn(process.execPath, args, {
      cwd: dir,
      env: { ...clean, BACKPLANE_TEST_DIR: dir, BACKPLANE_TEST_DATA: join(scratch, "data"), ...compileCache() },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const stop = (): void => void child.kill("SIGTERM");
    signal.addEventListener("abort", stop, { once: true });
    let complaints = "";
    child.stdout.on("data", (chunk: Buffer) => output?.write(chunk));
    child.stderr.on("data", (chunk: Buffer) => {
      complaints = (complaints + chunk.toString()).slice(-4000);
      output?.write(chunk);
    });
    const [code] = (await once(child, "close")) as [number | null];
    signal.removeEventListener("abort", stop);
    const tests = await readResults(results, dir);
    const count = (status: AuthorTest["status"]): number => tests.filter((test) => test.status === status).length;
    if (code !== 0 && count("failed") === 0)
      tests.push({
        file: "",
        name: "the test process",
        status: "failed",
        ms: 0,
        error: complaints.trim() || `ended with ${code ?? "a signal"}`,
      });
    return { passed: count("passed"), failed: count("failed"), skipped: count("skipped"), tests };
  } finally {
    await rm(scratch, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The hub of the tests starts faster on what this process has kept. */
function compileCache(): { NODE_COMPILE_CACHE?: string } {
  const dir = getCompileCacheDir();
  return dir === undefined ? {} : { NODE_COMPILE_CACHE: dirname(dir) };
}

async function testFiles(dir: string): Promise<string[]> {
  const found: string[] = [];
  for await (const file of glob("**/*.test.{ts,mts,js,mjs}", {
    cwd: dir,
    exclude: (name) => /(^|\/)(node_modules|\.[^./][^/]*)$/.test(name),
  }))
    found.push(file);
  return found.sort();
}

async function readResults(file: string, dir: string): Promise<AuthorTest[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const test = JSON.parse(line) as AuthorTest;
      const path = test.file.startsWith("file:") ? fileURLToPath(test.file) : test.file;
      return { ...test, file: path === "" ? "" : relative(dir, path) };
    });
}
