import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type HttpAnswer,
  type HttpScript,
  type RecordedRequest,
  type TestedPlugin,
  testPlugin,
} from "@backplane/plugin-api/testing";
import { syncer } from "../syncer.ts";
// Answers in the shapes of https://plaid.com/docs/api/, with names and numbers of our own.
import accounts from "./fixtures/accounts-get.json" with { type: "json" };
import mutation from "./fixtures/error.json" with { type: "json" };
import updatesAvailable from "./fixtures/sync-updates-available.json" with { type: "json" };
import transaction from "./fixtures/transaction.json" with { type: "json" };

const config = {
  environment: "sandbox",
  clientId: "client-1",
  secret: "plaid-secret-value",
  clientName: "Acme",
  language: "en",
  countryCodes: ["US"],
  historyDays: 90,
};

const script = (path: string, answer: HttpScript["answer"], times?: number): HttpScript => ({
  method: "POST",
  url: `https://sandbox.plaid.com${path}`,
  answer,
  ...(times === undefined ? {} : { times }),
});
const refusal = (body: object): HttpAnswer => ({ status: 400, body });

/** What a bank with the given item answers while it is linked. */
const link = (itemId = "item-1"): HttpScript[] => [
  script("/item/public_token/exchange", {
    body: { access_token: `access-sandbox-${itemId}`, item_id: itemId, request_id: "r" },
  }),
  script("/item/get", { body: { item: { ...accounts.item, item_id: itemId }, request_id: "r" } }),
  script("/accounts/get", { body: accounts }),
];

interface Page {
  added?: object[];
  modified?: object[];
  removed?: string[];
  next: string;
  more?: boolean;
}
const page = ({ added = [], modified = [], removed = [], next, more = false }: Page): HttpAnswer => ({
  body: {
    transactions_update_status: "HISTORICAL_UPDATE_COMPLETE",
    accounts: [],
    added,
    modified,
    removed: removed.map((transaction_id) => ({ transaction_id, account_id: "acc-checking" })),
    next_cursor: next,
    has_more: more,
    request_id: "r",
  },
});
const tx = (transaction_id: string, rest: object = {}): object => ({ ...transaction, transaction_id, ...rest });

/** Answers by the cursor asked for, one answer after the other when it is asked for again; the last one stays. */
function bank(answers: Record<string, HttpAnswer[]>): HttpScript {
  return script("/transactions/sync", (request) => {
    const { cursor = "" } = request.json as { cursor?: string };
    const queue = answers[cursor];
    if (!queue) return refusal({ error_type: "INVALID_INPUT", error_code: "INVALID_CURSOR", error_message: cursor });
    return queue.length > 1 ? queue.shift()! : queue[0]!;
  });
}

const linked = async (http: HttpScript[], itemId = "item-1"): Promise<TestedPlugin> => {
  const plugin = await testPlugin({ config, http: [...http, ...link(itemId)] });
  await plugin.call("exchangePublicToken", { publicToken: "public-sandbox-1" });
  return plugin;
};
const cursorsAsked = (requests: readonly RecordedRequest[]): (string | null)[] =>
  requests
    .filter(({ url }) => url.endsWith("/transactions/sync"))
    .map(({ json }) => (json as { cursor?: string }).cursor ?? null);
const stored = async (plugin: TestedPlugin): Promise<string[]> =>
  (await plugin.rows("transactions")).map((row) => String(row["externalId"])).sort();

