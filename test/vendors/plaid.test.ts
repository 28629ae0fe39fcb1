/** com.plaid against Plaid's own description: every request it sends holds, and so does all it is fed. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import type { TestCallError, TestedPlugin, TestSynced, TestSyncOptions } from "../../plugin-api/src/testing.ts";
import { createVendorMock, describeVendor, reply, type VendorMock, vendorSpecs } from "../kit/vendor-mock.ts";
import { bundledPlugin } from "../kit/vendor-mock-plugin.ts";

const file = "plaid/plaid_2020-09-14.openapi.json";
const facts = "webhooks/webhooks.facts.json";
const start = bundledPlugin("plugins/connectors/plaid");
const config = {
  environment: "sandbox",
  clientId: "client-1",
  secret: "plaid-secret-value",
  clientName: "Acme",
  language: "en",
  countryCodes: ["US"],
  historyDays: 90,
};

const refusal = (error_type: string, error_code: string): ReturnType<typeof reply> =>
  reply(400, { error_type, error_code, error_message: `It is ${error_code}.`, display_message: null, request_id: "r" });

const plaid = (): VendorMock =>
  createVendorMock({
    file,
    hosts: ["sandbox.plaid.com", "production.plaid.com"],
    enums: "open answers",
    unauthorized: refusal("INVALID_INPUT", "INVALID_API_KEYS"),
    accepts: ({ keys }) => keys["PLAID-CLIENT-ID"] === "client-1" && keys["PLAID-SECRET"] === config.secret,
  });

const published = (mock: VendorMock, operation: string): Record<string, unknown> => {
  const found = mock.examples().find((one) => one.operation === operation && one.status.startsWith("2"));
  assert.ok(found, `${operation} has an example`);
  return structuredClone(found.value) as Record<string, unknown>;
};

/** A mock that links items, one after the other: `item-1`, `item-2`, … */
const linking = (mock: VendorMock): VendorMock =>
  mock
    .on("itemPublicTokenExchange", ({ count }) => ({
      access_token: `access-sandbox-${count + 1}`,
      item_id: `item-${count + 1}`,
      request_id: "r",
    }))
    .on("itemGet", () => published(mock, "itemGet"))
    .on("accountsGet", () => published(mock, "accountsGet"));

async function linked(mock: VendorMock): Promise<TestedPlugin> {
  const plugin = await start({ config, http: linking(mock).scripts });
  await plugin.call("exchangePublicToken", { publicToken: "public-sandbox-1" });
  return plugin;
}

function syncer(plugin: TestedPlugin): () => Promise<TestSynced> {
  let next: TestSyncOptions = {};
  return async () => {
    try {
      const synced = await plugin.sync(next);
      next = synced.next;
      return synced;
    } catch (error) {
      next = (error as TestCallError).next ?? next;
      throw error;
    }
  };
}

