import assert from "node:assert/strict";
import { test } from "node:test";
import type { EgressRequest } from "../egress/egress.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Client } from "./declared.ts";
import { createTokenEndpoint, TokenFailure } from "./token-endpoint.ts";

const client: Client = {
  name: "account",
  grant: "authorization_code",
  authorizationUrl: "https://login.vendor.com/authorize?prompt=consent",
  tokenUrl: "https://login.vendor.com/token",
  revocationUrl: undefined,
  tokenHost: "login.vendor.com",
  scopes: ["a", "b"],
  hosts: ["api.vendor.com"],
  clientId: "9f1c-22:x",
  clientSecret: "s&cret + ü",
  clientAuthentication: "basic",
  pkce: true,
  parameters: {},
};
const request = { client, allowedHosts: ["login.vendor.com"], partition: "acme/i" };

interface Answer {
  status?: number;
  body: unknown;
  headers?: [string, string][];
}

/** A refresh that the service answers so, and what was sent. */
async function refreshed(answer: Answer | (() => never), of: Partial<Client> = {}) {
  const sent: EgressRequest[] = [];
  const endpoint = createTokenEndpoint({
    egress: {
      async fetch(asked) {
        sent.push(asked);
        const { status = 200, body, headers = [] } = typeof answer === "function" ? answer() : answer;
        const text = typeof body === "string" ? body : JSON.stringify(body);
        return { status, statusText: "", url: asked.url, headers, body: Buffer.from(text), redirected: false };
      },
    },
  });
  const tokens = await endpoint.refresh({ ...request, client: { ...client, ...of } }, "rt-1").catch((error) => error);
  return { tokens, sent: sent[0]!, form: new URLSearchParams(Buffer.from(sent[0]!.body!).toString()) };
}

test("a request goes to the token endpoint alone, follows no redirect, and carries the client as it was said to", async () => {
  const { sent, form } = await refreshed({ body: { access_token: "at", token_type: "Bearer" } });
  assert.equal(sent.url, "https://login.vendor.com/token");
  assert.deepEqual([sent.method, sent.redirect, sent.partition], ["POST", "manual", "acme/i"]);
  assert.deepEqual(sent.allowedHosts, ["login.vendor.com"]);
  assert.deepEqual(Object.fromEntries(form), { grant_type: "refresh_token", refresh_token: "rt-1" });
  const basic = sent.headers!.find(([name]) => name === "authorization")![1].replace("Basic ", "");
  assert.equal(Buffer.from(basic, "base64").toString(), "9f1c-22%3Ax:s%26cret+%2B+%C3%BC");

  const posted = await refreshed({ body: { access_token: "at" } }, { clientAuthentication: "post" });
  assert.equal(posted.form.get("client_secret"), "s&cret + ü");
  const publicly = await refreshed({ body: { access_token: "at" } }, { clientSecret: undefined });
  assert.deepEqual([publicly.form.get("client_id"), publicly.form.get("client_secret")], ["9f1c-22:x", null]);
});

test("answers are read as services write them: no token type, numbers as text, ids of accounts", async () => {
  const claims = Buffer.from(JSON.stringify({ email: "ada@example.com\u202e", sub: "1" })).toString("base64url");
  const { tokens } = await refreshed({
    body: { access_token: "at", expires_in: "60", scope: "a  c", id_token: `x.${claims}.y` },
  });
  assert.deepEqual(tokens, {
    accessToken: "at",
    refreshToken: undefined,
    expiresIn: 60,
    scopes: ["a", "c"],
    account: "ada@example.com",
  });
  assert.equal((await refreshed({ body: { access_token: "at", user_id: "ABC" } })).tokens.account, "ABC");
  for (const odd of [
    "x",
    "a.b.c",
    "..",
    `x.${"A".repeat(50_000)}.y`,
    `x.${Buffer.from("[1]").toString("base64url")}.y`,
  ])
    assert.equal(
      (await refreshed({ body: { access_token: "at", id_token: odd } })).tokens.account,
      undefined,
      odd.slice(0, 9),
    );
});

