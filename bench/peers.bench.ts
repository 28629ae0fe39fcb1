/** Warm calls and memory of peers against ours, with the same 26 KB plugin. */
import type { Benchmark, Measured } from "./benchmark.ts";
import { times } from "./parts/drive.ts";
import { instance, mustCall, sleep, startEngine, warmUp } from "./parts/engine.ts";
import { memoryOf } from "./parts/machine.ts";
import { type PeerInstance, type Peers, preparePeers } from "./parts/peers.ts";
import { smallPlugin } from "./parts/small-plugin.ts";
import { figure, interleave, median, ratios } from "./statistics.ts";

type Kind = "worker" | "process" | "deno" | "quickjs";

export const benchmark: Benchmark = {
  name: "peers",
  goals: ["peer-calls", "peer-memory"],
  async run({ rounds, quick, log }) {
    await using peers = await preparePeers();
    if (peers.noDeno !== undefined) log(`without deno: ${peers.noDeno}`);
    const kinds = (["quickjs", "worker", "process", "deno"] as const).filter((kind) => peers[kind] !== undefined);
    return [await calls(peers, kinds, rounds, quick), await memory(peers, kinds, quick ? 8 : 20)];
  },
};

async function calls(peers: Peers, kinds: readonly Kind[], rounds: number, quick: boolean): Promise<Measured> {
  await using engine = startEngine();
  const plugin = instance({ code: await smallPlugin() });
  await warmUp(engine.runtime, [plugin], "noop", 500);
  const started = new Map<Kind, PeerInstance>();
  for (const kind of kinds) started.set(kind, await peers[kind]!());
  const block = quick ? 150 : 400;
  const contenders: Record<string, () => Promise<number>> = {
    ours: async () => median(await times(block, () => mustCall(engine.runtime, plugin, "noop"))),
  };
  for (const [kind, peer] of started) contenders[kind] = async () => median(await times(block, () => peer.call()));
  await interleave(1, contenders);
  const ms = await interleave(rounds * 2, contenders);
  for (const peer of started.values()) await peer.end();
  const parts = Object.fromEntries(kinds.map((kind) => [kind, median(ratios(ms[kind]!, ms["ours"]!))]));
  return {
    goal: "peer-calls",
    value: parts["process"]!,
    text: Object.entries(parts)
      .map(([kind, ratio]) => `${kind} ${figure(ratio)} ×`)
      .join(", "),
    parts: { ...parts, "ours µs": median(ms["ours"]!) * 1000 },
  };
}

async function memory(peers: Peers, kinds: readonly Kind[], count: number): Promise<Measured> {
  const parts: Record<string, number> = { ours: await oursMb(count * 5) };
  for (const kind of kinds) parts[kind] = await peerMb(peers[kind]!, count);
  return {
    goal: "peer-memory",
    value: parts["process"]! / parts["ours"]!,
    text: [
      ...kinds.map((kind) => `${kind} ${figure(parts[kind]! / parts["ours"]!)} ×`),
      `ours ${figure(parts["ours"]!)} MB`,
    ].join(", "),
    parts,
  };
}

async function oursMb(count: number): Promise<number> {
  await using engine = startEngine();
  const code = await smallPlugin();
  const plugins = Array.from({ length: count }, () => instance({ code }));
  await warmUp(engine.runtime, plugins.slice(0, 2), "noop", 2);
  const pid = engine.runtime.status().runners[0]!.pid;
  const before = memoryOf(pid).proportionalMb;
  await warmUp(engine.runtime, plugins.slice(2), "noop", 2);
  await sleep(300);
  return (memoryOf(pid).proportionalMb - before) / (count - 2);
}

/** Proportional memory of processes of their own, or what our own process grew by. */
async function peerMb(start: () => Promise<PeerInstance>, count: number): Promise<number> {
  const first = await start();
  await first.call();
  globalThis.gc?.();
  const before = memoryOf(process.pid).proportionalMb;
  const started: PeerInstance[] = [];
  for (let n = 0; n < count; n++) {
    const peer = await start();
    await peer.call();
    started.push(peer);
  }
  await sleep(300);
  globalThis.gc?.();
  const mb =
    first.pid === 0
      ? (memoryOf(process.pid).proportionalMb - before) / count
      : median(started.map(({ pid }) => memoryOf(pid).proportionalMb));
  for (const peer of [first, ...started]) await peer.end();
  return mb;
}
