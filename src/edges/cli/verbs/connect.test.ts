import assert from "node:assert/strict";
import { test } from "node:test";
import { runForTest, startFakeHub } from "../test-cli.ts";

const connection = {
  name: "account",
  grant: "authorization_code",
  status: "not_connected",
  scopes: ["read"],
  account: null,
  connectedAt: null,
  lastError: null,
  redirectUri: "https://hub.example/oauth/callback",
};
const at = "/api/plugins/acme.crm/connections";

test("`connect` prints where to agree, waits, and tells whose account it became", async () => {
  let polls = 0;
  await using hub = await startFakeHub({
    [`GET ${at}`]: () => {
      polls += 1;
      return {
        body: {
          connections: [
            polls < 2
              ? connection
              : { ...connection, status: "connected", account: "ada\u001b[31m", connectedAt: "2026-01-01T00:00:00Z" },
          ],
        },
      };
    },
    [`POST ${at}/account/authorize`]: { body: { url: "https://login.vendor.com/?state=s", expiresAt: "2026-01-01" } },
  });
  const { code, out, err } = await runForTest(["connect", "acme.crm", "account"], { env: hub.env });
  assert.equal(code, 0, err);
  assert.match(err, /https:\/\/login\.vendor\.com\/\?state=s/);
  assert.match(err, /https:\/\/hub\.example\/oauth\/callback/);
  assert.match(out, /^account: connected as ada/);
  assert.ok(!out.includes("\u001b"));
});

test("an authorisation that went wrong fails with the reason; a person who stops it ends the wait", async () => {
  let polls = 0;
  await using hub = await startFakeHub({
    [`GET ${at}`]: () => ({
      body: {
        connections: [
          polls++ === 0
            ? connection
            : { ...connection, lastError: { message: "the service answered access_denied", at: "2026-01-01" } },
        ],
      },
    }),
    [`POST ${at}/account/authorize`]: { body: { url: "https://login.vendor.com/", expiresAt: "2026-01-01" } },
  });
  const failed = await runForTest(["connect", "acme.crm", "account"], { env: hub.env });
  assert.equal(failed.code, 1);
  assert.match(failed.err, /access_denied/);
  polls = Number.NEGATIVE_INFINITY;
  const stopped = await runForTest(["connect", "acme.crm", "account"], {
    env: hub.env,
    signal: AbortSignal.timeout(300),
  });
  assert.equal(stopped.code, 1);
});

test("`connect ID` lists, `--remove` forgets, `--no-wait` prints the address alone, client credentials need nobody", async () => {
  await using hub = await startFakeHub({
    [`GET ${at}`]: {
      body: { connections: [connection, { ...connection, name: "machine", grant: "client_credentials" }] },
    },
    [`POST ${at}/account/authorize`]: { body: { url: "https://login.vendor.com/", expiresAt: "2026-01-01" } },
    [`POST ${at}/machine/connect`]: { body: { ...connection, name: "machine", status: "connected" } },
    [`DELETE ${at}/account`]: { status: 204 },
  });
  const run = (...args: string[]) => runForTest(["connect", "acme.crm", ...args], { env: hub.env });
  assert.equal((await run()).out, "account: not connected\nmachine: not connected\n");
  assert.equal((await run("account", "--no-wait")).out, "https://login.vendor.com/\n");
  assert.equal((await run("machine")).out, "machine: connected (read)\n");
  assert.equal((await run("account", "--remove")).code, 0);
  assert.equal((await run("--remove")).code, 2);
  const unknown = await run("acount");
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /It has: account, machine/);
});