describe("linking", () => {
  test("a link token is asked for with the credentials in headers, and never in the body", async () => {
    await using plugin = await testPlugin({
      config,
      http: [
        script("/link/token/create", {
          body: { link_token: "link-sandbox-1", expiration: "2026-05-02T10:00:00Z", request_id: "r" },
        }),
      ],
    });
    const answer = await plugin.call("createLinkToken", { userId: "user-7" });
    assert.deepEqual(answer, { linkToken: "link-sandbox-1", expiration: "2026-05-02T10:00:00Z" });
    const [request] = plugin.requests;
    assert.equal(request?.headers["plaid-client-id"], "client-1");
    assert.equal(request?.headers["plaid-secret"], config.secret);
    assert.deepEqual(request?.json, {
      client_name: "Acme",
      language: "en",
      country_codes: ["US"],
      user: { client_user_id: "user-7" },
      products: ["transactions"],
      transactions: { days_requested: 90 },
    });
  });

  test("the access token stays in the plugin, sealed: it is in no result, and in no log line", async () => {
    await using plugin = await testPlugin({ config, http: link() });
    assert.deepEqual(await plugin.call("exchangePublicToken", { publicToken: "public-sandbox-1" }), {
      itemId: "item-1",
      institutionId: "ins_42",
    });
    const { items } = await plugin.call<{ items: object[] }>("items");
    assert.equal(items.length, 1);
    assert.ok(!JSON.stringify([items, plugin.logs, plugin.events]).includes("access-sandbox"));
  });

  test("an exchange whose second request fails has kept the token", async () => {
    const broken = script("/item/get", { status: 500, body: "" }, 1);
    await using plugin = await testPlugin({ config, http: [broken, ...link()] });
    await assert.rejects(plugin.call("exchangePublicToken", { publicToken: "p" }), { code: "plugin_error" });
    assert.equal((await plugin.call<{ items: object[] }>("items")).items.length, 1);
  });

  test("a public token that Plaid does not know fails with Plaid's word", async () => {
    const unknown = refusal({
      error_type: "INVALID_INPUT",
      error_code: "INVALID_PUBLIC_TOKEN",
      error_message: "provided public token is expired",
    });
    await using plugin = await testPlugin({ config, http: [script("/item/public_token/exchange", unknown)] });
    await assert.rejects(plugin.call("exchangePublicToken", { publicToken: "p" }), { message: /INVALID_PUBLIC_TOKEN/ });
  });

  test("the link token of an item that must sign in again carries its access token and no products", async () => {
    await using plugin = await linked([
      script("/link/token/create", { body: { link_token: "l", expiration: "2026-05-02T10:00:00Z", request_id: "r" } }),
    ]);
    await plugin.call("createLinkToken", { userId: "u", itemId: "item-1" });
    const body = plugin.requests.at(-1)?.json as Record<string, unknown>;
    assert.equal(body["access_token"], "access-sandbox-item-1");
    assert.equal(body["products"], undefined);
  });

  test("only the hub knows the access token: the plugin sends a handle, which becomes the token at Plaid", async () => {
    await using plugin = await testPlugin({ config, http: link() });
    await plugin.call("exchangePublicToken", { publicToken: "p" });
    await plugin.call("accounts");
    assert.deepEqual(plugin.requests.at(-1)?.json, { access_token: "access-sandbox-item-1" });
    // Plaid gave no token: nothing is linked with what is not there.
    const odd = script("/item/public_token/exchange", { body: { item_id: "item-2", request_id: "r" } });
    await using none = await testPlugin({ config, http: [odd] });
    await assert.rejects(none.call("exchangePublicToken", { publicToken: "p" }), {
      message: /no text where the secret/,
    });
    assert.deepEqual(await none.call("items"), { items: [] });
  });

  test("a removed item is forgotten, also when Plaid has removed it before", async () => {
    const gone = refusal({ error_type: "ITEM_ERROR", error_code: "ITEM_NOT_FOUND", error_message: "gone" });
    await using plugin = await linked([script("/item/remove", gone)]);
    assert.deepEqual(await plugin.call("removeItem", { itemId: "item-1" }), { removed: true });
    assert.deepEqual(await plugin.call("items"), { items: [] });
  });

  test("accounts are given in the words of the data model", async () => {
    await using plugin = await linked([]);
    const { accounts: given } = await plugin.call<{ accounts: Record<string, unknown>[] }>("accounts");
    assert.deepEqual(given[1], {
      accountId: "acc-card",
      itemId: "item-1",
      name: "Card",
      officialName: null,
      accountType: "credit",
      subtype: "credit card",
      mask: "0077",
      currency: "USD",
      currentBalance: 200,
      availableBalance: 1800,
      creditLimit: 2000,
      institution: "Bank of Fixtures",
    });
  });
});

