/** Makes the isolate runtime of a hub: settings with their defaults, then the parts put together. */
import { availableParallelism, totalmem } from "node:os";
import type { PluginRuntime, RuntimeCallbacks } from "../../runtime.ts";
import { protocolVersion } from "../bridge/frame.ts";
import { guestPrelude } from "./build-guest.ts";
import { runnerScript } from "./build-runner.ts";
import { CodeCache } from "./code-cache.ts";
import { IsolateRuntime } from "./isolate-runtime.ts";
import { runnerCommand } from "./runner-command.ts";
import type { StrikeOptions } from "./strikes.ts";

export interface IsolateRuntimeOptions {
  callbacks: RuntimeCallbacks;
  /** Folder for warm code caches. Without it they live in memory only. */
  cacheDir?: string | undefined;
  /** Runner processes at once, the one in reserve not counted. @default one for each 256 MB of memory, at least 16 */
  maxRunners?: number;
  /** Runners one isolation group may spread over. @default 1 */
  runnersPerGroup?: number;
  /** Keep one runner warm in reserve. @default true */
  standby?: boolean;
  /** An isolate without calls for so long is let go. @default 600000 */
  idleInstanceMs?: number;
  /** A runner without calls for so long is ended. @default 900000 */
  idleRunnerMs?: number;
  /** A runner near this lets idle isolates go; one that grows above it is ended at once. @default 2048 */
  residentLimitMb?: number;
  /** All runners together; above it the longest idle isolates are let go. @default half of the machine's memory */
  memoryBudgetMb?: number;
  /** Blank isolates each runner keeps ready. @default 4 */
  poolSize?: number;
  /** Heap limit of those, MB. @default 64 */
  poolMemoryMb?: number;
  /** Calls of one instance that may wait, besides those that run. @default 256 */
  queueLength?: number;
  /** A runner with work that says nothing for so long is ended. @default 2000 */
  wedgedMs?: number;
  /** Entries on the thread pool of one runner at once. @default processors + 1 */
  maxEntries?: number;
  /** Plugins with proved short slices are entered on the runner's main thread. @default true */
  inline?: boolean;
  strikes?: StrikeOptions;
  log?: (message: string, details: Record<string, unknown>) => void;
  /** What whoever runs the hub should know. @default the same as `log` */
  warn?: (message: string, details: Record<string, unknown>) => void;
}

/** Starts the first runner at once; calls wait for it. */
export function createIsolateRuntime(options: IsolateRuntimeOptions): PluginRuntime {
  const stallMs = 1000;
  const log = options.log ?? (() => {});
  return new IsolateRuntime({
    callbacks: options.callbacks,
    codeCache: new CodeCache({ dir: options.cacheDir }),
    idleInstanceMs: options.idleInstanceMs ?? 600_000,
    residentLimitBytes: (options.residentLimitMb ?? 2048) * 1024 * 1024,
    memoryBudgetBytes: (options.memoryBudgetMb ?? totalmem() / 2 / 1024 / 1024) * 1024 * 1024,
    queueLength: options.queueLength ?? 256,
    wedgedMs: options.wedgedMs ?? 2000,
    inline: options.inline ?? true,
    strikes: options.strikes ?? {},
    log,
    fleet: {
      command: runnerCommand({ stallMs, script: runnerScript(), warn: options.warn ?? log }),
      prelude: guestPrelude(),
      hello: {
        version: protocolVersion,
        poolMemoryMb: options.poolMemoryMb ?? 64,
        poolSize: options.poolSize ?? 4,
        maxEntries: options.maxEntries ?? availableParallelism() + 1,
        stallMs,
      },
      maxRunners: options.maxRunners ?? Math.max(16, Math.floor(totalmem() / (256 * 1024 * 1024))),
      runnersPerGroup: options.runnersPerGroup ?? 1,
      standby: options.standby ?? true,
      idleRunnerMs: options.idleRunnerMs ?? 900_000,
    },
  });
}
