/** Microsoft Graph as a connector (contacts, calendar, mail, by delta queries and change subscriptions) and as a mail channel. */
import {
  definePlugin,
  type IncomingChanges,
  isAbilityError,
  isHttpError,
  type RawItem,
  type SyncOptions,
  type WebhookResponse,
} from "@backplane/plugin-api";
import { executeAction } from "./actions.ts";
import { calendarChanges, eventEntities, isWindowOld } from "./calendar.ts";
import { contactChanges, contactEntities } from "./contacts.ts";
import { type Collection, type Cursor, followChanges, type Removable } from "./delta.ts";
import { sendMail } from "./email.ts";
import { addressOf, type Config, type Context, codeOf, getJson } from "./graph.ts";
import { fetchMessage, mailChanges, messageEntities, type Run, takeNewMessage, typeOfFolder } from "./mail.ts";
import {
  keepSubscriptions,
  mendSubscription,
  type Notification,
  readKept,
  typeOfNotification,
} from "./subscriptions.ts";

/** An accepted notification. */
type Incoming = { id: string; key: string } & (
  | { kind: "mail"; type: string; messageId: string }
  | { kind: "changes"; types: string[] }
  | { kind: "lifecycle"; event: string; type: string }
);

/** Graph sends far fewer at once. */
const maxNotifications = 1000;

export default definePlugin<Config>({
  connector: {
    sync: syncAll,
    mapToUnifiedModel(item, ctx) {
      if (item.type === "contact") return contactEntities(item, ctx.config.countryCode);
      return item.type === "event" ? eventEntities(item) : messageEntities(item);
    },
    registerRealtimeListener: (webhookUrl, ctx) => keepSubscriptions(ctx, webhookUrl),
    handleIncomingEvent: (payload, ctx) => takeIncoming(payload as Incoming, ctx),
    executeAction,
  },
  channel: {
    type: "email",
    // What comes in is the connector's: the manifest says `realtime`.
    async handleIncomingEvent() {},
    sendMessage: ({ to, ...message }, ctx) => sendMail(ctx, { to: [to], ...message }),
  },
  async webhook(request, ctx) {
    const token = new URL(request.url).searchParams.get("validationToken");
    // Graph asks back while a subscription is made. Whoever else asks sees their own text, as nothing but text.
    if (token !== null) return plain(200, token);
    const notifications = readNotifications(request.rawBody);
    if (!notifications) return plain(400, "no notifications");
    const known = await readKept(ctx);
    const accept: Incoming[] = [];
    const types = new Set<string>();
    let verified = 0;
    for (const notification of notifications) {
      const type = await typeOfNotification(ctx, notification, known);
      if (type === undefined) continue;
      verified += 1;
      const { lifecycleEvent, changeType, resourceData, subscriptionId } = notification;
      if (lifecycleEvent) {
        const id = `${lifecycleEvent}:${subscriptionId}:${new Date().toISOString().slice(0, 16)}`;
        accept.push({ id, key: type, kind: "lifecycle", event: lifecycleEvent, type });
      } else if (type.startsWith("message:") && changeType === "created" && resourceData?.id) {
        accept.push({ id: `created:${resourceData.id}`, key: type, kind: "mail", type, messageId: resourceData.id });
      } else types.add(type);
    }
    if (verified < notifications.length)
      ctx.logger.warn("dropped notifications whose client state is not ours", {
        count: notifications.length - verified,
      });
    if (notifications.length > 0 && verified === 0) return { ...plain(403, "client state"), status: 403 };
    if (types.size > 0) {
      const digest = await ctx.crypto.digest("SHA-256", request.rawBody);
      accept.push({ id: `changes:${digest.toHex()}`, key: "changes", kind: "changes", types: [...types] });
    }
    return { ...plain(202, ""), accept };
  },
  async health(ctx) {
    try {
      await getJson(ctx, addressOf(ctx, "messages?$top=1&$select=id"));
      return { status: "healthy" };
    } catch (error) {
      if (isHttpError(error) && (error.status === 401 || error.status === 403))
        return { status: "unhealthy", message: `Graph refuses the connection: ${codeOf(error.body) ?? error.status}.` };
      if (isAbilityError(error)) return { status: "unhealthy", message: error.message };
      throw error;
    }
  },
});

/** One type after the other. The links after the last pages come with the end, since a last page may be empty. */
async function* syncAll(
  { types, cursors = {} }: SyncOptions,
  ctx: Context,
): AsyncGenerator<RawItem, { cursors: Record<string, Cursor> }> {
  const run: Run = { met: new Map(), threads: new Map() };
  const collections: Collection<Removable>[] = [
    contactChanges(ctx, run.met),
    calendarChanges(ctx, run.met),
    ...ctx.config.mailFolders.map((folder) => mailChanges(ctx, folder, run)),
  ];
  const ended: Record<string, Cursor> = {};
  for (const collection of collections) {
    const { type } = collection;
    if (types && !types.includes(type)) continue;
    let end = yield* followChanges(ctx, collection, cursors[type] as Cursor | undefined);
    if (type === "event" && end && isWindowOld(end)) end = yield* followChanges(ctx, collection, undefined);
    if (end) ended[type] = end;
  }
  return { cursors: ended };
}

async function takeIncoming(incoming: Incoming, ctx: Context): Promise<IncomingChanges | undefined> {
  switch (incoming.kind) {
    case "mail": {
      const message = await fetchMessage(ctx, incoming.type.slice(typeOfFolder("").length), incoming.messageId);
      if (message) await takeNewMessage(ctx, message);
      return undefined;
    }
    case "changes":
      return { sync: { types: incoming.types } };
    case "lifecycle": {
      const { event, type, id } = incoming;
      if (event !== "missed") await mendSubscription(ctx, type);
      return {
        // A subscription that was gone has missed what changed meanwhile.
        ...(event === "reauthorizationRequired" ? {} : { sync: { types: [type] } }),
        events: [{ type: "connector.SubscriptionLifecycle", data: { event, type }, subject: type, id }],
      };
    }
  }
}

function readNotifications(rawBody: string): Notification[] | undefined {
  let body: unknown;
  try {
    body = JSON.parse(rawBody);
  } catch {
    return undefined;
  }
  const value = (body as { value?: unknown } | null)?.value;
  if (!Array.isArray(value) || value.length > maxNotifications) return undefined;
  return value.filter((entry): entry is Notification => typeof entry === "object" && entry !== null);
}

const plain = (status: number, body: string): WebhookResponse => ({
  status,
  headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
  body,
  accept: [],
});