describe("sync", () => {
  test("stores accounts and transactions, and the next sync goes on from the last cursor", async () => {
    await using plugin = await linked([
      bank({
        "": [page({ added: [tx("tx-1"), tx("tx-2", { pending: true })], next: "c1" })],
        c1: [
          page({
            added: [tx("tx-3", { pending_transaction_id: "tx-2" })],
            modified: [tx("tx-1", { amount: 5 })],
            removed: ["tx-2"],
            next: "c2",
          }),
        ],
        c2: [page({ next: "c2" })],
      }),
    ]);
    const sync = syncer(plugin);
    await sync();
    const [everyday] = await plugin.rows("accounts");
    assert.equal(everyday?.["currentBalance"], 110.75);
    const [first] = await plugin.rows("transactions");
    assert.equal(first?.["accountId"], everyday?.["id"]);
    assert.deepEqual(first?.["category"], ["FOOD_AND_DRINK", "FOOD_AND_DRINK_COFFEE"]);
    await sync();
    assert.deepEqual(await stored(plugin), ["tx-1", "tx-3"]);
    await sync();
    assert.deepEqual(cursorsAsked(plugin.requests), [null, "c1", "c2"]);
  });

  test("when the data changes between pages, all are read again from the first, and what is gone is deleted", async () => {
    await using plugin = await linked([
      bank({
        "": [page({ added: [tx("tx-0")], next: "c0" })],
        c0: [
          page({ added: [tx("tx-1"), tx("ghost")], next: "p1", more: true }),
          page({ added: [tx("tx-1")], next: "q1", more: true }),
        ],
        p1: [refusal(mutation)],
        q1: [page({ added: [tx("tx-2")], next: "c3" })],
        c3: [page({ next: "c3" })],
      }),
    ]);
    const sync = syncer(plugin);
    await sync();
    await sync();
    assert.deepEqual(cursorsAsked(plugin.requests), [null, "c0", "p1", "c0", "q1"]);
    assert.deepEqual(await stored(plugin), ["tx-0", "tx-1", "tx-2"]);
  });

  test("a run that ends between pages goes on there; a change then still sends it back to the first cursor", async () => {
    await using plugin = await linked([
      bank({
        "": [
          page({ added: [tx("tx-1"), tx("ghost")], next: "p1", more: true }),
          page({ added: [tx("tx-1"), tx("tx-2")], next: "c9" }),
        ],
        p1: [{ status: 500, body: "" }, refusal(mutation)],
        c9: [page({ next: "c9" })],
      }),
    ]);
    const sync = syncer(plugin);
    await assert.rejects(sync());
    assert.deepEqual(await stored(plugin), ["ghost", "tx-1"]);
    await sync();
    assert.deepEqual(cursorsAsked(plugin.requests), [null, "p1", "p1", null]);
    assert.deepEqual(await stored(plugin), ["tx-1", "tx-2"]);
  });

  test("data that changes at every page ends the run after five restarts", async () => {
    await using plugin = await linked([
      bank({ "": [page({ added: [tx("tx-1")], next: "p1", more: true })], p1: [refusal(mutation)] }),
    ]);
    const sync = syncer(plugin);
    await assert.rejects(sync(), { message: /MUTATION_DURING_PAGINATION/ });
    assert.equal(cursorsAsked(plugin.requests).length, 12);
  });

  test("an item whose person must sign in again does not hold up the others", async () => {
    const signIn = refusal({ error_type: "ITEM_ERROR", error_code: "ITEM_LOGIN_REQUIRED", error_message: "sign in" });
    const isFirst = (request: RecordedRequest): boolean => request.body.includes("item-1");
    await using plugin = await testPlugin({
      config,
      http: [
        script("/item/public_token/exchange", { body: { access_token: "access-item-1", item_id: "item-1" } }, 1),
        script("/item/public_token/exchange", { body: { access_token: "access-item-2", item_id: "item-2" } }),
        script("/item/get", { body: { item: accounts.item } }),
        script("/accounts/get", (request) => (isFirst(request) ? signIn : { body: accounts })),
        script("/transactions/sync", page({ added: [tx("tx-7")], next: "c1" })),
      ],
    });
    const sync = syncer(plugin);
    await plugin.call("exchangePublicToken", { publicToken: "p1" });
    await plugin.call("exchangePublicToken", { publicToken: "p2" });
    await sync();
    assert.deepEqual(await stored(plugin), ["tx-7"]);
    assert.ok(plugin.logs.some(({ message }) => message.includes("needs its person")));
    await assert.rejects(sync({ full: true }), { message: /ITEM_LOGIN_REQUIRED/ });
    assert.deepEqual(await stored(plugin), ["tx-7"]);
  });

  test("too many requests end the run as such, with what was stored before", async () => {
    const limited = { error_type: "RATE_LIMIT_EXCEEDED", error_code: "TRANSACTIONS_LIMIT", error_message: "slow" };
    await using plugin = await linked([
      bank({
        "": [page({ added: [tx("tx-1")], next: "p1", more: true })],
        p1: [
          { status: 429, headers: { "retry-after": "30" }, body: limited },
          page({ added: [tx("tx-2")], next: "c" }),
        ],
      }),
    ]);
    const sync = syncer(plugin);
    await assert.rejects(sync());
    assert.deepEqual(await stored(plugin), ["tx-1"]);
    await sync();
    assert.deepEqual(await stored(plugin), ["tx-1", "tx-2"]);
  });
});

