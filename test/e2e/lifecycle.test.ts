/** Changes of one plugin by many at once, and hubs whose plugins are all broken. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { probe } from "../kit/probe-plugin.ts";
import { type PluginSource, startTestHub, type TestAnswer, type TestHub } from "../kit/start-test-hub.ts";

let hub: TestHub;
const path = "/api/plugins/acme.probe";
before(async () => {
  hub = await startTestHub();
  await hub.organization("acme");
  for (const version of ["1.0.0", "1.1.0"]) assert.equal((await hub.publish("acme", probe({ version }))).status, 201);
});
after(() => hub[Symbol.asyncDispose]());

const api = (method: string, at: string, body?: unknown): Promise<TestAnswer> =>
  hub.request(method, at, { org: "acme", ...(body === undefined ? {} : { body }) });
const install = (): Promise<TestAnswer> =>
  api("POST", "/api/plugins", { id: "acme.probe", version: "1.0.0", grants: "all" });
const count = (answers: TestAnswer[], status: number): number =>
  answers.filter((answer) => answer.status === status).length;

test("of many installs at once one wins, the others are told; of many uninstalls likewise", async () => {
  const installs = await Promise.all(Array.from({ length: 8 }, install));
  assert.deepEqual([count(installs, 201), count(installs, 409)], [1, 7]);
  const uninstalls = await Promise.all(Array.from({ length: 8 }, () => api("DELETE", path)));
  assert.deepEqual([count(uninstalls, 204), count(uninstalls, 404)], [1, 7]);
});

test("install, upgrade, configure, activate, deactivate, uninstall and calls all at once: clear answers, a consistent end", async () => {
  const moves = [
    install,
    () => api("DELETE", path),
    () => api("POST", `${path}/upgrade`, { version: "1.1.0" }),
    () => api("POST", `${path}/upgrade`, { version: "1.0.0" }),
    () => api("POST", `${path}/activate`),
    () => api("POST", `${path}/deactivate`),
    () => api("PUT", `${path}/config`, { greeting: "Hello" }),
    () => api("PUT", `${path}/grants`, { grants: "all" }),
    () => hub.call("acme", "acme.probe", "echo"),
    () => hub.call("acme", "acme.probe", "echo"),
  ];
  for (let round = 0; round < 4; round += 1) {
    const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => moves[(n * 7 + round) % moves.length]!()));
    for (const { status, text } of answers) assert.ok([200, 201, 204, 404, 409].includes(status), `${status} ${text}`);
  }
  await install();
  await api("POST", `${path}/activate`);
  assert.equal((await hub.call("acme", "acme.probe", "echo")).status, 200);
  assert.equal((await api("GET", "/api/audit/verify")).body.valid, true);
  const rows = await hub.hub.store.db
    .selectFrom("consumers")
    .select(["consumer", "active"])
    .where("plugin_id", "=", "acme.probe")
    .execute();
  assert.deepEqual(
    rows.map(({ active }) => active),
    [true],
  );
});

test("whoever changed a plugin sees the change at the next call, and no call fails because of it", async () => {
  let changing = true;
  const failures: string[] = [];
  const callers = Array.from({ length: 4 }, async () => {
    while (changing) {
      const { status, text } = await hub.call("acme", "acme.probe", "sleep", { ms: 5 });
      if (status !== 200) failures.push(`${status} ${text}`);
    }
  });
  for (let n = 0; n < 15; n += 1) {
    assert.equal((await api("PUT", `${path}/config`, { greeting: `Hello ${n}` })).status, 200);
    const { body } = await hub.call("acme", "acme.probe", "echo");
    assert.equal(body.result?.config.greeting, `Hello ${n}`, JSON.stringify(body));
    if (n % 5 === 4)
      assert.equal((await api("POST", `${path}/upgrade`, { version: n % 2 ? "1.0.0" : "1.1.0" })).status, 200);
  }
  changing = false;
  await Promise.all(callers);
  assert.deepEqual(failures, []);
  assert.ok(hub.hub.runtime.status().instances <= 3, "instances that were replaced are let go");
});

test("a grant taken back is gone at the next ability call, also of a call under way", async () => {
  const running = hub.call("acme", "acme.probe", "mark", { name: "kept", ms: 0 });
  assert.equal((await running).status, 200);
  await api("PUT", `${path}/grants`, { grants: ["event:subscribe:order.*"] });
  const refused = await hub.call("acme", "acme.probe", "mark", { name: "refused" });
  assert.equal(refused.status, 502, refused.text);
  await api("PUT", `${path}/grants`, { grants: "all" });
  assert.equal((await hub.call("acme", "acme.probe", "mark", { name: "kept" })).status, 200);
});

test("a dependency is never uninstalled under a plugin that is being installed", async () => {
  const needy: PluginSource = {
    manifest: { id: "acme.needy", dependencies: { "acme.base": "^1.0.0" } },
    code: "export default {};",
  };
  const base: PluginSource = { manifest: { id: "acme.base" }, code: "export default {};" };
  assert.equal((await hub.publish("acme", needy)).status, 201);
  assert.equal((await hub.publish("acme", base)).status, 201);
  for (let round = 0; round < 10; round += 1) {
    await api("POST", "/api/plugins", { id: "acme.base" });
    await Promise.all([api("POST", "/api/plugins", { id: "acme.needy" }), api("DELETE", "/api/plugins/acme.base")]);
    const installed = (await api("GET", "/api/plugins")).body.plugins.map(({ id }: { id: string }) => id);
    assert.ok(!installed.includes("acme.needy") || installed.includes("acme.base"), `round ${round}: ${installed}`);
    await api("DELETE", "/api/plugins/acme.needy");
  }
});

test("entities: an item with an external id is one row however often and from how many it comes; unchanged it is no event", async () => {
  const upsert = (items: unknown): Promise<TestAnswer> =>
    hub.call("acme", "acme.probe", "upsert", { entity: "marks", items });
  const answers = await Promise.all(Array.from({ length: 10 }, () => upsert({ externalId: "x-1", colour: "red" })));
  const ids = new Set(answers.map(({ body, text }) => body.result?.[0]?.id ?? body.result?.id ?? text));
  assert.equal(ids.size, 1, [...ids].join());
  await upsert({ externalId: "x-1", size: 3 });
  const rows = (await hub.call("acme", "acme.probe", "query", { entity: "marks", filter: { externalId: "x-1" } })).body
    .result;
  assert.equal(rows.length, 1);
  assert.deepEqual([rows[0].colour, rows[0].size, rows[0].version], ["red", 3, 2]);
  const types = (
    await hub.hub.store.db
      .selectFrom("events")
      .select("type")
      .where("subject", "=", rows[0].id)
      .orderBy("seq")
      .execute()
  ).map(({ type }) => type);
  assert.deepEqual(types, ["data.MarkCreated", "data.MarkUpdated"]);
  const other = await upsert({ id: rows[0].id, externalId: "x-2" });
  assert.equal(other.status, 502, "one row cannot be named by two external ids");
  for (const odd of [{ id: 7 }, { externalId: 7 }, { source: [] }, "text", null])
    assert.equal((await upsert(odd)).status, 502, JSON.stringify(odd));
});

test("the hub becomes ready with every plugin broken, says of each what is wrong, and serves a sound one", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-broken-"));
  try {
    const first = await startTestHub({ dataDir, storage: "folder", masterKey: randomBytes(32).toString("base64") });
    await first.organization("acme");
    const functions = [{ name: "hello", description: "x" }];
    const code = "export default { functions: { hello: () => 'hello' } };";
    const sources: Record<string, PluginSource> = {
      corrupt: { manifest: { id: "acme.corrupt", contributes: { functions } }, code: `${code} // corrupt` },
      throwing: {
        manifest: { id: "acme.throwing", contributes: { functions } },
        code: `throw new Error("broken at load"); ${code}`,
      },
      looping: {
        manifest: { id: "acme.looping", resources: { cpuMs: 100 }, contributes: { functions } },
        code: `for (;;); ${code}`,
      },
      init: {
        manifest: { id: "acme.init", contributes: { functions } },
        code: `export default { init() { throw new Error("broken init"); }, functions: { hello: () => 1 } };`,
      },
      sealed: {
        manifest: {
          id: "acme.sealed",
          permissions: ["network:outbound:api.vendor.com"],
          configSchema: {
            type: "object",
            properties: { token: { type: "string", format: "secret", hosts: ["api.vendor.com"] } },
          },
          contributes: { functions },
        },
        code: "export default { functions: { hello: (_, ctx) => ctx.crypto.hmac({ key: ctx.config.token, data: 'x', encoding: 'hex' }) } };",
      },
      sound: { manifest: { id: "acme.sound", contributes: { functions } }, code },
    };
    for (const [name, source] of Object.entries(sources))
      await first.install("acme", source, name === "sealed" ? { token: "t" } : {});
    const { digest } = (await first.request("GET", "/api/plugins/acme.corrupt", { org: "acme" })).body;
    await first.hub.store.db
      .updateTable("artifact_chunks")
      .set({ bytes: Buffer.from("not what it was") })
      .where("digest", "=", digest)
      .execute();
    await first.close({ drainMs: 0 });
    await rm(join(dataDir, "cache"), { recursive: true, force: true });

    await using second = await startTestHub({
      dataDir,
      storage: "folder",
      masterKey: randomBytes(32).toString("base64"),
    });
    assert.equal((await second.request("GET", "/readyz", { token: null })).status, 200);
    const expected = {
      corrupt: [500, "artifact_corrupt"],
      throwing: [502, "plugin_load_failed"],
      looping: [502, "cpu_exceeded"],
      init: [502, "plugin_load_failed"],
      // The plugin itself runs; only what uses the secret fails, and says what to do.
      sealed: [502, "plugin_error"],
    } as const;
    await Promise.all(
      Object.entries(expected).map(async ([name, outcome]) => {
        const { status, body } = await second.call("acme", `acme.${name}`, "hello");
        assert.deepEqual([status, body.code], outcome, JSON.stringify(body));
        if (name === "sealed") assert.match(body.detail, /cannot be opened with this hub's key. Set it again/);
      }),
    );
    const sound = await second.call("acme", "acme.sound", "hello");
    assert.deepEqual([sound.status, sound.body.result], [200, "hello"]);
    // The way out: set the secret again.
    assert.equal(
      (await second.request("PUT", "/api/plugins/acme.sealed/config", { org: "acme", body: { token: "new" } })).status,
      200,
    );
    assert.equal((await second.call("acme", "acme.sealed", "hello")).status, 200);
    assert.equal((await second.request("DELETE", "/api/plugins/acme.corrupt", { org: "acme" })).status, 204);
    await second.close({ drainMs: 0 });
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
