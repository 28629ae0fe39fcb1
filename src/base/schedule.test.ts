import assert from "node:assert/strict";
import { test } from "node:test";
import { nextTurn, parseSchedule, type Schedule } from "./schedule.ts";

const read = (text: string): Schedule => {
  const schedule = parseSchedule(text);
  if (typeof schedule === "string") assert.fail(schedule);
  return schedule;
};

test("intervals and cron are read; anything else is told what is wrong with it", () => {
  assert.deepEqual(read("every 15m"), { kind: "interval", ms: 900_000 });
  assert.deepEqual(read(" every 2 d "), { kind: "interval", ms: 172_800_000 });
  assert.deepEqual(read("0 3 * * 0"), { kind: "cron", pattern: "0 3 * * 0" });
  assert.deepEqual(read("@daily"), { kind: "cron", pattern: "@daily" });
  for (const wrong of [
    "",
    "often",
    "every 1s",
    "every 400d",
    "every 5w",
    "* * * *",
    "* * * * * *",
    "61 * * * *",
    "0 0 31 2 *",
    "@never",
  ])
    assert.equal(typeof parseSchedule(wrong), "string", wrong);
});

test("the next turn is in UTC and comes a little late at most, never early", () => {
  const from = new Date("2026-03-29T00:59:00Z");
  const cron = read("0 3 * * *");
  assert.equal(nextTurn(cron, from, () => 0)?.toISOString(), "2026-03-29T03:00:00.000Z");
  assert.equal(nextTurn(cron, from, () => 0.999)?.toISOString(), "2026-03-29T03:00:59.940Z");
  const interval = read("every 10m");
  assert.equal(nextTurn(interval, from, () => 0)?.toISOString(), "2026-03-29T01:09:00.000Z");
  assert.equal(nextTurn(interval, from, () => 0.5)?.toISOString(), "2026-03-29T01:09:15.000Z");
});
