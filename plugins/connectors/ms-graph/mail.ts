/** Mail of one folder (https://learn.microsoft.com/graph/api/message-delta) as messages and conversations. */
import { type Entity, type EntityReference, type RawItem, ref } from "@backplane/plugin-api";
import { contactsByAddress, type Met, tagsOf } from "./contacts.ts";
import { type Collection, type Cursor, getRow, type Removable, storedIds } from "./delta.ts";
import { addressOf, type Context, immutableIds } from "./graph.ts";

interface Recipient {
  emailAddress?: { address?: string | null; name?: string | null } | null;
}

export interface GraphMessage extends Removable {
  subject?: string | null;
  body?: { contentType?: string | null; content?: string | null } | null;
  bodyPreview?: string | null;
  from?: Recipient | null;
  toRecipients?: Recipient[];
  ccRecipients?: Recipient[];
  conversationId?: string | null;
  internetMessageId?: string | null;
  internetMessageHeaders?: { name?: string | null; value?: string | null }[];
  receivedDateTime?: string | null;
  sentDateTime?: string | null;
  isDraft?: boolean | null;
  categories?: string[];
  lastModifiedDateTime?: string | null;
}

/** All that the mapping needs, looked up for a page at once. */
interface MessageData {
  message: GraphMessage;
  folder: string;
  outbound: boolean;
  sentAt: string;
  from: string;
  to: string[];
  /** The other party: the sender, or of our own mail the first recipient. */
  contactId: string | EntityReference | null;
  conversation: { lastMessageAt: string; lastInboundAt?: string } | null;
}

/** Marks mail that this plugin sent: it is in the data model already. */
export const sentByUs = "x-backplane-message-id";

const asText = 'outlook.body-content-type="text"';

const fields = [
  ...["subject", "body", "bodyPreview", "from", "toRecipients", "ccRecipients", "conversationId", "internetMessageId"],
  ...["receivedDateTime", "sentDateTime", "isDraft", "categories", "lastModifiedDateTime"],
];

const fieldsOf = (folder: string): string =>
  (folder === "sentitems" ? [...fields, "internetMessageHeaders"] : fields).join(",");

export const typeOfFolder = (folder: string): string => `message:${folder}`;

export function mailChanges(ctx: Context, folder: string, run: Run): Collection<GraphMessage> {
  return {
    type: typeOfFolder(folder),
    prefer: [immutableIds, asText],
    pageSizes: [25, 5, 1],
    begin: async () => addressOf(ctx, `mailFolders/${folder}/messages/delta?$select=${fieldsOf(folder)}`),
    isWhole: ({ from, body, receivedDateTime, toRecipients }) =>
      ![from, body, receivedDateTime, toRecipients].includes(undefined),
    address: (id) => messageAddress(ctx, folder, id),
    async items(rows, cursor) {
      const removed: { id: string; gone: boolean }[] = [];
      for (const { id, "@removed": isRemoved } of rows)
        if (isRemoved) removed.push({ id, gone: await isGone(ctx, id) });
      const present = await describeMessages(
        ctx,
        folder,
        rows.filter((row) => !row["@removed"]),
        run,
      );
      await publishNew(ctx, present, cursor);
      return [
        ...present.map((data) => itemOf(folder, data)),
        // Moved to a folder that is not followed: the row stays.
        ...removed
          .filter(({ gone }) => gone)
          .map(({ id }) => ({ id, type: typeOfFolder(folder), data: null, deleted: true })),
      ];
    },
    stored: () =>
      storedIds((cursor) =>
        ctx.data.page<{ externalId: string | null }>(
          "messages",
          { source: "com.microsoft.graph", folder },
          { cursor, limit: 200, orderBy: "createdAt" },
        ),
      ),
  };
}

const messageAddress = (ctx: Context, folder: string, id: string): string =>
  addressOf(ctx, `messages/${encodeURIComponent(id)}?$select=${fieldsOf(folder)}`);

