/**
 * Linked items (an item is one login at one bank) with the handles of their access tokens, kept in the installation's files. Plaid
 * hands a token to whoever exchanges a public token; the hub seals it before this plugin sees the answer.
 */
import type { SecretHandle } from "@backplane/plugin-api";
import { type Context, post } from "./api.ts";

export interface LinkedItem {
  itemId: string;
  institutionId: string | null;
  /** RFC 3339. */
  linkedAt: string;
}

export interface OpenItem extends LinkedItem {
  accessToken: SecretHandle;
  /** The hub keeps the token under it. */
  secretName: string;
}

/** More would make a sync too long, and its cursor too large. */
export const maxItems = 50;

const folder = "items/";
const webhookFile = "webhook-url.txt";
/** An exchange is over by then, so a token that no file names belongs to none. */
const strayMs = 3_600_000;

export async function addItem(ctx: Context, publicToken: string): Promise<LinkedItem> {
  const known = await listItems(ctx);
  if (known.length >= maxItems) throw new Error(`At most ${maxItems} items are linked to one installation.`);
  await forgetStrays(ctx);
  const secretName = crypto.randomUUID();
  const { access_token, item_id } = await post<{ access_token: SecretHandle; item_id: string }>(
    ctx,
    "/item/public_token/exchange",
    { public_token: publicToken },
    { seal: { access_token: secretName } },
  );
  assertItemId(item_id);
  // Stored before anything else is asked of Plaid: a token that is lost cannot be had again.
  const item: OpenItem = {
    itemId: item_id,
    institutionId: null,
    linkedAt: new Date().toISOString(),
    accessToken: access_token,
    secretName,
  };
  await storeItem(ctx, item);
  const { item: described } = await post<{ item: { institution_id?: string | null } }>(ctx, "/item/get", {
    access_token,
  });
  const named = { ...item, institutionId: described.institution_id ?? null };
  await storeItem(ctx, named);
  return withoutToken(named);
}

/** Error when there is no such item. */
export async function openItem(ctx: Context, itemId: string): Promise<OpenItem> {
  assertItemId(itemId);
  const bytes = await ctx.storage.get(`${folder}${itemId}`);
  if (!bytes) throw new Error(`No item ${itemId} is linked.`);
  return JSON.parse(new TextDecoder().decode(bytes)) as OpenItem;
}

/** By id. */
export async function listItems(ctx: Context): Promise<LinkedItem[]> {
  return (await openItems(ctx)).map(withoutToken);
}

export async function forgetItem(ctx: Context, { itemId, secretName }: OpenItem): Promise<boolean> {
  await ctx.secrets.forget(secretName);
  return await ctx.storage.delete(`${folder}${itemId}`);
}

async function openItems(ctx: Context): Promise<OpenItem[]> {
  const { files } = await ctx.storage.list({ prefix: folder, limit: 200 });
  const all = await Promise.all(files.map(({ path }) => ctx.storage.get(path)));
  return all.flatMap((bytes) => (bytes ? [JSON.parse(new TextDecoder().decode(bytes)) as OpenItem] : []));
}

/** Tokens of exchanges that ended before their item was stored. */
async function forgetStrays(ctx: Context): Promise<void> {
  const named = new Set((await openItems(ctx)).map(({ secretName }) => secretName));
  for (const { name, createdAt } of await ctx.secrets.list())
    if (!named.has(name) && Date.parse(createdAt) < Date.now() - strayMs) await ctx.secrets.forget(name);
}

export const storeWebhookUrl = (ctx: Context, url: string): Promise<void> => ctx.storage.put(webhookFile, url);

export async function webhookUrl(ctx: Context): Promise<string | undefined> {
  const bytes = await ctx.storage.get(webhookFile);
  return bytes ? new TextDecoder().decode(bytes) : undefined;
}

const storeItem = (ctx: Context, item: OpenItem): Promise<void> =>
  ctx.storage.put(`${folder}${item.itemId}`, JSON.stringify(item), { contentType: "application/json" });

const withoutToken = ({ itemId, institutionId, linkedAt }: LinkedItem): LinkedItem => ({
  itemId,
  institutionId,
  linkedAt,
});

function assertItemId(itemId: string): void {
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(itemId)) throw new Error("That is not an item id of Plaid.");
}
