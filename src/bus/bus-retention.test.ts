import assert from "node:assert/strict";
import { test } from "node:test";
import { retentionFor } from "./bus-retention.ts";

const day = 24 * 60 * 60 * 1000;

test("events and dead letters are kept as long as the setting says, settled deliveries a week at most", () => {
  assert.deepEqual(retentionFor(90), { doneMs: 7 * day, deadMs: 90 * day, eventsMs: 90 * day });
  assert.deepEqual(retentionFor(2), { doneMs: 2 * day, deadMs: 2 * day, eventsMs: 2 * day });
});
