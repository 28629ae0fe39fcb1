import assert from "node:assert/strict";
import { test } from "node:test";
import { createBatchCommit, createGroupCommit } from "./group-commit.ts";
import type { Tx } from "./store.ts";

const tx = {} as Tx;

/** Five works that wait together. */
async function outcomesOf(
  transaction: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>,
  failing = -1,
): Promise<{ ran: number[]; outcomes: string[] }> {
  const ran = Array<number>(5).fill(0);
  const groupCommit = createGroupCommit({ transaction, atOnce: 1 });
  const settled = await Promise.allSettled(
    ran.map((_, n) =>
      groupCommit(async () => {
        ran[n]! += 1;
        if (n === failing) throw new Error("of the work");
        return n;
      }),
    ),
  );
  return { ran, outcomes: settled.map((one) => (one.status === "fulfilled" ? "done" : (one.reason as Error).message)) };
}

test("a work that throws fails alone, and its neighbours run again without it", async () => {
  const { ran, outcomes } = await outcomesOf((work) => work(tx), 3);
  assert.deepEqual(outcomes, ["done", "done", "done", "of the work", "done"]);
  assert.deepEqual(ran, [2, 2, 2, 2, 1]);
});

test("a commit whose answer is lost may have happened: nothing runs twice, and everybody is told", async () => {
  const { ran, outcomes } = await outcomesOf(async (work) => {
    await work(tx);
    throw new Error("the answer is lost");
  });
  assert.deepEqual(outcomes, Array(5).fill("the answer is lost"));
  assert.deepEqual(ran, [1, 1, 1, 1, 1]);
});

/** The groups that `storeAll` saw, and how each item ended. */
async function storedTogether(
  items: readonly number[],
  options: {
    transaction?: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>;
    refuses?: (item: number) => boolean;
    sizeOf?: (item: number) => number;
  } = {},
): Promise<{ groups: number[][]; outcomes: unknown[] }> {
  const groups: number[][] = [];
  const commit = createBatchCommit<number, string>({
    transaction: options.transaction ?? ((work) => work(tx)),
    atOnce: 1,
    async storeAll(_, group) {
      groups.push([...group]);
      if (group.some(options.refuses ?? (() => false))) throw new Error("of an item");
      return group.map((item) => `stored ${item}`);
    },
    ...(options.sizeOf ? { sizeOf: options.sizeOf } : {}),
  });
  const settled = await Promise.allSettled(items.map(commit));
  return {
    groups,
    outcomes: settled.map((one) => (one.status === "fulfilled" ? one.value : (one.reason as Error).message)),
  };
}

test("items that wait together are stored together, and each gets its own result", async () => {
  const { groups, outcomes } = await storedTogether([1, 2, 3]);
  assert.deepEqual(groups, [[1, 2, 3]]);
  assert.deepEqual(outcomes, ["stored 1", "stored 2", "stored 3"]);
});

test("a bad item among good ones fails alone: the others are stored without it", async () => {
  const { groups, outcomes } = await storedTogether([1, 2, 3, 4], { refuses: (item) => item === 3 });
  assert.deepEqual(groups, [[1, 2, 3, 4], [1], [2], [3], [4]]);
  assert.deepEqual(outcomes, ["stored 1", "stored 2", "of an item", "stored 4"]);
});

test("items whose commit may have happened are not stored a second time", async () => {
  const { groups, outcomes } = await storedTogether([1, 2, 3], {
    async transaction(work) {
      await work(tx);
      throw new Error("the answer is lost");
    },
  });
  assert.deepEqual(groups, [[1, 2, 3]]);
  assert.deepEqual(outcomes, Array(3).fill("the answer is lost"));
});

test("large items share no statement", async () => {
  const { groups } = await storedTogether([1, 2, 3, 4], { sizeOf: (item) => (item === 3 ? 9 : 3) * 1024 * 1024 });
  assert.deepEqual(groups, [[1, 2], [3], [4]]);
});
