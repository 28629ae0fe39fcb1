/**
 * A runner that no longer gets anywhere, and how long its innocent plugins wait. Two ways to wedge it: builtins that cannot
 * be interrupted hold every thread of its pool, and the whole process stands still (SIGSTOP, as a swapped-out one would).
 */
import { availableParallelism } from "node:os";
import type { Benchmark } from "./benchmark.ts";
import { call, instance, mustCall, sleep, startEngine, warmUp } from "./parts/engine.ts";
import { figure, median } from "./statistics.ts";

const budgetMs = 100;
const stuck = `globalThis.__backplanePlugin = { functions: {
  noop: async () => 1,
  stick: async () => Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1),
} };`;

export const benchmark: Benchmark = {
  name: "wedged",
  goals: ["wedged"],
  async run({ rounds, quick }) {
    const builtins: number[] = [];
    const frozen: number[] = [];
    for (let round = 0; round < Math.min(rounds, quick ? 1 : 4); round++) {
      builtins.push(await holdEveryThread());
      frozen.push(await freeze());
    }
    return [
      {
        goal: "wedged",
        value: median(builtins),
        samples: builtins,
        text: `${figure(median(builtins))} ms after the budget when every thread is held; ${figure(median(frozen))} ms when the whole process stands still`,
        parts: { "threads held": median(builtins), "process stopped": median(frozen) },
      },
    ];
  },
};

async function holdEveryThread(): Promise<number> {
  await using engine = startEngine({ standby: true, inline: false });
  const { runtime } = engine;
  const innocent = instance();
  const bombs = Array.from({ length: availableParallelism() + 1 }, () =>
    instance({ code: stuck, limits: { cpuMs: budgetMs } }),
  );
  await warmUp(runtime, [innocent], "noop", 50);
  for (const bomb of bombs) await mustCall(runtime, bomb, "noop");
  await standbyReady(engine.runtime);
  const from = performance.now();
  const over = bombs.map((bomb) => call(runtime, bomb, "stick", { idempotent: false }));
  await sleep(20);
  await served(() => call(runtime, innocent, "noop"));
  const ms = performance.now() - from - budgetMs;
  await Promise.race([Promise.all(over), sleep(3000)]);
  return ms;
}

async function freeze(): Promise<number> {
  await using engine = startEngine({ standby: true });
  const { runtime } = engine;
  const innocent = instance();
  await warmUp(runtime, [innocent], "noop", 50);
  await standbyReady(runtime);
  const runner = runtime.status().runners.find(({ role }) => role === "working")!;
  process.kill(runner.pid, "SIGSTOP");
  const from = performance.now();
  await served(() => call(runtime, innocent, "noop"));
  return performance.now() - from;
}

async function served(attempt: () => Promise<{ ok: boolean }>): Promise<void> {
  const until = performance.now() + 15_000;
  while (!(await attempt()).ok) {
    if (performance.now() > until) throw new Error("the innocent plugin was not served again");
    await sleep(1);
  }
}

async function standbyReady(runtime: { status(): { runners: { role: string }[] } }): Promise<void> {
  while (!runtime.status().runners.some(({ role }) => role === "standby")) await sleep(10);
  await sleep(500);
}
