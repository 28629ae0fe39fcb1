/** Transactions that share their begin and commit with others that wait at the same moment, and where they can their statements too. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Tx } from "./store.ts";

export interface GroupCommitOptions {
  /** Runs and commits; repeats `work` when the database asks for it. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Groups under way at once. */
  atOnce: number;
}

export interface BatchCommitOptions<Item, Result> extends GroupCommitOptions {
  /** Stores what waited together; one result an item, in their order, or nothing where items have none. */
  storeAll(tx: Tx, items: readonly Item[]): Promise<readonly Result[] | undefined>;
  /** Characters or bytes, about: items of more than 8 MiB share nothing. @default 0 */
  sizeOf?(item: Item): number;
}

interface Waiting<Item, Result> {
  item: Item;
  resolve(value: Result): void;
  reject(error: unknown): void;
}

const maxInGroup = 50;
/** A statement holds its items several times over. */
const maxSize = 8 * 1024 * 1024;

/** Items that wait at the same moment are stored by one `storeAll`; when it throws, by one each. */
export function createBatchCommit<Item, Result>({
  transaction,
  atOnce,
  storeAll,
  sizeOf = () => 0,
}: BatchCommitOptions<Item, Result>): (item: Item) => Promise<Result> {
  const waiting: Waiting<Item, Result>[] = [];
  let underWay = 0;
  // What is stored together belongs to no single caller.
  const inContext = AsyncLocalStorage.snapshot();

  async function commitGroups(): Promise<void> {
    underWay += 1;
    try {
      // One turn of the event loop gathers what is ready together.
      await new Promise((resolve) => setImmediate(resolve));
      while (waiting.length > 0) await commitGroup(nextGroup());
    } finally {
      underWay -= 1;
    }
  }

  function nextGroup(): Waiting<Item, Result>[] {
    let size = 0;
    let count = 0;
    for (const { item } of waiting.slice(0, maxInGroup)) {
      size += sizeOf(item);
      if (count > 0 && size > maxSize) break;
      count += 1;
    }
    return waiting.splice(0, count);
  }

  async function commitGroup(group: readonly Waiting<Item, Result>[]): Promise<void> {
    let finished = false;
    try {
      const results = await transaction(async (tx) => {
        finished = false;
        const all = await storeAll(
          tx,
          group.map(({ item }) => item),
        );
        finished = true;
        return all;
      });
      for (const [i, { resolve }] of group.entries()) resolve(results?.[i] as Result);
    } catch (error) {
      // A commit whose answer was lost may have happened: what ran to its end is never run a second time.
      if (group.length === 1 || finished) for (const { reject } of group) reject(error);
      // Whose fault it was is not known: nobody pays for a neighbour.
      else for (const one of group) await commitGroup([one]);
    }
  }

  return (item) =>
    new Promise<Result>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (underWay < atOnce) void inContext(commitGroups);
    });
}

/** The same of works that differ: they run one after the other, each in its caller's context. */
export function createGroupCommit(options: GroupCommitOptions): <T>(work: (tx: Tx) => Promise<T>) => Promise<T> {
  const commit = createBatchCommit<(tx: Tx) => Promise<unknown>, unknown>({
    ...options,
    async storeAll(tx, works) {
      const all: unknown[] = [];
      for (const work of works) all.push(await work(tx));
      return all;
    },
  });
  return <T>(work: (tx: Tx) => Promise<T>) => {
    const inContext = AsyncLocalStorage.snapshot();
    return commit((tx) => inContext(() => work(tx))) as Promise<T>;
  };
}
