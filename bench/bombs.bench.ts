/**
 * What neighbours feel while a bomb goes off: an innocent plugin of the same organisation (same runner) and one of another
 * (its own runner) are called every few milliseconds, quiet and during each bomb in turn. The bombs are attacks of
 * test/escape. p99 counts from when a call was due, so a stall counts for every call it delayed.
 */
import { readFileSync } from "node:fs";
import type { PluginInstance, PluginRuntime } from "../src/runtimes/runtime.ts";
import type { Benchmark } from "./benchmark.ts";
import { steadily } from "./parts/drive.ts";
import { call, instance, mustCall, sleep, startEngine, warmUp } from "./parts/engine.ts";
import { figure, median, percentile } from "./statistics.ts";

const everyMs = 5;
/** Those that cost their runner are stopped by ending it; the others by the engine. */
export const bombs = [
  "cpu-loop-empty",
  "cpu-loop-after-await",
  "cpu-loop-microtasks",
  "cpu-regex-backtracking",
  "flood-ability-calls",
  "error-getters-loop",
  "memory-array-buffers",
  "memory-array-growth",
  "memory-map-growth",
  "builtin-normalize",
  "builtin-indexof-huge",
];
const quickBombs = ["cpu-loop-empty", "flood-ability-calls", "memory-array-growth", "builtin-indexof-huge"];

export const benchmark: Benchmark = {
  name: "bombs",
  goals: ["innocents-same", "innocents-other"],
  async run({ quick, log }) {
    await using engine = startEngine({ standby: true, strikes: { quarantineAt: 1e9, disableAt: 1e9 } as object });
    const { runtime } = engine;
    const same = instance({ group: "acme" });
    const other = instance({ group: "globex" });
    await warmUp(runtime, [same, other], "lookup", 200);
    const sameP99: Record<string, number> = {};
    const otherP99: Record<string, number> = {};
    const quietSamples: number[] = [];
    let failures = 0;
    for (const id of quick ? quickBombs : bombs) {
      const quiet = await watch(runtime, [same, other], () => sleep(quick ? 500 : 1000));
      const quietOther = percentile(quiet[1]!.samples, 0.99);
      quietSamples.push(...quiet[1]!.samples);
      const lost = runtime.status().runnersLost;
      const during = await watch(runtime, [same, other], () => explode(runtime, id));
      const name = runtime.status().runnersLost > lost ? `${id} (cost its runner)` : id;
      sameP99[name] = percentile(during[0]!.samples, 0.99);
      otherP99[name] = percentile(during[1]!.samples, 0.99);
      failures += during[0]!.failures + during[1]!.failures;
      log(
        `${name}: same ${figure(sameP99[name])} ms, other ${figure(otherP99[name])} ms, quiet ${figure(quietOther)} ms`,
      );
      await sleep(300);
    }
    const [worst, worstMs] = Object.entries(sameP99).sort((a, b) => b[1] - a[1])[0]!;
    const quietP99 = percentile(quietSamples, 0.99);
    const [otherName, worstOther] = Object.entries(otherP99).sort((a, b) => b[1] - a[1])[0]!;
    const gentle = Object.entries(sameP99).filter(([name]) => !name.includes("runner"));
    const worstGentle = Math.max(...gentle.map(([, ms]) => ms));
    return [
      {
        goal: "innocents-same",
        value: worstMs,
        text: `${figure(worstMs)} ms in the worst, ${worst}; ${figure(worstGentle)} ms in the worst that left the runner alive; median ${figure(median(Object.values(sameP99)))} ms`,
        parts: { ...sameP99, "failed calls": failures },
      },
      {
        goal: "innocents-other",
        value: worstOther / quietP99,
        samples: Object.values(otherP99).map((ms) => ms / quietP99),
        text: `${figure(worstOther / quietP99)} × in the worst, ${otherName}; median ${figure(median(Object.values(otherP99)) / quietP99)} ×; quiet p99 ${figure(quietP99)} ms`,
        parts: { ...otherP99, quiet: quietP99 },
      },
    ];
  },
};

/** Calls every plugin every few milliseconds until `work` is done, and a little longer. */
async function watch(
  runtime: PluginRuntime,
  plugins: readonly PluginInstance[],
  work: () => Promise<void>,
): Promise<{ samples: number[]; failures: number }[]> {
  let over = false;
  const watched = plugins.map((plugin) =>
    steadily(
      everyMs,
      () => mustCall(runtime, plugin, "noop"),
      () => over,
    ),
  );
  await work();
  await sleep(300);
  over = true;
  return Promise.all(watched);
}

async function explode(runtime: PluginRuntime, id: string): Promise<void> {
  const code = readFileSync(new URL(`../test/escape/${id}/attack.js`, import.meta.url), "utf8");
  const bomb = instance({ code, limits: { cpuMs: 200, timeoutMs: 2000, concurrency: 16, pendingAbilityCalls: 64 } });
  await Promise.race([
    call(runtime, bomb, "attack", { idempotent: false, args: Buffer.from('[{"nonce":"bench"}]') }),
    sleep(3000),
  ]);
  await runtime.release(bomb.key);
}
