import assert from "node:assert/strict";
import { test } from "node:test";
import { pageOf } from "./page-of.ts";

const keyOf = (text: string): string => text;

test("pages follow each other in order, without gap or repetition, and the last has no cursor", () => {
  const items = ["d", "b", "e", "a", "c"];
  const seen: string[][] = [];
  let cursor: string | undefined;
  do {
    const page = pageOf(items, keyOf, { limit: 2, cursor });
    seen.push(page.items);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  assert.deepEqual(seen, [["a", "b"], ["c", "d"], ["e"]]);
  assert.deepEqual(pageOf(items, keyOf, { limit: 5 }).nextCursor, null);
  assert.deepEqual(pageOf([], keyOf, { limit: 1 }), { items: [], nextCursor: null });
});

test("a cursor that no list gave out is refused", () => {
  for (const cursor of ["garbage", "AAAA", Buffer.from("[1,2]").toString("base64url")])
    assert.throws(() => pageOf(["a"], keyOf, { limit: 1, cursor }), { code: "invalid_cursor" });
});