const failures: [title: string, answer: Answer | (() => never), kind: string, reason: RegExp][] = [
  ["a grant that is gone", { status: 400, body: { error: "invalid_grant" } }, "rejected", /invalid_grant/],
  ["a login that is needed", { status: 400, body: { error: "interaction_required" } }, "rejected", /interaction/],
  [
    "an error in a list",
    { status: 400, body: { errors: [{ errorType: "invalid_grant" }], success: false } },
    "rejected",
    /invalid_grant/,
  ],
  [
    "an unknown client behind a challenge",
    { status: 401, body: { error: "invalid_client" }, headers: [["www-authenticate", "Basic"]] },
    "misconfigured",
    /invalid_client/,
  ],
  ["an error that is none", { status: 400, body: { error: "<b>x</b>" } }, "failed", /answered an error$/],
  ["invalid_grant with status 500", { status: 500, body: { error: "invalid_grant" } }, "failed", /status 500/],
  ["a page", { status: 502, body: "<html>" }, "failed", /status 502/],
  ["a redirect", { status: 302, body: "", headers: [["location", "https://evil.com"]] }, "failed", /status 302/],
  ["a list", { body: [1] }, "failed", /no token answer/],
  ["no token", { body: { token_type: "bearer" } }, "failed", /no token answer/],
  ["a token of another type", { body: { access_token: "at", token_type: "mac" } }, "failed", /no token answer/],
  ["a token that is no text", { body: { access_token: 7 } }, "failed", /no token answer/],
  ["a token with a line break", { body: { access_token: "a\r\nx: y" } }, "failed", /no header holds/],
  ["a giant token", { body: { access_token: "a".repeat(40_000) } }, "failed", /too long/],
  [
    "a host that is not granted",
    () => {
      throw new BackplaneError("egress_denied", { host: "login.vendor.com", reason: "not granted" });
    },
    "failed",
    /login\.vendor\.com is not allowed/,
  ],
];
for (const [title, answer, kind, reason] of failures)
  test(`a failure is told by its kind: ${title}`, async () => {
    const { tokens } = await refreshed(answer);
    assert.ok(tokens instanceof TokenFailure, String(tokens));
    assert.equal(tokens.kind, kind);
    assert.match(tokens.message, reason);
  });

test("a service's own words are shown without what it was sent, and its Retry-After is kept", async () => {
  const { tokens } = await refreshed({
    status: 400,
    body: { error: "slow_down", error_description: `rt-1 \u001b[31m s&cret + ü\nagain ${"x".repeat(1_000)}` },
    headers: [["retry-after", "30"]],
  });
  assert.equal(tokens.retryAfter, 30);
  assert.ok(!/rt-1|s&cret|\u001b|\n/.test(tokens.message), tokens.message);
  assert.ok(tokens.message.length < 400);
});

test("the authorisation address keeps its own query and gains ours", async () => {
  const endpoint = createTokenEndpoint({ egress: { fetch: () => assert.fail("nothing is asked") } });
  const url = new URL(
    await endpoint.authorizationUrl(
      { ...client, parameters: { access_type: "offline" } },
      { redirectUri: "https://hub.example/oauth/callback", state: "s", codeVerifier: "v".repeat(43) },
    ),
  );
  const { code_challenge: challenge, ...rest } = Object.fromEntries(url.searchParams);
  assert.match(challenge ?? "", /^[\w-]{43}$/);
  assert.deepEqual(rest, {
    prompt: "consent",
    access_type: "offline",
    client_id: "9f1c-22:x",
    response_type: "code",
    redirect_uri: "https://hub.example/oauth/callback",
    scope: "a b",
    state: "s",
    code_challenge_method: "S256",
  });
});
