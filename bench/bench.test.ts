/** The table has a row for every goal, and every goal is measured by exactly one benchmark. Nothing is timed here. */
import assert from "node:assert/strict";
import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Benchmark } from "./benchmark.ts";
import { type GoalId, goalIds, goals, verdict } from "./goals.ts";
import { machine } from "./parts/machine.ts";
import { renderTable } from "./table.ts";

const folder = import.meta.dirname;

test("every goal is filled by one benchmark, and no benchmark fills a row of another", async () => {
  const files = globSync("*.bench.ts", { cwd: folder });
  const filled = new Map<GoalId, string>();
  for (const file of files) {
    const { benchmark } = (await import(join(folder, file))) as { benchmark: Benchmark };
    assert.equal(`${benchmark.name}.bench.ts`, file);
    for (const goal of benchmark.goals) {
      assert.equal(filled.get(goal), undefined, `${goal} is measured twice`);
      assert.equal(goals[goal].benchmark, benchmark.name);
      filled.set(goal, benchmark.name);
    }
  }
  assert.deepEqual([...filled.keys()].sort(), [...goalIds].sort());
});

test("the table has a line for every goal, measured or not", () => {
  const rows = goalIds.map((goal) => ({ goal, note: "not run" }));
  const table = renderTable({ at: "", machine: machine(), rounds: 1, quick: true, rows });
  for (const id of goalIds) assert.ok(table.includes(`| ${goals[id].what} | ${goals[id].goal} |`), id);
  assert.equal(table.match(/not measured/g)?.length, goalIds.length);
});

test("a value beyond its goal is missed, one at its goal is met, and a row without a goal is only shown", () => {
  assert.equal(verdict("lone-call", 5), "met");
  assert.equal(verdict("lone-call", 5.01), "missed");
  assert.equal(verdict("one-isolate", 0.84), "missed");
  assert.equal(verdict("ability-http", 3), "shown");
  assert.equal(verdict("wedged", undefined), "not measured");
});

test("the attacks that the bombs benchmark throws exist", async () => {
  const { bombs } = (await import("./bombs.bench.ts")) as { bombs: readonly string[] };
  for (const id of bombs) assert.ok(existsSync(join(folder, "../test/escape", id, "attack.js")), id);
});
