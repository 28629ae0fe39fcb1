import assert from "node:assert/strict";
import { test } from "node:test";
import { createTurns } from "./turns.ts";

const never = new AbortController().signal;

test("no key has more than its places, all together not more than theirs, and everybody's turn comes", async () => {
  const take = createTurns({ perKey: 2, total: 3 });
  const running: Record<string, number> = {};
  let all = 0;
  const order: string[] = [];
  const work = (key: string) => async (): Promise<void> => {
    running[key] = (running[key] ?? 0) + 1;
    all += 1;
    assert.ok(running[key] <= 2 && all <= 3);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running[key] -= 1;
    all -= 1;
    order.push(key);
  };
  const flood = Array.from({ length: 20 }, () => take("flood", never, work("flood")));
  const innocent = take("innocent", never, work("innocent"));
  await Promise.all([...flood, innocent]);
  assert.equal(order.length, 21);
  assert.ok(order.indexOf("innocent") <= 3, "it did not wait for the flood");
});

test("work whose caller is gone is not begun, and failures free the place", async () => {
  const take = createTurns({ perKey: 1 });
  const gone = new AbortController();
  gone.abort();
  await assert.rejects(
    take("a", gone.signal, async () => assert.fail("begun")),
    /cancelled/,
  );
  await assert.rejects(
    take("a", never, () => Promise.reject(new Error("own"))),
    /own/,
  );
  assert.equal(await take("a", never, async () => 7), 7);
});
