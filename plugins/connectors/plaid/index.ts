/**
 * Bank accounts and transactions over Plaid (https://plaid.com/docs/): links items by Link tokens, reads accounts, follows
 * `/transactions/sync`, and takes Plaid's signed webhooks.
 */
import { definePlugin, type Entity, type IncomingChanges, type RawItem, ref } from "@backplane/plugin-api";
import { type Config, type Context, needsThePerson, PlaidRefusal, post } from "./api.ts";
import { addItem, forgetItem, type LinkedItem, listItems, openItem, storeWebhookUrl, webhookUrl } from "./items.ts";
import { type PlaidTransaction, type Positions, transactionsOf } from "./transactions.ts";
import { TooManyKeys, verifiedIssueTime } from "./verification.ts";

interface PlaidAccount {
  account_id: string;
  balances: {
    available: number | null;
    current: number | null;
    limit: number | null;
    iso_currency_code: string | null;
    unofficial_currency_code: string | null;
  };
  mask: string | null;
  name: string;
  official_name: string | null;
  type: string;
  subtype: string | null;
}

interface AccountsAnswer {
  accounts: PlaidAccount[];
  item: { institution_name?: string | null };
}

/** An account with the name of its bank. */
interface AccountData extends PlaidAccount {
  institution: string | null;
}

interface Incoming {
  id: string;
  key: string;
  type: string;
  code: string;
  itemId: string;
  errorCode?: string;
}

/** Item webhooks that ask for the person (https://plaid.com/docs/api/items/#webhooks). */
const reconnectCodes = new Set(["ERROR", "PENDING_EXPIRATION", "PENDING_DISCONNECT", "USER_PERMISSION_REVOKED"]);

export default definePlugin<Config>({
  functions: {
    async createLinkToken({ userId, itemId }: { userId: string; itemId?: string }, ctx) {
      const { clientName, language, countryCodes, redirectUri, historyDays } = ctx.config;
      const webhook = await webhookUrl(ctx);
      const update = itemId === undefined ? undefined : await openItem(ctx, itemId);
      const answer = await post<{ link_token: string; expiration: string }>(ctx, "/link/token/create", {
        client_name: clientName,
        language,
        country_codes: countryCodes,
        user: { client_user_id: userId },
        ...(update
          ? { access_token: update.accessToken }
          : { products: ["transactions"], transactions: { days_requested: historyDays } }),
        ...(webhook === undefined ? {} : { webhook }),
        ...(redirectUri === undefined ? {} : { redirect_uri: redirectUri }),
      });
      return { linkToken: answer.link_token, expiration: answer.expiration };
    },
    async exchangePublicToken({ publicToken }: { publicToken: string }, ctx) {
      const { itemId, institutionId } = await addItem(ctx, publicToken);
      return { itemId, institutionId };
    },
    items: async (_parameters, ctx) => ({ items: await listItems(ctx) }),
    async removeItem({ itemId }: { itemId: string }, ctx) {
      const item = await openItem(ctx, itemId);
      try {
        await post(ctx, "/item/remove", { access_token: item.accessToken });
      } catch (error) {
        // Plaid has removed it already, on its own or at an attempt whose answer was lost.
        if (!(error instanceof PlaidRefusal && ["ITEM_NOT_FOUND", "INVALID_ACCESS_TOKEN"].includes(error.code)))
          throw error;
      }
      return { removed: await forgetItem(ctx, item) };
    },
    async accounts({ itemId }: { itemId?: string }, ctx) {
      const items = await listItems(ctx);
      const wanted = items.filter((item) => itemId === undefined || item.itemId === itemId);
      const accounts: Record<string, unknown>[] = [];
      for (const item of wanted)
        for (const account of await accountsOf(item, ctx))
          accounts.push({ accountId: account.account_id, itemId: item.itemId, ...accountFields(account) });
      return { accounts };
    },
  },
  connector: {
    async *sync({ cursors, full, types }, ctx) {
      const positions: Positions = { ...((cursors?.["transaction"] as Positions | undefined) ?? {}) };
      const isWanted = (type: string): boolean => types === undefined || types.includes(type);
      for (const item of await listItems(ctx)) {
        try {
          if (isWanted("account"))
            for (const account of await accountsOf(item, ctx))
              yield { id: account.account_id, type: "account", data: account };
          if (isWanted("transaction")) yield* transactionsOf(await openItem(ctx, item.itemId), positions, ctx);
        } catch (error) {
          // A full sync deletes what it did not see, so it must not end well without one item's rows.
          if (full || !needsThePerson(error)) throw error;
          ctx.logger.warn("left out an item that needs its person at the bank", {
            item: item.itemId,
            code: error.code,
          });
        }
      }
    },
    mapToUnifiedModel: (item) => [item.type === "account" ? toAccount(item) : toTransaction(item)],
    async registerRealtimeListener(url, ctx) {
      await storeWebhookUrl(ctx, url);
      for (const { itemId } of await listItems(ctx)) {
        const { accessToken } = await openItem(ctx, itemId);
        await post(ctx, "/item/webhook/update", { access_token: accessToken, webhook: url });
      }
    },
    async handleIncomingEvent(payload): Promise<IncomingChanges> {
      const { id, type, code, itemId, errorCode } = payload as Incoming;
      if (type === "TRANSACTIONS" && code === "SYNC_UPDATES_AVAILABLE") return { sync: true };
      if (type === "ITEM" && (code === "NEW_ACCOUNTS_AVAILABLE" || code === "LOGIN_REPAIRED")) return { sync: true };
      if (type === "ITEM" && reconnectCodes.has(code)) {
        const data = { plugin: "com.plaid", connection: itemId, reason: errorCode ?? code };
        return { events: [{ type: "connector.NeedsReconnect", data, subject: itemId, id }] };
      }
      return {};
    },
  },
  async webhook(request, ctx) {
    try {
      const issuedAt = await verifiedIssueTime(request, ctx);
      if (issuedAt === undefined) {
        ctx.logger.warn("refused a webhook whose signature does not verify");
        return { status: 403, body: "signature does not verify", accept: [] };
      }
      const incoming = await readIncoming(request.rawBody, issuedAt, ctx);
      return { status: 200, accept: incoming ? [incoming] : [] };
    } catch (error) {
      if (error instanceof TooManyKeys) return { status: 503, body: "try again later", accept: [] };
      throw error;
    }
  },
  async health(ctx) {
    const items = await listItems(ctx);
    const broken: string[] = [];
    for (const { itemId } of items.slice(0, 10)) {
      const { accessToken } = await openItem(ctx, itemId);
      const { item } = await post<{ item: { error: { error_code: string } | null } }>(ctx, "/item/get", {
        access_token: accessToken,
      });
      if (item.error) broken.push(`${itemId} (${item.error.error_code})`);
    }
    if (broken.length > 0)
      return { status: "degraded", message: `Items that need their person at the bank: ${broken.join(", ")}.` };
    if (items.length > 0) return { status: "healthy" };
    // Any answer but a refusal of the credentials says that they are good.
    await post(ctx, "/institutions/get_by_id", { institution_id: "ins_109508", country_codes: ["US"] });
    return { status: "healthy", message: "No item is linked yet." };
  },
});