const isGone = async (ctx: Context, id: string): Promise<boolean> =>
  (await getRow(ctx, addressOf(ctx, `messages/${encodeURIComponent(id)}?$select=id`), [immutableIds])) === undefined;

/** One message by its id; nothing when it is gone again. */
export async function fetchMessage(ctx: Context, folder: string, id: string): Promise<MessageData | undefined> {
  const message = await getRow<GraphMessage>(ctx, messageAddress(ctx, folder, id), [immutableIds, asText]);
  return message && (await describeMessages(ctx, folder, [message]))[0];
}

const itemOf = (folder: string, data: MessageData): RawItem => ({
  id: data.message.id,
  type: typeOfFolder(folder),
  data,
  ...(data.message.lastModifiedDateTime ? { updatedAt: data.message.lastModifiedDateTime } : {}),
});

/** Drafts are nobody's messages yet, and what we sent ourselves is stored where it was sent. */
async function describeMessages(
  ctx: Context,
  folder: string,
  rows: readonly GraphMessage[],
  { met, threads }: Run = { met: new Map(), threads: new Map() },
): Promise<MessageData[]> {
  const messages = rows.filter(
    ({ isDraft, internetMessageHeaders, receivedDateTime, sentDateTime }) =>
      isDraft !== true &&
      Boolean(receivedDateTime ?? sentDateTime) &&
      !internetMessageHeaders?.some(({ name }) => name?.toLowerCase() === sentByUs),
  );
  const described = messages.map((message): MessageData => {
    const from = addressIn(message.from);
    const outbound =
      folder === "sentitems" || (ctx.config.mailbox !== undefined && from === ctx.config.mailbox.toLowerCase());
    return {
      message,
      folder,
      outbound,
      sentAt: (outbound ? message.sentDateTime : undefined) ?? message.receivedDateTime ?? message.sentDateTime ?? "",
      from,
      to: (message.toRecipients ?? []).map(addressIn).filter((text) => text !== ""),
      contactId: null,
      conversation: null,
    };
  });
  const other = ({ outbound, from, to }: MessageData): string => (outbound ? (to[0] ?? "") : from);
  const [contacts, known] = await Promise.all([
    contactsByAddress(ctx, described.map(other), met),
    conversationTimes(
      ctx,
      messages.flatMap(({ conversationId }) => (conversationId ? [conversationId] : [])),
    ),
  ]);
  for (const one of described) {
    one.contactId = contacts.get(other(one)) ?? null;
    const { conversationId } = one.message;
    if (!conversationId) continue;
    const times = threads.get(conversationId) ?? known.get(conversationId);
    const lastInboundAt = one.outbound ? times?.lastInboundAt : later(one.sentAt, times?.lastInboundAt);
    one.conversation = {
      lastMessageAt: later(one.sentAt, times?.lastMessageAt),
      ...(lastInboundAt ? { lastInboundAt } : {}),
    };
    remember(threads, conversationId, one.conversation);
  }
  return described;
}

interface Times {
  lastMessageAt?: string | null;
  lastInboundAt?: string | null;
}

/** What a sync has seen so far, which may not be stored yet when its next page is read. */
export interface Run {
  met: Met;
  threads: Map<string, Times>;
}

const maxThreads = 20_000;

/** What was not touched for long is stored by now. */
function remember(threads: Run["threads"], id: string, times: Times): void {
  threads.delete(id);
  threads.set(id, times);
  if (threads.size > maxThreads) threads.delete(threads.keys().next().value!);
}

/** An older message must not set a conversation back. */
async function conversationTimes(ctx: Context, ids: readonly string[]): Promise<Map<string, Times>> {
  if (ids.length === 0) return new Map();
  const rows = await ctx.data.query<Times & { externalId: string }>(
    "conversations",
    { source: "com.microsoft.graph", externalId: { $in: [...new Set(ids)] } },
    { limit: 200 },
  );
  return new Map(rows.map((row) => [row.externalId, row]));
}

const later = (a: string, b: string | null | undefined): string => (b && Date.parse(b) > Date.parse(a) ? b : a);

