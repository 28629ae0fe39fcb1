/** Rows of the unified model for what came in, found again by Twilio's ids: a repeated item changes nothing. */
import type { PluginContext } from "@backplane/plugin-api";

type Data = PluginContext["data"];

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

/** The conversation with a number, as a row to store. */
export function conversationRow(
  { channel, own, address, at, inbound }: Conversation,
  contactId: string | null,
): { externalId: string; data: Record<string, unknown> } {
  return {
    externalId: conversationKey({ channel, own, address }),
    data: {
      channel,
      ownAddress: own,
      contactId,
      participants: [{ address, contactId }],
      lastMessageAt: at,
      ...(inbound ? { lastInboundAt: at } : {}),
    },
  };
}

export const conversationKey = ({ channel, own, address }: Pick<Conversation, "channel" | "own" | "address">): string =>
  `${channel}:${own}:${address}`;
