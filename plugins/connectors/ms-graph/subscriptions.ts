/**
 * Change subscriptions: made, renewed and made again, and what their notifications mean. Of the secret that Graph repeats in
 * each notification only the digest is kept. https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
 */
import type { RealtimeRegistration } from "@backplane/plugin-api";
import { type Context, change, immutableIds, mailboxPath, postJson, subscriptionsAddress } from "./graph.ts";
import { typeOfFolder } from "./mail.ts";

interface Kept {
  entries: Entry[];
}

interface Entry {
  /** Where Graph posts. */
  url: string;
  /** The item type that changes. */
  type: string;
  resource: string;
  /** SHA-256 of the client state, hex. */
  state: string;
  /** Absent while the subscription is being made: its first notifications may come before Graph's answer is stored. */
  id?: string;
  expiresAt?: string;
}

export interface Notification {
  subscriptionId?: string;
  clientState?: string | null;
  changeType?: string;
  lifecycleEvent?: string | null;
  resourceData?: { id?: string } | null;
}

const file = "subscriptions.json";

/** Graph takes up to 10080 minutes for mail, events and contacts. */
const lifetimeMs = 70 * 60 * 60 * 1000;

/** Makes what is missing, renews what is there, ends what is not wanted any more. */
export async function keepSubscriptions(ctx: Context, url: string): Promise<RealtimeRegistration> {
  const before = await readKept(ctx);
  const kept: Kept = { entries: [] };
  // One without an id was never finished: it ends by itself.
  const left = before.entries.filter(({ id }) => id !== undefined);
  for (const { type, resource } of wanted(ctx)) {
    const at = left.findIndex((entry) => entry.resource === resource && entry.url === url);
    const known = at < 0 ? undefined : left.splice(at, 1)[0];
    const save = async (entry: Entry): Promise<void> => {
      await writeKept(ctx, { entries: [...kept.entries, entry, ...left] });
    };
    const renewed = known && (await renew(ctx, known));
    const entry = renewed ?? (await make(ctx, { url, type, resource }, save));
    await save(entry);
    kept.entries.push(entry);
  }
  for (const { id } of left)
    if (id !== undefined) await change(ctx, { method: "DELETE", url: `${subscriptionsAddress}/${id}`, fine: [404] });
  await writeKept(ctx, kept);
  const ends = kept.entries.flatMap(({ expiresAt }) => expiresAt ?? []).sort();
  return ends[0] === undefined ? {} : { expiresAt: ends[0] };
}

/** Renews one, or makes it again when Graph does not know it any more. */
export async function mendSubscription(ctx: Context, type: string): Promise<void> {
  const kept = await readKept(ctx);
  const at = kept.entries.findIndex((entry) => entry.type === type);
  const entry = kept.entries[at];
  if (!entry) return;
  const save = async (mended: Entry): Promise<void> => {
    kept.entries[at] = mended;
    await writeKept(ctx, kept);
  };
  await save((await renew(ctx, entry)) ?? (await make(ctx, entry, save)));
}

/** The item type of the subscription, when the notification carries its client state. */
export async function typeOfNotification(
  ctx: Context,
  { subscriptionId, clientState }: Notification,
  known: { entries: readonly Entry[] },
): Promise<string | undefined> {
  if (typeof subscriptionId !== "string" || typeof clientState !== "string") return undefined;
  const state = await digest(ctx, clientState);
  const candidates = known.entries.filter(({ id }) => id === undefined || id === subscriptionId);
  for (const entry of candidates) if (await ctx.crypto.timingSafeEqual(entry.state, state)) return entry.type;
  return undefined;
}

export async function readKept(ctx: Context): Promise<Kept> {
  const bytes = await ctx.storage.get(file);
  return bytes === null ? { entries: [] } : (JSON.parse(new TextDecoder().decode(bytes)) as Kept);
}

function wanted(ctx: Context): { type: string; resource: string }[] {
  const base = mailboxPath(ctx.config);
  return [
    ...ctx.config.mailFolders.map((folder) => ({
      type: typeOfFolder(folder),
      resource: `${base}/mailFolders('${folder}')/messages`,
    })),
    { type: "event", resource: `${base}/events` },
    {
      type: "contact",
      resource: ctx.config.contactFolder
        ? `${base}/contactFolders/${ctx.config.contactFolder}/contacts`
        : `${base}/contacts`,
    },
  ];
}

async function make(
  ctx: Context,
  { url, type, resource }: Pick<Entry, "url" | "type" | "resource">,
  save: (entry: Entry) => Promise<void>,
): Promise<Entry> {
  const clientState = [...crypto.getRandomValues(new Uint8Array(32))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  const entry: Entry = { url, type, resource, state: await digest(ctx, clientState) };
  await save(entry);
  const made = await postJson<{ id: string; expirationDateTime: string }>(
    ctx,
    subscriptionsAddress,
    {
      changeType: "created,updated,deleted",
      notificationUrl: url,
      lifecycleNotificationUrl: url,
      resource,
      expirationDateTime: endOfLife(),
      clientState,
    },
    [immutableIds],
  );
  return { ...entry, id: made.id, expiresAt: new Date(made.expirationDateTime).toISOString() };
}

async function renew(ctx: Context, entry: Entry): Promise<Entry | undefined> {
  if (entry.id === undefined) return undefined;
  const { status, json } = await change(ctx, {
    method: "PATCH",
    url: `${subscriptionsAddress}/${entry.id}`,
    body: { expirationDateTime: endOfLife() },
    fine: [404],
  });
  if (status === 404) return undefined;
  return { ...entry, expiresAt: new Date((json as { expirationDateTime: string }).expirationDateTime).toISOString() };
}

const endOfLife = (): string => new Date(Date.now() + lifetimeMs).toISOString();

const writeKept = (ctx: Context, kept: Kept): Promise<void> =>
  ctx.storage.put(file, JSON.stringify(kept), { contentType: "application/json" });

async function digest(ctx: Context, text: string): Promise<string> {
  const bytes = await ctx.crypto.digest("SHA-256", text);
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
