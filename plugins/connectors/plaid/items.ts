/**
 * Linked items (an item is one login at one bank) with their access tokens, kept in the installation's files. Plaid hands a
 * token to whoever exchanges a public token, which is this plugin, so it is encrypted before it is stored: AES-256-GCM under
 * a key made by HMAC from a sealed secret, with the item's id as additional data. The key is in no file and no table.
 */
import { type Context, post } from "./api.ts";

export interface LinkedItem {
  itemId: string;
  institutionId: string | null;
  /** RFC 3339. */
  linkedAt: string;
}

export interface OpenItem extends LinkedItem {
  accessToken: string;
}

interface StoredItem extends LinkedItem {
  iv: string;
  sealed: string;
}

/** More would make a sync too long, and its cursor too large. */
export const maxItems = 50;

const folder = "items/";
const webhookFile = "webhook-url.txt";

export async function addItem(ctx: Context, publicToken: string): Promise<LinkedItem> {
  const known = await listItems(ctx);
  if (known.length >= maxItems) throw new Error(`At most ${maxItems} items are linked to one installation.`);
  const { access_token, item_id } = await post<{ access_token: string; item_id: string }>(
    ctx,
    "/item/public_token/exchange",
    { public_token: publicToken },
  );
  assertItemId(item_id);
  // Stored before anything else is asked of Plaid: a token that is lost cannot be had again.
  const item: OpenItem = {
    itemId: item_id,
    institutionId: null,
    linkedAt: new Date().toISOString(),
    accessToken: access_token,
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
  const stored = JSON.parse(new TextDecoder().decode(bytes)) as StoredItem;
  try {
    const opened = await ctx.crypto.subtle.decrypt(
      { name: "AES-GCM", iv: Uint8Array.fromBase64(stored.iv), additionalData: new TextEncoder().encode(itemId) },
      await keyOf(ctx),
      Uint8Array.fromBase64(stored.sealed),
    );
    return { ...withoutToken(stored), accessToken: new TextDecoder().decode(opened) };
  } catch {
    throw new Error(`The token of item ${itemId} does not open: storageKey has changed. Link the item again.`);
  }
}

/** By id. */
export async function listItems(ctx: Context): Promise<LinkedItem[]> {
  const { files } = await ctx.storage.list({ prefix: folder, limit: 200 });
  return Promise.all(
    files.map(async ({ path }) => {
      const bytes = await ctx.storage.get(path);
      return withoutToken(JSON.parse(new TextDecoder().decode(bytes ?? new Uint8Array())) as StoredItem);
    }),
  );
}

export const forgetItem = (ctx: Context, itemId: string): Promise<boolean> => ctx.storage.delete(`${folder}${itemId}`);

export const storeWebhookUrl = (ctx: Context, url: string): Promise<void> => ctx.storage.put(webhookFile, url);

export async function webhookUrl(ctx: Context): Promise<string | undefined> {
  const bytes = await ctx.storage.get(webhookFile);
  return bytes ? new TextDecoder().decode(bytes) : undefined;
}

async function storeItem(ctx: Context, item: OpenItem): Promise<void> {
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = await ctx.crypto.subtle.encrypt(
    { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(item.itemId) },
    await keyOf(ctx),
    new TextEncoder().encode(item.accessToken),
  );
  const stored: StoredItem = { ...withoutToken(item), iv: iv.toBase64(), sealed: new Uint8Array(sealed).toBase64() };
  await ctx.storage.put(`${folder}${item.itemId}`, JSON.stringify(stored), { contentType: "application/json" });
}

async function keyOf({ config, crypto: abilities }: Context): Promise<CryptoKey> {
  const bytes = await abilities.hmac({ key: config.storageKey ?? config.secret, data: "plaid item tokens, version 1" });
  return abilities.subtle.importKey("raw", bytes, { name: "AES-GCM" }, false, ["encrypt", "decrypt"]);
}

const withoutToken = ({ itemId, institutionId, linkedAt }: LinkedItem): LinkedItem => ({
  itemId,
  institutionId,
  linkedAt,
});

function assertItemId(itemId: string): void {
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(itemId)) throw new Error("That is not an item id of Plaid.");
}
