/**
 * Entry of the command `backplane`. Beside src/main.ts it is the only file that knows implementations; it loads the hub only
 * for verbs that run one, so that the others start fast.
 */
import { existsSync, readFileSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CliIo } from "./edges/cli/cli.ts";

const isTypeScript = import.meta.url.endsWith(".ts");
/** In a package the JavaScript lies one folder deeper, in `dist/src`. */
const home = fileURLToPath(new URL(isTypeScript ? ".." : "../..", import.meta.url));
/**
 * Keeps what V8 and the type stripper made of our files: a command starts in 0.07 s instead of 0.2 s. Not in the temporary
 * folder, Node's default, where another user could put code of theirs. Hence the imports further down.
 */
const modules = join(home, "node_modules");
if (existsSync(modules)) enableCompileCache(join(modules, ".cache", "backplane"));

const stop = new AbortController();
/** Set by a verb that ends by itself when told to stop; the others end at the first signal. */
let waits = false;

function onSignal(name: "SIGINT" | "SIGTERM", number: number): void {
  process.on(name, () => {
    // 128 plus the signal's number is what a shell expects of a process that ended by it.
    if (stop.signal.aborted || !waits) process.exit(128 + number);
    stop.abort();
  });
}

onSignal("SIGINT", 2);
onSignal("SIGTERM", 15);
// `backplane logs … | head` closes the pipe early, which is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const io: CliIo = {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  get signal() {
    waits = true;
    return stop.signal;
  },
};

const [{ runCli }, { readSettings }] = await Promise.all([import("./edges/cli/program.ts"), import("./settings.ts")]);
process.exitCode = await runCli(process.argv.slice(2), io, {
  version: (JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as { version: string }).version,
  home,
  testKit: new URL(isTypeScript ? "./testing.ts" : "./testing.js", import.meta.url),
  readSettings,
  async startHub(env) {
    const { startHub } = await import("./main.ts");
    return startHub(readSettings(env));
  },
});
