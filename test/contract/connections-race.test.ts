/**
 * Two hubs on one PostgreSQL share connections whose service rotates refresh tokens and revokes a grant at the second use of
 * one: whatever comes together, each ended token is renewed once, and no grant is lost.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { asOrganizationId, asPluginId } from "../../src/base/brands.ts";
import { openTestStore, type TestPostgresStore } from "../../src/store/test-store.ts";
import { connectedConfig, connectedPlugin } from "../kit/connected-plugin.ts";
import { type OAuthServer, startOAuthServer } from "../kit/oauth-server.ts";
import { startTestHub, type TestHub, until } from "../kit/start-test-hub.ts";

const org = "acme";
const id = "acme.connected";
const skip = process.env["TEST_DATABASE_URL"] === undefined && "TEST_DATABASE_URL is not set";

let service: OAuthServer;
let store: TestPostgresStore;
const hubs: TestHub[] = [];
const masterKey = randomBytes(32).toString("base64");

before(async () => {
  if (skip) return;
  service = await startOAuthServer();
  store = await openTestStore({ driver: "postgres" });
  for (let n = 0; n < 2; n++)
    hubs.push(
      await startTestHub({
        databaseUrl: store.databaseUrl,
        masterKey,
        adminToken: "a".repeat(40),
        egressOverride: service.override,
      }),
    );
  await hubs[0]!.organization(org);
  await hubs[0]!.install(org, connectedPlugin(), connectedConfig);
});
after(async () => {
  await Promise.all(hubs.map((hub) => hub.close({ drainMs: 0 })));
  await store?.[Symbol.asyncDispose]();
  await service?.[Symbol.asyncDispose]();
});

const installation = (hub: TestHub) => hub.hub.installations.get(asOrganizationId(org), asPluginId(id));
const me = (hub: TestHub) => hub.call(org, id, "me");

async function connect(): Promise<void> {
  const [hub] = hubs as [TestHub];
  const { body } = await hub.request("POST", `/api/plugins/${id}/connections/account/authorize`, { org, body: {} });
  const back = await service.agree(body.url);
  // The other hub may be the one the browser reaches.
  assert.equal((await hubs[1]!.request("GET", back.pathname + back.search, { token: null })).status, 200);
  await until(async () => (await me(hubs[0]!)).status === 200 && (await me(hubs[1]!)).status === 200);
}

/** How the next round finds out that its token is no good: by its time, or by the 401 of the service. */
async function endToken(how: "time" | "401"): Promise<void> {
  service.expireAll();
  if (how === "401") return;
  await store.db
    .updateTable("connections")
    .set({ expires_at: new Date(Date.now() - 1000), retry_at: null })
    .execute();
  for (const { hub } of hubs) hub.connections.tokens.forget();
}

test("calls of two hubs renew an ended token once, however slow the service is, and lose no grant", {
  skip,
}, async () => {
  await connect();
  const round = fc.record({
    how: fc.constantFrom("time" as const, "401" as const),
    calls: fc.array(fc.nat(1), { minLength: 2, maxLength: 20 }),
    delayMs: fc.nat(80),
    rotate: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 3 }), async (rounds) => {
      for (const { how, calls, delayMs, rotate } of rounds) {
        Object.assign(service, { delayMs, rotate });
        await endToken(how);
        service.tokenRequests.length = 0;
        const answers = await Promise.all(calls.map((which) => me(hubs[which]!)));
        assert.deepEqual(
          answers.filter(({ status }) => status !== 200).map(({ text }) => text),
          [],
        );
        assert.equal(service.tokenRequests.length, 1);
      }
    }),
    { numRuns: 12, seed: 7, endOnFailure: true },
  );
  assert.equal(service.reused, 0);
});

test("a refresh that fails at first is tried again by whichever hub comes, and the grant is there", {
  skip,
}, async () => {
  Object.assign(service, {
    delayMs: 0,
    rotate: true,
    failing: { status: 503, body: {}, headers: { "retry-after": "1" } },
  });
  await endToken("time");
  const failed = await Promise.all([0, 1, 0, 1].map((which) => me(hubs[which]!)));
  assert.ok(failed.every(({ status }) => status === 502));
  service.failing = undefined;
  await until(async () => (await me(hubs[1]!)).status === 200);
  assert.equal((await me(hubs[0]!)).status, 200);
  assert.equal(service.reused, 0);
});

test("a hub that dies with the lease is waited for, then another renews; its own late tokens would still be taken", {
  skip,
}, async () => {
  await endToken("time");
  // What a dead hub leaves: the lease. The service was not reached, so the refresh token is good.
  await store.db
    .updateTable("connections")
    .set({ lease_id: "dead", lease_until: new Date(Date.now() + 1_500) })
    .execute();
  service.tokenRequests.length = 0;
  assert.equal((await me(hubs[0]!)).status, 200);
  assert.equal(service.tokenRequests.length, 1);
});

test("a hub that dies between the service's answer and its commit leaves the former token: a person is asked, the row stays", {
  skip,
}, async () => {
  await endToken("time");
  // As the service sees it: the refresh token was used, and what came of it is lost.
  const row = await store.db
    .selectFrom("connections")
    .selectAll()
    .where("name", "=", "account")
    .executeTakeFirstOrThrow();
  assert.equal((await me(hubs[0]!)).status, 200);
  await store.db
    .updateTable("connections")
    .set({ sealed: row.sealed, generation: row.generation, expires_at: new Date(Date.now() - 1000) })
    .where("name", "=", "account")
    .execute();
  for (const { hub } of hubs) hub.connections.tokens.forget();
  await assert.rejects(hubs[1]!.hub.connections.tokens.use(await installation(hubs[1]!), "account"), {
    code: "connection_expired",
  });
  const after = await store.db
    .selectFrom("connections")
    .selectAll()
    .where("name", "=", "account")
    .executeTakeFirstOrThrow();
  assert.equal(after.status, "needs_reconnect");
  assert.ok(after.sealed !== null);
  await connect();
});

test("a connection that is made again during a refresh stands; the refresh that comes late changes nothing", {
  skip,
}, async () => {
  await endToken("time");
  let remade = false;
  service.delayMs = 0;
  service.beforeAnswer = async () => {
    if (remade || service.tokenRequests.at(-1)?.grant !== "refresh_token") return;
    remade = true;
    const [hub] = hubs as [TestHub];
    const now = await installation(hub);
    await hub.hub.connections.adopt({ organization: now.organization, actor: "test" }, now, "account", {
      accessToken: "adopted-token",
      expiresIn: 3600,
    });
  };
  await me(hubs[0]!);
  service.beforeAnswer = undefined;
  for (const hub of hubs) {
    hub.hub.connections.tokens.forget();
    const { token } = await hub.hub.connections.tokens.use(await installation(hub), "account");
    assert.equal(token.value, "adopted-token");
  }
});
