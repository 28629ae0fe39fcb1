/**
 * Every check of the project, in one run: types, lint, then all test files. `npm test` is this.
 * Arguments narrow the test files by substring (`npm test -- bus store`); the static checks are left out then.
 * Closing lines name each suite that was left out and why; the very last line is `N passed, N failed, N skipped`.
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { setPriority } from "node:os";
import { join, relative } from "node:path";
import { run } from "node:test";
import { fileURLToPath } from "node:url";

const root = join(fileURLToPath(import.meta.url), "../..");
const bin = join(root, "node_modules/.bin");
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
/** Test files with a failure in their last run. */
const failedFiles = new Set<string>();
const leftOut = new Map<string, Set<string>>();
const failures: string[] = [];

const staticChecks = [
  { name: "types: hub", command: "tsc", args: ["--noEmit", "-p", "tsconfig.json"] },
  { name: "types: guest", command: "tsc", args: ["--noEmit", "-p", "tsconfig.guest.json"] },
  { name: "types: plugins", command: "tsc", args: ["--noEmit", "-p", "tsconfig.plugins.json"] },
  {
    name: "lint and format",
    command: "biome",
    args: ["check", "--diagnostic-level=warn", "--max-diagnostics=60", "."],
  },
];

function runStaticCheck(check: (typeof staticChecks)[number]): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn(join(bin, check.command), check.args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    // They take what the tests that run meanwhile leave: no test shall miss its time for a compiler.
    if (child.pid !== undefined) setPriority(child.pid, 10);
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("close", (code) => {
      if (code === 0) {
        totals.passed += 1;
        console.log(`ok    ${check.name}`);
      } else {
        totals.failed += 1;
        failures.push(check.name);
        console.log(`FAIL  ${check.name}\n${output}`);
      }
      resolve();
    });
  });
}

async function runStaticChecks(): Promise<void> {
  if (filters.length === 0) for (const check of staticChecks) await runStaticCheck(check);
}

/** Tests of bundled plugins are an author's tests: test/plugins runs them, on the kit of `backplane test`. */
function testFiles(): string[] {
  const patterns = [
    "src/**/*.test.ts",
    "plugin-api/**/*.test.ts",
    "test/**/*.test.ts",
    "bench/**/*.test.ts",
    "tools/**/*.test.ts",
  ];
  const files = patterns.flatMap((pattern) =>
    globSync(pattern, { cwd: root, exclude: ["**/node_modules/**", "**/fixtures/**"] }),
  );
  return files
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort((a, b) => Number(isLong(b)) - Number(isLong(a)) || (a < b ? -1 : 1))
    .map((file) => join(root, file));
}

function noteSkip(file: string, reason: unknown): void {
  const why = typeof reason === "string" && reason !== "" ? reason : "no reason given";
  const suites = leftOut.get(why) ?? new Set<string>();
  suites.add(relative(root, file));
  leftOut.set(why, suites);
}

/** These take longest: begun first, none is left to run by itself at the end. */
const isLong = (file: string): boolean =>
  /plugins\/bundled|bus\/deliveries|channels\/channels\.test|rules\/rule-runs|store\/pglite|rules-hostile|crash\/|e2e\/cli/.test(
    file,
  );

/** What a machine of two cores holds at once, in the unit of `weight`. */
const room = 6;

/**
 * What a file takes of the machine. Those that measure time or throw bombs run alone, so that neighbours do not disturb them;
 * whole hubs with all their processes run in twos, the others in threes. Some wait for timers more than they work.
 */
