/**
 * Long crash runs with printed seeds: `npm run soak`. Bounded by SOAK_SECONDS (default 1800); SOAK_SEED repeats one, SOAK_ONLY
 * runs one kind. With TEST_DATABASE_URL and TEST_NATS_URL they also go over two hubs on those.
 */
import { flowRuns } from "../test/crash/flow-run.ts";
import { killRun } from "../test/crash/kill-run.ts";
import { sharedDatabase, sharedNats } from "../test/crash/shared-services.ts";

interface Kind {
  name: string;
  database: boolean;
  nats: boolean;
  run(options: { seed: number; env: Record<string, string> }): Promise<{ text: string; failed: boolean }>;
}

const accepted =
  (hubs: number): Kind["run"] =>
  async ({ seed, env }) => {
    const { accepted: count, missing, kills } = await killRun({ seed, kills: hubs === 1 ? 3 : 2, env, hubs });
    return { text: `${count} accepted, ${kills} kills, ${missing.length} lost`, failed: missing.length > 0 };
  };

const flows =
  (hubs: number, runs: number): Kind["run"] =>
  async ({ seed, env }) => {
    const { runs: count, differences, repeats } = await flowRuns({ seed, runs, env, hubs });
    for (const { run, expected, found } of differences)
      console.log(`${run}: expected ${JSON.stringify(expected)}\n${run}: found    ${JSON.stringify(found)}`);
    return {
      text: `${count} flow runs, ${differences.length} differ; ${repeats} sends were known again by their key`,
      failed: differences.length > 0,
    };
  };

const kinds: Kind[] = [
  { name: "accepted, embedded", database: false, nats: false, run: accepted(1) },
  { name: "flows, embedded", database: false, nats: false, run: flows(1, 5) },
  { name: "accepted, PostgreSQL, two hubs", database: true, nats: false, run: accepted(2) },
  { name: "flows, PostgreSQL, two hubs", database: true, nats: false, run: flows(2, 5) },
  { name: "accepted, PostgreSQL and NATS, two hubs", database: true, nats: true, run: accepted(2) },
  { name: "flows, PostgreSQL and NATS, two hubs", database: true, nats: true, run: flows(2, 5) },
];

const seconds = Number(process.env["SOAK_SECONDS"] ?? 1800);
const firstSeed = Number(process.env["SOAK_SEED"] ?? Date.now() % 2 ** 31);
const only = process.env["SOAK_ONLY"] ?? "";
const possible = kinds.filter(
  ({ name, database, nats }) =>
    name.includes(only) && (!database || process.env["TEST_DATABASE_URL"]) && (!nats || process.env["TEST_NATS_URL"]),
);
const until = Date.now() + seconds * 1000;
let failed = 0;
let runs = 0;

for (let seed = firstSeed; Date.now() < until && failed === 0 && possible.length > 0; seed++, runs++) {
  const kind = possible[runs % possible.length]!;
  await using services = new AsyncDisposableStack();
  const env = {
    ...(kind.database ? services.use(await sharedDatabase()).env : {}),
    ...(kind.nats ? services.use(await sharedNats()).env : {}),
  };
  const { text, failed: isFailed } = await kind.run({ seed, env });
  console.log(`${isFailed ? "FAIL" : "ok  "} crash run (${kind.name}), seed ${seed}: ${text}`);
  if (isFailed) failed += 1;
}

console.log(`${runs - failed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed > 0 || runs === 0 ? 1 : 0;
