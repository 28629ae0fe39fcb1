/** How long after its CPU budget a loop is stopped: by the clock of the caller, and by the CPU it was charged. */
import type { Benchmark } from "./benchmark.ts";
import { call, instance, startEngine } from "./parts/engine.ts";
import { figure, median, percentile } from "./statistics.ts";

const budgetMs = 100;
const loops = {
  "empty loop": "for (;;);",
  "after an await": "await ctx.data.getById('contacts', 'a'); for (;;);",
  microtasks: "const again = () => Promise.resolve().then(again); await again();",
};

export const benchmark: Benchmark = {
  name: "runaway",
  goals: ["runaway"],
  async run({ rounds }) {
    // Strikes would send the culprit to a runner of its own, which is another benchmark.
    await using engine = startEngine({ strikes: { quarantineAt: 1e9, disableAt: 1e9 } as object });
    const samples: number[] = [];
    const charged: number[] = [];
    const parts: Record<string, number> = {};
    for (const [name, body] of Object.entries(loops)) {
      const own: number[] = [];
      for (let n = 0; n < rounds * 2; n++) {
        const plugin = instance({
          code: `globalThis.__backplanePlugin = { functions: { loop: async (p, ctx) => { ${body} }, noop: async () => 1 } };`,
          limits: { cpuMs: budgetMs },
        });
        await call(engine.runtime, plugin, "noop");
        const from = performance.now();
        const outcome = await call(engine.runtime, plugin, "loop");
        if (outcome.ok || outcome.error.code !== "cpu_exceeded") {
          throw new Error(`${name} ended with ${outcome.ok ? "a result" : outcome.error.code}`);
        }
        own.push(performance.now() - from - budgetMs);
        charged.push(outcome.usage.cpuMs - budgetMs);
        await engine.runtime.release(plugin.key);
      }
      parts[`${name}: median`] = median(own);
      samples.push(...own);
    }
    const worst = percentile(samples, 0.95);
    return [
      {
        goal: "runaway",
        value: median(samples),
        samples,
        text: `+${figure(median(samples))} ms, p95 +${figure(worst)} ms by the clock; +${figure(median(charged))} ms of CPU`,
        parts: { ...parts, p95: worst, "CPU over budget": median(charged) },
      },
    ];
  },
};
