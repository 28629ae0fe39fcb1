/**
 * Long crash runs with printed seeds: `npm run soak`. Bounded by SOAK_SECONDS (default 1800), or by SOAK_RUNS of each kind;
 * SOAK_SEED names the first seed, SOAK_ONLY the kinds by a part of their names. With TEST_DATABASE_URL and TEST_NATS_URL they
 * also go over two hubs on those. A run is one organisation (flows) or one set of hubs (accepted); a kill is one SIGKILL.
 */
import { flowRuns, runsPerRound, type Spread, spreadFault, spreadOf } from "../test/crash/flow-run.ts";
import type { Phase } from "../test/crash/flow-work.ts";
import { killRun } from "../test/crash/kill-run.ts";
import { sharedDatabase, sharedNats } from "../test/crash/shared-services.ts";

interface Done {
  runs: number;
  kills: number;
  /** How many seeds it used up. */
  seeds: number;
  text: string;
  /** What was lost or differs, one line each; with the seed that repeats it. */
  faults: { seed: number; line: string }[];
  repeats?: number;
  phases?: Phase[];
}

interface Kind {
  name: string;
  database: boolean;
  nats: boolean;
  /** Runs that one seed stands for. */
  perSeed: number;
  run(options: { seed: number; runs: number; env: Record<string, string> }): Promise<Done>;
}

interface Total {
  runs: number;
  kills: number;
  faults: number;
  repeats: number;
  ms: number;
  phases: Phase[];
}

const accepted =
  (hubs: number): Kind["run"] =>
  async ({ seed, env }) => {
    const { accepted: count, missing, kills } = await killRun({ seed, kills: hubs === 1 ? 3 : 2, env, hubs });
    return {
      ...{ runs: 1, kills, seeds: 1, text: `${count} accepted, ${missing.length} lost` },
      faults: missing.length > 0 ? [{ seed, line: `lost: ${missing.join(", ")}` }] : [],
    };
  };

/** A set of hubs lives for so many runs; where seconds bound the whole, for fewer, so that every kind has its turn. */
const flowsPerSet = 20;
const flowsPerTurn = 8;

const flows =
  (hubs: number): Kind["run"] =>
  async ({ seed, runs, env }) => {
    const done = await flowRuns({ seed, runs: Math.min(runs, flowsPerSet), env, hubs });
    return {
      ...{ runs: done.runs, kills: done.kills, seeds: Math.ceil(done.runs / runsPerRound) },
      ...{ repeats: done.repeats, phases: done.phases },
      text: `${done.differences.length} differ, ${done.repeats} sends known again by their key`,
      faults: done.differences.map(({ organization, seed, fields }) => ({
        seed,
        line: `${organization} differs from an undisturbed run: ${JSON.stringify(fields)}`,
      })),
    };
  };

const kinds: Kind[] = [
  { name: "accepted, embedded", database: false, nats: false, perSeed: 1, run: accepted(1) },
  { name: "flows, embedded", database: false, nats: false, perSeed: runsPerRound, run: flows(1) },
  { name: "accepted, PostgreSQL, two hubs", database: true, nats: false, perSeed: 1, run: accepted(2) },
  { name: "flows, PostgreSQL, two hubs", database: true, nats: false, perSeed: runsPerRound, run: flows(2) },
  { name: "accepted, PostgreSQL and NATS, two hubs", database: true, nats: true, perSeed: 1, run: accepted(2) },
  { name: "flows, PostgreSQL and NATS, two hubs", database: true, nats: true, perSeed: runsPerRound, run: flows(2) },
];

const wanted = process.env["SOAK_RUNS"] === undefined ? undefined : Number(process.env["SOAK_RUNS"]);
const seconds = Number(process.env["SOAK_SECONDS"] ?? (wanted === undefined ? 1800 : Number.POSITIVE_INFINITY));
const firstSeed = Number(process.env["SOAK_SEED"] ?? Date.now() % 2 ** 31);
const only = process.env["SOAK_ONLY"] ?? "";
const open = kinds.filter(
  ({ name, database, nats }) =>
    name.includes(only) && (!database || process.env["TEST_DATABASE_URL"]) && (!nats || process.env["TEST_NATS_URL"]),
);
const totals = new Map<Kind, Total>(
  open.map((kind) => [kind, { runs: 0, kills: 0, faults: 0, repeats: 0, ms: 0, phases: [] }]),
);
const began = performance.now();
let seed = firstSeed;
let failed = 0;

