import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { BackplaneError } from "../errors/error.ts";
import { sealConfig } from "./config.ts";
import type { FillableRequest } from "./fill.ts";
import { findHandles } from "./handle.ts";
import { type InstallationSecrets, openSecrets } from "./installation-secrets.ts";
import { createVault } from "./vault.ts";

const schema = {
  properties: {
    token: { type: "string", format: "secret", hosts: ["api.vendor.com", "*.cdn.vendor.com"] },
    other: { type: "string", format: "secret", hosts: ["b.vendor.com"] },
    shown: { type: "string", format: "secret", hosts: [], expose: true },
  },
};
const vault = createVault({ masterKeys: [randomBytes(32)] });

async function secretsOf(config: Record<string, unknown>, installation = "i-1"): Promise<InstallationSecrets> {
  const scope = { vault, schema, organization: "acme", installation };
  return await openSecrets(scope, (await sealConfig(scope, config)).sealed);
}

const VALUE = 'p@ss "w/ö\\rd"&<x>=1+2 %41';
const secrets = await secretsOf({ token: VALUE, other: "other-secret", shown: "visible-secret", plain: 1 });
const token = String(secrets.guestConfig["token"]);
const other = String(secrets.guestConfig["other"]);

function request(more: Partial<FillableRequest> = {}): FillableRequest {
  return {
    url: "https://api.vendor.com/v1",
    host: "api.vendor.com",
    headers: [],
    body: undefined,
    crossHost: false,
    ...more,
  };
}
const bodyOf = (text: string, type?: string): Partial<FillableRequest> => ({
  body: new Uint8Array(Buffer.from(text)),
  headers: type ? [["content-type", type]] : [],
});
const filledBody = (more: Partial<FillableRequest>): string =>
  Buffer.from(secrets.fill(request(more)).request.body!).toString();
const misused = (reason: RegExp) => (error: unknown) =>
  error instanceof BackplaneError &&
  error.code === "secret_misused" &&
  reason.test(error.message) &&
  !error.message.includes("p@ss");

test("the guest sees handles that are stable, unguessable and differ by installation; exposed secrets are plain", async () => {
  assert.match(token, /^bpsec\.v1\.token\.[\w-]{27}$/);
  assert.equal(secrets.guestConfig["shown"], "visible-secret");
  assert.deepEqual(secrets.exposed, ["shown"]);
  assert.equal((await secretsOf({ token: "changed" })).guestConfig["token"], token);
  assert.notEqual((await secretsOf({ token: VALUE }, "i-2")).guestConfig["token"], token);
  assert.deepEqual(findHandles(`a${token}b, ${other}`), [token, other]);
});

test("headers get the value as it is, Basic credentials inside their base64", () => {
  const ascii = other;
  const at = { url: "https://b.vendor.com/", host: "b.vendor.com" };
  const basic = `Basic ${Buffer.from(`AC123:${ascii}`).toString("base64")}`;
  const { request: filled, used } = secrets.fill(
    request({
      ...at,
      headers: [
        ["x-key", `${ascii}`],
        ["authorization", basic],
        ["x-none", "none"],
      ],
    }),
  );
  assert.deepEqual(filled.headers, [
    ["x-key", "other-secret"],
    ["authorization", `Basic ${Buffer.from("AC123:other-secret").toString("base64")}`],
    ["x-none", "none"],
  ]);
  assert.deepEqual(used, ["other"]);
});

test("a value in a query, form, JSON or XML body is encoded for its place", () => {
  const query = secrets.fill(request({ url: `https://api.vendor.com/v1?a=1&key=${token}&b=2` })).request.url;
  assert.equal(new URL(query).searchParams.get("key"), VALUE);
  assert.equal(new URL(query).searchParams.size, 3);
  const form = new URLSearchParams(
    filledBody(bodyOf(`a=1&key=${token}&b=2`, "application/x-www-form-urlencoded; charset=utf-8")),
  );
  assert.deepEqual([form.get("key"), form.size], [VALUE, 3]);
  for (const type of ["application/json", "application/vnd.api+json; x=1", "text/plain", undefined]) {
    assert.deepEqual(JSON.parse(filledBody(bodyOf(JSON.stringify({ k: token, n: [`x${token}`] }), type))), {
      k: VALUE,
      n: [`x${VALUE}`],
    });
  }
  assert.equal(
    filledBody(bodyOf(`<k>${token}</k>`, "text/xml")),
    "<k>p@ss &#34;w/ö\\rd&#34;&#38;&#60;x&#62;=1+2 %41</k>",
  );
  assert.equal(filledBody(bodyOf(`plain ${token}`, "text/plain")), `plain ${VALUE}`);
});

