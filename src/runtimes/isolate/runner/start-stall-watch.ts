/** Starts the stall watch, a thread of its own: see stall-watch.ts. */
import { Worker } from "node:worker_threads";

export interface StallWatchData {
  slots: Int32Array;
  stallMs: number;
  /** Process id of the hub. */
  parent: number;
}

/** Code of the watch, set where the runner is one script: see host/build-runner.ts. */
declare const stallWatchScript: string;

/** `onEnd`: the watch failed or ended, which it never should. */
export function startStallWatch(workerData: StallWatchData, onEnd: () => void): void {
  const options = { workerData, execArgv: [], resourceLimits: { maxOldGenerationSizeMb: 16 } };
  const watch =
    typeof stallWatchScript === "string"
      ? new Worker(stallWatchScript, { ...options, eval: true })
      : new Worker(siblingModule(), options);
  watch.unref();
  watch.on("error", onEnd);
  watch.on("exit", onEnd);
}

function siblingModule(): URL {
  const here = import.meta.url;
  return new URL(here.endsWith(".ts") ? "./stall-watch.ts" : "./stall-watch.js", here);
}
