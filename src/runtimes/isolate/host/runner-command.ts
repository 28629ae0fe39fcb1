/** How a runner process is started, and which walls that puts up on this machine. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { getPriority } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { RunnerScript } from "./build-runner.ts";
import { findRunnerWalls, type RunnerWalls, type Wall } from "./runner-walls.ts";

export interface RunnerCommand {
  program: string;
  args: string[];
  /** What the runner reads from its standard input and runs; without it a module is named in `args`. */
  script?: RunnerScript;
  /** What the machine adds, see runner-walls.ts. */
  walls: Wall[];
}

export interface RunnerCommandOptions {
  stallMs: number;
  script: Promise<RunnerScript>;
  /** Told when there is no script, so that runners start slower. */
  warn(message: string, details: Record<string, unknown>): void;
}

/** V8 and Node flags of a runner; part of every code cache's key. */
export const runnerFlags = [
  "--no-node-snapshot",
  "--max-old-space-size=512",
  // Many small heaps: helper threads cost more than they save, and the young generation that isolated-vm derives from a
  // small heap limit is so small that calls under way are copied over and over. Measured: a third less CPU a call.
  "--single-threaded-gc",
  "--max-semi-space-size=4",
] as const;

export async function runnerCommand({ stallMs, script, warn }: RunnerCommandOptions): Promise<RunnerCommand> {
  const addon = findAddon();
  const own = [addon, String(stallMs)];
  // Looked for while the script is made: a script needs nothing to be readable but the native file.
  const walls = findRunnerWalls([process.execPath, addon]);
  try {
    const made = await script;
    return { ...behind(await walls, [...runnerArgs([addon]), "-", ...own]), script: made };
  } catch (error) {
    warn("the runner's script is not there: runners start from its modules, slower", {
      reason: error instanceof Error ? error.message : "unknown",
    });
  }
  const entry = fileURLToPath(new URL(`../runner/main.${extension}`, import.meta.url));
  const folders = ["runner", "bridge", "guest"].map((name) => fileURLToPath(new URL(`../${name}/*`, import.meta.url)));
  return behind(await findRunnerWalls([process.execPath, addon, entry]), [
    ...runnerArgs([addon, ...folders]),
    entry,
    ...own,
  ]);
}

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";

function runnerArgs(readable: readonly string[]): string[] {
  return [
    ...runnerFlags,
    "--no-warnings",
    "--permission",
    "--allow-addons",
    "--allow-worker",
    ...readable.map((path) => `--allow-fs-read=${path}`),
  ];
}

function behind({ prefix, walls }: RunnerWalls, args: readonly string[]): RunnerCommand {
  const [program, ...rest] = [...prefix, process.execPath, ...args];
  return { program: program!, args: rest, walls };
}

/** The prebuilt native file, so that a runner needs to read nothing else of the package. */
function findAddon(): string {
  const require = createRequire(import.meta.url);
  const main = require.resolve("isolated-vm");
  const finder = createRequire(main)("node-gyp-build") as { path(folder: string): string };
  return finder.path(dirname(main));
}

/** Makes the kernel choose a runner first when memory runs out. */
export function preferAsVictim(pid: number): boolean {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "900");
    return true;
  } catch {
    return false;
  }
}

/** Resident memory of a process, bytes; 0 when it cannot be read. */
export function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * 4096;
  } catch {
    return 0;
  }
}

/** All walls around a runner on this machine, for `doctor`; tries those that the machine may or may not have. */
export async function wallsOfThisMachine(): Promise<Wall[]> {
  return wallsAround((await findRunnerWalls([process.execPath, findAddon()])).walls);
}

/** `machine`: what was found so far; `runners`: processes that are up, whose priority is looked at and not taken for granted. */
export function wallsAround(machine: readonly Wall[], runners: readonly number[] = []): Wall[] {
  const proc = existsSync("/proc/self/statm");
  return [
    { name: "separate process", active: true, detail: "isolates live in runner processes with an empty environment" },
    {
      name: "permission model",
      active: true,
      detail:
        "a runner may read only its own files; no writing, no processes; it does not block the network, but guests reach no sockets",
    },
    { name: "memory polling", active: proc, detail: proc ? "/proc is read while a runner works" : "there is no /proc" },
    ...priorityWall(runners),
    ...machine,
  ];
}

/** A runner lowers its own priority as it starts; whether the system let it only shows on one that runs. */
function priorityWall(runners: readonly number[]): Wall[] {
  const own = getPriority();
  const given = runners.flatMap((pid) => {
    try {
      return [getPriority(pid)];
    } catch {
      return [];
    }
  });
  if (given.length === 0) return [];
  const active = given.every((priority) => priority > own);
  const detail = active
    ? "runners yield the processor to the hub"
    : "the system did not let every runner lower its priority below the hub's";
  return [{ name: "lower priority", active, detail }];
}
