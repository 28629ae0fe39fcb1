/**
 * From nothing to a plugin that answers. Inside a runner: plain, warm cache, pooled. Seen from the hub: the first call of a
 * plugin that is not loaded, against the first answer of a new worker thread, process, Deno and quickjs.
 */
import type { Benchmark, Measured } from "./benchmark.ts";
import { startHelper } from "./parts/child.ts";
import { instance, mustCall, sleep, startEngine } from "./parts/engine.ts";
import { type PeerInstance, preparePeers } from "./parts/peers.ts";
import { smallPlugin } from "./parts/small-plugin.ts";
import { interleave, median, percentile, ratios } from "./statistics.ts";

export const benchmark: Benchmark = {
  name: "cold-start",
  goals: ["cold-warm-cache", "cold-pooled", "cold-worker", "cold-process", "cold-deno", "cold-quickjs"],
  async run({ rounds, quick, log }) {
    const code = await smallPlugin();
    log(`the plugin has ${(code.length / 1024).toFixed(1)} KB`);
    return [...(await inRunner(quick ? 25 : rounds * 20)), ...(await fromHub(quick ? 6 : rounds * 5, code))];
  },
};

async function inRunner(rounds: number): Promise<Measured[]> {
  using child = startHelper(new URL("./parts/cold-child.ts", import.meta.url));
  const starts: Record<"plain" | "warm" | "pooled", number>[] = [];
  for (let n = 0; n < rounds + 5; n++) starts.push(await child.ask({}));
  const of = (name: "plain" | "warm" | "pooled"): number[] => starts.slice(5).map((start) => start[name]);
  const parts = {
    "plain ms": median(of("plain")),
    "warm cache ms": median(of("warm")),
    "pooled ms": median(of("pooled")),
    "pooled p90 ms": percentile(of("pooled"), 0.9),
  };
  const row = (goal: Measured["goal"], name: "warm" | "pooled"): Measured => {
    const samples = ratios(of("plain"), of(name));
    return { goal, value: median(of("plain")) / median(of(name)), samples, parts };
  };
  return [row("cold-warm-cache", "warm"), row("cold-pooled", "pooled")];
}

async function fromHub(rounds: number, code: string): Promise<Measured[]> {
  await using engine = startEngine({ poolMemoryMb: 64 });
  await using peers = await preparePeers();
  const { runtime } = engine;
  const limits = { memoryMb: 64 };
  // The cache is made after the first calls of the first instance.
  const first = instance({ code, limits });
  for (let n = 0; n < 5; n++) await mustCall(runtime, first, "noop");
  await sleep(300);
  const peer = (start: () => Promise<PeerInstance>) => async () => {
    const from = performance.now();
    const started = await start();
    await started.call();
    const ms = performance.now() - from;
    await started.end();
    return ms;
  };
  const contenders: Record<string, () => Promise<number>> = {
    ours: async () => {
      const plugin = instance({ code, limits });
      // The pool fills up again while nothing else is asked.
      await sleep(60);
      const from = performance.now();
      await mustCall(runtime, plugin, "noop");
      const ms = performance.now() - from;
      await runtime.release(plugin.key);
      return ms;
    },
    worker: peer(peers.worker),
    process: peer(peers.process),
    quickjs: peer(peers.quickjs),
    ...(peers.deno === undefined ? {} : { deno: peer(peers.deno) }),
  };
  await interleave(2, contenders);
  const ms = await interleave(rounds, contenders);
  const row = (goal: Measured["goal"], name: string): Measured => {
    if (ms[name] === undefined) return { goal, note: peers.noDeno ?? "not measured" };
    const samples = ratios(ms[name], ms["ours"]!);
    return {
      goal,
      value: median(samples),
      samples,
      parts: { ms: median(ms[name]), "ours ms": median(ms["ours"]!) },
    };
  };
  return [
    row("cold-worker", "worker"),
    row("cold-process", "process"),
    row("cold-deno", "deno"),
    row("cold-quickjs", "quickjs"),
  ];
}
