/** A lone warm call, hub → isolate → hub, against R: what a caller waits for when nothing else happens. */
import type { Benchmark } from "./benchmark.ts";
import { times } from "./parts/drive.ts";
import { startEcho } from "./parts/echo.ts";
import { instance, mustCall, startEngine, warmUp } from "./parts/engine.ts";
import { interleave, median, percentile, ratios } from "./statistics.ts";

export const benchmark: Benchmark = {
  name: "lone-call",
  goals: ["lone-call"],
  async run({ rounds, quick }) {
    using echo = await startEcho();
    await using engine = startEngine();
    const plugin = instance();
    await warmUp(engine.runtime, [plugin], "lookup", 200);
    await times(2000, () => mustCall(engine.runtime, plugin, "noop"));
    await times(500, () => echo.roundTrip());
    const block = quick ? 200 : 400;
    // Short turns, many of them: the machine's mood changes within seconds.
    const p50 = await interleave(rounds * 3, {
      echo: async () => median(await times(block, () => echo.roundTrip())),
      call: async () => median(await times(block, () => mustCall(engine.runtime, plugin, "noop"))),
      lookup: async () => median(await times(block, () => mustCall(engine.runtime, plugin, "lookup"))),
    });
    const perRound = ratios(p50.call, p50.echo);
    return [
      {
        goal: "lone-call",
        value: median(perRound),
        samples: perRound,
        parts: {
          "R µs": median(p50.echo) * 1000,
          "call µs": median(p50.call) * 1000,
          "best round": percentile(perRound, 0),
          "with one ability call, R": median(ratios(p50.lookup, p50.echo)),
        },
      },
    ];
  },
};
