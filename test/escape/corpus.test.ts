/**
 * Fires every attack of this folder at the real isolate runtime, several at once in organisations of their own, in an order
 * that the printed seed gives back. ESCAPE_SEED, ESCAPE_ONLY (substrings, by comma) and ESCAPE_SLOTS change the run.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { type Attack, loadAttacks, shuffled } from "./attack.ts";
import { type AttackReport, openProvingGround, type ProvingGround } from "./proving-ground.ts";
import { createRuntimeUnderTest } from "./runtime-under-test.ts";

const seed = Number(process.env["ESCAPE_SEED"] ?? Date.now() % 1_000_000);
const slots = Number(process.env["ESCAPE_SLOTS"] ?? 4);
const only = (process.env["ESCAPE_ONLY"] ?? "").split(",").filter((part) => part !== "");
const chosen = loadAttacks().filter((attack) => only.length === 0 || only.some((part) => attack.id.includes(part)));
const attacks: Attack[] = shuffled(chosen, seed);

const reports: AttackReport[] = [];
let ground: ProvingGround | undefined;
let quiet: number[] = [];

describe(`the hostile corpus (${attacks.length} attacks, seed ${seed})`, {
  concurrency: slots,
  timeout: 390_000,
}, () => {
  before(async () => {
    ground = await openProvingGround({ createRuntime: createRuntimeUnderTest });
    quiet = await ground.quiet(1000);
  });

  after(async () => {
    const left = await ground?.close();
    summarise();
    assert.deepEqual(left ?? [], []);
  });

  for (const attack of attacks) {
    it(`${attack.invariant} holds against ${attack.id}: ${attack.title}`, async () => {
      const report = await ground!.run(attack);
      reports.push(report);
      assert.deepEqual([...new Set(report.problems)], []);
    });
  }
});

function summarise(): void {
  const all = reports.flatMap((report) => report.canaryMs);
  const line = (name: string, values: number[]): string =>
    `${name}: p50 ${at(values, 0.5)} ms, p99 ${at(values, 0.99)} ms, max ${at(values, 1)} ms`;
  console.log(line("canary organisation, quiet", quiet));
  console.log(line("canary organisation, under attack", all));
  console.log(
    line(
      "neighbour answers again after",
      reports.map((report) => report.recoveryMs),
    ),
  );
  const peak = Math.max(0, ...reports.map((report) => report.peakResidentBytes));
  console.log(
    `largest runner: ${Math.round(peak / 1048576)} MB (${reports.find((report) => report.peakResidentBytes === peak)?.id})`,
  );
  const file = process.env["ESCAPE_REPORT"];
  if (file !== undefined)
    writeFileSync(
      file,
      JSON.stringify(
        reports.map((report) => ({ ...report, canaryMs: at(report.canaryMs, 1) })),
        null,
        1,
      ),
    );
}

function at(values: number[], quantile: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0);
}
