/** Rows of the unified model for what came in, found again by Twilio's ids: a repeated item changes nothing. */
import type { PluginContext } from "@backplane/plugin-api";

type Data = PluginContext["data"];

export interface Party {
  conversationId: string;
  contactId: string | null;
}

export interface Conversation {
  channel: "sms" | "voice";
  /** Our number. */
  own: string;
  /** The other's number. */
  address: string;
  /** RFC 3339. */
  at: string;
  inbound: boolean;
}

/** The contact with this number, when there is exactly one or several that are the same person. */
export async function contactOf(data: Data, number: string): Promise<string | null> {
  const [contact] = await data.query<{ id: string }>("contacts", { phones: [{ number }] }, { limit: 1 });
  return contact?.id ?? null;
}

export async function conversationOf(data: Data, { channel, own, address, at, inbound }: Conversation): Promise<Party> {
  const contactId = await contactOf(data, address);
  const conversation = await data.upsert<{ id: string }>("conversations", {
    externalId: `${channel}:${own}:${address}`,
    channel,
    ownAddress: own,
    contactId,
    participants: [{ address, contactId }],
    lastMessageAt: at,
    ...(inbound ? { lastInboundAt: at } : {}),
  });
  return { conversationId: conversation.id, contactId };
}
