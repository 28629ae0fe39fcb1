/** The table `what | goal | measured | verdict`, as Markdown, for the terminal and for README. */
import type { Measured } from "./benchmark.ts";
import { type Goal, goals, verdict } from "./goals.ts";
import type { machine } from "./parts/machine.ts";
import { figure } from "./statistics.ts";

export interface Results {
  at: string;
  machine: ReturnType<typeof machine>;
  rounds: number;
  quick: boolean;
  rows: (Measured & { at?: string })[];
}

export function renderTable({ rows, machine: here }: Results): string {
  const lines = rows.map((row) => {
    const { what, goal }: Goal = goals[row.goal];
    return `| ${what} | ${goal} | ${cell(row)} | ${verdict(row.goal, row.value)} |`;
  });
  return [
    `Machine: ${here.line}.`,
    "",
    "| what | goal | measured | verdict |",
    "| --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

function cell(row: Measured): string {
  const { unit }: Goal = goals[row.goal];
  const value = row.text ?? (row.value === undefined ? "–" : `${figure(row.value)} ${unit}`.trim());
  return row.note === undefined ? value : `${value} (${row.note})`;
}