test("any value survives JSON, form and query filling unchanged, and other bytes stay as they were", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }),
      fc.uint8Array({ maxLength: 40 }),
      async (value, noise) => {
        const own = await secretsOf({ token: value });
        const json = own.fill(request(bodyOf(JSON.stringify({ a: token, b: "é" }), "application/json"))).request;
        assert.deepEqual(JSON.parse(Buffer.from(json.body!).toString()), { a: value, b: "é" });
        const form = own.fill(request(bodyOf(`a=${token}&b=é`, "application/x-www-form-urlencoded"))).request;
        assert.equal(new URLSearchParams(Buffer.from(form.body!).toString()).get("a"), value);
        assert.equal(
          new URL(own.fill(request({ url: `https://api.vendor.com/?q=${token}` })).request.url).searchParams.get("q"),
          value,
        );
        const binary = own.fill(
          request({
            body: Buffer.concat([noise, Buffer.from(token), noise]),
            headers: [["content-type", "application/octet-stream"]],
          }),
        ).request;
        assert.deepEqual(Buffer.from(binary.body!), Buffer.concat([noise, Buffer.from(value), noise]));
      },
    ),
    { numRuns: 40 },
  );
});

test("toward a host it is not bound to a secret is refused, wherever it stands", () => {
  const at = { url: "https://evil.com/", host: "evil.com" };
  const places: Partial<FillableRequest>[] = [
    { headers: [["x-key", token]] },
    { headers: [["authorization", `Basic ${Buffer.from(`u:${token}`).toString("base64")}`]] },
    { url: `https://evil.com/?q=${token}` },
    bodyOf(token),
    bodyOf(JSON.stringify({ k: token }), "application/json"),
  ];
  for (const place of places)
    assert.throws(() => secrets.fill(request({ ...at, ...place })), misused(/not bound to evil\.com/));
  assert.throws(() => secrets.fill(request({ headers: [["x", other]] })), misused(/not bound/));
  assert.throws(() => secrets.fill(request({ host: "cdn.vendor.com", headers: [["x", token]] })), misused(/not bound/));
  assert.equal(
    secrets.fill(request({ host: "a.cdn.vendor.com", url: "https://a.cdn.vendor.com/", ...bodyOf(token) })).used.length,
    1,
  );
});

test("secrets are refused in paths, hosts and header names, also percent-encoded", () => {
  const encoded = `%62${token.slice(1)}`;
  for (const url of [
    `https://api.vendor.com/bot${token}/send`,
    `https://api.vendor.com/${encoded}`,
    `https://${token.toLowerCase()}.vendor.com/`,
  ]) {
    assert.throws(() => secrets.fill(request({ url })), misused(/path|host/));
  }
  assert.throws(() => secrets.fill(request({ headers: [[token.toLowerCase(), "x"]] })), misused(/name of a header/));
});

test("handles of another installation, made-up ones and floods are refused", async () => {
  const strange = String((await secretsOf({ token: "x" }, "i-2")).guestConfig["token"]);
  assert.throws(() => secrets.fill(request({ headers: [["x", strange]] })), misused(/another plugin/));
  assert.throws(() => secrets.fill(request(bodyOf(`bpsec.v1.token.${"A".repeat(27)}`))), misused(/another plugin/));
  assert.throws(() => secrets.fill(request(bodyOf(token.repeat(101)))), misused(/more than 100/));
});

test("a value that a header cannot hold is refused instead of injecting", async () => {
  for (const value of ["line\r\nx: y", "snow ☃", "nul\0"]) {
    const own = await secretsOf({ token: value });
    assert.throws(() => own.fill(request({ headers: [["x", token]] })), misused(/headers cannot hold/));
  }
});

test("after a redirect to another host, headers with secrets bound elsewhere are dropped; query and body still refuse", () => {
  const at = { url: "https://evil.com/", host: "evil.com", crossHost: true };
  assert.deepEqual(
    secrets.fill(
      request({
        ...at,
        headers: [
          ["x-key", token],
          ["x-ok", "1"],
        ],
      }),
    ),
    { request: request({ ...at, headers: [["x-ok", "1"]] }), used: [] },
  );
  assert.throws(() => secrets.fill(request({ ...at, url: `https://evil.com/?q=${token}` })), misused(/not bound/));
  assert.throws(() => secrets.fill(request({ ...at, ...bodyOf(token) })), misused(/not bound/));
});

test("a key of a keyed hash may hold a handle, alone or with text around it", () => {
  assert.equal(Buffer.from(secrets.fillKey(`AWS4${other}`).key).toString(), "AWS4other-secret");
  assert.deepEqual(secrets.fillKey(other).used, ["other"]);
  assert.equal(Buffer.from(secrets.fillKey("no handle").key).toString(), "no handle");
});

test("an answer that echoes a sealed secret shows the handle; one that the plugin may see is left alone", () => {
  const echo = Buffer.from(
    JSON.stringify({ got: "other-secret", b64: Buffer.from("AC1:other-secret").toString("base64") }),
  );
  const seen = Buffer.from(secrets.answerRedactor().bytes(echo)).toString();
  assert.doesNotMatch(seen, /other-secret/);
  assert.equal(JSON.parse(seen).got, other);
  const plain = Buffer.from("visible-secret");
  assert.equal(secrets.answerRedactor().bytes(plain), plain);
  assert.equal(secrets.logRedactor.text("visible-secret and other-secret"), "[redacted:shown] and [redacted:other]");
});
