/** How a runner process is started, and which walls that puts up on this machine. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

export interface RunnerCommand {
  node: string;
  args: string[];
  addon: string;
}

export interface Wall {
  name: string;
  active: boolean;
  detail: string;
}

/** V8 and Node flags of a runner; part of every code cache's key. */
export const runnerFlags = ["--no-node-snapshot", "--max-old-space-size=512"] as const;

export function runnerCommand(stallMs: number): RunnerCommand {
  const addon = findAddon();
  const isTypeScript = import.meta.url.endsWith(".ts");
  const root = fileURLToPath(new URL("..", import.meta.url));
  const entry = fileURLToPath(new URL(isTypeScript ? "../runner/main.ts" : "../runner/main.js", import.meta.url));
  const args = [
    ...runnerFlags,
    "--no-warnings",
    "--permission",
    "--allow-addons",
    "--allow-worker",
    ...["runner", "bridge", "guest"].map((folder) => `--allow-fs-read=${root}${folder}/*`),
    `--allow-fs-read=${addon}`,
    entry,
    addon,
    String(stallMs),
  ];
  return { node: process.execPath, args, addon };
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

export function wallsOfThisMachine(): Wall[] {
  const proc = existsSync("/proc/self/statm");
  return [
    { name: "separate process", active: true, detail: "isolates live in runner processes with an empty environment" },
    {
      name: "permission model",
      active: true,
      detail: "a runner may read only its own files; no writing, no child processes",
    },
    {
      name: "memory polling",
      active: proc,
      detail: proc ? "/proc is read while a runner works" : "there is no /proc here",
    },
    { name: "lower priority", active: true, detail: "runners yield the processor to the hub" },
  ];
}
