/** OAuth connections through the whole hub: made, used, renewed, lost and made again; and what a plugin may not do with them. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { connectedConfig, connectedPlugin } from "../kit/connected-plugin.ts";
import { type OAuthServer, startOAuthServer } from "../kit/oauth-server.ts";
import { startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

let service: OAuthServer;
let hub: TestHub;
const org = "acme";
const id = "acme.connected";
const base = `/api/plugins/${id}/connections`;

before(async () => {
  service = await startOAuthServer();
  hub = await startTestHub({ egressOverride: service.override });
  await hub.organization(org);
  await hub.install(org, connectedPlugin(), connectedConfig);
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});
beforeEach(() => {
  Object.assign(service, { failing: undefined, delayMs: 0, expiresIn: 3600, rotate: true, beforeAnswer: undefined });
  service.tokenRequests.length = 0;
  service.apiRequests.length = 0;
});

const call = (name: string, parameters: unknown = {}): Promise<TestAnswer> => hub.call(org, id, name, parameters);
const view = async (name = "account") =>
  (await hub.request("GET", base, { org })).body.connections.find((one: { name: string }) => one.name === name);
const back = (url: URL): Promise<TestAnswer> => hub.request("GET", url.pathname + url.search, { token: null });
const begin = (body: unknown = {}): Promise<TestAnswer> =>
  hub.request("POST", `${base}/account/authorize`, { org, body });

async function connect(): Promise<void> {
  const { body } = await begin();
  const answer = await back(await service.agree(body.url));
  assert.equal(answer.status, 200, answer.text);
}

/** As time would do: the row says that the token has ended. */
async function endToken(name = "account"): Promise<void> {
  service.expireAll();
  await hub.hub.store.db
    .updateTable("connections")
    .set({ expires_at: new Date(Date.now() - 1000), retry_at: null })
    .where("name", "=", name)
    .execute();
  hub.hub.connections.tokens.forget();
}

test("before it is connected the plugin is active, says why it is degraded, and a request fails with what helps", async () => {
  const state = await view();
  assert.equal(state.status, "not_connected");
  assert.equal(state.redirectUri, `${hub.hub.publicUrl()}/oauth/callback`);
  assert.deepEqual(state.scopes, ["read", "write"]);
  const { body } = await call("get", { url: "https://api.vendor.com/me", as: "account" });
  assert.equal(body.result.code, "connection_required");
  assert.match(body.result.message, /backplane connect acme\.connected account/);
  const installation = (await hub.request("GET", `/api/plugins/${id}`, { org })).body;
  assert.equal(installation.status, "active");
  assert.equal(installation.health, "degraded");
  assert.match(installation.healthReason, /is not connected/);
});

test("a person agrees with PKCE and a single-use state; the plugin works with a handle and never sees a token", async () => {
  const { body } = await begin();
  const url = new URL(body.url);
  assert.equal(url.pathname, "/acme%20tenant/authorize");
  assert.equal(url.searchParams.get("code_challenge_method"), "S256");
  assert.equal(url.searchParams.get("access_type"), "offline");
  assert.equal(url.searchParams.get("scope"), "read write");
  const answered = await service.agree(body.url);
  const page = await back(answered);
  assert.equal(page.status, 200);
  assert.match(page.headers.get("content-type") ?? "", /^text\/html/);
  assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/);
  assert.equal((await back(answered)).status, 400, "a state is good once");

  const [exchange] = service.tokenRequests;
  assert.equal(exchange?.authorization, `Basic ${Buffer.from("client-1:the-client-secret").toString("base64")}`);
  assert.equal(exchange?.form.get("redirect_uri"), `${hub.hub.publicUrl()}/oauth/callback`);

  const state = await view();
  assert.equal(state.status, "connected");
  assert.ok(new Date(state.expiresAt).getTime() > Date.now() + 3_000_000);
  assert.equal((await call("me")).body.result.me, "ada");
  const seen = [
    JSON.stringify((await call("config")).body),
    (await hub.request("GET", base, { org })).text,
    (await hub.request("GET", `/api/plugins/${id}`, { org })).text,
    JSON.stringify(await hub.hub.audit.list(org)),
    JSON.stringify(await hub.hub.store.db.selectFrom("connections").selectAll().execute()),
  ].join("\n");
  for (const token of service.issued) assert.ok(!seen.includes(token), "a token shows");
  assert.match(seen, /bpsec\.v1\.account\./);
  assert.match(seen, /connection\.connected/);
});

