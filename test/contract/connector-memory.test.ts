/** However much a service has, a sync holds little of it at a time: in the sandbox, and between it and the store. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { asOrganizationId, asPluginId } from "../../src/base/brands.ts";
import { type PluginSource, startTestHub, type TestHub, until } from "../kit/start-test-hub.ts";

const code = `
import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({
  connector: {
    async *sync({ limit }, ctx) {
      for (let i = 0; i < (limit ?? ctx.config.items); i++) {
        if (i % 100 === 0) ctx.execution.progress(i);
        yield { id: "p" + i, type: "contact", cursor: i, data: { i, weight: Array.from({ length: 800 }, (_, n) => i + n) } };
      }
    },
    mapToUnifiedModel: ({ data }) => [{ type: "contacts", data: { displayName: "Person " + data.i } }],
  },
});
`;

const plugin: PluginSource = {
  manifest: {
    id: "acme.crm",
    permissions: ["data:write:contacts"],
    configSchema: { type: "object", properties: { items: { type: "integer" } } },
    resources: { memoryMb: 24 },
    contributes: { connector: {} },
  },
  code,
};

let hub: TestHub;
before(async () => {
  hub = await startTestHub();
  await hub.organization("acme");
  await hub.install("acme", plugin, { items: 10_000 });
});
after(() => hub[Symbol.asyncDispose]());

const target = { organization: asOrganizationId("acme"), plugin: asPluginId("acme.crm") };

test("a service's data of several times the sandbox's memory passes through it", async () => {
  const { connectors, executions } = hub.hub;
  const id = await connectors.sync({ ...target, actor: "test" });
  const run = await until(async () => {
    const seen = await connectors.run(target.organization, target.plugin, id);
    return seen.endedAt !== null && seen;
  }, 60_000);
  assert.deepEqual([run.status, run.counts.created, run.calls], ["succeeded", 10_000, 1], JSON.stringify(run.error));
  const { peakMemoryBytes } = await executions.get(target.organization, run.execution!);
  assert.ok(peakMemoryBytes < 24 * 2 ** 20);
});

test("while a batch is not done with, the generator stands still a few batches ahead", async () => {
  const { invoker, executions, recorder } = hub.hub;
  const items = 10;
  const stream = await invoker.stream(
    {
      ...{ ...target, actor: "test", kind: "connector", name: "syncBatches" },
      args: [{ limit: 1_000_000 }, { items, size: 1_000_000, waitMs: 60_000, endAfterMs: 1e9, endAfterItems: 1e9 }],
    },
    { window: 2 },
  );
  const chunks = stream[Symbol.asyncIterator]();
  for (let taken = 1; taken <= 30; taken += 1) assert.equal((await chunks.next()).done, false);
  const progress = async (): Promise<number> => {
    await recorder.flush();
    return (await executions.get(target.organization, stream.execution)).progress as number;
  };
  await until(async () => (await progress().catch(() => 0)) >= 200);
  await sleep(300);
  assert.ok((await progress()) <= 400, "30 batches were taken, and it is at most four ahead");
  await chunks.return?.();
  const { error } = await stream.outcome;
  assert.equal(error?.code, "cancelled");
});
