/**
 * `npm run bench [-- --only NAME] [--quick] [--rounds N]`: runs every benchmark in a process of its own, one after another,
 * prints the table and writes bench/results/latest.json. With --only the other rows of the last file stay as they were.
 */
import { fork } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Measured } from "./benchmark.ts";
import { type GoalId, goalIds, goals } from "./goals.ts";
import { machine } from "./parts/machine.ts";
import { type Results, renderTable } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
  },
});
const rounds = Number(options.rounds ?? (options.quick ? 2 : 5));
if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds takes a whole number from 1");

/** So long may one benchmark take, whatever happens. */
const patienceMs = options.quick ? 60_000 : 420_000;
const all = [...new Set(goalIds.map((id) => goals[id].benchmark))];
const chosen = options.only?.flatMap((names) => names.split(",")) ?? all;
const unknown = chosen.filter((name) => !all.includes(name as (typeof all)[number]));
if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(", ")}; there are ${all.join(", ")}`);

const file = fileURLToPath(new URL("./results/latest.json", import.meta.url));
const former = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Results) : undefined;
const here = machine();
console.log(`Backplane benchmarks, ${rounds} rounds${options.quick ? ", quick" : ""}: ${here.line}\n`);

const rows = new Map<GoalId, Measured & { at?: string }>();
if (options.only !== undefined) for (const row of former?.rows ?? []) if (row.goal in goals) rows.set(row.goal, row);
const startedAt = new Date();
for (const name of chosen) {
  const from = performance.now();
  process.stderr.write(`${name} …\n`);
  const measured = await runOne(name);
  for (const row of measured) rows.set(row.goal, { ...row, at: new Date().toISOString() });
  process.stderr.write(`${name}: ${((performance.now() - from) / 1000).toFixed(1)} s\n`);
}
const results: Results = {
  at: startedAt.toISOString(),
  machine: here,
  rounds,
  quick: options.quick,
  rows: goalIds.map((goal) => rows.get(goal) ?? { goal, note: "not run" }),
};
console.log(`\n${renderTable(results)}\n`);
mkdirSync(new URL("./results/", import.meta.url), { recursive: true });
writeFileSync(file, `${JSON.stringify(results, roundNumbers, 2)}\n`);
console.log("Written to bench/results/latest.json");

function runOne(name: string): Promise<Measured[]> {
  return new Promise((resolve) => {
    const child = fork(
      new URL("./run-one.ts", import.meta.url),
      [name, JSON.stringify({ rounds, quick: options.quick })],
      {
        execArgv: ["--no-warnings", "--expose-gc"],
        stdio: ["ignore", "inherit", "inherit", "ipc"],
      },
    );
    let measured: Measured[] | undefined;
    const timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
    child.on("message", (message) => {
      measured = message as Measured[];
    });
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      const note = `the benchmark ended with ${signal ?? `code ${code}`}`;
      resolve(measured ?? goalIds.filter((id) => goals[id].benchmark === name).map((goal) => ({ goal, note })));
    });
  });
}

function roundNumbers(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}
