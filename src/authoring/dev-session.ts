/**
 * The loop of `dev`: waits for a change, builds the folder on warm caches and hands a good build over under a pre-release
 * version of its own. A failed build changes nothing: the last good one stays where it is.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { BackplaneError } from "../errors/error.ts";
import { writeArchive } from "../packages/archive.ts";
import { createFolderLoader, type LoadedFolder } from "../packages/load-folder.ts";
import { type Diagnostic, diagnosticsOf, inSource } from "./diagnostic.ts";
import { watchFolder } from "./watch-folder.ts";

export interface DevBuild {
  id: string;
  /** `1.2.0-dev.1767225600000`: never published before. */
  version: string;
  manifest: Manifest;
  tgz: Uint8Array;
}

export type DevEvent =
  /** `ms` from the change to the end of the hand-over. */
  | { kind: "ready"; id: string; version: string; ms: number; bytes: number; warnings: Diagnostic[] }
  /** The folder does not build; the last good build stays. */
  | { kind: "broken"; message: string; diagnostics: Diagnostic[] }
  /** It builds to what is there already. */
  | { kind: "unchanged" };

export interface DevSessionOptions {
  dir: string;
  /** Takes a build into use. What it throws ends the session, so it tells of refusals itself and gives `false`. */
  use(build: DevBuild): Promise<boolean>;
  onEvent(event: DevEvent): void;
  signal: AbortSignal;
  /** Build once and end. @default false */
  once?: boolean;
  /** Quiet time after a change, ms: editors write in several steps. @default 40 */
  debounceMs?: number;
}

/** Ends when the signal aborts. Gives whether the last build is in use. */
export async function runDevSession({
  dir,
  use,
  onEvent,
  signal,
  once = false,
  debounceMs = 40,
}: DevSessionOptions): Promise<boolean> {
  await using loader = createFolderLoader(dir);
  const changes = changeQueue();
  using watching = watchFolder(dir, changes.add);
  let usedDigest: string | undefined;
  let good = false;
  let changedAt = performance.now();
  while (!signal.aborted) {
    const folder = await loader.load().catch((error: unknown) => report(error, onEvent));
    if (folder) {
      watching.follow(folder.inputs);
      if (folder.digest === usedDigest) {
        onEvent({ kind: "unchanged" });
        good = true;
      } else {
        const build = await devBuild(folder);
        good = await use(build);
        if (good) {
          usedDigest = folder.digest;
          onEvent({
            kind: "ready",
            id: build.id,
            version: build.version,
            ms: performance.now() - changedAt,
            bytes: build.tgz.byteLength,
            warnings: folder.warnings.map(inSource),
          });
        }
      }
    } else good = false;
    if (once) break;
    if (!(await changes.next(signal))) break;
    changedAt = performance.now();
    do changes.clear();
    while (await quietBroken(changes, debounceMs, signal));
  }
  return good;
}

function report(error: unknown, onEvent: DevSessionOptions["onEvent"]): undefined {
  if (!(error instanceof BackplaneError)) throw error;
  onEvent({ kind: "broken", message: error.message, diagnostics: diagnosticsOf(error) });
  return undefined;
}

let lastStamp = 0;

/** The same content under a version of its own, so that the hub takes it beside the last one. */
export async function devBuild({ manifest, files }: Pick<LoadedFolder, "manifest" | "files">): Promise<DevBuild> {
  lastStamp = Math.max(Date.now(), lastStamp + 1);
  const version = `${manifest.version}${manifest.version.includes("-") ? "." : "-"}dev.${lastStamp}`;
  const renamed: Manifest = { ...manifest, version };
  const tgz = await writeArchive(
    new Map([...files, ["plugin.json", Buffer.from(`${JSON.stringify(renamed, null, 2)}\n`)]]),
  );
  return { id: manifest.id, version, manifest: renamed, tgz };
}

interface ChangeQueue {
  add(): void;
  clear(): void;
  readonly pending: boolean;
  /** False when the signal aborted. */
  next(signal: AbortSignal): Promise<boolean>;
}

function changeQueue(): ChangeQueue {
  let pending = false;
  let wake: (() => void) | undefined;
  return {
    add() {
      pending = true;
      wake?.();
    },
    clear() {
      pending = false;
    },
    get pending() {
      return pending;
    },
    async next(signal) {
      if (!pending && !signal.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
        wake = undefined;
      }
      return !signal.aborted;
    },
  };
}

async function quietBroken(changes: ChangeQueue, ms: number, signal: AbortSignal): Promise<boolean> {
  await sleep(ms, undefined, { signal }).catch(() => {});
  return changes.pending && !signal.aborted;
}
