/** Throughput of the engine with 256 calls in flight, against E and against the naive design, in interleaved rounds. */
import type { PluginInstance, PluginRuntime } from "../src/runtimes/runtime.ts";
import type { Benchmark, Measured } from "./benchmark.ts";
import { startHelper } from "./parts/child.ts";
import { drive } from "./parts/drive.ts";
import { call, instance, proofCalls, startEngine, warmUp } from "./parts/engine.ts";
import { params, rowText } from "./parts/handlers.ts";
import { cpuMsOf } from "./parts/machine.ts";
import { startNaive } from "./parts/naive.ts";
import { interleave, median, ratios } from "./statistics.ts";

const inFlight = 256;

export const benchmark: Benchmark = {
  name: "throughput",
  goals: ["one-isolate", "hundred-one-runner", "hundred-two-runners", "naive"],
  async run({ rounds, quick, log }) {
    const ms = quick ? 500 : 1000;
    using alone = startHelper(new URL("./parts/in-process-child.ts", import.meta.url));
    using naive = await startNaive(() => JSON.parse(rowText));
    await using one = startEngine();
    await using two = startEngine({ runnersPerGroup: 2 });
    const single = instance();
    const many = Array.from({ length: 100 }, () => instance());
    const spread = Array.from({ length: 100 }, () => instance());
    const unproven = instance();
    await warmUp(one.runtime, [single, ...many], "lookup", proofCalls);
    await warmUp(two.runtime, spread, "lookup", proofCalls);
    await warmUp(one.runtime, [unproven], "lookup");
    const cpu: Record<string, number[]> = {};
    let failed = 0;
    const note = (name: string, micros: number): void => {
      cpu[name] = [...(cpu[name] ?? []), micros];
    };
    const engine =
      (name: string, runtime: PluginRuntime, of: readonly PluginInstance[], idempotent = true) =>
      async () => {
        const pids = runtime.status().runners.map((runner) => runner.pid);
        const used = (): number => pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0);
        const before = { hub: process.cpuUsage(), runners: used() };
        let calls = 0;
        const { perSecond } = await drive(
          async (n) => {
            calls += 1;
            const { ok } = await call(runtime, of[n % of.length]!, "lookup", { idempotent });
            if (!ok) failed += 1;
          },
          { inFlight, ms },
        );
        const hub = process.cpuUsage(before.hub);
        note(`${name}: hub CPU µs a call`, (hub.user + hub.system) / calls);
        note(`${name}: runner CPU µs a call`, ((used() - before.runners) * 1000) / calls);
        return perSecond;
      };
    const inProcess = (isolates: number) => async () => {
      const answer = await alone.ask<{ perSecond: number; cpuMicros: number }>({
        isolates,
        inFlight,
        ms,
        handler: "lookup",
      });
      note(`E, ${isolates}: CPU µs a call`, answer.cpuMicros);
      return answer.perSecond;
    };
    const contenders = {
      e1: inProcess(1),
      one: engine("1 isolate", one.runtime, [single]),
      naive: async () => (await drive(() => naive.call("lookup", params), { inFlight, ms })).perSecond,
      e100: inProcess(100),
      hundred: engine("100, one runner", one.runtime, many),
      // A call that must not be made twice is never run on the runner's main thread.
      onceOnly: engine("1 isolate, not idempotent", one.runtime, [unproven], false),
      hundredOnceOnly: engine("100, not idempotent", one.runtime, many, false),
      hundredTwo: engine("100, two runners", two.runtime, spread),
    };
    // One turn for nothing: every contender compiles what it uses.
    await interleave(1, contenders);
    for (const name of Object.keys(cpu)) delete cpu[name];
    const perSecond = await interleave(rounds, contenders);
    log(
      Object.entries(perSecond)
        .map(([name, list]) => `${name} ${Math.round(median(list))}/s`)
        .join("  "),
    );
    const faults = [...one.faults, ...two.faults].map(({ kind, code, reason }) => `${kind} ${code}: ${reason}`);
    if (failed > 0) log(`${failed} calls failed; ${[...new Set(faults)].join("; ")}`);
    const parts = (prefixes: string[]): Record<string, number> =>
      Object.fromEntries(
        Object.entries(cpu)
          .filter(([name]) => prefixes.some((prefix) => name.startsWith(prefix)))
          .map(([name, list]) => [name, median(list)]),
      );
    const row = (goal: Measured["goal"], above: number[], below: number[], more: Record<string, number>): Measured => {
      const samples = ratios(above, below);
      return {
        goal,
        value: median(samples),
        samples,
        parts: { "calls/s": median(above), "against /s": median(below), "failed calls of all": failed, ...more },
      };
    };
    return [
      row("one-isolate", perSecond.one, perSecond.e1, {
        "not idempotent, E": median(ratios(perSecond.onceOnly, perSecond.e1)),
        ...parts(["1 isolate", "E, 1:"]),
      }),
      row("hundred-one-runner", perSecond.hundred, perSecond.e100, {
        "not idempotent, E": median(ratios(perSecond.hundredOnceOnly, perSecond.e100)),
        ...parts(["100, one", "100, not", "E, 100:"]),
      }),
      row("hundred-two-runners", perSecond.hundredTwo, perSecond.e100, parts(["100, two"])),
      row("naive", perSecond.one, perSecond.naive, {}),
    ];
  },
};
