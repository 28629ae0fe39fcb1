/** What an idle installation, and an organisation, costs in memory: private memory of the runners as the kernel counts it. */
import type { Benchmark, Measured } from "./benchmark.ts";
import { startHelper } from "./parts/child.ts";
import { instance, mustCall, sleep, startEngine, warmUp } from "./parts/engine.ts";
import { memoryOf } from "./parts/machine.ts";
import { smallPlugin } from "./parts/small-plugin.ts";
import { figure, median } from "./statistics.ts";

export const benchmark: Benchmark = {
  name: "memory",
  goals: ["memory-ratio", "memory-per-gb", "memory-organization"],
  async run({ quick }) {
    return [...(await installations(quick ? 60 : 200)), await organizations(quick ? 4 : 10)];
  },
};

async function installations(count: number): Promise<Measured[]> {
  using bare = startHelper(new URL("./parts/bare-child.ts", import.meta.url));
  const { mb: bareMb } = await bare.ask<{ mb: number }>({ count });
  await using engine = startEngine({ poolMemoryMb: 64 });
  const code = await smallPlugin();
  const plugins = Array.from({ length: count + 5 }, () =>
    instance({ code, group: "shared", limits: { memoryMb: 64 } }),
  );
  await warmUp(engine.runtime, plugins.slice(0, 5), "noop", 5);
  await sleep(500);
  const pid = engine.runtime.status().runners[0]!.pid;
  const before = memoryOf(pid);
  await warmUp(engine.runtime, plugins.slice(5), "noop", 3);
  await sleep(1500);
  const after = memoryOf(pid);
  const mb = (after.privateMb - before.privateMb) / count;
  const parts = { "MB each": mb, "MB bare": bareMb, "runner before the first MB": before.privateMb };
  return [
    {
      goal: "memory-ratio",
      value: mb / bareMb,
      text: `${figure(mb / bareMb)} × (${figure(mb)} MB against ${figure(bareMb)} MB)`,
      parts,
    },
    { goal: "memory-per-gb", value: Math.floor(1024 / mb), parts },
  ];
}

/** One runner each, with one installation. */
async function organizations(count: number): Promise<Measured> {
  await using engine = startEngine({ poolMemoryMb: 64, maxRunners: count + 2 });
  const code = await smallPlugin();
  for (let n = 0; n < count; n++) {
    const plugin = instance({ code, group: `organisation-${n}`, limits: { memoryMb: 64 } });
    for (let calls = 0; calls < 3; calls++) await mustCall(engine.runtime, plugin, "noop");
  }
  await sleep(1500);
  const memory = engine.runtime.status().runners.map(({ pid }) => memoryOf(pid));
  const parts = {
    "private MB": median(memory.map((one) => one.privateMb)),
    "proportional MB": median(memory.map((one) => one.proportionalMb)),
    "resident MB": median(memory.map((one) => one.residentMb)),
  };
  return {
    goal: "memory-organization",
    value: parts["private MB"],
    text: `${figure(parts["private MB"])} MB private, ${figure(parts["proportional MB"])} MB by share, ${figure(parts["resident MB"])} MB resident, its first installation in it`,
    parts,
  };
}
