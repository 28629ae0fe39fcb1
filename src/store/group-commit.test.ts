import assert from "node:assert/strict";
import { test } from "node:test";
import { createGroupCommit } from "./group-commit.ts";
import type { Tx } from "./store.ts";

const tx = {} as Tx;

/** Five works that wait together; the first has a group of its own. */
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
  assert.deepEqual(ran, [1, 2, 2, 2, 1]);
});

test("a commit whose answer is lost may have happened: nothing runs twice, and everybody is told", async () => {
  const { ran, outcomes } = await outcomesOf(async (work) => {
    await work(tx);
    throw new Error("the answer is lost");
  });
  assert.deepEqual(outcomes, Array(5).fill("the answer is lost"));
  assert.deepEqual(ran, [1, 1, 1, 1, 1]);
});
