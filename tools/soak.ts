/**
 * Long crash runs with printed seeds: `npm run soak`. Bounded by SOAK_SECONDS (default 1800); SOAK_SEED repeats one.
 * With TEST_DATABASE_URL and TEST_NATS_URL every third run uses two hubs on them.
 */
import { killRun } from "../test/crash/kill-run.ts";
import { sharedDatabase, sharedNats } from "../test/crash/shared-services.ts";

const seconds = Number(process.env["SOAK_SECONDS"] ?? 1800);
const firstSeed = Number(process.env["SOAK_SEED"] ?? Date.now() % 2 ** 31);
const until = Date.now() + seconds * 1000;
let failed = 0;
let runs = 0;

for (let seed = firstSeed; Date.now() < until && failed === 0; seed++, runs++) {
  const kind = runs % 3;
  const label = ["embedded", "PostgreSQL, two hubs", "PostgreSQL and NATS, two hubs"][kind]!;
  if ((kind > 0 && !process.env["TEST_DATABASE_URL"]) || (kind === 2 && !process.env["TEST_NATS_URL"])) continue;
  await using services = new AsyncDisposableStack();
  const env = {
    ...(kind > 0 ? services.use(await sharedDatabase()).env : {}),
    ...(kind === 2 ? services.use(await sharedNats()).env : {}),
  };
  const { accepted, missing, kills } = await killRun({
    seed,
    kills: kind === 0 ? 3 : 2,
    env,
    hubs: kind === 0 ? 1 : 2,
  });
  console.log(
    `${missing.length === 0 ? "ok  " : "FAIL"} crash run (${label}), seed ${seed}: ${accepted} accepted, ${kills} kills, ${missing.length} lost`,
  );
  if (missing.length > 0) failed += 1;
}

console.log(`${runs - failed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed > 0 ? 1 : 0;