const addressIn = (recipient: Recipient | null | undefined): string =>
  recipient?.emailAddress?.address?.trim().toLowerCase() ?? "";

/** What of a text is kept: a row's event must hold it. */
const maxText = 65_536;

export function messageEntities({ id, data, deleted }: RawItem): Entity[] {
  if (deleted) return [{ type: "messages", externalId: id, data: {}, deleted: true }];
  const described = data as MessageData;
  const { conversationId } = described.message;
  return [
    ...(conversationId
      ? [{ type: "conversations", externalId: conversationId, data: conversationData(described) }]
      : []),
    {
      type: "messages",
      externalId: id,
      data: {
        ...messageData(described),
        conversationId: conversationId ? ref("conversations", conversationId) : null,
      },
    },
  ];
}

/** The latest message says what the conversation is about and who takes part. */
function conversationData(described: MessageData): Record<string, unknown> {
  const { message, conversation, contactId, outbound, sentAt, from, to } = described;
  if (conversation?.lastMessageAt !== sentAt) return { channel: "email", ...conversation };
  const parties = outbound ? to : [from];
  return {
    channel: "email",
    subject: message.subject ?? null,
    participants: parties
      .filter((address) => address !== "")
      .map((address, at) => ({ address, ...(at === 0 && contactId !== null ? { contactId } : {}) })),
    ...(contactId === null ? {} : { contactId }),
    ...conversation,
  };
}

function messageData({ message, folder, outbound, sentAt, from, to, contactId }: MessageData): Record<string, unknown> {
  const { body, bodyPreview } = message;
  return {
    channel: "email",
    direction: outbound ? "outbound" : "inbound",
    from,
    to,
    fromContactId: outbound ? null : contactId,
    contactId,
    subject: message.subject ?? null,
    body: ((body?.contentType?.toLowerCase() === "text" ? body.content : undefined) ?? bodyPreview ?? "").slice(
      0,
      maxText,
    ),
    sentAt,
    status: outbound ? "sent" : "received",
    provider: "microsoft-graph",
    internetMessageId: message.internetMessageId ?? null,
    folder,
    tags: tagsOf(message.categories),
  };
}

/** What `comms.MessageReceived` says of it. Ids of rows where they are known already. */
function receivedEvent(described: MessageData, ids: { messageId?: string; conversationId?: string } = {}): object {
  const { message, from, to, contactId, sentAt } = described;
  const { body, subject } = messageData(described);
  return {
    ...ids,
    channel: "email",
    provider: "microsoft-graph",
    externalId: message.id,
    from,
    to: to[0] ?? "",
    subject,
    body,
    media: [],
    fromContactId: typeof contactId === "string" ? contactId : null,
    sentAt,
  };
}

/** Mail that came after the first sync, found by a sync: no notification told of it, or not yet. The event's id is the same. */
async function publishNew(ctx: Context, messages: readonly MessageData[], { complete, began }: Cursor): Promise<void> {
  if (!complete) return;
  for (const one of messages)
    if (!one.outbound && Date.parse(one.sentAt) >= Date.parse(began))
      await ctx.emitEvent("comms.MessageReceived", receivedEvent(one), { id: one.message.id, subject: one.from });
}

/** Mail that a notification told of: stored now, so that the event can name its rows. */
export async function takeNewMessage(ctx: Context, described: MessageData): Promise<void> {
  const { message, outbound, from } = described;
  const conversation = message.conversationId
    ? await ctx.data.upsert<{ id: string }>("conversations", {
        externalId: message.conversationId,
        ...conversationData(described),
      })
    : undefined;
  const row = await ctx.data.upsert<{ id: string }>("messages", {
    externalId: message.id,
    ...messageData(described),
    conversationId: conversation?.id ?? null,
  });
  if (outbound) return;
  const ids = { messageId: row.id, ...(conversation ? { conversationId: conversation.id } : {}) };
  await ctx.emitEvent("comms.MessageReceived", receivedEvent(described, ids), { id: message.id, subject: from });
}
