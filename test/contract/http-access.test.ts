/**
 * CONTRACT, "HTTP": who may call what. The table is the router's own: a route that somebody adds is judged here without
 * anybody thinking of it.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { apiRoutes } from "../../src/edges/http/api.ts";
import type { RouteSpec } from "../../src/edges/http/route.ts";
import { createHttpServer } from "../../src/edges/http/server.ts";
import { type Keys, startTestHub, type TestHub } from "../kit/start-test-hub.ts";

let hub: TestHub;
let acme: Keys;
let globex: Keys;
let routes: RouteSpec[];

before(async () => {
  hub = await startTestHub();
  acme = await hub.organization("acme");
  globex = await hub.organization("globex");
  routes = apiRoutes(hub.hub, { version: "1.0.0", stopping: new AbortController().signal });
});
after(() => hub[Symbol.asyncDispose]());

/** The route with something in place of its parameters; `:org` names acme. */
const pathOf = ({ path }: RouteSpec): string =>
  path.replace(":org", "acme").replace(/:\w+/g, "acme.nothing").replace(/\*$/, "deep/path");
const methodOf = ({ method }: RouteSpec): string => (method === "ANY" ? "POST" : method);

const ask = async (route: RouteSpec, token: string | null, org?: string): Promise<{ status: number; code: string }> => {
  const { status, body } = await hub.request(methodOf(route), pathOf(route), { token, org });
  return { status, code: body?.code };
};

test("no token, a token that is none, or another scheme: 401 on every route that is not public", async () => {
  for (const route of routes.filter(({ access }) => !("public" in access))) {
    const name = `${route.method} ${route.path}`;
    assert.deepEqual(await ask(route, null), { status: 401, code: "unauthenticated" }, name);
    assert.deepEqual(await ask(route, "bp_nobody-has-this-key"), { status: 401, code: "unauthenticated" }, name);
  }
  const basic = await hub.request("GET", "/api/plugins", { token: null, headers: { authorization: "Basic eDp5" } });
  assert.equal(basic.status, 401);
  assert.equal(basic.headers.get("www-authenticate"), "Bearer");
});

test("another organisation's key never reaches an organisation: 404 by path or header on every route with a role", async () => {
  for (const route of routes.filter(({ access }) => "role" in access)) {
    const name = `${route.method} ${route.path}`;
    assert.deepEqual(await ask(route, globex.adminKey, "acme"), { status: 404, code: "not_found" }, name);
    if (route.path.includes(":org"))
      assert.deepEqual(await ask(route, globex.adminKey), { status: 404, code: "not_found" }, name);
  }
});

test("a role below the route's own: 403 on every route with a role", async () => {
  const below = { viewer: [], member: [acme.viewerKey], admin: [acme.viewerKey, acme.memberKey] } as const;
  for (const route of routes) {
    if (!("role" in route.access)) continue;
    for (const key of below[route.access.role])
      assert.deepEqual(await ask(route, key), { status: 403, code: "forbidden" }, `${route.method} ${route.path}`);
  }
});

test("an organisation's admin key: 403 on every route of the hub admin", async () => {
  for (const route of routes.filter(({ access }) => "hubAdmin" in access))
    assert.deepEqual(await ask(route, acme.adminKey), { status: 403, code: "forbidden" }, route.path);
});

test("the hub admin without x-organization-id: 400 that names the header; an unknown organisation: 404", async () => {
  for (const route of routes.filter(({ access, path }) => "role" in access && !path.includes(":org"))) {
    const { status, body } = await hub.request(methodOf(route), pathOf(route));
    assert.equal(status, 400, route.path);
    assert.equal(body.code, "organization_required");
    assert.equal(body.errors[0].path, "x-organization-id");
    assert.equal((await ask(route, hub.hub.adminToken, "nobody")).status, 404, route.path);
  }
});

test("of an organisation in the path and another in the header the hub admin means the one in the path", async () => {
  const keys = await hub.request("GET", "/api/organizations/acme/api-keys", { org: "globex" });
  assert.equal(keys.status, 200);
  assert.equal(keys.body.apiKeys.length, 3);
  const nobody = await hub.request("GET", "/api/organizations/nobody/api-keys", { org: "globex" });
  assert.equal(nobody.status, 404);
});

test("public routes say why, and are those the contract names", () => {
  const open = routes.filter(({ access }) => "public" in access);
  for (const { access } of open) assert.ok("public" in access && access.why.length > 20);
  assert.deepEqual(
    open.map(({ path }) => path).sort(),
    [
      "/api/catalog",
      "/api/openapi.json",
      "/healthz",
      "/hooks/:org/:token",
      "/oauth/callback",
      "/readyz",
      "/webhooks/:org/:pluginId",
      "/webhooks/:org/:pluginId/*",
    ].sort(),
  );
});