test("after connecting, a person is led to a path of the hub and nowhere else", async () => {
  for (const redirectTo of ["https://evil.com/", "//evil.com", "/\\evil.com", "evil", "/a b", "/\r\nx: y"])
    assert.equal((await begin({ redirectTo })).status, 400, redirectTo);
  const { body } = await begin({ redirectTo: "/admin/?tab=1" });
  const answer = await back(await service.agree(body.url));
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get("location"), `${hub.hub.publicUrl()}/admin/?tab=1`);
});

test("the callback takes hostile queries calmly and reflects nothing", async () => {
  const { body } = await begin();
  const good = await service.agree(body.url);
  const state = good.searchParams.get("state");
  const evil = "<script>alert(1)</script>";
  for (const query of [
    "",
    `?state=${evil}&code=${evil}`,
    `?error=${encodeURIComponent(evil)}`,
    `?state=${state}x&code=a`,
    `?state=${state}&state=${state}&code=a`,
    `?state[]=${state}`,
    `?state=${state}`,
    `?__proto__=x&constructor=y&state=${"A".repeat(43)}`,
    `?state=${"a".repeat(5_000)}`,
  ]) {
    const answer = await hub.request("GET", `/oauth/callback${query}`, { token: null });
    assert.equal(answer.status, 400, query);
    assert.ok(!answer.text.includes("alert"));
  }
  const peek = await hub.request("HEAD", good.pathname + good.search, { token: null });
  assert.equal(peek.status, 400);
  assert.equal((await back(good)).status, 200, "a look ahead did not use it up");
});

test("an answer of another authorisation server is refused, and so is a `no`; a connection that works goes on", async () => {
  const other = await service.agree((await begin()).body.url);
  other.searchParams.set("iss", "https://evil.com");
  assert.equal((await back(other)).status, 502);
  assert.match((await view()).lastError.message, /another server/);
  const no = new URL(await service.agree((await begin()).body.url));
  no.searchParams.delete("code");
  no.searchParams.set("error", "access_denied");
  assert.equal((await back(no)).status, 400);
  assert.match((await view()).lastError.message, /access_denied/);
  assert.equal((await view()).status, "connected");
  assert.equal((await call("me")).status, 200);
});

test("client credentials connect without a person, and again when their token ends", async () => {
  assert.equal((await hub.request("POST", `${base}/machine/authorize`, { org, body: {} })).status, 409);
  assert.equal((await hub.request("POST", `${base}/account/connect`, { org, body: {} })).status, 409);
  const { body, status } = await hub.request("POST", `${base}/machine/connect`, { org, body: {} });
  assert.equal(status, 200);
  assert.equal(body.status, "connected");
  assert.equal(service.tokenRequests[0]?.form.get("client_secret"), "the-client-secret");
  assert.equal((await call("machine")).body.result.me, "ada");
  await endToken("machine");
  assert.equal((await call("machine")).body.result.me, "ada");
  assert.deepEqual(
    service.tokenRequests.map(({ grant }) => grant),
    ["client_credentials", "client_credentials"],
  );
});

test("twenty calls at once with an ended token make one refresh, and the grant outlives the rotation", async () => {
  await connect();
  for (let round = 0; round < 3; round++) {
    await endToken();
    service.tokenRequests.length = 0;
    service.delayMs = 50;
    const answers = await Promise.all(Array.from({ length: 20 }, () => call("me")));
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array(20).fill(200),
      answers.find(({ status }) => status !== 200)?.text,
    );
    assert.equal(service.tokenRequests.length, 1);
  }
  assert.equal(service.reused, 0);
});

