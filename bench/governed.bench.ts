/**
 * A governed call (validate → authorise → meter → run → record) against the engine alone, with the same plugin in eight
 * copies, so that the limit of 2,000 calls a second and installation is not what is measured; and what each step costs.
 */

import { asExecutionId } from "../src/base/brands.ts";
import { newId } from "../src/base/ids.ts";
import { encodeJson } from "../src/base/json.ts";
import { TokenBuckets } from "../src/base/token-bucket.ts";
import { findContribution } from "../src/invocation/contributions.ts";
import type { ExecutionRecord } from "../src/invocation/execution-record.ts";
import { compilePluginSchema } from "../src/manifest/compile-schema.ts";
import type { Benchmark, Measured } from "./benchmark.ts";
import { drive, times } from "./parts/drive.ts";
import { instance, mustCall, proofCalls, startEngine, warmUp } from "./parts/engine.ts";
import { params } from "./parts/handlers.ts";
import { type BenchHub, mustInvoke, startBenchHub } from "./parts/hub.ts";
import { figure, interleave, median, ratios } from "./statistics.ts";

const copies = 8;
const inFlight = 256;

export const benchmark: Benchmark = {
  name: "governed",
  goals: ["governed-plain", "governed-ability", "governed-steps"],
  async run({ rounds, quick, log }) {
    const ms = quick ? 500 : 1000;
    await using bench = await startBenchHub({}, copies);
    await using engine = startEngine();
    const code = bench.code;
    const bare = bench.plugins.map(() => ({
      ...instance({ code }),
      guest: {
        organization: "bench",
        plugin: { id: "backplane.bench", version: "1.0.0" },
        config: {},
        abilities: ["crypto.subtle", "crypto.digest", "data.getById"],
        permissions: [],
      },
    }));
    await warmUp(engine.runtime, bare, "read", proofCalls);
    await Promise.all(
      bench.plugins.map(async (plugin) => {
        for (let n = 0; n < proofCalls; n++) await mustInvoke(bench, plugin, "digest", params);
      }),
    );
    const refused = { count: 0, first: "" };
    const governed = (name: string) => async () =>
      (
        await drive(
          (n) =>
            mustInvoke(bench, bench.plugins[n % copies]!, name, params).catch((error: Error) => {
              refused.count += 1;
              refused.first ||= error.message;
            }),
          { inFlight, ms },
        )
      ).perSecond;
    const alone = (name: string) => async () =>
      (await drive((n) => mustCall(engine.runtime, bare[n % copies]!, name), { inFlight, ms })).perSecond;
    const contenders = {
      engine: alone("noop"),
      governed: governed("noop"),
      engineAbility: alone("read"),
      governedAbility: governed("digest"),
      governedRead: governed("read"),
    };
    await interleave(1, contenders);
    const perSecond = await interleave(rounds, contenders);
    log(
      Object.entries(perSecond)
        .map(([name, list]) => `${name} ${Math.round(median(list))}/s`)
        .join("  "),
    );
    if (refused.count > 0) log(`${refused.count} governed calls failed, the first: ${refused.first}`);
    const plain = ratios(perSecond.governed, perSecond.engine);
    const ability = ratios(perSecond.governedAbility, perSecond.engineAbility);
    const lone = await times(quick ? 20 : 100, () => mustInvoke(bench, bench.plugins[0]!, "noop", params));
    const loneEngine = await times(quick ? 20 : 100, () => mustCall(engine.runtime, bare[0]!, "noop"));
    const steps = await measureSteps(bench, quick ? 2000 : 10_000);
    steps["run"] = 1e6 / median(perSecond.engine);
    steps["all, as measured"] = 1e6 / median(perSecond.governed);
    const rows: Measured[] = [
      {
        goal: "governed-plain",
        value: median(plain),
        samples: plain,
        parts: {
          "governed /s": median(perSecond.governed),
          "engine /s": median(perSecond.engine),
          "lone governed call, p50 ms": median(lone),
          "lone call of the engine, p50 ms": median(loneEngine),
          failed: refused.count,
        },
      },
      {
        goal: "governed-ability",
        value: median(ability),
        samples: ability,
        parts: {
          "governed /s": median(perSecond.governedAbility),
          "engine /s": median(perSecond.engineAbility),
          "with a row of the store /s": median(perSecond.governedRead),
        },
      },
      {
        goal: "governed-steps",
        value: steps["all, as measured"],
        text: Object.entries(steps)
          .map(([name, micros]) => `${name} ${figure(micros)}`)
          .join(", ")
          .concat(" µs a call"),
        parts: steps,
      },
    ];
    return rows;
  },
};

/** Wall time of each step on the hub, by itself, µs a call. */
async function measureSteps(bench: BenchHub, count: number): Promise<Record<string, number>> {
  const { hub, organization } = bench;
  const plugin = bench.plugins[0]!;
  const installation = await hub.installations.get(organization, plugin);
  const contribution = findContribution(installation.manifest, "function", "noop");
  const buckets = new TokenBuckets({ perSecond: 1e9, burst: 1e9 });
  const each = async (step: (n: number) => unknown): Promise<number> => {
    const from = performance.now();
    for (let n = 0; n < count; n++) await step(n);
    return ((performance.now() - from) * 1000) / count;
  };
  const twice = async (step: (n: number) => unknown): Promise<number> => {
    await each(step);
    return each(step);
  };
  const recordOf = (): ExecutionRecord => {
    const now = new Date();
    return {
      organization,
      id: asExecutionId(newId()),
      plugin,
      installation: installation.id,
      version: installation.version,
      kind: "function",
      contribution: "noop",
      mode: "sync",
      status: "succeeded",
      parameters: [params],
      result: { ok: true, id: params.id },
      error: null,
      progress: undefined,
      actor: "system",
      parent: null,
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      sessionId: null,
      idempotent: true,
      cancelRequested: false,
      node: hub.nodeId,
      cpuMs: 0,
      wallMs: 1,
      peakMemoryBytes: 0,
      abilityCalls: {},
      createdAt: now,
      startedAt: now,
      endedAt: now,
    };
  };
  const result = { ok: true, id: params.id };
  return {
    validate: await twice(() => compilePluginSchema(contribution.parameters!).validate(params)),
    authorise: await twice(async () => {
      const found = await hub.installations.get(organization, plugin);
      return findContribution(found.manifest, "function", "noop").permissions.every((p) => found.grants.includes(p));
    }),
    meter: await twice(() => buckets.take(`${organization}\0${plugin}`)),
    "encode and check the result": await twice(() => {
      encodeJson([params]);
      return compilePluginSchema(contribution.returns!).validate(JSON.parse(JSON.stringify(result)));
    }),
    record: 1e6 / (await drive(() => hub.recorder.write(recordOf(), { once: true }), { inFlight, ms: 1000 })).perSecond,
  };
}