test("roles are the contract's: viewers read, members also invoke, publish, cancel and retry, admins do the rest", () => {
  const member = new Set([
    "POST /api/packages",
    "POST /api/plugins/:id",
    "POST /api/executions/:id/cancel",
    "POST /api/events",
    "POST /api/dead-letters/retry",
    "POST /api/dead-letters/:id/retry",
    "POST /api/entities/:type",
    "DELETE /api/entities/:type/:id",
    "POST /api/entities/:type/:id/restore",
    "POST /api/entities/:type/:id/link",
    "POST /api/entities/:type/:id/unlink",
    "POST /api/rules/validate",
    "POST /api/rules/dry-run",
    "POST /api/rules/replay",
    "POST /api/rules/replays/:id/cancel",
    "POST /api/rules/:id/run",
    "POST /api/rules/runs/:id/cancel",
    "POST /api/connectors/:id/sync",
    "POST /api/connectors/:id/runs/:runId/cancel",
    "POST /api/connectors/:id/pause",
    "POST /api/connectors/:id/resume",
    "POST /api/connectors/:id/actions/:name",
    "POST /api/messages",
    "POST /api/messages/:id/cancel",
    "POST /api/channels/:id/calls",
    "POST /api/channels/:id/faxes",
    "POST /api/channels/:id/tokens",
  ]);
  const adminReads = new Set(["/api/organizations/:org/api-keys", "/api/audit", "/api/audit/verify"]);
  for (const { method, path, access } of routes) {
    if (!("role" in access)) continue;
    const expected = member.has(`${method} ${path}`)
      ? "member"
      : method === "GET" && !adminReads.has(path)
        ? "viewer"
        : "admin";
    assert.equal(access.role, expected, `${method} ${path}`);
  }
});

test("HEAD is guarded like GET", async () => {
  for (const route of routes.filter(({ method, access }) => method === "GET" && !("public" in access)))
    assert.equal((await hub.request("HEAD", pathOf(route), { token: null })).status, 401, route.path);
});

test("a route without a rule in the table is refused, and the server that has one does not start", async () => {
  const server = await createHttpServer({ routes: [], access: hub.hub.access, version: "1.0.0" });
  server.get("/secret", async () => "open");
  await assert.rejects(async () => await server.ready(), /routes without a rule in the table: GET \/secret/);
});

test("the docs' own routes are public by one rule, and everything they load works under their content policy", async () => {
  const page = await hub.request("GET", "/api/docs/", { token: null });
  assert.equal(page.status, 200);
  const policy = page.headers.get("content-security-policy") ?? "";
  assert.match(policy, /script-src 'self'/);
  assert.doesNotMatch(policy, /unsafe|upgrade-insecure-requests/);
  const assets = [...page.text.matchAll(/(?:src|href)="(\.[^"]+)"/g)].map((match) => match[1]!);
  assert.ok(assets.length >= 5, page.text);
  for (const asset of assets) {
    const answer = await fetch(new URL(asset, `${hub.url}/api/docs/`));
    assert.equal(answer.status, 200, asset);
    await answer.arrayBuffer();
  }
  // `script-src 'self'` would stop these.
  assert.doesNotMatch(page.text, /<script(?![^>]*src=)[^>]*>|\son\w+=|<style/);
  const document = await hub.request("GET", "/api/docs/json", { token: null });
  assert.equal(document.body.openapi, "3.1.0");
});

test("a key that is removed stops at once", async () => {
  const made = await hub.request("POST", "/api/organizations/acme/api-keys", { body: { name: "x", role: "viewer" } });
  assert.equal((await hub.request("GET", "/api/plugins", { token: made.body.key })).status, 200);
  const gone = await hub.request("DELETE", `/api/organizations/acme/api-keys/${made.body.id}`, {
    token: acme.adminKey,
  });
  assert.equal(gone.status, 204);
  assert.equal(gone.text, "");
  assert.equal((await hub.request("GET", "/api/plugins", { token: made.body.key })).status, 401);
});

test("an API key is shown once and listed without itself", async () => {
  const listed = await hub.request("GET", "/api/organizations/acme/api-keys", { token: acme.adminKey });
  assert.equal(listed.status, 200);
  assert.ok(!listed.text.includes(acme.adminKey.slice(6)));
  assert.deepEqual(Object.keys(listed.body.apiKeys[0]).sort(), ["createdAt", "id", "lastUsedAt", "name", "role"]);
});
