/** Transactions that share their begin and commit with others that wait at the same moment. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Tx } from "./store.ts";

export interface GroupCommitOptions {
  /** Runs and commits; repeats `work` when the database asks for it. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Groups under way at once. */
  atOnce: number;
}

interface Waiting {
  run(tx: Tx): Promise<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

const maxInGroup = 50;

export function createGroupCommit({
  transaction,
  atOnce,
}: GroupCommitOptions): <T>(work: (tx: Tx) => Promise<T>) => Promise<T> {
  const waiting: Waiting[] = [];
  let underWay = 0;

  async function commitGroups(): Promise<void> {
    underWay += 1;
    try {
      while (waiting.length > 0) {
        const group = waiting.splice(0, maxInGroup);
        let finished = false;
        try {
          const results = await transaction(async (tx) => {
            finished = false;
            const all: unknown[] = [];
            for (const { run } of group) all.push(await run(tx));
            finished = true;
            return all;
          });
          for (const [i, { resolve }] of group.entries()) resolve(results[i]);
        } catch (error) {
          // A commit whose answer was lost may have happened: what ran to its end is never run a second time.
          if (group.length === 1 || finished) for (const { reject } of group) reject(error);
          // Whose fault it was is not known: nobody pays for a neighbour.
          else for (const { run, resolve, reject } of group) await transaction(run).then(resolve, reject);
        }
      }
    } finally {
      underWay -= 1;
    }
  }

  return <T>(work: (tx: Tx) => Promise<T>) =>
    new Promise<T>((resolve, reject) => {
      // Each work keeps its caller's trace.
      const inContext = AsyncLocalStorage.snapshot();
      waiting.push({
        run: (tx) => inContext(() => work(tx)),
        resolve: resolve as (value: unknown) => void,
        reject,
      });
      if (underWay < atOnce) void commitGroups();
    });
}
