/** Strangers, small roles and hostile admins against every edge of the real hub: config, packages, keys, headers, streams and limits. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { OrganizationId } from "../../../src/base/brands.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub } from "../../kit/start-test-hub.ts";
import { act, assertClean, assertProblem, installPuppet, packPuppet, publishPuppet, use } from "./act.ts";
import { puppet } from "./puppet.ts";

let hub: TestHub;
let keys: Keys;
let strangers: Keys;
const org = "input";
const id = "evil.config";
const put = (body: unknown, path = "config"): Promise<TestAnswer> =>
  hub.request("PUT", `/api/plugins/${id}/${path}`, { org, body });

describe("hostile input", { timeout: 60_000 }, () => {
  before(async () => {
    hub = await startTestHub({ requestsPerSecond: 60 });
    keys = await hub.organization(org);
    strangers = await hub.organization("strangers");
    const configSchema = {
      type: "object",
      properties: {
        token: { type: "string", format: "secret", hosts: ["api.vendor.com"] },
        note: { type: "string" },
        free: {},
      },
    };
    await installPuppet(hub, org, puppet({ id, permissions: ["network:outbound:api.vendor.com"], configSchema }), {
      config: { token: "tok-input-secret" },
    });
  });
  after(() => hub.close({ drainMs: 0 }));

  it("keys that pollute, deep nesting, giants and wrong types in a config are refused or are plain data", async () => {
    for (const text of [
      '{"__proto__": {"admin": true}}',
      '{"free": {"__proto__": {"admin": true}, "constructor": {"prototype": {"admin": true}}}}',
      '{"constructor": {"prototype": {"admin": true}}}',
    ]) {
      const answer = await put(text);
      assert.ok(answer.status === 200 || answer.status === 400, answer.text);
      assert.equal(({} as { admin?: boolean }).admin, undefined);
      assert.equal(Object.hasOwn(answer.body?.config?.free ?? {}, "__proto__"), false);
    }
    for (const depth of [200, 5_000, 100_000]) {
      const answer = await put(`{"free": ${"[".repeat(depth)}${"]".repeat(depth)}}`);
      assert.ok(answer.status < 500, `${depth}: ${answer.text.slice(0, 300)}`);
      assertClean(answer.text.slice(0, 2_000));
    }
    assert.equal((await put({ free: "x".repeat(5 * 1024 * 1024) })).status, 413);
    for (const token of [1, true, {}, [], { $sealed: "x" }, "x".repeat(70_000)])
      assertProblem(await put({ token }), 400, "invalid_config");
    for (const body of ["null", "[]", '"x"', "7", "{", "\u0000", '{"a":1}{'])
      assert.equal((await put(body)).status, 400, body);
    assert.equal((await put({ token: "tok-input-secret", note: "a\u0000b\ud800" })).status < 500, true);
    assert.equal((await hub.call(org, id, "look")).status, 200);
  });

  it("ids that differ by case, letters that look alike, dots or slashes are no plugin ids", async () => {
    for (const wrong of [
      "Evil.config",
      "еvil.config",
      "evil.config.",
      "evil..config",
      "evil/con/fig",
      "evil config",
      "../evil",
      "evil.config\u200b",
      "*",
      "__proto__/x",
      "a".repeat(200),
    ])
      assertProblem(await publishPuppet(hub, org, puppet({ id: wrong })), 400);
    for (const path of ["__proto__", "constructor", "%2e%2e", "..%2f..%2fetc", "%00", "EVIL.CONFIG", "a".repeat(399)]) {
      const answer = await hub.request("GET", `/api/plugins/${path}`, { org });
      assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
      assertClean(answer.text);
    }
  });

  it("a published version cannot be replaced, and the same id from another publisher inherits no grant", async () => {
    assertProblem(await publishPuppet(hub, org, puppet({ id, description: "changed" })), 409, "package_exists");
    // Bundled with the hub, installed and trusted; then a member publishes the same id.
    const bundled = puppet({ id: "vendor.bundled", permissions: ["event:publish:bundled.*"] });
    await hub.hub.packages.publish("*" as OrganizationId, await packPuppet(bundled), "system");
    assert.equal(
      (await hub.request("POST", "/api/plugins", { org, body: { id: "vendor.bundled", grants: "all" } })).status,
      201,
    );
    assert.equal((await hub.request("POST", "/api/plugins/vendor.bundled/activate", { org })).status, 200);
    assert.equal((await use(hub, org, "vendor.bundled", "emitEvent", "bundled.x", {})).ok, true);
    const forged = await publishPuppet(
      hub,
      org,
      puppet({ id: "vendor.bundled", version: "9.0.0", permissions: ["event:publish:bundled.*"] }),
    );
    assert.equal(forged.status, 201, forged.text);
    const upgraded = await hub.request("POST", "/api/plugins/vendor.bundled/upgrade", {
      org,
      body: { version: "9.0.0" },
    });
    assert.deepEqual(upgraded.body.grants, [], upgraded.text);
    assert.deepEqual(upgraded.body.pendingPermissions, ["event:publish:bundled.*"]);
    assert.equal((await use(hub, org, "vendor.bundled", "emitEvent", "bundled.x", {})).ok, false);
  });

  it("a key stays in its organisation and its role, whatever headers, paths and bodies say", async () => {
    const as = (token: string, method: string, path: string, more: object = {}) =>
      hub.request(method, path, { token, ...more });
    for (const role of ["hub_admin", "owner", "ADMIN", ["admin"], null])
      assert.equal(
        (await as(keys.adminKey, "POST", `/api/organizations/${org}/api-keys`, { body: { name: "x", role } })).status,
        400,
      );
    assert.equal(
      (await as(keys.memberKey, "POST", `/api/organizations/${org}/api-keys`, { body: { name: "x", role: "admin" } }))
        .status,
      403,
    );
    assert.equal(
      (await as(keys.adminKey, "POST", "/api/organizations/strangers/api-keys", { body: { name: "x", role: "admin" } }))
        .status,
      404,
    );
    assert.equal(
      (await as(keys.adminKey, "POST", "/api/organizations", { body: { id: "mine", name: "x" } })).status,
      403,
    );
    assert.equal((await as(keys.adminKey, "GET", "/metrics")).status, 403);
    for (const header of ["strangers", "STRANGERS", `${org}, strangers`, "*", "strangers,", "../strangers"]) {
      const answer = await as(keys.adminKey, "GET", "/api/plugins", { headers: { "x-organization-id": header } });
      assert.equal(answer.status, 404, header);
    }
    assert.equal((await as(keys.viewerKey, "POST", `/api/plugins/${id}`, { body: { function: "look" } })).status, 403);
    assert.equal(
      (await as(keys.memberKey, "PUT", `/api/plugins/${id}/grants`, { body: { grants: "all" } })).status,
      403,
    );
    assert.equal((await as(keys.memberKey, "PUT", `/api/plugins/${id}/config`, { body: {} })).status, 403);
    assert.equal((await as(strangers.adminKey, "GET", `/api/plugins/${id}`)).status, 404);
  });

  it("a token is taken from one place only, in one form", async () => {
    const none = (path: string, headers: Record<string, string>) => hub.request("GET", path, { token: null, headers });
    assert.equal((await none(`/api/plugins?token=${keys.adminKey}`, {})).status, 401);
    assert.equal((await none(`/api/plugins?access_token=${keys.adminKey}`, {})).status, 401);
    for (const headers of [
      { cookie: `token=${keys.adminKey}` },
      { "x-api-key": keys.adminKey },
      { authorization: keys.adminKey },
      { authorization: `Basic ${Buffer.from(`x:${keys.adminKey}`).toString("base64")}` },
      { authorization: `Bearer ${keys.adminKey} x` },
      { authorization: `Bearer ${keys.adminKey}, Bearer ${hub.hub.adminToken}` },
      { authorization: "Bearer " },
      { authorization: "Bearer undefined" },
      { authorization: "Bearer null" },
      { "x-forwarded-user": "hub_admin", "x-organization-id": org },
    ] as Record<string, string>[])
      assert.equal((await none("/api/plugins", headers)).status, 401, JSON.stringify(headers));
  });

  it("wrong cursors, limits, bodies and content types are answered in the contract's form and without a host's trace", async () => {
    const odd = [
      "cursor=x",
      "cursor=eyJhIjoxfQ",
      `cursor=${Buffer.from('["a",{}]').toString("base64url")}`,
      `cursor=${Buffer.from("[null]").toString("base64url")}`,
      "limit=0",
      "limit=1e9",
      "limit=-1",
      "limit[]=1",
      "limit=1&limit=2",
      "__proto__[x]=1",
      "unknown=1",
    ];
    for (const path of [
      "/api/plugins",
      "/api/packages",
      "/api/executions",
      "/api/events",
      "/api/dead-letters",
      `/api/plugins/${id}/logs`,
      `/api/plugins/${id}/history`,
    ])
      for (const query of odd.filter((_, n) => n % 2 === path.length % 2 || n < 4)) {
        const answer = await hub.request("GET", `${path}?${query}`, { org });
        assert.ok(answer.status < 500, `${path}?${query}: ${answer.text}`);
        assertClean(answer.text.slice(0, 4_000));
      }
    for (const [type, body] of [
      ["text/plain", "x"],
      ["application/xml", "<a/>"],
      ["multipart/form-data; boundary=x", "--x--"],
      ["application/json; charset=utf-16", "{}"],
      ["application/json", "\ufeff{}"],
    ] as const) {
      const answer = await hub.request("POST", "/api/events", { org, body, headers: { "content-type": type } });
      assert.ok(answer.status >= 400 && answer.status < 500, `${type}: ${answer.status}`);
      assertClean(answer.text);
    }
    assertProblem(
      await hub.request("POST", "/api/packages", {
        org,
        body: Buffer.from("no tarball"),
        headers: { "content-type": "application/gzip" },
      }),
      400,
    );
  });

  it("one organisation can hold a bounded number of streams, and others still get theirs", async () => {
    const streams: AbortController[] = [];
    const open = async (token: string): Promise<number> => {
      const abort = new AbortController();
      streams.push(abort);
      const answer = await fetch(`${hub.url}/api/events/stream`, {
        headers: { authorization: `Bearer ${token}` },
        signal: abort.signal,
      });
      return answer.status;
    };
    try {
      const statuses = await Promise.all(Array.from({ length: 130 }, () => open(keys.viewerKey)));
      assert.equal(statuses.filter((status) => status === 200).length, 100);
      assert.equal(statuses.filter((status) => status === 429).length, 30);
      assert.equal(await open(strangers.viewerKey), 200);
    } finally {
      for (const abort of streams) abort.abort();
    }
  });

  it("whoever makes up tokens shares one limit, and known callers are served all the same", async () => {
    assert.equal((await hub.request("GET", "/api/plugins", { token: strangers.viewerKey })).status, 200);
    const statuses = new Map<number, number>();
    for (let n = 0; n < 700; n += 50) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          hub.request("GET", "/api/plugins", { token: `bp_${String(n + i).padStart(43, "x")}` }),
        ),
      );
      for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    assert.deepEqual([...statuses.keys()].sort(), [401, 429], JSON.stringify([...statuses]));
    assert.equal((await hub.request("GET", "/api/plugins", { token: strangers.viewerKey })).status, 200);
    await act(hub, org, id, "look").catch((error: Error) => assert.match(error.message, /rate_limited/));
  });
});