describe("webhooks", () => {
  // The example key of https://plaid.com/docs/api/webhooks/webhook-verification/; its private half is Plaid's.
  const exampleKey = {
    alg: "ES256",
    created_at: 1560466150,
    crv: "P-256",
    expired_at: null,
    kid: "bfbd5111-8e33-4643-8ced-b2e642a72f3c",
    kty: "EC",
    use: "sig",
    x: "hKXLGIjWvCBv-cP5euCTxl8g9GLG9zHo_3pO5NN1DwQ",
    y: "shhexqPB7YffGn6fR6h2UhTSuCtPmfzQJ6ENVIoO4Ys",
  };
  const text = new TextEncoder();
  const base64url = (bytes: Uint8Array): string =>
    btoa(String.fromCharCode(...bytes))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");
  const encode = (value: unknown): string => base64url(text.encode(JSON.stringify(value)));
  const now = (): number => Math.floor(Date.now() / 1000);
  // Plaid indents what it sends, and the hash is over these bytes.
  const body = JSON.stringify(updatesAvailable, null, 2);

  interface Signer {
    privateKey: CryptoKey;
    key: Record<string, unknown>;
  }
  async function newSigner(kid: string, rest: object = {}): Promise<Signer> {
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const { privateKey, publicKey } = (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as {
      privateKey: CryptoKey;
      publicKey: CryptoKey;
    };
    const { kty, crv, x, y } = (await crypto.subtle.exportKey("jwk", publicKey)) as Record<string, unknown>;
    const key = { kty, crv, x, y, kid, alg: "ES256", use: "sig", created_at: 1, expired_at: null, ...rest };
    return { privateKey, key };
  }
  async function sign(signer: Signer, { header = {}, claims = {}, of = body } = {}): Promise<string> {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text.encode(of)));
    const hash = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const head = encode({ alg: "ES256", kid: signer.key["kid"], typ: "JWT", ...header });
    const payload = encode({ iat: now(), request_body_sha256: hash, ...claims });
    const algorithm = { name: "ECDSA", hash: "SHA-256" };
    const signature = await crypto.subtle.sign(algorithm, signer.privateKey, text.encode(`${head}.${payload}`));
    return `${head}.${payload}.${base64url(new Uint8Array(signature))}`;
  }
  const keyServer = (...keys: Record<string, unknown>[]): HttpScript =>
    script("/webhook_verification_key/get", (request) => {
      const key = keys.find(({ kid }) => kid === (request.json as { key_id: string }).key_id);
      return key
        ? { body: { key, request_id: "r" } }
        : refusal({
            error_type: "INVALID_INPUT",
            error_code: "INVALID_WEBHOOK_VERIFICATION_KEY_ID",
            error_message: "no such key",
          });
    });
  const post = (plugin: TestedPlugin, jwt: string, sent = body): ReturnType<TestedPlugin["webhook"]> =>
    plugin.webhook({ headers: { "plaid-verification": jwt, "content-type": "application/json" }, body: sent });

  test("a signed webhook is accepted, and its key is asked for once", async () => {
    const signer = await newSigner("key-1");
    await using plugin = await testPlugin({ config, http: [keyServer(signer.key)] });
    const first = await post(plugin, await sign(signer));
    const second = await post(plugin, await sign(signer, { claims: { iat: now() - 10 } }));
    assert.deepEqual([first.status, second.status], [200, 200]);
    assert.equal(first.accepted.length, 1);
    assert.notEqual((first.accepted[0] as { id: string }).id, (second.accepted[0] as { id: string }).id);
    assert.equal(plugin.requests.length, 1);
  });

  test("one changed character anywhere in token or body is refused", async () => {
    const signer = await newSigner("key-1");
    await using plugin = await testPlugin({ config, http: [keyServer(signer.key)] });
    const jwt = await sign(signer);
    assert.equal((await post(plugin, jwt)).status, 200);
    const changed = (whole: string, at: number): string =>
      whole.slice(0, at) + (whole[at] === "A" ? "B" : "A") + whole.slice(at + 1);
    const places = [...Array.from({ length: 40 }, (_, n) => Math.floor((n * jwt.length) / 40)), jwt.length - 1];
    for (const at of places) assert.equal((await post(plugin, changed(jwt, at))).status, 403, `token at ${at}`);
    for (const at of [0, 5, body.length - 1])
      assert.equal((await post(plugin, jwt, changed(body, at))).status, 403, `body at ${at}`);
    assert.equal((await post(plugin, jwt, JSON.stringify(updatesAvailable))).status, 403, "re-serialised body");
  });

  test("another algorithm, an old token, no token, and half a token are refused before a key is asked for", async () => {
    const signer = await newSigner("key-1");
    await using plugin = await testPlugin({ config, http: [keyServer(signer.key)] });
    const unsigned = `${encode({ alg: "none", kid: "key-1" })}.${(await sign(signer)).split(".")[1]}.`;
    for (const jwt of [
      await sign(signer, { header: { alg: "HS256" } }),
      await sign(signer, { header: { alg: "es256" } }),
      unsigned,
      await sign(signer, { claims: { iat: now() - 301 } }),
      await sign(signer, { claims: { iat: now() + 600 } }),
      await sign(signer, { claims: { iat: "now" } }),
      await sign(signer, { claims: { request_body_sha256: null } }),
      (await sign(signer)).split(".").slice(0, 2).join("."),
      "",
      "a.b.c",
    ])
      assert.equal((await post(plugin, jwt)).status, 403, jwt);
    assert.deepEqual(plugin.requests, []);
  });

  test("an unknown key, a retired key, and another signature under Plaid's example key are refused", async () => {
    const retired = await newSigner("key-old", { expired_at: now() - 60 });
    const stranger = await newSigner("key-unknown");
    const forger = { ...stranger, key: { kid: exampleKey.kid } };
    await using plugin = await testPlugin({ config, http: [keyServer(retired.key, exampleKey)] });
    for (const signer of [retired, stranger, forger])
      assert.equal((await post(plugin, await sign(signer))).status, 403, String(signer.key["kid"]));
    assert.equal(plugin.requests.length, 3);
  });

  test("a flood of unknown keys asks Plaid only so often, and is told to come again", async () => {
    await using plugin = await testPlugin({ config, http: [keyServer()] });
    const answers: number[] = [];
    const signer = await newSigner("x");
    for (let n = 0; n < 25; n += 1)
      answers.push((await post(plugin, await sign(signer, { header: { kid: `k-${n}` } }))).status);
    assert.deepEqual([answers.filter((s) => s === 403).length, answers.filter((s) => s === 503).length], [20, 5]);
    assert.equal(plugin.requests.length, 20);
  });

  test("an item that must sign in again becomes an event; the new address reaches every item", async () => {
    const signer = await newSigner("key-1");
    const error = JSON.stringify({
      webhook_type: "ITEM",
      webhook_code: "ERROR",
      item_id: "item-1",
      error: { error_type: "ITEM_ERROR", error_code: "ITEM_LOGIN_REQUIRED", error_message: "" },
      environment: "sandbox",
    });
    await using plugin = await linked([
      keyServer(signer.key),
      script("/item/webhook/update", { body: { item: accounts.item, request_id: "r" } }),
    ]);
    await post(plugin, await sign(signer, { of: error }), error);
    assert.deepEqual(
      plugin.events.map(({ type, data }) => [type, data]),
      [["connector.NeedsReconnect", { plugin: "com.plaid", connection: "item-1", reason: "ITEM_LOGIN_REQUIRED" }]],
    );
    await plugin.connector("registerRealtimeListener", "https://hub.test/webhooks/acme/com.plaid");
    assert.deepEqual(plugin.requests.at(-1)?.json, {
      access_token: "access-sandbox-item-1",
      webhook: "https://hub.test/webhooks/acme/com.plaid",
    });
  });
});

describe("health", () => {
  test("names the items that need their person, and fails with Plaid's word when the credentials are wrong", async () => {
    const item = { ...accounts.item, error: { error_type: "ITEM_ERROR", error_code: "ITEM_LOGIN_REQUIRED" } };
    await using plugin = await linked([script("/item/get", { body: { item } })]);
    assert.deepEqual(await plugin.health(), {
      status: "degraded",
      message: "Items that need their person at the bank: item-1 (ITEM_LOGIN_REQUIRED).",
    });
    const wrong = refusal({ error_type: "INVALID_INPUT", error_code: "INVALID_API_KEYS", error_message: "wrong" });
    await using none = await testPlugin({ config, http: [script("/institutions/get_by_id", wrong)] });
    await assert.rejects(none.health(), { message: /INVALID_API_KEYS/ });
  });
});
