/** Plugins that try to do more than they were granted: by old grants, by other plugins, by upgrades, by other people's rows. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startTestHub, type TestHub, until } from "../../kit/start-test-hub.ts";
import { act, assertProblem, installPuppet, type Outcome, publishPuppet, use } from "./act.ts";
import { puppet } from "./puppet.ts";

let hub: TestHub;
const org = "grants";
const other = "neighbour";
const put = (path: string, body: object, where = org) => hub.request("PUT", path, { org: where, body });
const post = (path: string, body: object = {}, where = org) => hub.request("POST", path, { org: where, body });

describe("grants and deputies", { timeout: 60_000 }, () => {
  before(async () => {
    hub = await startTestHub();
    await hub.organization(org);
    await hub.organization(other);
  });
  after(() => hub.close({ drainMs: 0 }));

  it("a grant taken back in the middle of a call is gone for the rest of that call", async () => {
    const id = "evil.late";
    await installPuppet(
      hub,
      org,
      puppet({ id, permissions: [], optionalPermissions: ["event:publish:late.*", "storage:write"] }),
    );
    const call = act(hub, org, id, "late", {
      ms: 600,
      steps: [
        { path: "emitEvent", args: ["late.one", {}] },
        { path: "storage.put", args: ["a", "b"] },
      ],
    });
    await until(async () => (await hub.request("GET", "/api/events?type=late.*", { org })).body.events.length === 1);
    assert.equal((await put(`/api/plugins/${id}/grants`, { grants: [] })).status, 200);
    const { first, rest } = (await call) as { first: Outcome; rest: Outcome[] };
    assert.equal(first.ok, true);
    assert.deepEqual(
      rest.map(({ code }) => code),
      ["ability_unknown", "ability_unknown"],
    );
    assert.equal((await hub.request("GET", "/api/events?type=late.*", { org })).body.events.length, 1);
  });

  for (const [n, [what, ask]] of (
    [
      ["uninstalled", (id: string) => hub.request("DELETE", `/api/plugins/${id}`, { org })],
      [
        "uninstalled and installed anew with more grants",
        async (id: string) => {
          await hub.request("DELETE", `/api/plugins/${id}`, { org });
          await post("/api/plugins", { id, grants: "all" });
          return post(`/api/plugins/${id}/activate`);
        },
      ],
      [
        "quarantined",
        async (id: string) => {
          await hub.hub.lifecycle.quarantine(org as never, id as never, "test");
          return hub.request("GET", `/api/plugins/${id}`, { org });
        },
      ],
    ] as const
  ).entries()) {
    it(`a plugin that is ${what} while its call runs has no abilities any more`, async () => {
      const id = `evil.gone-${n}`;
      await installPuppet(hub, org, puppet({ id, permissions: [`event:publish:gone${n}.*`, "storage:write"] }));
      const call = hub.call(org, id, "late", {
        ms: 500,
        steps: [
          { path: "emitEvent", args: [`gone${n}.one`, {}] },
          { path: "storage.put", args: ["left-behind", "x"] },
        ],
      });
      const type = `gone${n}.*`;
      const seen = async () => (await hub.request("GET", `/api/events?type=${type}`, { org })).body.events.length;
      await until(async () => (await seen()) === 1);
      assert.ok((await ask(id)).status < 300);
      const answer = await call;
      for (const { ok } of answer.body.result?.rest ?? []) assert.equal(ok, false, answer.text);
      assert.equal(await seen(), 1);
      const files = await hub.hub.store.db.selectFrom("files").select("path").where("plugin_id", "=", id).execute();
      assert.deepEqual(files, []);
    });
  }

  it("a dependency does not borrow its dependant's grants, nor the dependant the dependency's", async () => {
    await installPuppet(hub, org, puppet({ id: "evil.base", permissions: ["event:publish:base.*"] }));
    await installPuppet(
      hub,
      org,
      puppet({
        id: "evil.top",
        permissions: ["event:publish:top.*", "plugin:call:evil.base"],
        dependencies: { "evil.base": "^1.0.0" },
      }),
    );
    const emit = (type: string) => ({
      plugin: "evil.base",
      name: "use",
      parameters: { path: "emitEvent", args: [type, {}] },
    });
    assert.equal((await act(hub, org, "evil.top", "relay", emit("top.forged"))).value.code, "permission_denied");
    assert.equal((await act(hub, org, "evil.top", "relay", emit("base.fine"))).value.ok, true);
    assert.equal((await use(hub, org, "evil.top", "emitEvent", "base.forged", {})).code, "permission_denied");
  });

  it("calls between plugins reach only what was granted, active, and of the same organisation", async () => {
    await installPuppet(hub, other, puppet({ id: "evil.far" }));
    await installPuppet(hub, org, puppet({ id: "evil.asleep" }));
    await post("/api/plugins/evil.asleep/deactivate");
    const targets = ["evil.far", "evil.asleep", "evil.base", "evil.caller"];
    await installPuppet(hub, org, puppet({ id: "evil.caller", permissions: targets.map((id) => `plugin:call:${id}`) }));
    const relay = async (plugin: string, name = "look") =>
      ((await act(hub, org, "evil.caller", "relay", { plugin, name })) as Outcome).code;
    assert.equal(await relay("evil.far"), "not_found");
    assert.equal(await relay("evil.asleep"), "plugin_not_active");
    await post("/api/plugins/evil.asleep/activate");
    await hub.hub.lifecycle.quarantine(org as never, "evil.asleep" as never, "test");
    assert.equal(await relay("evil.asleep"), "plugin_quarantined");
    assert.equal(await relay("evil.top"), "permission_denied");
    assert.equal(await relay("Evil.base"), "permission_denied");
    assert.equal(await relay("evil.base\0"), "permission_denied");
    assert.equal(await relay("evil.base", "__proto__"), "function_not_found");
    assert.equal(await relay("evil.base", "constructor"), "function_not_found");
    assert.equal(await relay("evil.caller"), "call_cycle");
  });

  it("cycles and deep chains end, and a callee never has more time than its caller", async () => {
    const ids = Array.from({ length: 10 }, (_, n) => `evil.chain${n}`);
    for (const [n, id] of ids.entries())
      await installPuppet(
        hub,
        org,
        puppet({
          id,
          permissions: [`plugin:call:${ids[(n + 1) % ids.length]}`],
          resources: { timeoutMs: n === 0 ? 3_000 : 60_000 },
        }),
      );
    const before = Date.now();
    const short = await act(hub, org, ids[0]!, "descend", { path: ids.slice(1, 6) });
    assert.ok(short.deadline <= before + 3_500, `the callee had ${short.deadline - before} ms`);
    const deep = await hub.call(org, ids[0]!, "descend", { path: ids.slice(1) });
    assert.equal(deep.status, 502);
    assert.match(deep.text, /call_depth_exceeded|deep/i);
    const around = await hub.call(org, ids[0]!, "relay", {
      plugin: ids[1],
      name: "descend",
      parameters: { path: [ids[2], ids[0]] },
    });
    assert.equal(around.body.result.ok, false);
  });

  it("a callee cannot be told whom it serves: session, user, actor and organisation are the hub's", async () => {
    const forged = { sessionId: "forged", userId: "root", actor: "hub_admin", organization: other, parent: {} };
    const { value } = await act(hub, org, "evil.caller", "relay", {
      plugin: "evil.base",
      name: "look",
      parameters: forged,
    });
    assert.equal(value.execution.sessionId, null);
    assert.equal(value.execution.userId, null);
    assert.equal(value.organization, org);
    const { executions } = (await hub.request("GET", "/api/executions?plugin=evil.base", { org })).body;
    assert.equal(executions[0].actor, "plugin:evil.caller");
    assert.notEqual(executions[0].parentId, null);
  });

  it("a cancelled call takes the calls it made with it", async () => {
    await installPuppet(hub, org, puppet({ id: "evil.waits" }));
    await installPuppet(hub, org, puppet({ id: "evil.asks", permissions: ["plugin:call:evil.waits"] }));
    const { body } = await hub.call(
      org,
      "evil.asks",
      "relay",
      { plugin: "evil.waits", name: "hang" },
      { mode: "async" },
    );
    const list = async (plugin: string) =>
      (await hub.request("GET", `/api/executions?plugin=${plugin}`, { org })).body.executions[0];
    await until(async () => (await list("evil.waits"))?.status === "running");
    await post(`/api/executions/${body.executionId}/cancel`);
    await until(async () => (await list("evil.waits")).status === "cancelled", 5_000);
    await until(async () => (await list("evil.asks")).status === "cancelled", 5_000);
  });

  it("an upgrade gets no new permission, host or plain secret before somebody agrees to exactly that", async () => {
    const id = "evil.wider";
    const schema = (secret: object) => ({
      type: "object",
      properties: { note: { type: "string" }, token: { type: "string", format: "secret", ...secret } },
    });
    const v1 = puppet({
      id,
      version: "1.0.0",
      permissions: ["network:outbound:api.vendor.com"],
      configSchema: schema({ hosts: ["api.vendor.com"] }),
    });
    await installPuppet(hub, org, v1, { config: { token: "tok-widened-secret" } });
    const v2 = puppet({
      id,
      version: "2.0.0",
      permissions: ["network:outbound:api.vendor.com"],
      optionalPermissions: ["network:outbound:collect.evil.com", "data:read:contacts", "event:publish:wider.*"],
      configSchema: schema({ hosts: ["api.vendor.com", "collect.evil.com"], expose: true }),
    });
    await publishPuppet(hub, org, v2);
    const upgraded = await post(`/api/plugins/${id}/upgrade`, { version: "2.0.0" });
    assert.equal(upgraded.status, 200, upgraded.text);
    assert.deepEqual(upgraded.body.grants, ["network:outbound:api.vendor.com"]);
    const plain = async (): Promise<boolean> =>
      JSON.stringify(await act(hub, org, id, "config")).includes("tok-widened-secret");
    assert.equal(await plain(), false);
    assert.equal((await use(hub, org, id, "emitEvent", "wider.x", {})).ok, false);
    // Another setting is saved, as a form does: every secret comes back as its mask. Nobody agreed to show the secret.
    assert.equal((await put(`/api/plugins/${id}/config`, { note: "hello", token: "********" })).status, 200);
    assert.equal(await plain(), false);
    // Somebody becomes suspicious and takes a grant back.
    assert.equal((await put(`/api/plugins/${id}/grants`, { grants: [] })).status, 200);
    assert.equal(await plain(), false);
    // Consent.
    assert.equal((await put(`/api/plugins/${id}/grants`, { grants: "all" })).status, 200);
    assert.equal(await plain(), true);
  });

  it("an upgrade cannot change a dependency into one that is not there", async () => {
    await installPuppet(hub, org, puppet({ id: "evil.dep", version: "1.0.0" }));
    await publishPuppet(hub, org, puppet({ id: "evil.dep", version: "2.0.0", dependencies: { "evil.nowhere": "*" } }));
    assertProblem(await post("/api/plugins/evil.dep/upgrade", { version: "2.0.0" }), 409, "dependency_missing");
  });

  it("storage paths stay within the installation, and neither another plugin nor organisation sees the files", async () => {
    const permissions = ["storage:read", "storage:write"];
    await installPuppet(hub, org, puppet({ id: "evil.files", permissions }));
    await installPuppet(hub, org, puppet({ id: "evil.files2", permissions }));
    await installPuppet(hub, other, puppet({ id: "evil.files", permissions }));
    assert.equal((await use(hub, org, "evil.files", "storage.put", "secret/a.txt", "mine")).ok, true);
    for (const path of [
      "../evil.files/secret/a.txt",
      "/secret/a.txt",
      "secret//a.txt",
      "secret/./a.txt",
      "secret/../secret/a.txt",
      "secret\\a.txt",
      "a\0b",
      "",
      ".",
      "x".repeat(600),
    ])
      assert.equal(
        (await use(hub, org, "evil.files", "storage.get", path)).code,
        "ability_input",
        JSON.stringify(path),
      );
    for (const [where, id] of [
      [org, "evil.files2"],
      [other, "evil.files"],
    ] as const) {
      assert.equal((await use(hub, where, id, "storage.get", "secret/a.txt")).value, null);
      assert.deepEqual((await use(hub, where, id, "storage.list", { prefix: "" })).value.files, []);
    }
    for (const odd of ["%2e%2e/x", "a\u202eb", "ü/ü", "secret/%", "_%"])
      assert.equal((await use(hub, org, "evil.files2", "storage.put", odd, "x")).ok, true);
    assert.equal((await use(hub, org, "evil.files2", "storage.list", { prefix: "_" })).value.files.length, 1);
    for (const bad of [{ prefix: 1 }, { limit: 1e9 }, { cursor: "x" }, "text", 7])
      assert.match(
        String((await use(hub, org, "evil.files", "storage.list", bad)).code),
        /ability_input|invalid_cursor/,
        JSON.stringify(bad),
      );
    assert.equal(
      (await use(hub, org, "evil.files", "storage.put", "a", "b", { contentType: "text/\0" })).code,
      "ability_input",
    );
  });

  it("writers that race do not pass the quota, and empty files do not come for free", async () => {
    const id = "evil.quota";
    await installPuppet(
      hub,
      org,
      puppet({
        id,
        permissions: ["storage:read", "storage:write"],
        resources: { timeoutMs: 30_000, cpuMs: 20_000, memoryMb: 256 },
      }),
    );
    const results: Outcome[] = [];
    for (let n = 0; n < 24; n += 4)
      results.push(
        ...(await Promise.all(
          [0, 1, 2, 3].map((i) => use(hub, org, id, "storage.put", `f${n + i}`, { $fill: 2.5 * 1024 * 1024 })),
        )),
      );
    const stored = results.filter(({ ok }) => ok).length;
    assert.equal(stored, 20, JSON.stringify(results.map(({ code }) => code)));
    assert.ok(
      results.some(({ code }) => code === "storage_quota"),
      JSON.stringify(results.map(({ code }) => code)),
    );
    // A row costs something even when its file is empty.
    await hub.hub.store.db.updateTable("files").set({ size: 0 }).where("plugin_id", "=", id).execute();
    const rows = Array.from({ length: 60_000 }, (_, n) => ({
      organization_id: org,
      plugin_id: id,
      path: `e/${n}`,
      content_type: "x",
      size: 0,
      bytes: Buffer.alloc(0),
    }));
    for (let n = 0; n < rows.length; n += 5_000)
      await hub.hub.store.db
        .insertInto("files")
        .values(rows.slice(n, n + 5_000))
        .execute();
    assert.equal((await use(hub, org, id, "storage.put", "one-more", "")).code, "storage_quota");
  });

  it("entities of another organisation are not found, whatever names them", async () => {
    const permissions = ["data:read:secrets", "data:write:secrets"];
    await installPuppet(hub, org, puppet({ id: "evil.data", permissions }));
    await installPuppet(hub, other, puppet({ id: "evil.data", permissions }));
    const { value: row } = await use(hub, other, "evil.data", "data.upsert", "secrets", {
      externalId: "x",
      pin: "1234",
    });
    assert.equal((await use(hub, org, "evil.data", "data.getById", "secrets", row.id)).value, null);
    assert.deepEqual((await use(hub, org, "evil.data", "data.query", "secrets", { id: row.id })).value, []);
    const mine = (
      await use(hub, org, "evil.data", "data.upsert", "secrets", { id: row.id, externalId: "x", pin: "stolen" })
    ).value;
    assert.equal(mine.pin, "stolen");
    assert.equal((await use(hub, other, "evil.data", "data.getById", "secrets", row.id)).value.pin, "1234");
    for (const type of [
      "secrets; drop table entities",
      "Secrets",
      "secrets ",
      "ＳECRETS",
      "secrets\0",
      "__proto__",
      "",
    ])
      assert.match(
        String((await use(hub, org, "evil.data", "data.query", type, {})).code),
        /permission_denied|ability_input/,
        type,
      );
  });

  it("odd filters, sorts, ids and fields are refused or mean nothing, and never `internal`", async () => {
    const hostile: unknown[][] = [
      ["data.query", "secrets", { __proto__: null, constructor: { prototype: 1 } }],
      ["data.query", "secrets", { pin: "a\0b" }],
      ["data.query", "secrets", {}, { orderBy: "pin'; drop table entities; --" }],
      ["data.query", "secrets", {}, { orderBy: "a\0" }],
      ["data.query", "secrets", {}, { orderBy: "\ud800" }],
      ["data.query", "secrets", {}, { limit: -1 }],
      ["data.query", "secrets", "text"],
      ["data.query", "secrets", { id: "a\0" }],
      ["data.getById", "secrets", "a\0"],
      ["data.getById", "secrets", { toString: 1 }],
      ["data.upsert", "secrets", { id: 7 }],
      ["data.upsert", "secrets", { id: { a: 1 } }],
      ["data.upsert", "secrets", { id: "x".repeat(100_000) }],
      ["data.upsert", "secrets", { id: "" }],
      ["data.upsert", "secrets", { id: "nul\0" }],
      ["data.upsert", "secrets", { externalId: { a: 1 } }],
      ["data.upsert", "secrets", { externalId: "y".repeat(100_000) }],
      ["data.upsert", "secrets", { source: ["a"] }],
      ["data.upsert", "secrets", { id: "same", externalId: "one" }],
      ["data.upsert", "secrets", { id: "same", externalId: "two" }],
      ["data.upsert", "secrets", { text: "nul\0 and \ud800" }],
      ["data.upsert", "secrets", [null]],
      ["data.upsert", "secrets", Array.from({ length: 501 }, () => ({}))],
      ["data.upsert", "secrets", JSON.parse('{"__proto__": {"polluted": true}, "a": 1}')],
    ];
    for (const [path, ...args] of hostile) {
      const { ok, code, message } = await use(hub, org, "evil.data", String(path), ...args);
      if (!ok)
        assert.match(
          String(code),
          /ability_input|payload_too_large|invalid_input/,
          `${path} ${JSON.stringify(args).slice(0, 200)}: ${code} ${message}`,
        );
    }
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });

  it("one plugin cannot speak in another's name in the data: neither overwrite its source's rows nor claim its source", async () => {
    const permissions = ["data:read:deals", "data:write:deals"];
    await installPuppet(hub, org, puppet({ id: "good.crm", permissions }));
    await installPuppet(hub, org, puppet({ id: "evil.crm", permissions }));
    const row = (await use(hub, org, "good.crm", "data.upsert", "deals", { externalId: "7", amount: 100 })).value;
    assert.equal(row.source, "good.crm");
    const forged = await use(hub, org, "evil.crm", "data.upsert", "deals", {
      source: "good.crm",
      externalId: "7",
      amount: 1,
    });
    assert.equal(forged.code, "permission_denied");
    const early = await use(hub, org, "evil.crm", "data.upsert", "deals", {
      source: "good.crm",
      externalId: "8",
      amount: 1,
    });
    assert.equal(early.code, "permission_denied");
    assert.equal((await use(hub, org, "good.crm", "data.getById", "deals", row.id)).value.amount, 100);
    // Its own sources may be many, and another plugin's external ids are no obstacle.
    assert.equal(
      (
        await use(hub, org, "evil.crm", "data.upsert", "deals", {
          source: "evil.crm:import",
          externalId: "7",
          amount: 5,
        })
      ).ok,
      true,
    );
    assert.equal((await use(hub, org, "good.crm", "data.getById", "deals", row.id)).value.amount, 100);
  });
});