async function accountsOf({ itemId }: LinkedItem, ctx: Context): Promise<AccountData[]> {
  const { accessToken } = await openItem(ctx, itemId);
  const { accounts, item } = await post<AccountsAnswer>(ctx, "/accounts/get", { access_token: accessToken });
  return accounts.map((account) => ({ ...account, institution: item.institution_name ?? null }));
}

const accountFields = ({ balances, ...account }: AccountData): Record<string, unknown> => ({
  name: account.name,
  officialName: account.official_name,
  accountType: account.type,
  subtype: account.subtype,
  mask: account.mask,
  currency: balances.iso_currency_code ?? balances.unofficial_currency_code,
  currentBalance: balances.current,
  availableBalance: balances.available,
  creditLimit: balances.limit,
  institution: account.institution,
});

const toAccount = ({ id, data }: RawItem): Entity => ({
  type: "accounts",
  externalId: id,
  data: { ...accountFields(data as AccountData), status: "active" },
});

function toTransaction({ id, data, deleted }: RawItem): Entity {
  if (deleted) return { type: "transactions", externalId: id, data: {}, deleted };
  const transaction = data as PlaidTransaction;
  const category = transaction.personal_finance_category;
  return {
    type: "transactions",
    externalId: id,
    data: {
      accountId: ref("accounts", transaction.account_id),
      amount: transaction.amount,
      currency: transaction.iso_currency_code ?? transaction.unofficial_currency_code,
      date: transaction.date,
      authorizedDate: transaction.authorized_date ?? null,
      name: transaction.name ?? transaction.merchant_name ?? null,
      merchantName: transaction.merchant_name ?? null,
      category: category ? [category.primary, category.detailed] : (transaction.category ?? []),
      pending: transaction.pending,
      paymentChannel: transaction.payment_channel ?? null,
      pendingTransactionId: transaction.pending_transaction_id ?? null,
    },
  };
}

/** The same webhook means something new at another time, so its id is made of its body and its time of issue. */
async function readIncoming(rawBody: string, issuedAt: number, ctx: Context): Promise<Incoming | undefined> {
  const body = JSON.parse(rawBody) as {
    webhook_type?: string;
    webhook_code?: string;
    item_id?: string;
    error?: { error_code?: string } | null;
  };
  if (!body.webhook_type || !body.webhook_code || !body.item_id) return undefined;
  const hash = (await ctx.crypto.digest("SHA-256", rawBody)).toHex();
  return {
    id: `${hash}:${issuedAt}`,
    key: body.item_id,
    type: body.webhook_type,
    code: body.webhook_code,
    itemId: body.item_id,
    ...(body.error?.error_code ? { errorCode: body.error.error_code } : {}),
  };
}