while (failed === 0 && performance.now() - began < seconds * 1000) {
  const kind = open.find((one) => wanted === undefined || totals.get(one)!.runs < wanted);
  if (!kind) break;
  // In turns, so that a bound in seconds is shared by all kinds.
  open.push(...open.splice(open.indexOf(kind), 1));
  await runOne(kind, totals.get(kind)!);
}

async function runOne(kind: Kind, total: Total): Promise<void> {
  const began = performance.now();
  const at = seed;
  const runs = wanted === undefined ? flowsPerTurn : wanted - total.runs;
  let done: Done;
  try {
    await using services = new AsyncDisposableStack();
    const env = {
      ...(kind.database ? services.use(await sharedDatabase()).env : {}),
      ...(kind.nats ? services.use(await sharedNats()).env : {}),
    };
    done = await kind.run({ seed: at, runs, env });
  } catch (error) {
    const line = error instanceof Error ? (error.stack ?? error.message) : String(error);
    done = { runs: 0, kills: 0, seeds: 1, text: "it broke off", faults: [{ seed: at, line }] };
  }
  seed += done.seeds;
  const ms = performance.now() - began;
  total.runs += done.runs;
  total.kills += done.kills;
  total.faults += done.faults.length;
  total.repeats += done.repeats ?? 0;
  total.ms += ms;
  total.phases.push(...(done.phases ?? []));
  const isFailed = done.faults.length > 0;
  console.log(
    `${isFailed ? "FAIL" : "ok  "} ${kind.name}, seeds ${at} to ${seed - 1}: ${done.runs} runs, ${done.kills} kills, ${done.text}; ${(ms / 1000).toFixed(0)} s`,
  );
  for (const { seed: its, line } of done.faults)
    console.log(
      `     seed ${its}: ${line}\n     again: SOAK_ONLY="${kind.name}" SOAK_SEED=${its} SOAK_RUNS=${kind.perSeed} npm run soak`,
    );
  if (isFailed) failed += 1;
}

console.log("");
for (const [{ name }, { runs, kills, faults, repeats, ms, phases }] of totals) {
  if (runs === 0 && faults === 0) continue;
  const what = name.startsWith("flows") ? `${faults} differences, ${repeats} repeats` : `${faults} lost`;
  console.log(`${name}: ${runs} runs, ${kills} kills, ${what}; ${(ms / 1000 / Math.max(1, runs)).toFixed(1)} s a run`);
  if (phases.length > 0) {
    const spread = spreadOf(phases);
    console.log(shown(spread));
    const fault = spreadFault(spread);
    if (fault !== undefined && faults === 0) {
      console.log(`FAIL ${name}: ${fault}`);
      failed += 1;
    }
  }
}

function shown({ quarters, before, after, phases, webhooks, pages, sends }: Spread): string {
  const list = (counts: Record<number, number>): string =>
    Object.entries(counts)
      .map(([n, count]) => `${n}:${count}`)
      .join(" ");
  return [
    `  kills met runs before their first step ${before} times, by quarters of their steps ${quarters.join(" ")}, after the last ${after}; ${phases} different phases`,
    `  by webhooks accepted ${list(webhooks)}; by pages of the sync ${list(pages)}; by sends ${list(sends)}`,
  ].join("\n");
}

const sum = (field: "runs" | "kills" | "faults" | "repeats"): number =>
  [...totals.values()].reduce((before, total) => before + total[field], 0);
console.log(
  `total: ${sum("runs")} runs, ${sum("kills")} kills, ${sum("faults")} differences or losses, ${sum("repeats")} repeats, first seed ${firstSeed}; ${((performance.now() - began) / 1000).toFixed(0)} s`,
);
console.log(`${sum("runs") - Math.min(sum("faults"), sum("runs"))} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed > 0 || sum("runs") === 0 ? 1 : 0;
