import assert from "node:assert/strict";
import { test } from "node:test";
import { lowestIdAt, newId, timeOfId } from "./ids.ts";

test("ids are UUIDs of version 7, all different, and sort in the order they were made", () => {
  const ids = Array.from({ length: 20_000 }, newId);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(ids.toSorted(), ids);
});

test("an id tells its time, and lies between the bounds of its time", () => {
  const id = newId();
  const ms = timeOfId(id)!;
  assert.ok(Math.abs(ms - Date.now()) < 1000);
  assert.ok(lowestIdAt(ms) < id && id < lowestIdAt(ms + 1));
  assert.equal(timeOfId("nonsense"), undefined);
});