function weight(file: string): number {
  if (/test\/escape\/([\w-]+|deputy\/(floods|input))\.test\.ts$/.test(file)) return room;
  if (/runtimes\/isolate\/(host|runner)\//.test(file)) return room;
  if (/test\/(escape|e2e|crash)\//.test(file)) return 3;
  return /bus\/deliveries|channels\/channels\.test|rules\/rule-runs/.test(file) ? 1 : 2;
}

/** Starts each file as soon as there is room for it. */
async function runTogether(files: readonly string[]): Promise<void> {
  const waiting = [...files];
  const running = new Set<Promise<void>>();
  let free = room;
  const next = (): string | undefined => {
    const at = waiting.findIndex((file) => weight(file) <= free);
    return at < 0 ? undefined : waiting.splice(at, 1)[0];
  };
  const start = (file: string): void => {
    free -= weight(file);
    const ended = runTests([file], 1).finally(() => {
      free += weight(file);
      running.delete(ended);
    });
    running.add(ended);
  };
  while (waiting.length > 0 || running.size > 0) {
    for (let file = next(); file !== undefined; file = next()) start(file);
    await Promise.race(running);
  }
}

async function runTests(files: string[], concurrency: number): Promise<void> {
  if (files.length === 0) return;
  const stream = run({
    files,
    concurrency,
    timeout: 400_000,
    cwd: root,
    execArgv: ["--no-node-snapshot"],
  });
  const started = new Map<string, number>();
  stream.on("test:dequeue", (event) => {
    if (event.nesting === 0 && event.file) started.set(event.file, Date.now());
  });
  stream.on("test:pass", (event) => {
    if (event.details.type === "suite") return;
    if (event.skip !== undefined || event.todo !== undefined) {
      totals.skipped += 1;
      noteSkip(event.file ?? "?", event.skip ?? event.todo);
    } else {
      totals.passed += 1;
    }
  });
  stream.on("test:fail", (event) => {
    if (event.details.type === "suite") return;
    totals.failed += 1;
    const file = event.file ? relative(root, event.file) : "?";
    failures.push(`${file}: ${event.name}`);
    const error = event.details.error as Error & { cause?: unknown };
    const cause =
      error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : (error.cause ?? error.message);
    console.log(
      `FAIL  ${file}: ${event.name} (${Math.round(event.details.duration_ms)} ms)\n${String(cause).replace(/^/gm, "      ")}`,
    );
  });
  stream.on("test:stderr", (event) => process.stderr.write(event.message));
  if (process.env["BACKPLANE_TEST_OUTPUT"]) stream.on("test:stdout", (event) => process.stdout.write(event.message));
  stream.on("test:summary", (event) => {
    if (event.file && !event.success) failedFiles.add(event.file);
    if (event.file)
      console.log(
        `${event.success ? "ok  " : "FAIL"}  ${relative(root, event.file)} (${Math.round(event.duration_ms)} ms)`,
      );
  });
  for await (const _ of stream) {
    // The listeners above do the work; the loop waits for the end.
  }
}

/**
 * In CI files that failed run once more, alone: a shared machine may starve a test of time. What passes then is named as
 * flaky in the closing lines, because a flaky test is a defect all the same; what fails again has failed.
 */
async function runAgain(again: string[]): Promise<void> {
  const before = { ...totals };
  const named = failures.splice(0);
  console.log(`\nonce more, alone: ${again.map((file) => relative(root, file)).join(", ")}`);
  await runTests(again, 1);
  const failedAgain = totals.failed - before.failed;
  const fromFiles = named.filter((name) => !staticChecks.some((check) => check.name === name));
  Object.assign(totals, before);
  if (failedAgain > 0) {
    failures.splice(0, failures.length, ...named);
    return;
  }
  for (const name of fromFiles) console.log(`flaky (failed, then passed alone): ${name}`);
  failures.push(...named.filter((name) => !fromFiles.includes(name)));
  totals.failed -= fromFiles.length;
  totals.passed += fromFiles.length;
}

// Hundreds of processes load the same modules: they share what Node makes of the TypeScript.
process.env["NODE_COMPILE_CACHE"] ??= join(root, "node_modules/.cache/compile");
const startedAt = Date.now();
const files = testFiles();
const alone = files.filter((file) => weight(file) === room);
await Promise.all([runTogether(files.filter((file) => !alone.includes(file))), runStaticChecks()]);
await runTogether(alone);
if (process.env["CI"] && failedFiles.size > 0 && failedFiles.size <= 5) await runAgain([...failedFiles]);

if (files.length === 0) {
  failures.push("no test files found");
  totals.failed += 1;
}
console.log("");
for (const failure of failures) console.log(`failed: ${failure}`);
for (const [why, suites] of leftOut) console.log(`left out: ${[...suites].join(", ")}: ${why}`);
console.log(`took ${Math.round((Date.now() - startedAt) / 1000)} s`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed > 0 ? 1 : 0;