describeVendor("Plaid", [file, facts], () => {
  test("link tokens, linking, accounts, the webhook's address and removing hold against the description", async () => {
    const mock = linking(plaid());
    mock
      .on("linkTokenCreate", () => published(mock, "linkTokenCreate"))
      .on("itemWebhookUpdate", () => published(mock, "itemWebhookUpdate"))
      .on("itemRemove", () => published(mock, "itemRemove"));
    await using plugin = await start({
      config: { ...config, redirectUri: "https://acme.example/done" },
      http: mock.scripts,
    });
    await plugin.connector("registerRealtimeListener", "https://hub.example/webhooks/acme/com.plaid");
    await plugin.call("createLinkToken", { userId: "user-1" });
    await plugin.call("exchangePublicToken", { publicToken: "public-sandbox-1" });
    await plugin.call("createLinkToken", { userId: "user-1", itemId: "item-1" });
    const { accounts } = await plugin.call<{ accounts: object[] }>("accounts");
    assert.equal(accounts.length, (published(mock, "accountsGet")["accounts"] as object[]).length);
    await plugin.connector("registerRealtimeListener", "https://hub.example/webhooks/acme/com.plaid");
    assert.equal(((await plugin.health()) as { status: string }).status, "healthy");
    assert.deepEqual(await plugin.call("removeItem", { itemId: "item-1" }), { removed: true });
    mock.assertClean();
  });

  test("the published page of transactions is stored, with its accounts", async () => {
    const mock = plaid();
    const page = { ...published(mock, "transactionsSync"), has_more: false, next_cursor: "cursor-1" };
    mock.on("transactionsSync", ({ body }) =>
      (body as { cursor?: string }).cursor === undefined
        ? page
        : { ...page, added: [], modified: [], removed: [], next_cursor: "cursor-1" },
    );
    await using plugin = await linked(mock);
    const sync = syncer(plugin);
    const { added, modified } = page as unknown as { added: Gone[]; modified: Gone[] };
    const ids = new Set([...added, ...modified].map(({ transaction_id }) => transaction_id));
    await sync();
    assert.deepEqual(new Set((await plugin.rows("transactions")).map((row) => row["externalId"])), ids);
    const rows = await plugin.rows("accounts");
    assert.equal(rows.length, (published(mock, "accountsGet")["accounts"] as object[]).length);
    await sync();
    mock.assertClean();
  });

  interface Gone {
    transaction_id: string;
  }

  // Pages of any size, changes in the middle of paging, and failures: the rows are those of the bank in the end.
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    test(`whatever happens between pages, the rows end as the bank's transactions (seed ${seed})`, async () => {
      const random = randomOf(seed);
      const mock = plaid();
      const like = (published(mock, "transactionsSync")["added"] as object[])[0]!;
      const bank = createBank(random);
      for (let n = 0; n < 12; n += 1) bank.add();
      mock.on("transactionsSync", ({ body }) => {
        if (random() < 0.25)
          return reply(500, {
            error_type: "API_ERROR",
            error_code: "INTERNAL_SERVER_ERROR",
            error_message: "x",
            display_message: null,
          });
        const answer = bank.answer((body as { cursor?: string }).cursor ?? "", like);
        // Something happens at the bank between two requests.
        if (random() < 0.3) bank.change();
        return answer ?? refusal("TRANSACTIONS_ERROR", "TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION");
      });
      await using plugin = await linked(mock);
      const sync = syncer(plugin);
      for (let run = 0; run < 12; run += 1) await sync().catch(() => {});
      bank.rest();
      for (let run = 0; run < 40; run += 1) {
        const done = await sync().then(
          () => true,
          () => false,
        );
        if (done) break;
      }
      assert.deepEqual((await plugin.rows("transactions")).map((row) => row["externalId"]).sort(), bank.ids());
      mock.assertClean();
    });
  }

  test("Plaid's webhooks hold against the description; verified ones are taken, and one flipped bit is refused", async () => {
    const mock = plaid();
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const { plaid: known } = JSON.parse(readFileSync(join(vendorSpecs, facts), "utf8")) as {
      plaid: { exampleKey: JWK; unknownKid: { status: number; error_code: string } };
    };
    // Plaid's own example key, with the half of ours that can sign.
    const { x, y } = await exportJWK(publicKey);
    const ours = { ...known.exampleKey, kid: "key-ours", x, y };
    mock.on("webhookVerificationKeyGet", ({ body }) => {
      const { key_id } = body as { key_id: string };
      const key = [known.exampleKey, ours].find(({ kid }) => kid === key_id);
      return key ? { key, request_id: "r" } : refusal("INVALID_INPUT", known.unknownKid.error_code);
    });
    const webhook = {
      webhook_type: "TRANSACTIONS",
      webhook_code: "SYNC_UPDATES_AVAILABLE",
      item_id: "item-1",
      initial_update_complete: true,
      historical_update_complete: true,
      environment: "sandbox",
    };
    assert.deepEqual(mock.check("#/components/schemas/SyncUpdatesAvailableWebhook", webhook), []);
    const body = JSON.stringify(webhook, null, 2);
    const sign = (kid: string): Promise<string> =>
      new SignJWT({ request_body_sha256: createHash("sha256").update(body).digest("hex") })
        .setProtectedHeader({ alg: "ES256", kid, typ: "JWT" })
        .setIssuedAt()
        .sign(privateKey);
    await using plugin = await start({ config, http: mock.scripts });
    const post = async (jwt: string, text = body): Promise<number> =>
      (await plugin.webhook({ headers: { "plaid-verification": jwt }, body: text })).status;
    const good = await sign("key-ours");
    assert.equal(await post(good), 200);
    assert.equal(await post(await sign(known.exampleKey.kid!)), 403, "another signature under Plaid's key");
    assert.equal(await post(await sign("key-nobody-has")), 403);
    for (let bit = 0; bit < 8; bit += 1) {
      const at = Math.floor((bit * body.length) / 8);
      const flipped =
        body.slice(0, at) + String.fromCharCode(body.charCodeAt(at) ^ (1 << (bit % 7))) + body.slice(at + 1);
      assert.equal(await post(good, flipped), 403, `bit ${bit} at ${at}`);
      const place = Math.floor((bit * good.length) / 8);
      const other = good[place] === "A" ? "B" : "A";
      assert.equal(await post(good.slice(0, place) + other + good.slice(place + 1)), 403, `token at ${place}`);
    }
    mock.assertClean();
  });

  test("wrong credentials are told as such", async () => {
    const mock = plaid().on("institutionsGetById", () => ({}));
    await using plugin = await start({ config: { ...config, secret: "another-secret-value" }, http: mock.scripts });
    await assert.rejects(plugin.health(), { message: /INVALID_API_KEYS/ });
    mock.assertClean();
  });
});

