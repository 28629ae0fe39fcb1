/** Messages: https://www.twilio.com/docs/messaging/api/message-resource, and their pictures: https://www.twilio.com/docs/messaging/api/media-resource. */
import type { Entity, RawItem } from "@backplane/plugin-api";
import { iso } from "./calls.ts";
import { accountPath, type Context, get, type History } from "./history.ts";
import { conversationEntity, messagesOfChannel, type Party, partiesOf, type Seen } from "./parties.ts";

export interface TwilioMessage {
  sid: string;
  body?: string | null;
  direction?: string | null;
  from?: string | null;
  to?: string | null;
  status?: string | null;
  error_code?: number | null;
  error_message?: string | null;
  messaging_service_sid?: string | null;
  num_media?: string | null;
  date_sent?: string | null;
  date_created?: string | null;
  date_updated?: string | null;
}

interface MessageData {
  message: TwilioMessage;
  channel: string;
  inbound: boolean;
  party: Party;
  media: { url: string; contentType: string | null }[];
}

/** Twilio's states in the words of the unified model. */
const states: Record<string, string> = {
  accepted: "queued",
  scheduled: "queued",
  queued: "queued",
  sending: "sending",
  sent: "sent",
  delivered: "delivered",
  partially_delivered: "delivered",
  read: "read",
  undelivered: "undelivered",
  failed: "failed",
  canceled: "failed",
  receiving: "received",
  received: "received",
};

export function messageHistory(ctx: Context, seen: Seen): History<TwilioMessage> {
  return {
    type: "message",
    resource: "Messages",
    rows: "messages",
    time: "DateSent",
    async items(rows) {
      const stored = await messagesOfChannel(
        ctx,
        rows.map(({ sid }) => sid),
      );
      const messages = rows.filter(({ sid }) => !stored.has(sid));
      const parties = await partiesOf(ctx, messages.map(asContact), seen);
      const items: RawItem[] = [];
      for (const [at, message] of messages.entries()) {
        const { channel, inbound } = asContact(message);
        const data: MessageData = {
          message,
          channel,
          inbound,
          party: parties[at]!,
          media: await mediaOf(ctx, message),
        };
        items.push({ id: message.sid, type: "message", data, updatedAt: iso(message.date_updated) ?? sentAt(message) });
      }
      return items;
    },
  };
}

function asContact(message: TwilioMessage) {
  const inbound = message.direction === "inbound";
  const ours = (inbound ? message.to : message.from) ?? message.messaging_service_sid ?? "";
  const theirs = (inbound ? message.from : message.to) ?? "";
  return {
    // `whatsapp:+1555…` and the like; numbers alone are text messages.
    channel: /^([a-z]+):/.exec(theirs)?.[1] ?? "sms",
    own: bare(ours),
    address: bare(theirs),
    at: sentAt(message),
    inbound,
  };
}

const bare = (address: string): string => address.replace(/^[a-z]+:/, "");

async function mediaOf(ctx: Context, { sid, num_media }: TwilioMessage): Promise<MessageData["media"]> {
  if (!Number(num_media)) return [];
  const { media_list = [] } = await get<{ media_list?: { uri?: string | null; content_type?: string | null }[] }>(
    ctx,
    `${accountPath(ctx)}/Messages/${sid}/Media.json`,
  );
  return media_list.flatMap(({ uri, content_type }) =>
    uri ? [{ url: `https://api.twilio.com${uri.replace(/\.json$/, "")}`, contentType: content_type ?? null }] : [],
  );
}

export function messageEntities({ data }: RawItem): Entity[] {
  const { message, channel, inbound, party, media } = data as MessageData;
  const { contactId } = party;
  const status = states[message.status ?? ""];
  return [
    ...conversationEntity(party),
    {
      type: "messages",
      externalId: message.sid,
      data: {
        provider: "twilio",
        channel,
        direction: inbound ? "inbound" : "outbound",
        from: bare(message.from ?? message.messaging_service_sid ?? ""),
        to: [bare(message.to ?? "")],
        conversationId: party.conversationId,
        contactId,
        fromContactId: inbound ? contactId : null,
        body: message.body ?? "",
        media,
        sentAt: sentAt(message),
        ...(status === undefined ? {} : { status }),
        providerStatus: message.status ?? null,
        errorCode: message.error_code ? String(message.error_code) : null,
        error: message.error_message ?? null,
      },
    },
  ];
}

const sentAt = (message: TwilioMessage): string =>
  iso(message.date_sent) ?? iso(message.date_created) ?? new Date(0).toISOString();
