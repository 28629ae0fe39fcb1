/**
 * Bundles the runner into one script that Node reads from its standard input, so that a runner loads no file of ours and
 * strips no types: a third of the start and half of the memory. Runs in the hub, once a process; a packed hub carries the
 * script as a file beside the runner's modules.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BuildOptions } from "esbuild";

export interface RunnerScript {
  /** CommonJS. */
  text: string;
  /** Source map, JSON; its sources are relative to `src/runtimes/isolate`. */
  map: string;
}

let built: Promise<RunnerScript> | undefined;

/** The script of this hub's runners. Rejects when it can be neither built nor read: then they run from the modules. */
export function runnerScript(): Promise<RunnerScript> {
  built ??= load().catch((error: unknown) => {
    built = undefined;
    throw error;
  });
  return built;
}

async function load(): Promise<RunnerScript> {
  const source = fileURLToPath(new URL("../runner/main.ts", import.meta.url));
  if (existsSync(source)) return buildRunnerScript(source);
  const packed = fileURLToPath(new URL("../runner/script.generated.js", import.meta.url));
  const [text, map] = await Promise.all([readFile(packed, "utf8"), readFile(`${packed}.map`, "utf8")]);
  return { text, map };
}

/** Bundles the script from its sources. Called by the tool that packs the hub, too. */
export async function buildRunnerScript(entry: string): Promise<RunnerScript> {
  const watch = await bundle({ entryPoints: [join(dirname(entry), "stall-watch.ts")] });
  return bundle({
    entryPoints: [entry],
    // The thread beside the main one gets its code as text: it may read no file either.
    define: { stallWatchScript: JSON.stringify(watch.text) },
    // Lines stay as they are and names too: a stack is readable even without the map.
    sourcemap: "external",
    sourcesContent: false,
  });
}

async function bundle(options: BuildOptions & { entryPoints: [string] }): Promise<RunnerScript> {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    ...options,
    bundle: true,
    write: false,
    // From here the map's sources are named.
    outfile: join(dirname(dirname(options.entryPoints[0])), "script.js"),
    format: "cjs",
    target: "node24",
    platform: "node",
    legalComments: "none",
    logLevel: "silent",
  });
  const textOf = (end: string): string => outputFiles!.find(({ path }) => path.endsWith(end))?.text ?? "";
  return { text: textOf(".js"), map: textOf(".map") };
}
