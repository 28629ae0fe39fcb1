import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerMemory } from "./answer-memory.ts";

test("past the bound those with more than an equal share are refused, and the others go on", () => {
  const memory = new AnswerMemory(1_000);
  using greedy = memory.open("greedy");
  greedy.add("api.vendor.com", 900);
  using modest = memory.open("modest");
  modest.add("api.vendor.com", 400);
  assert.throws(() => greedy.add("api.vendor.com", 1), { code: "egress_failed" });
  modest.add("api.vendor.com", 100);
  assert.throws(() => modest.add("api.vendor.com", 1), { code: "egress_failed" });
});

test("many partitions together stay below twice the bound, and all of it is given back", () => {
  const memory = new AnswerMemory(1_000);
  const opened = [];
  for (let n = 0; n < 50; n++) {
    const held = memory.open(`p${n}`);
    opened.push(held);
    try {
      for (;;) held.add("api.vendor.com", 10);
    } catch {
      assert.ok(memory.bytes <= 2_000, String(memory.bytes));
    }
  }
  for (const held of opened) held[Symbol.dispose]();
  assert.equal(memory.bytes, 0);
});
