/** com.plaid in a whole hub: a bank is linked, Plaid's signed webhook starts a sync, and rows and events are there. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { packPlugin } from "../../src/packages/pack.ts";
import { startTestHub, type TestAnswer, until } from "../kit/start-test-hub.ts";
import { createVendorMock, describeVendor, serveVendors } from "../kit/vendor-mock.ts";

const file = "plaid/plaid_2020-09-14.openapi.json";
const id = "com.plaid";

describeVendor("Plaid in a whole hub", [file], () => {
  test("linking, a signed webhook, a sync of added, modified and removed transactions, and the next from the cursor", async () => {
    const mock = createVendorMock({ file, hosts: ["sandbox.plaid.com"], enums: "open answers" });
    const example = (operation: string): Record<string, unknown> =>
      structuredClone(
        mock.examples().find((one) => one.operation === operation && one.status.startsWith("2"))?.value,
      ) as Record<string, unknown>;
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const { kty, crv, x, y } = await exportJWK(publicKey);
    const key = { kty, crv, x, y, alg: "ES256", use: "sig", kid: "key-1", created_at: 1, expired_at: null };
    const page = example("transactionsSync");
    const like = (page["added"] as object[])[0]!;
    const tx = (transaction_id: string, amount: number): object => ({ ...like, transaction_id, amount });
    const pages: Record<string, object> = {
      "": { added: [tx("t-1", 1), tx("t-2", 2)], modified: [], removed: [], next_cursor: "c-1", has_more: true },
      "c-1": { added: [tx("t-3", 3)], modified: [], removed: [], next_cursor: "c-2", has_more: false },
      "c-2": {
        added: [],
        modified: [tx("t-1", 10)],
        removed: [{ transaction_id: "t-2", account_id: "a" }],
        next_cursor: "c-3",
        has_more: false,
      },
    };
    mock
      .on("itemPublicTokenExchange", () => ({ access_token: "access-1", item_id: "item-1", request_id: "r" }))
      .on("itemGet", () => example("itemGet"))
      .on("accountsGet", () => example("accountsGet"))
      .on("itemWebhookUpdate", () => example("itemWebhookUpdate"))
      .on("webhookVerificationKeyGet", () => ({ key, request_id: "r" }))
      .on("transactionsSync", ({ body }) => {
        const cursor = (body as { cursor?: string }).cursor ?? "";
        const answer = pages[cursor] ?? { added: [], modified: [], removed: [], next_cursor: cursor, has_more: false };
        return { transactions_update_status: "HISTORICAL_UPDATE_COMPLETE", accounts: [], request_id: "r", ...answer };
      });
    await using vendor = await serveVendors(mock);
    await using hub = await startTestHub({ egressOverride: vendor.egressOverride });
    const acme = await hub.organization("acme");
    const api = (method: string, path: string, body?: unknown): Promise<TestAnswer> =>
      hub.request(method, path, { token: acme.adminKey, ...(body === undefined ? {} : { body }) });
    const { tgz } = await packPlugin(join(import.meta.dirname, "../../plugins/connectors/plaid"));
    const headers = { "content-type": "application/gzip" };
    const published = await hub.request("POST", "/api/packages", { token: acme.memberKey, body: tgz, headers });
    assert.equal(published.status, 201, published.text);
    const config = { environment: "sandbox", clientId: "client-1", secret: "plaid-secret-value" };
    await api("POST", "/api/plugins", { id, grants: "all", config });
    assert.equal((await api("POST", `/api/plugins/${id}/activate`)).status, 200);
    const linked = await api("POST", `/api/plugins/${id}`, {
      function: "exchangePublicToken",
      parameters: { publicToken: "public-sandbox-1" },
    });
    assert.equal(linked.status, 200, linked.text);

    const webhook = async (n: number): Promise<number> => {
      const body = JSON.stringify(
        { webhook_type: "TRANSACTIONS", webhook_code: "SYNC_UPDATES_AVAILABLE", item_id: "item-1", n },
        null,
        2,
      );
      const jwt = await new SignJWT({ request_body_sha256: createHash("sha256").update(body).digest("hex") })
        .setProtectedHeader({ alg: "ES256", kid: "key-1", typ: "JWT" })
        .setIssuedAt()
        .sign(privateKey);
      const answer = await hub.request("POST", `/webhooks/acme/${id}`, {
        body,
        headers: { "plaid-verification": jwt, "content-type": "application/json" },
      });
      return answer.status;
    };
    const rows = async (type: string): Promise<Record<string, unknown>[]> =>
      (await api("GET", `/api/entities/${type}`)).body.entities as Record<string, unknown>[];
    const amounts = async (): Promise<string> =>
      JSON.stringify((await rows("transactions")).map((row) => [row["externalId"], row["amount"]]).sort());

    assert.equal(await webhook(1), 200);
    const first = '[["t-1",1],["t-2",2],["t-3",3]]';
    const second = '[["t-1",10],["t-3",3]]';
    // The sync that follows activation may come before the bank is linked, or be a second one.
    await until(async () => [first, second].includes(await amounts()));
    assert.equal(await webhook(2), 200);
    await until(async () => (await amounts()) === second);
    const accounts = await rows("accounts");
    assert.equal(accounts.length, (example("accountsGet")["accounts"] as object[]).length);
    const state = JSON.stringify((await api("GET", `/api/connectors/${id}/state`)).body);
    assert.match(state, /c-3/);
    const everything = JSON.stringify([state, (await api("GET", "/api/executions")).body]);
    assert.ok(!everything.includes("access-1"), "the access token is in no state and no record");
    mock.assertClean();
  });
});