test("a token that ends in the middle of pages, or that the service takes back early, is invisible to the plugin", async () => {
  await connect();
  const fetchPage = service.apiRequests.length;
  service.beforeAnswer = undefined;
  service.expireAll();
  // The row still says that the token is good: only the 401 tells.
  assert.deepEqual((await call("pages")).body.result, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(service.tokenRequests.filter(({ grant }) => grant === "refresh_token").length, 1);
  assert.equal(service.apiRequests.length - fetchPage, 6, "the refused page was asked for again, once");
});

test("a body is sent again whole after the refresh, with the new token in it", async () => {
  await connect();
  service.expireAll();
  const { body } = await call("post", { text: "hello" });
  const [first, second] = service.apiRequests;
  assert.notEqual(first?.headers["authorization"], second?.headers["authorization"]);
  const sent = JSON.parse(second!.body);
  assert.equal(sent.text, "hello");
  assert.equal(`Bearer ${sent.token}`, second?.headers["authorization"]);
  assert.ok(!JSON.stringify(body).includes(sent.token), "the echoed token is taken out");
});

test("a host that answers 401 to every token gets one further try, then the plugin has the 401", async () => {
  await connect();
  service.revokeAll();
  service.failing = undefined;
  const before = service.apiRequests.length;
  // The refresh itself is refused, since the grant is gone.
  const { body } = await call("get", { url: "https://api.vendor.com/me", as: "account" });
  assert.equal(body.result.code, "connection_expired");
  assert.equal(service.apiRequests.length - before, 1);
  await connect();
  assert.equal((await call("me")).status, 200);
});

test("a refresh that fails for the moment keeps the grant and is tried again after a pause", async () => {
  await connect();
  await endToken();
  service.failing = { status: 500, body: "oops" };
  const failed = (await call("get", { url: "https://api.vendor.com/me", as: "account" })).body.result;
  assert.equal(failed.code, "connection_unavailable");
  assert.ok(failed.retryAfter >= 1);
  const state = await view();
  assert.equal(state.status, "connected");
  assert.match(state.lastError.message, /status 500/);
  const asked = service.tokenRequests.length;
  assert.equal(
    (await call("get", { url: "https://api.vendor.com/me", as: "account" })).body.result.code,
    "connection_unavailable",
  );
  assert.equal(service.tokenRequests.length, asked, "the service is not asked during the pause");
  service.failing = undefined;
  await until(async () => (await call("me")).status === 200);
  assert.equal((await view()).lastError, null);
});

test("an unknown client is told to the admin, and the grant is kept", async () => {
  await connect();
  await endToken();
  service.failing = {
    status: 401,
    body: { error: "invalid_client", error_description: "secret the-client-secret is wrong" },
    headers: { "www-authenticate": "Basic" },
  };
  assert.equal(
    (await call("get", { url: "https://api.vendor.com/me", as: "account" })).body.result.code,
    "connection_unavailable",
  );
  const state = await view();
  assert.equal(state.status, "connected");
  assert.match(state.lastError.message, /invalid_client/);
  assert.ok(!state.lastError.message.includes("the-client-secret"));
});

test("`invalid_grant` asks for a person: status, event, health, audit; connecting again heals all", async () => {
  await connect();
  // The failures of the tests before leave the window in which calls are judged.
  for (let n = 0; n < 20; n++) await call("config");
  await endToken();
  service.revokeAll();
  assert.equal(
    (await call("get", { url: "https://api.vendor.com/me", as: "account" })).body.result.code,
    "connection_expired",
  );
  assert.equal((await view()).status, "needs_reconnect");
  const installation = await until(async () => {
    const { body } = await hub.request("GET", `/api/plugins/${id}`, { org });
    return /must be connected again/.test(body.healthReason) && body;
  });
  assert.equal(installation.health, "degraded");
  const events = await until(async () => {
    const { body } = await hub.request("GET", "/api/events?type=connector.NeedsReconnect", { org });
    return body.events.length > 0 && body.events;
  });
  assert.deepEqual(
    { plugin: events.at(-1).data.plugin, connection: events.at(-1).data.connection },
    { plugin: id, connection: "account" },
  );
  const asked = service.tokenRequests.length;
  await call("get", { url: "https://api.vendor.com/me", as: "account" });
  assert.equal(service.tokenRequests.length, asked, "nobody asks for what is gone");
  await connect();
  assert.equal((await call("me")).status, 200);
  assert.equal((await view()).status, "connected");
});

test("the token goes to the connection's hosts alone: not elsewhere, not by redirect, not back in an answer", async () => {
  await connect();
  const elsewhere = (await call("get", { url: "https://other.vendor.com/echo", as: "account" })).body.result;
  assert.equal(elsewhere.code, "secret_misused");
  const path = (await call("bare", { url: `https://api.vendor.com/${(await call("config")).body.result.account}` }))
    .body.result;
  assert.equal(path.code, "secret_misused");
  const away = await call("get", { url: "https://api.vendor.com/away", as: "account" });
  assert.equal(away.status, 200);
  const there = service.apiRequests.filter(({ host }) => host === "other.vendor.com");
  assert.equal(there.length, 1);
  assert.equal(there[0]?.headers["authorization"], undefined);
  const echoed = await call("get", { url: "https://api.vendor.com/echo", as: "account" });
  assert.match(echoed.body.result.ok.headers.authorization, /^Bearer bpsec\.v1\.account\./);
  for (const token of service.issued) assert.ok(!echoed.text.includes(token));
  assert.equal((await call("hmac")).body.result.code, "secret_misused");
  assert.equal((await call("compare", { guess: "at-" })).body.result.code, "secret_misused");
});

test("a former token, too, is taken out of later answers", async () => {
  await connect();
  await call("me");
  const former = service.apiRequests.at(-1)!.headers["authorization"]!.slice("Bearer ".length);
  await endToken();
  await call("me");
  const answer = await call("bare", { url: `https://api.vendor.com/echo?q=${former}` });
  assert.equal(answer.status, 200);
  assert.ok(!JSON.stringify(answer.body.result).includes(former));
});

test("a `Retry-After` reaches the plugin as seconds, whether it was a number or a date; what is neither does not", async () => {
  await connect();
  const after = async (header: string): Promise<number | undefined> => {
    const url = `https://api.vendor.com/busy?${encodeURIComponent(header)}`;
    const { result } = (await call("get", { url, as: "account" })).body;
    assert.equal(result.name, "HttpError");
    return result.retryAfter;
  };
  assert.equal(await after("7"), 7);
  assert.equal(await after("1.2"), 2);
  const inSeconds = await after(new Date(Date.now() + 90_000).toUTCString());
  assert.ok(inSeconds !== undefined && inSeconds > 60 && inSeconds <= 91, String(inSeconds));
  assert.equal(await after("Wed, 21 Oct 2015 07:28:00 GMT"), 0);
  for (const odd of ["soon", "-5", "9".repeat(20), "Tomorrow, 99"]) assert.equal(await after(odd), undefined, odd);
});

test("a request that the plugin aborts ends at the service as well, while the call goes on", async () => {
  const { body } = await call("abort", { url: "https://api.vendor.com/never?one" });
  assert.equal(body.result, "AbortError");
  await until(() => service.hungUp.includes("?one"));
});

test("a version that names another token endpoint gets neither refresh token nor wider hosts without a person", async () => {
  await connect();
  const source = connectedPlugin();
  const manifest = structuredClone(source.manifest) as unknown as {
    version: string;
    contributes: { connections: Record<string, { tokenUrl: string; hosts: string[] }> };
  };
  const { account } = manifest.contributes.connections;
  const upgrade = async (version: string): Promise<void> => {
    manifest.version = version;
    await hub.publish(org, { ...source, manifest: manifest as never });
    assert.equal((await hub.request("POST", `/api/plugins/${id}/upgrade`, { org, body: { version } })).status, 200);
  };
  account!.hosts = ["api.vendor.com", "other.vendor.com"];
  await upgrade("2.0.0");
  try {
    const wider = (await call("get", { url: "https://other.vendor.com/echo", as: "account" })).body.result;
    assert.equal(wider.code, "secret_misused");
    account!.tokenUrl = "https://other.vendor.com/token";
    await upgrade("2.1.0");
    await endToken();
    service.tokenRequests.length = 0;
    const ended = (await call("get", { url: "https://api.vendor.com/me", as: "account" })).body.result;
    assert.equal(ended.code, "connection_expired");
    assert.equal(service.apiRequests.filter(({ host }) => host === "other.vendor.com").length, 0);
    assert.equal(service.tokenRequests.length, 0);
  } finally {
    await hub.request("POST", `/api/plugins/${id}/upgrade`, { org, body: { version: "1.0.0" } });
  }
});

test("the list of connections is a list as others are: it takes a limit and a cursor, and says where it goes on", async () => {
  const { connections, nextCursor } = (await hub.request("GET", `${base}?limit=200`, { org: "acme" })).body;
  assert.ok(connections.length > 1);
  assert.equal(nextCursor, null);
  const first = (await hub.request("GET", `${base}?limit=1`, { org: "acme" })).body;
  const rest = (await hub.request("GET", `${base}?cursor=${first.nextCursor}`, { org: "acme" })).body;
  assert.deepEqual([...first.connections, ...rest.connections], connections);
  assert.equal((await hub.request("GET", `${base}?cursor=made-up`, { org: "acme" })).body.code, "invalid_cursor");
});

test("organisations with the same plugin have connections of their own: neither states, tokens nor handles cross", async () => {
  await connect();
  const globex = await hub.organization("globex");
  await hub.install("globex", connectedPlugin(), connectedConfig);
  const theirs = (await hub.request("GET", base, { token: globex.adminKey })).body.connections[0];
  assert.deepEqual([theirs.status, theirs.account, theirs.connectedAt], ["not_connected", null, null]);
  assert.equal((await hub.request("GET", base, { token: globex.adminKey, org })).status, 404);
  const connectTheirs = `${base}/account/authorize`;
  for (const token of [globex.viewerKey, globex.memberKey])
    assert.equal((await hub.request("POST", connectTheirs, { token, body: {} })).status, 403);
  const ours = (await call("config")).body.result.account as string;
  const borrowed = await hub.call("globex", id, "bare", { url: `https://api.vendor.com/echo?q=${ours}` });
  assert.equal(borrowed.body.result.code, "secret_misused");
  // Their row, moved under our name, does not open.
  const { sealed } = await hub.hub.store.db
    .selectFrom("connections")
    .select("sealed")
    .where("organization_id", "=", org)
    .where("name", "=", "account")
    .executeTakeFirstOrThrow();
  const answer = await hub.request("POST", connectTheirs, { token: globex.adminKey, body: {} });
  await back(await service.agree(answer.body.url));
  await hub.hub.store.db.updateTable("connections").set({ sealed }).where("organization_id", "=", "globex").execute();
  hub.hub.connections.tokens.forget();
  const moved = await hub.call("globex", id, "get", { url: "https://api.vendor.com/me", as: "account" });
  assert.equal(moved.body.result.code, "secret_unreadable");
  assert.equal((await call("me")).status, 200);
});

test("disconnecting forgets the tokens; uninstalling takes the connection along", async () => {
  await connect();
  assert.equal((await hub.request("DELETE", `${base}/account`, { org })).status, 204);
  assert.equal((await view()).status, "not_connected");
  assert.equal(
    (await call("get", { url: "https://api.vendor.com/me", as: "account" })).body.result.code,
    "connection_required",
  );
  assert.equal((await hub.request("DELETE", `${base}/nothing`, { org })).status, 404);
  await connect();
  await hub.request("DELETE", `/api/plugins/${id}`, { org });
  const left = await hub.hub.store.db.selectFrom("connections").select("organization_id").execute();
  assert.ok(left.every(({ organization_id }) => organization_id !== org));
});
