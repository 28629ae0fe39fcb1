/** WhatsApp as a channel: Meta's signed webhooks in, text, media and templates out over the Cloud API. */
import {
  type ChannelChanges,
  definePlugin,
  isHttpError,
  type OutboundMessage,
  type PluginContext,
  ref,
  type SecretHandle,
  type SendReceipt,
} from "@backplane/plugin-api";
import { bodyOf, e164, type Incoming, type MetaStatus, mediaPart, readIncoming, timeOf } from "./incoming.ts";
import { isTemplate, mediaBody, type Outgoing, templateBody, textBody, windowSeconds } from "./outgoing.ts";
import { answerHandshake, isSignedByMeta } from "./signature.ts";

interface Config {
  phoneNumberId: string;
  businessAccountId?: string;
  accessToken: SecretHandle;
  appSecret: SecretHandle;
  verifyToken: SecretHandle;
  apiVersion: string;
  reopeningTemplate?: string;
  reopeningLanguage: string;
}

type Context = PluginContext<Config>;

export default definePlugin<Config>({
  async webhook(request, ctx) {
    const { appSecret, verifyToken, phoneNumberId } = ctx.config;
    if (request.method === "GET") return answerHandshake(request.url, verifyToken, ctx.crypto);
    if (!(await isSignedByMeta(request, appSecret, ctx.crypto))) {
      ctx.logger.warn("refused a webhook whose signature does not verify", { url: request.url });
      return { status: 403, body: "signature does not verify", accept: [] };
    }
    return { status: 200, body: "", accept: readIncoming(JSON.parse(request.rawBody), phoneNumberId) };
  },
  channel: {
    type: "whatsapp",
    async handleIncomingEvent(payload, ctx) {
      const incoming = payload as Incoming;
      return incoming.kind === "message" ? takeMessage(incoming, ctx) : takeStatus(incoming.id, incoming.status);
    },
    sendMessage,
  },
  functions: {
    async sendTemplate(
      { to, ...template }: { to: string; name: string; language?: string; components?: object[] },
      ctx,
    ) {
      return post(templateBody({ to: e164(to).slice(1) }, template), ctx);
    },
    async markRead({ messageId }: { messageId: string }, ctx) {
      const answer = await ctx.http.post<{ success?: boolean }>(
        messagesUrl(ctx.config),
        { messaging_product: "whatsapp", status: "read", message_id: messageId },
        authorization(ctx.config),
      );
      return { success: answer.success === true };
    },
    async listTemplates({ after }: { after?: string }, ctx) {
      const { businessAccountId, apiVersion } = ctx.config;
      if (!businessAccountId) throw new Error("Set `businessAccountId`: it owns the templates.");
      const url = new URL(`https://graph.facebook.com/${apiVersion}/${businessAccountId}/message_templates`);
      if (after) url.searchParams.set("after", after);
      const page = await ctx.http.get<{ data?: object[]; paging?: { cursors?: { after?: string }; next?: string } }>(
        url,
        authorization(ctx.config),
      );
      return { templates: page.data ?? [], after: (page.paging?.next && page.paging.cursors?.after) || null };
    },
  },
  async health(ctx) {
    const { apiVersion, phoneNumberId } = ctx.config;
    const number = await ctx.http.get<{ quality_rating?: string }>(
      `https://graph.facebook.com/${apiVersion}/${phoneNumberId}`,
      authorization(ctx.config),
    );
    return number.quality_rating === "RED"
      ? { status: "degraded", message: "Meta rates the number's quality low and may limit what it sends." }
      : { status: "healthy" };
  },
});

async function takeMessage(
  { id, message, name, own }: Extract<Incoming, { kind: "message" }>,
  ctx: Context,
): Promise<ChannelChanges> {
  const { apiVersion } = ctx.config;
  const from = e164(message.from);
  const sentAt = timeOf(message.timestamp);
  const body = bodyOf(message);
  const file = mediaPart(message);
  const media = file
    ? [
        {
          url: `https://graph.facebook.com/${apiVersion}/${file.id}`,
          contentType: file.mime_type ?? null,
          ...(file.filename ? { filename: file.filename } : {}),
        },
      ]
    : [];
  const [contact] = await ctx.data.query<{ id: string }>("contacts", { phones: [{ number: from }] }, { limit: 1 });
  const contactId = contact?.id ?? null;
  const key = conversationKey(message.from);
  const conversationId = ref("conversations", key);
  const conversation = {
    channel: "whatsapp",
    ownAddress: own,
    contactId,
    participants: [{ address: from, name, contactId }],
    lastMessageAt: sentAt,
    lastInboundAt: sentAt,
  };
  const row = {
    provider: "whatsapp",
    channel: "whatsapp",
    direction: "inbound",
    messageType: message.type,
    from,
    to: [own],
    body,
    media,
    conversationId,
    contactId,
    fromContactId: contactId,
    sentAt,
    status: "received",
    replyToMessageId: message.context?.id ?? message.reaction?.message_id ?? null,
  };
  const event = {
    messageId: ref("messages", message.id),
    conversationId,
    channel: "whatsapp",
    provider: "whatsapp",
    externalId: message.id,
    messageType: message.type,
    from,
    to: own,
    body,
    media,
    fromContactId: contactId,
    sentAt,
    ...(message.interactive
      ? { choice: (message.interactive.button_reply ?? message.interactive.list_reply)?.id ?? null }
      : {}),
    ...(message.button?.payload ? { choice: message.button.payload } : {}),
  };
  return {
    entities: [
      { type: "conversations", externalId: key, data: conversation },
      { type: "messages", externalId: message.id, data: row },
    ],
    events: [{ type: "comms.MessageReceived", data: event, id, subject: from }],
  };
}

