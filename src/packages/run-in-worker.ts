/**
 * Runs one piece of work on hostile input in a worker thread that is ended when it takes too long or too much memory.
 * A fresh worker a piece: nothing one input does to a realm reaches the next. At most two run at once.
 */
import { Worker } from "node:worker_threads";

export interface WorkerLimits {
  timeoutMs: number;
  /** Heap of the worker; buffers lie outside it and are capped by the work itself. @default 256 */
  heapMb?: number;
}

/** Why there is no answer. */
export type WorkerFailure = "timeout" | "memory" | "crash";

export type WorkerOutcome<T> = { ok: true; value: T } | { ok: false; failure: WorkerFailure; cause?: unknown };

const maxRunning = 2;
const maxWaiting = 16;
let running = 0;
const waiting: (() => void)[] = [];

/** Address of a sibling module, with the extension this one has (`.ts` in a checkout, `.js` in the packed hub). */
export function siblingModule(name: string): URL {
  return new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}

/** Options that give a worker nothing of the hub's: no environment, no flags, no output. */
export function bareWorker(heapMb: number): ConstructorParameters<typeof Worker>[1] {
  return {
    env: {},
    execArgv: [],
    stdin: false,
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: heapMb, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 },
  };
}

/** Starts the module with `input` as its `workerData`; its first message is the answer. Undefined: too much is waiting. */
export async function runInWorker<T>(
  module: URL,
  input: unknown,
  limits: WorkerLimits,
): Promise<WorkerOutcome<T> | undefined> {
  if (running >= maxRunning) {
    if (waiting.length >= maxWaiting) return undefined;
    await new Promise<void>((resolve) => waiting.push(resolve));
  } else {
    running += 1;
  }
  try {
    return await runOne<T>(module, input, limits);
  } finally {
    const next = waiting.shift();
    // The place passes on without being given up, so that no newcomer takes it in between.
    if (next) next();
    else running -= 1;
  }
}

function runOne<T>(module: URL, input: unknown, { timeoutMs, heapMb = 256 }: WorkerLimits): Promise<WorkerOutcome<T>> {
  const worker = new Worker(module, { ...bareWorker(heapMb), workerData: input });
  return new Promise((resolve) => {
    let finished = false;
    const finish = (outcome: WorkerOutcome<T>): void => {
      // The end of the worker is an event of its own, after its answer too: the first word counts.
      if (finished) return;
      finished = true;
      clearTimeout(timer);
      void worker.terminate().then(() => resolve(outcome));
    };
    const timer = setTimeout(() => finish({ ok: false, failure: "timeout" }), timeoutMs);
    worker.once("message", (value: T) => finish({ ok: true, value }));
    worker.once("error", (cause: NodeJS.ErrnoException) =>
      finish({ ok: false, failure: cause.code === "ERR_WORKER_OUT_OF_MEMORY" ? "memory" : "crash", cause }),
    );
    worker.once("exit", () => finish({ ok: false, failure: "crash" }));
  });
}
