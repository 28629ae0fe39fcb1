import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestedPlugin, TestPluginOptions } from "../../plugin-api/src/testing.ts";
import { composeHub } from "../main.ts";
import { createPluginKit } from "./plugin-kit.ts";
import { createKitHub, type KitHub } from "./tested-hub.ts";

const manifest = {
  id: "acme.crm",
  name: "CRM",
  version: "1.0.0",
  type: "connector",
  entrypoint: "./index.ts",
  permissions: [
    "network:outbound:api.example.com",
    "network:inbound",
    "event:publish:crm.*",
    "data:read:contacts",
    "data:write:contacts",
  ],
  contributes: { connector: { entities: ["contacts"] }, webhook: {} },
};

const code = `
import { definePlugin } from "@backplane/plugin-api";
const entity = (item) => ({ type: "Contact", data: { displayName: item.data.name } });
export default definePlugin({
  connector: {
    async *sync({ since, cursor, types }, ctx) {
      const page = await ctx.http.get("https://api.example.com/people?from=" + (cursor ?? "0"));
      for (const person of page.people) {
        if (person.write) await ctx.data.upsert("contacts", { externalId: "x", displayName: "x" });
        yield { id: person.id, type: "contact", data: person, updatedAt: person.at, deleted: person.gone, total: page.total };
      }
      if (page.fail) throw new Error("half way");
      return { cursor: page.next };
    },
    mapToUnifiedModel: (item) => item.data.foreign
      ? [{ type: "contacts", source: "other.plugin", data: {} }]
      : item.data.other ? [{ type: "tasks", data: { title: "no" } }] : [entity(item)],
    async handleIncomingEvent(payload) {
      return {
        items: [{ id: payload.person.id, type: "contact", data: payload.person }],
        events: [{ type: payload.event ?? "crm.changed", data: { id: payload.person.id }, id: "e-" + payload.person.id }],
      };
    },
  },
  webhook: ({ rawBody }) => ({ accept: [JSON.parse(rawBody)] }),
});
`;

let dir: string;
let kit: () => Promise<KitHub>;
let start: (options: TestPluginOptions) => Promise<TestedPlugin>;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "backplane-connector-kit-"));
  await writeFile(join(dir, "plugin.json"), JSON.stringify(manifest));
  await writeFile(join(dir, "index.ts"), code);
  kit = createKitHub(composeHub, join(dir, "hub"));
  start = createPluginKit({ dir, hub: kit });
});
after(async () => {
  const { hub, services } = await kit();
  await hub.close({ drainMs: 0 });
  await services[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const people = (body: unknown): TestPluginOptions => ({
  http: [{ url: "https://api.example.com/people*", answer: { body } }],
});

test("sync maps in the sandbox, stores what it yields, and tells where the next one goes on", async () => {
  await using plugin = await start(
    people({
      total: 2,
      next: "c2",
      people: [
        { id: "1", name: "Ada", at: "2026-01-01T00:00:00+01:00" },
        { id: "2", name: "Grace", at: "2026-01-02T00:00:00.123456Z" },
      ],
    }),
  );
  const first = await plugin.sync();
  assert.deepEqual(first.counts, { created: 2, updated: 0, deleted: 0, unchanged: 0 });
  assert.equal(first.cursor, "c2");
  assert.deepEqual(first.next, {
    since: "2026-01-02T00:00:00.123Z",
    cursor: "c2",
    cursors: { contact: { value: "2026-01-02T00:00:00.123Z", id: "2" } },
  });
  assert.deepEqual(first.items[0], {
    id: "1",
    type: "contact",
    deleted: false,
    updatedAt: "2026-01-01T00:00:00+01:00",
    total: 2,
    entities: [{ type: "contacts", externalId: "1", data: { displayName: "Ada" } }],
  });
  const again = await plugin.sync(first.next);
  assert.deepEqual(again.counts, { created: 0, updated: 0, deleted: 0, unchanged: 2 });
  assert.match(plugin.requests.at(-1)!.url, /from=c2$/);
  assert.deepEqual(
    (await plugin.rows("contacts")).map(({ displayName, source, externalId }) => [displayName, source, externalId]),
    [
      ["Ada", "acme.crm", "1"],
      ["Grace", "acme.crm", "2"],
    ],
  );
});

test("a deleted item deletes its entities; what came before an error is stored", async () => {
  await using plugin = await start(people({ people: [{ id: "1", name: "Ada" }], fail: true }));
  await assert.rejects(plugin.sync(), { code: "plugin_error", message: /half way/ });
  assert.equal((await plugin.rows("contacts")).length, 1);
  await using other = await start(people({ people: [{ id: "1", name: "Ada" }] }));
  await other.sync();
  await using gone = await start(people({ people: [{ id: "1", gone: true }] }));
  assert.deepEqual((await gone.sync()).counts, { created: 0, updated: 0, deleted: 0, unchanged: 1 });
});

test("what a connector may not store is refused, by name", async () => {
  await using foreign = await start(people({ people: [{ id: "1", foreign: true }] }));
  await assert.rejects(foreign.sync(), { code: "permission_denied", message: /other\.plugin/ });
  await using other = await start(people({ people: [{ id: "1", other: true }] }));
  await assert.rejects(other.sync(), { code: "permission_denied", message: /data:write:tasks/ });
  await using writes = await start(people({ people: [{ id: "1", write: true }] }));
  await assert.rejects(writes.sync(), { code: "plugin_error", message: /data\.upsert.*is refused.*mapToUnifiedModel/ });
});

test("what a service pushes is stored and published together, by way of the webhook", async () => {
  await using plugin = await start({});
  const given = await plugin.webhook({ body: { person: { id: "7", name: "Alan" } } });
  assert.equal(given.accepted.length, 1);
  await plugin.connector("handleIncomingEvent", { person: { id: "7", name: "Alan" } });
  assert.deepEqual(
    (await plugin.rows("contacts")).map(({ displayName }) => displayName),
    ["Alan"],
  );
  assert.deepEqual(
    plugin.events.map(({ type, data }) => [type, data]),
    [["crm.changed", { id: "7" }]],
  );
  await assert.rejects(plugin.connector("handleIncomingEvent", { person: { id: "8" }, event: "other.domain" }), {
    code: "permission_denied",
  });
  assert.equal((await plugin.rows("contacts")).length, 1);
});