function takeStatus(id: string, status: MetaStatus): ChannelChanges {
  const data = {
    channel: "whatsapp",
    provider: "whatsapp",
    externalId: status.id,
    // sent, delivered, read and failed are the data model's words as well.
    status: status.status,
    providerStatus: status.status,
    errorCode: status.errors?.[0] ? String(status.errors[0].code) : null,
    at: timeOf(status.timestamp),
  };
  const subject = e164(status.recipient_id ?? "");
  return { events: [{ type: "comms.MessageStatus", data, id, ...(subject ? { subject } : {}) }] };
}

/** A template at any time; anything else only while the customer's last message is younger than 24 hours. */
async function sendMessage(message: OutboundMessage, ctx: Context): Promise<SendReceipt> {
  const to = e164(message.to).slice(1);
  const replyTo = await externalIdOf(message.replyToMessageId, ctx);
  const outgoing: Outgoing = { to, ...(replyTo ? { replyTo } : {}) };
  const template = message.metadata?.["template"];
  if (isTemplate(template)) return post(templateBody(outgoing, template), ctx);

  const [attachment, ...more] = message.attachments ?? [];
  if (more.length > 0) throw new Error("WhatsApp takes one attachment a message: send several messages.");
  if (!(await isWindowOpen(to, ctx))) {
    const { reopeningTemplate: name, reopeningLanguage: language } = ctx.config;
    if (!name || attachment)
      throw new Error(
        "The customer last wrote more than 24 hours ago, so WhatsApp takes templates only: set `reopeningTemplate`, or name one in `metadata.template`.",
      );
    // A template's parameter may hold neither line breaks nor more than four spaces in a row.
    const text = message.body.replace(/\s*\n\s*/g, " ").replace(/ {5,}/g, "    ");
    return post(
      templateBody({ to }, { name, language, components: [{ type: "body", parameters: [{ type: "text", text }] }] }),
      ctx,
    );
  }
  return post(attachment ? mediaBody(outgoing, attachment, message.body) : textBody(outgoing, message.body), ctx);
}

async function isWindowOpen(to: string, ctx: Context): Promise<boolean> {
  const [conversation] = await ctx.data.query<{ lastInboundAt?: string }>(
    "conversations",
    { source: "com.whatsapp.cloud", externalId: conversationKey(to) },
    { limit: 1 },
  );
  return Date.now() - Date.parse(conversation?.lastInboundAt ?? "") < windowSeconds * 1000;
}

/** Meta's id of a message that is named by it, or by the id of its row. */
async function externalIdOf(id: string | undefined, ctx: Context): Promise<string | undefined> {
  if (id === undefined || id.startsWith("wamid.")) return id;
  const row = await ctx.data.getById<{ externalId?: string | null }>("messages", id);
  return row?.externalId?.startsWith("wamid.") ? row.externalId : undefined;
}

/** Codes of Meta that mean "slower", whatever the status says: https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes */
const throttled = new Set([4, 80007, 130429, 131048, 131056]);

async function post(body: object, ctx: Context): Promise<Required<SendReceipt>> {
  try {
    const answer = await ctx.http.post<{ messages?: { id: string; message_status?: string }[] }>(
      messagesUrl(ctx.config),
      body,
      authorization(ctx.config),
    );
    const sent = answer.messages?.[0];
    if (!sent) throw new Error("Meta took the message but named no id.");
    return { externalId: sent.id, status: sent.message_status ?? "accepted" };
  } catch (error) {
    const code = isHttpError(error) ? (error.body as { error?: { code?: number } } | null)?.error?.code : undefined;
    throw code !== undefined && throttled.has(code) ? Object.assign(error as object, { status: 429 }) : error;
  }
}

const messagesUrl = ({ apiVersion, phoneNumberId }: Config): string =>
  `https://graph.facebook.com/${apiVersion}/${phoneNumberId}/messages`;

const authorization = ({ accessToken }: Config): Record<string, string> => ({ authorization: `Bearer ${accessToken}` });

/** The name that the hub gives a conversation when a message to the customer comes first: both are one row. */
const conversationKey = (customer: string): string => `whatsapp:${e164(customer)}`;