/** Numbers between 0 and 1 that are the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Bank {
  add(): void;
  change(): void;
  /** No more changes. */
  rest(): void;
  /** Undefined: the data changed since the page before. */
  answer(cursor: string, like: object): object | undefined;
  ids(): string[];
}

/**
 * Transactions at versions. A cursor is the version that is known, and on later pages the version paged to and the place:
 * `v3`, `v3>v7@2`. A page of an outdated version is refused. What came and went between two versions is in neither list.
 */
function createBank(random: () => number): Bank {
  const history: Map<string, number>[] = [new Map()];
  let made = 0;
  let resting = false;
  const now = (): Map<string, number> => history.at(-1)!;
  const commit = (work: (rows: Map<string, number>) => void): void => {
    const rows = new Map(now());
    work(rows);
    history.push(rows);
  };
  const add = (): void => commit((rows) => rows.set(`tx-${++made}`, made));
  return {
    add,
    change() {
      if (resting) return;
      const known = [...now().keys()];
      const one = known[Math.floor(random() * known.length)];
      const choice = random();
      if (choice < 0.4 || one === undefined) add();
      else if (choice < 0.6) commit((rows) => rows.set(one, Math.round(random() * 1000)));
      else commit((rows) => rows.delete(one));
    },
    rest() {
      resting = true;
    },
    answer(cursor, like) {
      const [, from = "0", to, at = "0"] = /^v(\d+)(?:>v(\d+)@(\d+))?$/.exec(cursor || "v0")!;
      const latest = history.length - 1;
      if (to !== undefined && Number(to) !== latest) return undefined;
      const before = history[Number(from)]!;
      const changes = [
        ...[...now()].filter(([id]) => !before.has(id)).map(([id]) => ({ kind: "added", id })),
        ...[...now()]
          .filter(([id, n]) => before.has(id) && before.get(id) !== n)
          .map(([id]) => ({ kind: "modified", id })),
        ...[...before.keys()].filter((id) => !now().has(id)).map((id) => ({ kind: "removed", id })),
      ];
      const size = 3;
      const page = changes.slice(Number(at), Number(at) + size);
      const has_more = Number(at) + size < changes.length;
      const of = (kind: string): object[] =>
        page
          .filter((change) => change.kind === kind)
          .map(({ id }) => ({ ...like, transaction_id: id, amount: now().get(id) }));
      return {
        transactions_update_status: "HISTORICAL_UPDATE_COMPLETE",
        accounts: [],
        added: of("added"),
        modified: of("modified"),
        removed: page
          .filter(({ kind }) => kind === "removed")
          .map(({ id }) => ({ transaction_id: id, account_id: "a" })),
        next_cursor: has_more ? `v${from}>v${latest}@${Number(at) + size}` : `v${latest}`,
        has_more,
        request_id: "r",
      };
    },
    ids: () => [...now().keys()].sort(),
  };
}
