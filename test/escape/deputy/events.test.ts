/** Events and webhooks against the real hub: forged types and ids, loops and storms, poisoned dedupe, answers that act as the hub's origin. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { startTestHub, type TestHub, until } from "../../kit/start-test-hub.ts";
import { act, assertProblem, installPuppet, type Outcome, publishPuppet, use } from "./act.ts";
import { puppet } from "./puppet.ts";

let hub: TestHub;
const org = "events";
const hook = `/webhooks/${org}/evil.hook`;

const emit = (plugin: string, ...args: unknown[]): Promise<Outcome> => use(hub, org, plugin, "emitEvent", ...args);
const log = async (type: string) =>
  (await hub.request("GET", `/api/events?type=${type}&limit=200`, { org })).body.events as {
    id: string;
    source: string;
    data: unknown;
  }[];
const answerOf = (answer: object, headers: Record<string, string> = {}) =>
  hub.request("POST", hook, { token: null, body: { answer }, headers });

describe("events and webhooks", { timeout: 60_000 }, () => {
  before(async () => {
    hub = await startTestHub();
    await hub.organization(org);
    await installPuppet(hub, org, puppet({ id: "evil", permissions: ["event:publish:mine.*"] }));
    await installPuppet(hub, org, puppet({ id: "evil/twin", permissions: ["event:publish:mine.*"] }));
    await installPuppet(
      hub,
      org,
      puppet({ id: "evil.hook", permissions: ["network:inbound", "event:publish:puppet.*"] }),
    );
  });
  after(() => hub.close({ drainMs: 0 }));

  it("no spelling of a type gets past the granted domain, and the hub's own domains are never for plugins or people", async () => {
    const types = [
      "other.x",
      "mine",
      "mine.",
      "mine.*",
      "Mine.x",
      "MINE.x",
      "mine.x.",
      "mine..x",
      ".mine.x",
      "mine .x",
      "mine.x\0",
      "mine.\u200bx",
      "ｍine.x",
      "mіne.x",
      "mine.x\n",
      "plugin.installed",
      "Plugin.installed",
      "backplane.x",
      "*",
      "",
      "mine.<b>",
      "x".repeat(201),
      "mine/x",
      "mine.x/../../plugin.installed",
    ];
    for (const type of types)
      assert.match(
        String((await emit("evil", type, {})).code),
        /permission_denied|ability_input|invalid_input/,
        JSON.stringify(type),
      );
    for (const type of ["plugin.installed", "backplane.x", "plugin"])
      assertProblem(await hub.request("POST", "/api/events", { org, body: { type, data: {} } }), 400);
    assert.deepEqual(
      (await log("plugin.installed")).filter(({ source }) => source !== "/backplane/lifecycle"),
      [],
    );
  });

  it("nobody can take the place of another's event by its id: plugins whose ids nest, people, or very long ids", async () => {
    const first = await emit("evil", "mine.id", { from: "evil" }, { id: "twin#x" });
    const nested = await emit("evil", "mine.id", { from: "evil" }, { id: "twin/x" });
    const twin = await emit("evil/twin", "mine.id", { from: "twin" }, { id: "x" });
    const long = await emit("evil", "mine.id", { from: "long a" }, { id: `${"y".repeat(199)}a` });
    const other = await emit("evil", "mine.id", { from: "long b" }, { id: `${"y".repeat(199)}b` });
    for (const outcome of [first, nested, twin, long, other]) assert.equal(outcome.ok, true, outcome.message);
    const again = await emit("evil/twin", "mine.id", { from: "twin again" }, { id: "x" });
    assert.equal(again.value.id, twin.value.id);
    assertProblem(
      await hub.request("POST", "/api/events", {
        org,
        body: { type: "mine.id", data: { from: "person" }, id: "plugin:evil/twin#next" },
      }),
      400,
      "invalid_input",
    );
    await until(async () => (await log("mine.id")).length === 5);
    assert.equal((await emit("evil/twin", "mine.id", { from: "twin" }, { id: "next" })).ok, true);
    await until(async () => (await log("mine.id")).length === 6);
  });

  it("giant, deep and unstorable events are refused with a reason, and a subscription never gets more than was granted", async () => {
    assert.equal((await emit("evil", "mine.big", { $text: 600_000 })).code, "payload_too_large");
    assert.equal((await emit("evil", "mine.nul", "a\0b")).code, "invalid_input");
    assert.equal((await emit("evil", "mine.subject", {}, { subject: "a\nb" })).code, "invalid_input");
    assert.match(String((await emit("evil", "mine.subject", {}, { subject: 7 })).code), /ability_input/);
    const wide = puppet(
      { id: "evil.wide", permissions: ["event:subscribe:ping.*"], optionalPermissions: ["event:publish:pong.*"] },
      ["ping.*", "storm.*"],
    );
    const published = await publishPuppet(hub, org, wide);
    assert.equal(published.status, 400, "a pattern that no permission covers");
  });

  it("a flood of requests for messages ends at the plugin's own rate, in every spelling; others keep theirs", async () => {
    const where = "events-messages";
    await hub.organization(where);
    const may = { permissions: ["event:publish:comms.*"] };
    await installPuppet(hub, where, puppet({ id: "evil.spam", ...may, resources: { messagesPerMinute: 10 } }));
    await installPuppet(hub, where, puppet({ id: "good.one", ...may }));
    const ask = (plugin: string, times: number): Promise<unknown> => {
      const request = { channel: "puppet", plugin: "good.one", to: `${plugin} to`, body: "pay me" };
      return act(hub, where, plugin, "many", { path: "emitEvent", args: ["comms.MessageRequested", request], times });
    };
    await ask("evil.spam", 120);
    // Its own id as a part of other names, and a source of its own making in the data, change nothing.
    const forged = {
      channel: "puppet",
      plugin: "good.one",
      to: "evil.spam to",
      body: "b",
      source: "/plugins/good.one",
    };
    for (const id of ["plugin:good.one#x", "requests:good.one"])
      await use(hub, where, "evil.spam", "emitEvent", "comms.MessageRequested", forged, { id });
    await ask("good.one", 5);
    const queued = async (to: string): Promise<number> =>
      (
        await hub.hub.store.db
          .selectFrom("outbound_messages")
          .select("id")
          .where("organization_id", "=", where)
          .where("address", "=", to)
          .execute()
      ).length;
    const refused = async (): Promise<number> =>
      (await hub.request("GET", "/api/dead-letters?limit=200&code=rate_limited", { org: where })).body.deadLetters
        .length;
    await until(async () => (await queued("evil.spam to")) + (await refused()) === 122, 30_000);
    await until(async () => (await queued("good.one to")) === 5, 30_000);
    const taken = await queued("evil.spam to");
    assert.ok(taken >= 50 && taken <= 60, `${taken} of 122: five minutes' worth, and what came free meanwhile`);
    const told = (await hub.request("GET", "/api/events?type=comms.MessageStatus&limit=200", { org: where })).body;
    assert.ok(
      told.events.some(({ data }: { data: { errorCode: string } }) => data.errorCode === "rate_limited"),
      "told as a failed message",
    );
  });

  it("a loop of two plugins ends by its depth", async () => {
    await installPuppet(
      hub,
      org,
      puppet({ id: "evil.ping", permissions: ["event:subscribe:ping.*", "event:publish:pong.*"] }, ["ping.*"]),
    );
    await installPuppet(
      hub,
      org,
      puppet({ id: "evil.pong", permissions: ["event:subscribe:pong.*", "event:publish:ping.*"] }, ["pong.*"]),
    );
    await hub.request("POST", "/api/events", { org, body: { type: "ping.first", data: {} } });
    let last = -1;
    let stable = 0;
    await until(async () => {
      const now = (await log("ping.*")).length + (await log("pong.*")).length;
      stable = now === last && now > 4 ? stable + 1 : 0;
      last = now;
      return stable >= 20;
    }, 20_000);
    assert.ok(last <= 34, `${last} events`);
  });

  it("what a webhook accepts is told apart by its whole id and cannot be forged into another plugin's", async () => {
    const long = "i".repeat(250);
    await answerOf({
      accept: [
        { id: `${long}1`, n: 1 },
        { id: `${long}2`, n: 2 },
        { id: "a\0b", n: 3 },
        { id: 7, n: 4 },
        { id: { x: 1 }, n: 5 },
        "text",
        null,
      ],
    });
    await answerOf({ accept: [{ id: `${long}1`, n: 1 }] });
    await until(async () => (await log("puppet.item")).length >= 7);
    assert.equal((await log("puppet.item")).length, 7);
  });

  it("wrong answers of a handler are the plugin's fault, 502, and never reach the sender half", async () => {
    const wrong: object[] = [
      { accept: Array.from({ length: 1001 }, (_, n) => n) },
      { accept: {} },
      { status: 99 },
      { status: 101 },
      { status: 600 },
      { status: "200" },
      { headers: [] },
      { headers: { "x-a": "b\r\nset-cookie: a=b" } },
      { headers: { "x-a": "€" } },
      { headers: { "x-a": "\u0001" } },
      { headers: { "x a": "b" } },
      { headers: { "x-a": ["b"] } },
      { headers: { "x-a": "y".repeat(9000) } },
      { body: { $text: 1_100_000 } },
    ];
    for (const answer of wrong) assertProblem(await answerOf(answer), 502, "result_invalid");
    for (const status of [204, 205, 304])
      assert.equal((await answerOf({ status, body: "text", headers: { "content-type": "text/html" } })).status, status);
    assert.equal((await answerOf({ status: 200, headers: { ["__proto__"]: "x", constructor: "y" } })).status, 200);
  });

  it("an answer cannot act as the hub: no cookie, script, policy, proxy order or password dialogue", async () => {
    const refused = [
      "set-cookie",
      "Set-Cookie2",
      "access-control-allow-origin",
      "Access-Control-Expose-Headers",
      "alt-svc",
      "nel",
      "report-to",
      "reporting-endpoints",
      "refresh",
      "link",
      "www-authenticate",
      "x-accel-redirect",
      "X-Sendfile",
      "service-worker-allowed",
      "clear-site-data",
      "strict-transport-security",
      "content-security-policy-report-only",
      "speculation-rules",
      "transfer-encoding",
      "connection",
      "permissions-policy",
      "proxy-authenticate",
    ];
    const page = "<script>fetch('/api/plugins')</script>";
    const answer = await answerOf({
      headers: {
        ...Object.fromEntries(refused.map((name) => [name, "evil"])),
        "content-type": "text/html",
        "content-security-policy": "default-src *",
        "x-content-type-options": "sniff",
      },
      body: page,
    });
    assert.equal(answer.status, 200);
    for (const name of refused) assert.notEqual(answer.headers.get(name), "evil", name);
    assert.equal(answer.headers.get("content-security-policy"), "sandbox; default-src 'none'");
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    const error = await hub.request("GET", `/webhooks/${org}/<script>alert(1)</script>`, { token: null });
    assert.match(String(error.headers.get("content-type")), /^application\/problem\+json/);
    assert.doesNotMatch(error.text, /<script>/);
  });

  it("keys of this hub and cookies do not reach a plugin that somebody calls with them by mistake; a vendor's do", async () => {
    const show = async (authorization: string) =>
      (
        await hub.request("POST", hook, {
          token: null,
          headers: { authorization, cookie: "session=1" },
          body: { show: true },
        })
      ).body.headers;
    const { adminKey } = await hub.organization("events-keys");
    for (const key of [hub.hub.adminToken, adminKey])
      assert.equal((await show(`Bearer ${key}`)).authorization, undefined);
    assert.equal((await show("Basic dmVuZG9yOnB3")).authorization, "Basic dmVuZG9yOnB3");
    assert.equal((await show("Bearer of-the-vendor")).cookie, undefined);
    const stored = await hub.hub.store.db.selectFrom("webhook_requests").selectAll().execute();
    assert.equal(JSON.stringify(stored).includes(hub.hub.adminToken), false);
    assert.equal(JSON.stringify(stored).includes(adminKey), false);
  });

  it("requests with two lengths, two framings, absolute targets or no end get a 400 or an end, and the hub lives", async () => {
    const { port } = new URL(hub.url);
    const raw = (bytes: string, ms = 1_500): Promise<string> =>
      new Promise((resolve) => {
        let got = "";
        const socket = connect(Number(port), "127.0.0.1", () => socket.write(bytes));
        const timer = setTimeout(() => socket.destroy(), ms);
        socket.on("data", (part) => {
          got += part;
        });
        socket.on("error", () => {});
        socket.on("close", () => {
          clearTimeout(timer);
          resolve(got);
        });
      });
    const smuggled = "GET /api/organizations HTTP/1.1\r\nhost: x\r\n\r\n";
    const bodies = [
      `POST ${hook} HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `POST ${hook} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: 44\r\n\r\n${smuggled}`,
      `POST ${hook} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `POST ${hook} HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n`,
      `POST ${hook} HTTP/1.1\r\nhost: x\nx-a: b\n\n`,
      `GET ${hook} HTTP/1.1\r\nhost: x\r\nx-big: ${"a".repeat(20_000)}\r\n\r\n`,
      `GET ${hook}\0 HTTP/1.1\r\nhost: x\r\n\r\n`,
      `CONNECT ${hook} HTTP/1.1\r\nhost: x\r\n\r\n`,
      `${"A".repeat(10_000)} / HTTP/1.1\r\n\r\n`,
    ];
    const answers = await Promise.all(bodies.map((bytes) => raw(bytes)));
    for (const [n, answer] of answers.entries()) {
      assert.doesNotMatch(answer, /^HTTP\/1\.1 2/, bodies[n]!.slice(0, 120));
      assert.doesNotMatch(answer, /at .*:\d+:\d+|node:/);
    }
    const absolute = await raw(
      `POST http://evil.org${hook} HTTP/1.1\r\nhost: evil.org\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{"show":true}`,
    );
    assert.doesNotMatch(absolute, /"url":"http:\/\/evil/);
    assert.equal((await hub.request("GET", "/healthz", { token: null })).status, 200);
  });

  it("crypto that would cost the hub minutes is refused, in every spelling of the number", async () => {
    for (const iterations of [10_000_000, "10000000", [10_000_000], 1e300, -1, { a: 1 }]) {
      const [outcome] = await act(hub, org, "evil", "pbkdf2", { iterations });
      assert.equal(outcome.ok, false, JSON.stringify(iterations));
    }
    assert.equal((await act(hub, org, "evil", "pbkdf2", { iterations: 600_000, length: 65_536 }))[0].ok, false);
    assert.equal((await act(hub, org, "evil", "pbkdf2", { iterations: 1_000 }))[0].ok, true);
    for (const modulusLength of [16_384, "16384", [16_384], 8_192])
      assert.equal((await act(hub, org, "evil", "rsa", { modulusLength }))[0].ok, false);
    for (const exponent of [[2], [1], [0], [1, 0, 0], [255, 255, 255, 255, 255]])
      assert.equal((await act(hub, org, "evil", "rsa", { modulusLength: 1024, exponent }))[0].ok, false);
    assert.equal((await act(hub, org, "evil", "rsa", { modulusLength: 1024 }))[0].ok, true);
  });
});
