/**
 * Recurring maintenance: each job runs on one node at a time, never beside itself, with jitter so that nodes do not queue up
 * for the lock. A run that fails is logged and the next one comes as planned. Long or one-off work is a delivery, not a job.
 */
import { sleep } from "../base/deferred.ts";
import type { Store } from "../store/store.ts";

export interface JobLog {
  error(details: object, message: string): void;
}

export interface JobOptions {
  /** Also once right after `start`. @default false */
  atStart?: boolean;
  /** Runs on every node instead of on one. @default false */
  everyNode?: boolean;
}

export type JobWork = (signal: AbortSignal) => Promise<unknown>;

export interface Jobs {
  /** Plans `work` every `ms` milliseconds after its last run, give or take a tenth. Names are unique. Disposing ends the plan. */
  every(name: string, ms: number, work: JobWork, options?: JobOptions): Disposable;
  start(): void;
  /** Ends all plans; waits for what runs, whose signal aborts. */
  stop(): Promise<void>;
}

interface Plan {
  name: string;
  ms: number;
  work: JobWork;
  options: JobOptions;
  ending: AbortController;
  running: Promise<void>;
}

export function createJobs({ store, log }: { store: Store; log: JobLog }): Jobs {
  const plans = new Map<string, Plan>();
  let started = false;

  async function runOnce({ name, work, options, ending }: Plan): Promise<void> {
    const due = async (): Promise<void> => {
      if (!ending.signal.aborted) await work(ending.signal);
    };
    try {
      // Another node at it counts as done: it is the same work.
      if (options.everyNode) await due();
      else await store.tryWithLock(`job:${name}`, due);
    } catch (error) {
      if (!ending.signal.aborted)
        log.error({ err: error, job: name }, "a maintenance job failed; it runs again as planned");
    }
  }

  async function run(plan: Plan): Promise<void> {
    const { signal } = plan.ending;
    if (plan.options.atStart) await runOnce(plan);
    while (!signal.aborted) {
      await sleep(plan.ms * (0.9 + Math.random() / 5), signal);
      if (!signal.aborted) await runOnce(plan);
    }
  }

  return {
    every(name, ms, work, options = {}) {
      if (plans.has(name)) throw new TypeError(`Job ${name} is planned already`);
      const plan: Plan = { name, ms, work, options, ending: new AbortController(), running: Promise.resolve() };
      plans.set(name, plan);
      if (started) plan.running = run(plan);
      return {
        [Symbol.dispose]() {
          plan.ending.abort();
          plans.delete(name);
        },
      };
    },
    start() {
      if (started) return;
      started = true;
      for (const plan of plans.values()) plan.running = run(plan);
    },
    async stop() {
      started = false;
      for (const plan of plans.values()) plan.ending.abort();
      await Promise.all([...plans.values()].map((plan) => plan.running));
      plans.clear();
    },
  };
}
