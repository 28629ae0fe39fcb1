/**
 * What an ability costs a plugin against the same call made by the hub: many, one after another, inside one governed call.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createEntities } from "../src/entities/entities.ts";
import { formatTraceparent, newTrace } from "../src/telemetry/trace.ts";
import type { Benchmark, Measured } from "./benchmark.ts";
import { mustInvoke, startBenchHub } from "./parts/hub.ts";
import { interleave, median, ratios } from "./statistics.ts";

const host = "api.bench.example.com";

export const benchmark: Benchmark = {
  name: "abilities",
  goals: ["ability-data", "ability-http", "ability-events"],
  async run({ rounds, quick }) {
    const count = quick ? 50 : 200;
    using server = await startServer();
    await using bench = await startBenchHub({ egressOverride: JSON.stringify({ [host]: server.origin }) });
    const { hub, organization } = bench;
    const plugin = bench.plugins[0]!;
    const entities = createEntities({ store: hub.store, eventLog: hub.eventLog });
    const [row] = await entities.upsert(
      { organization, plugin, execution: null, traceparent: formatTraceparent(newTrace()), eventDepth: 0 },
      "contacts",
      [{ id: "ada", name: "Ada Lovelace", email: "ada@example.com", tags: ["a", "b"] }],
    );
    const each = (work: () => Promise<unknown>) => async () => {
      const from = performance.now();
      await work();
      return (performance.now() - from) / count;
    };
    const repeat = async (work: (n: number) => Promise<unknown>): Promise<void> => {
      for (let n = 0; n < count; n++) await work(n);
    };
    const parameters = { id: row!.id, count };
    const contenders = {
      readByHub: each(() => repeat(() => entities.getById(organization, "contacts", row!.id))),
      readByPlugin: each(() => mustInvoke(bench, plugin, "readMany", parameters)),
      fetchByHub: each(() => repeat(() => hub.egress.fetch({ url: `https://${host}/hello`, allowedHosts: [host] }))),
      fetchByPlugin: each(() => mustInvoke(bench, plugin, "fetchMany", parameters)),
      emitByHub: each(() =>
        repeat((n) =>
          hub.store.transaction((tx) =>
            hub.eventLog.publish(tx, { organization, type: "bench.happened", source: "/bench", data: { n } }),
          ),
        ),
      ),
      emitByPlugin: each(() => mustInvoke(bench, plugin, "emitMany", parameters)),
    };
    await interleave(1, contenders);
    const ms = await interleave(rounds, contenders);
    const compare = (goal: Measured["goal"], byPlugin: number[], byHub: number[]): Measured => {
      const samples = ratios(byPlugin, byHub);
      return {
        goal,
        value: median(samples),
        samples,
        parts: { "plugin µs": median(byPlugin) * 1000, "hub µs": median(byHub) * 1000 },
      };
    };
    return [
      compare("ability-data", ms.readByPlugin, ms.readByHub),
      compare("ability-http", ms.fetchByPlugin, ms.fetchByHub),
      compare("ability-events", ms.emitByPlugin, ms.emitByHub),
    ];
  },
};

async function startServer(): Promise<Disposable & { origin: string }> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end('{"hello":"world"}');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.dispose]: () => void server.close(),
  };
}
