/** Connectors through the whole house: a plugin in its sandbox, HTTP, webhooks, the CLI, and two organisations beside each other. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { runForTest } from "../../src/edges/cli/test-cli.ts";
import {
  type Keys,
  type PluginSource,
  startTestHub,
  type TestAnswer,
  type TestHub,
  until,
} from "../kit/start-test-hub.ts";

const code = `
import { definePlugin } from "@backplane/plugin-api";
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default definePlugin({
  connector: {
    async *sync(options, ctx) {
      const { count = 3, mode = "", slowMs = 0 } = ctx.config;
      if (mode === "write") await ctx.data.upsert("contacts", { externalId: "x" });
      if (mode === "remove") await ctx.data.delete("contacts", "x");
      const from = options.full ? 0 : (options.cursor ?? -1) + 1;
      for (let i = from; i < count; i++) {
        if (slowMs > 0) await wait(slowMs);
        yield { id: "p" + i, type: "contact", data: { n: i }, cursor: i, total: count };
      }
    },
    mapToUnifiedModel: (item, ctx) => [{ type: "contacts", data: { displayName: ctx.organization + " " + item.data.n, notes: JSON.stringify(Object.keys(item)) } }],
    async handleIncomingEvent(payload) {
      if (payload.resync) return { sync: { types: ["contact"] } };
      return {
        items: [{ id: payload.id, type: "contact", data: { n: "pushed" }, deleted: payload.gone }],
        events: [{ type: "crm.pushed", data: { id: payload.id }, id: payload.id }],
      };
    },
    async registerRealtimeListener(url, ctx) { ctx.logger.info("listening at " + url); return { expiresAt: new Date(Date.now() + 3600000).toISOString() }; },
    async executeAction(action, ctx) { return { success: action.parameters.fail !== true, data: action, error: action.parameters.fail ? "as asked" : undefined }; },
  },
  webhook: (request) => ({ body: { ok: true }, accept: JSON.parse(request.rawBody) }),
});
`;

const plugin: PluginSource = {
  manifest: {
    id: "acme.crm",
    type: "connector",
    permissions: ["data:write:contacts", "data:read:contacts", "event:publish:crm.*", "network:inbound"],
    configSchema: {
      type: "object",
      properties: { count: { type: "integer" }, mode: { type: "string" }, slowMs: { type: "integer" } },
    },
    contributes: {
      connector: {
        realtime: true,
        actions: [
          {
            name: "createEvent",
            parameters: { type: "object", properties: { title: { type: "string" } }, required: ["title"] },
          },
        ],
      },
      webhook: {},
    },
  },
  code,
};

let hub: TestHub;
let acme: Keys;
let globex: Keys;
before(async () => {
  hub = await startTestHub();
  [acme, globex] = [await hub.organization("acme"), await hub.organization("globex")];
  for (const { id } of [acme, globex]) await hub.install(id, plugin, { count: 3 });
});
after(() => hub[Symbol.asyncDispose]());

const base = "/api/connectors/acme.crm";
const as = ({ memberKey: token }: Keys) => ({ token });

async function synced(who: Keys, body: object = {}): Promise<TestAnswer["body"]> {
  const asked = await hub.request("POST", `${base}/sync`, { ...as(who), body });
  assert.equal(asked.status, 202, asked.text);
  return ended(who, asked.body.runId);
}

const ended = (who: Keys, runId: string): Promise<TestAnswer["body"]> =>
  until(async () => {
    const { body } = await hub.request("GET", `${base}/runs/${runId}`, as(who));
    return body.endedAt !== null && body;
  });

const names = async (org: string): Promise<string[]> =>
  (
    await hub.hub.store.db
      .selectFrom("entities")
      .select("data")
      .where("organization_id", "=", org)
      .where("deleted_at", "is", null)
      .orderBy("external_id")
      .execute()
  ).map(({ data }) => String(data["displayName"]));

const configure = async (config: object, org = acme): Promise<void> => {
  assert.equal(
    (await hub.request("PUT", "/api/plugins/acme.crm/config", { token: org.adminKey, body: config })).status,
    200,
  );
};

test("a sync by HTTP runs in the sandbox and stores; two organisations with equal ids never meet", async () => {
  const [first, second] = await Promise.all([synced(acme), synced(globex)]);
  for (const run of [first, second]) {
    assert.equal(run.status, "succeeded", JSON.stringify(run));
    assert.deepEqual(run.counts, { items: 3, created: 3, updated: 0, deleted: 0, unchanged: 0, rejected: 0 });
    assert.deepEqual(run.estimate, { total: 3, share: 1, secondsLeft: null });
  }
  assert.deepEqual(await names("acme"), ["acme 0", "acme 1", "acme 2"]);
  assert.deepEqual(await names("globex"), ["globex 0", "globex 1", "globex 2"]);
  assert.equal((await hub.request("GET", `${base}/runs/${first.id}`, as(globex))).status, 404);
  assert.equal((await hub.request("POST", `${base}/runs/${first.id}/cancel`, as(globex))).status, 404);
  const execution = await hub.request("GET", `/api/executions/${first.executionId}`, as(acme));
  assert.deepEqual(
    [execution.body.contribution, execution.body.status, execution.body.actor],
    ["syncBatches", "succeeded", `sync:${first.id}`],
  );
});

test("a connector that is not consented to or activated is told as such, not as idle", async () => {
  const keys = await hub.organization("waits");
  assert.equal((await hub.publish("waits", plugin)).status, 201);
  const by = { token: keys.adminKey };
  const body = { id: "acme.crm", grants: [] };
  assert.equal((await hub.request("POST", "/api/plugins", { ...by, body })).status, 201);
  const state = (await hub.request("GET", "/api/connectors/acme.crm/state", by)).body;
  assert.deepEqual([state.status, state.run, state.sync.nextAt], ["pending_config", null, null]);
  const env = { BACKPLANE_URL: hub.url, BACKPLANE_TOKEN: keys.adminKey };
  for (const args of [
    ["sync", "status", "acme.crm"],
    ["sync", "status"],
  ]) {
    const { out } = await runForTest(args, { env });
    assert.match(out, /not active \(pending_config/);
    assert.doesNotMatch(out, /idle/);
  }
});

test("the state shows cursors, history and the listener, and takes what an admin sets", async () => {
  const { body } = await until(async () => {
    const answer = await hub.request("GET", `${base}/state`, as(acme));
    return answer.body.realtime?.state === "registered" && answer;
  });
  assert.equal(body.realtime.webhookUrl, `${hub.url}/webhooks/acme/acme.crm`);
  assert.deepEqual(body.position, { cursors: { contact: 2 }, last: "contact", times: {}, complete: true });
  assert.equal(body.history[0].action, "sync");
  const set = { position: { ...body.position, cursors: { contact: 0 } } };
  assert.equal((await hub.request("PUT", `${base}/state`, { ...as(acme), body: set })).status, 403);
  const answer = await hub.request("PUT", `${base}/state`, { token: acme.adminKey, body: set });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual([answer.body.history[0].action, answer.body.history[0].actor.startsWith("key:")], ["set", true]);
  assert.equal((await synced(acme)).counts.items, 2);
  for (const wrong of [
    { position: { cursors: {}, last: "x" } },
    { position: { cursors: { "a b": 1 } } },
    { reset: false },
    {},
  ])
    assert.equal(
      (await hub.request("PUT", `${base}/state`, { token: acme.adminKey, body: wrong })).body.code,
      "invalid_input",
    );
  assert.deepEqual(
    (await hub.request("PUT", `${base}/state`, { token: acme.adminKey, body: { reset: true } })).body.position.cursors,
    {},
  );
  assert.equal((await synced(acme)).counts.unchanged, 3);
});

test("what `sync` may not do is refused with the reason", async () => {
  await configure({ count: 1, mode: "write" });
  const run = await synced(acme, { full: true });
  assert.equal(run.status, "failed");
  assert.equal(run.error.code, "ability_restricted");
  assert.match(run.error.message, /data\.upsert.*refused.*mapToUnifiedModel/);
  await configure({ count: 3 });
});

test("pushed items are stored with their events once, and may ask for a sync", async () => {
  const push = async (...items: object[]): Promise<void> => {
    const answer = await hub.request("POST", "/webhooks/acme/acme.crm", { token: null, body: items });
    assert.deepEqual([answer.status, answer.body], [200, { ok: true }]);
  };
  await push({ id: "w1" }, { id: "w2" });
  await push({ id: "w1" });
  await until(async () => (await names("acme")).filter((name) => name === "acme pushed").length === 2);
  const events = await until(async () => {
    const { body } = await hub.request("GET", "/api/events?type=crm.*", as(acme));
    return body.events.length >= 2 && body.events;
  });
  assert.deepEqual(events.map(({ data }: { data: { id: string } }) => data.id).sort(), ["w1", "w2"]);
  const before = (await hub.request("GET", `${base}/runs`, as(acme))).body.runs.length;
  await push({ id: "r1", resync: true });
  const run = await until(async () => {
    const { runs } = (await hub.request("GET", `${base}/runs`, as(acme))).body;
    return runs.length > before && runs[0].endedAt !== null && runs[0];
  });
  assert.deepEqual([run.trigger, run.types, run.status], ["event", ["contact"], "succeeded"]);
});

test("pause, resume, cancel and schedule by HTTP", async () => {
  await configure({ count: 2000, slowMs: 20 });
  const { runId } = (await hub.request("POST", `${base}/sync`, { ...as(acme), body: { full: true } })).body;
  await until(async () => (await hub.request("GET", `${base}/runs/${runId}`, as(acme))).body.status === "running");
  assert.equal((await hub.request("POST", `${base}/runs/${runId}/cancel`, as(acme))).body.status, "cancelled");
  assert.equal((await hub.request("POST", `${base}/runs/${runId}/cancel`, as(acme))).status, 409);
  await until(() => hub.hub.invoker.running === 0);
  assert.equal((await hub.request("POST", `${base}/pause`, as(acme))).body.paused, true);
  assert.equal((await hub.request("POST", `${base}/sync`, { ...as(acme), body: {} })).status, 409);
  assert.equal((await hub.request("POST", `${base}/resume`, as(acme))).body.paused, false);
  const planned = await hub.request("PUT", `${base}/schedule`, {
    token: acme.adminKey,
    body: { schedule: "0 4 * * 1" },
  });
  assert.match(planned.body.sync.nextAt, /T04:0/);
  const refused = await hub.request("PUT", `${base}/schedule`, {
    token: acme.adminKey,
    body: { schedule: "sometimes" },
  });
  assert.equal(refused.body.errors[0].path, "schedule");
  await hub.request("PUT", `${base}/schedule`, { token: acme.adminKey, body: { schedule: null } });
  await configure({ count: 3 });
});

test("an action is checked, done once for its key, and recorded", async () => {
  const act = (body: object, name = "createEvent") =>
    hub.request("POST", `${base}/actions/${name}`, { ...as(acme), body });
  const first = await act({ parameters: { title: "x" }, idempotencyKey: "k1" });
  assert.deepEqual([first.status, first.body.success, first.body.data.type], [200, true, "createEvent"]);
  assert.deepEqual((await act({ parameters: { title: "x" }, idempotencyKey: "k1" })).body, first.body);
  assert.equal((await act({ parameters: { title: "y" }, idempotencyKey: "k1" })).status, 409);
  assert.equal((await act({ parameters: {} })).body.code, "invalid_parameters");
  assert.equal((await act({}, "nothing")).body.code, "function_not_found");
  assert.deepEqual((await act({ parameters: { title: "x", fail: true } })).body.error, "as asked");
});

test("the command line starts a sync, follows it to its end, and shows, cancels and pauses", async () => {
  const run = (...args: string[]) =>
    runForTest(["sync", ...args], {
      env: { BACKPLANE_URL: hub.url, BACKPLANE_TOKEN: hub.hub.adminToken, BACKPLANE_ORG: "acme" },
    });
  const followed = await run("acme.crm", "--full", "--follow");
  assert.deepEqual([followed.code, followed.err], [0, ""]);
  assert.match(followed.out, /succeeded: 3 items, 3 unchanged/);
  const { runId } = (await run("acme.crm", "--type", "contact", "--json")).json<{ runId: string }>();
  await ended(acme, runId);
  assert.match((await run("runs", "acme.crm", "--limit", "1")).out, new RegExp(`${runId}.*succeeded.*manual`));
  assert.match((await run("status")).out, /acme\.crm +idle +by hand/);
  assert.match((await run("status", "acme.crm")).out, /position .*"contact":2/);
  assert.equal((await run("pause", "acme.crm")).out, "acme.crm is paused.\n");
  const refused = await run("acme.crm");
  assert.deepEqual([refused.code > 0, refused.err.includes("paused")], [true, true]);
  assert.equal((await run("resume", "acme.crm")).code, 0);
  await configure({ count: 2000, slowMs: 20 });
  await run("acme.crm", "--full");
  await until(async () => (await hub.request("GET", `${base}/state`, as(acme))).body.run?.status === "running");
  assert.match((await run("cancel", "acme.crm")).out, /is cancelled/);
  assert.equal((await run("cancel", "acme.crm")).code > 0, true);
  await configure({ count: 3, mode: "write" });
  const failed = await run("acme.crm", "--follow");
  assert.deepEqual([failed.code > 0, failed.err.includes("mapToUnifiedModel")], [true, true]);
  await configure({ count: 3 });
});

test("a plugin without a connector has none", async () => {
  await hub.install("acme", { manifest: { id: "acme.none" }, code: "export default {};" });
  for (const [method, path] of [
    ["GET", "state"],
    ["GET", "runs"],
    ["POST", "sync"],
    ["POST", "pause"],
  ] as const)
    assert.equal(
      (
        await hub.request(method, `/api/connectors/acme.none/${path}`, {
          token: acme.adminKey,
          ...(method === "POST" ? { body: {} } : {}),
        })
      ).status,
      404,
      path,
    );
  const { body } = await hub.request("GET", "/api/connectors", as(acme));
  assert.deepEqual(
    body.connectors.map(({ plugin: id, status }: Record<string, string>) => [id, status]),
    [["acme.crm", "active"]],
  );
});

test("uninstalling takes runs and cursors along; the data stays", async () => {
  await synced(globex);
  assert.equal((await hub.request("DELETE", "/api/plugins/acme.crm", { token: globex.adminKey })).status, 204);
  assert.equal((await hub.request("GET", `${base}/state`, as(globex))).status, 404);
  assert.equal((await names("globex")).length, 3);
  await hub.install("globex", plugin, { count: 3 });
  assert.equal((await synced(globex)).counts.unchanged, 3, "from the beginning, and the rows are known again");
});
