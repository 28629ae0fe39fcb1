/** Conditions and variables only look, and `sync` stores through its batches, whatever their plugin was granted and however it asks. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { asOrganizationId, asPluginId } from "../../src/base/brands.ts";
import type { ContributionKind } from "../../src/invocation/execution-record.ts";
import { type PluginSource, startTestHub, type TestHub } from "../kit/start-test-hub.ts";

const code = `
import { definePlugin } from "@backplane/plugin-api";
const attempts = (ctx, kept) => ({
  query: () => ctx.data.query("contacts", {}),
  list: () => ctx.storage.list(),
  digest: () => ctx.crypto.digest("SHA-256", "x"),
  upsert: () => ctx.data.upsert("contacts", { externalId: "x", displayName: "x" }),
  remove: () => ctx.data.delete("contacts", "x"),
  emit: () => ctx.emitEvent("crm.looked", {}),
  put: () => ctx.storage.put("a", "b"),
  drop: () => ctx.storage.delete("a"),
  call: () => ctx.plugins.call("acme.other", "hello", {}),
  declared: () => ctx.http.fetch("https://declared.invalid/"),
  other: () => ctx.http.fetch("https://other.invalid/"),
  kept: () => kept.emitEvent("crm.looked", {}),
});
let kept;
const tried = async (ctx) => {
  const seen = {};
  for (const [name, attempt] of Object.entries(attempts(ctx, kept ?? ctx)))
    seen[name] = await Promise.resolve().then(attempt).then(() => "ok", (error) => error.code ?? error.name);
  return seen;
};
export default definePlugin({
  functions: { keep: (_, ctx) => { kept = ctx; return 1; }, all: (_, ctx) => tried(ctx) },
  conditions: {
    "crm.plain": { async evaluate(params, context, ctx) { throw new Error(JSON.stringify(await tried(ctx))); } },
    "crm.online": { async evaluate(params, context, ctx) { throw new Error(JSON.stringify(await tried(ctx))); } },
  },
  variables: { people: { async list(context, ctx) { return [await tried(ctx)]; } } },
  connector: {
    async *sync(options, ctx) { yield { id: "1", type: "contact", data: await tried(ctx) }; },
    async mapToUnifiedModel(item, ctx) {
      throw new Error(JSON.stringify({ sync: item.data, map: await tried(ctx) }));
    },
  },
});
`;

const plugin: PluginSource = {
  manifest: {
    id: "acme.crm",
    permissions: [
      ...["data:write:contacts", "data:read:contacts", "event:publish:crm.*", "plugin:call:acme.other"],
      ...["storage:read", "storage:write", "network:outbound:declared.invalid", "network:outbound:other.invalid"],
    ],
    contributes: {
      functions: [{ name: "keep" }, { name: "all" }],
      conditions: [{ id: "crm.plain" }, { id: "crm.online", permissions: ["network:outbound:declared.invalid"] }],
      variables: [{ name: "people" }],
      connector: {},
    },
  },
  code,
};

let hub: TestHub;
before(async () => {
  hub = await startTestHub();
  await hub.organization("acme");
  await hub.install("acme", plugin);
});
after(() => hub[Symbol.asyncDispose]());

const context = { rule: { id: "r", name: "R" }, organization: "acme" };

async function attempt(kind: ContributionKind, name: string, args: unknown[]): Promise<unknown> {
  const { record, error } = await hub.hub.invoker.run({
    ...{ organization: asOrganizationId("acme"), plugin: asPluginId("acme.crm"), actor: "test" },
    ...{ kind, name, args },
  });
  return error ? JSON.parse(error.message.slice(error.message.indexOf("{"))) : record.result;
}

const looks = { query: "ok", list: "ok", digest: "ok" };
const no = "ability_restricted";
const changes = { upsert: no, remove: no, emit: no, put: no, drop: no, call: no };

test("a condition only looks; the network is there only where its own entry declares the host", async () => {
  // A context of a call that may do more is of no use in one that may not.
  await attempt("function", "keep", [{}]);
  const { kept, ...plain } = (await attempt("condition", "crm.plain", [{}, context])) as Record<string, string>;
  assert.deepEqual(plain, { ...looks, ...changes, declared: no, other: no });
  assert.equal(kept, "cancelled");
  const { kept: _, ...online } = (await attempt("condition", "crm.online", [{}, context])) as Record<string, string>;
  assert.deepEqual(online, { ...looks, ...changes, declared: "egress_failed", other: "egress_denied" });
});

test("a variable only looks", async () => {
  const [{ kept: _, ...seen }] = (await attempt("variable", "people", [context])) as [Record<string, string>];
  assert.deepEqual(seen, { ...looks, ...changes, declared: no, other: no });
});

test("`sync` and its mapping may do what the plugin may, but not write entities", async () => {
  const stream = await hub.hub.invoker.stream({
    ...{ organization: asOrganizationId("acme"), plugin: asPluginId("acme.crm"), actor: "test" },
    ...{ kind: "connector", name: "syncBatches", args: [{}, { items: 10, size: 1000, waitMs: 1000 }] },
  });
  for await (const _ of stream) assert.fail("nothing was mapped");
  const { error } = await stream.outcome;
  const { sync, map } = JSON.parse(error!.message.slice(error!.message.indexOf("{")));
  for (const seen of [sync, map]) {
    assert.deepEqual([seen.upsert, seen.remove], [no, no]);
    assert.deepEqual([seen.query, seen.emit, seen.put], ["ok", "ok", "ok"]);
  }
});

test("a function of the same plugin is held to nothing but its grants", async () => {
  const seen = (await attempt("function", "all", [{}])) as Record<string, string>;
  assert.deepEqual([seen["upsert"], seen["emit"], seen["put"], seen["other"]], ["ok", "ok", "ok", "egress_failed"]);
});
