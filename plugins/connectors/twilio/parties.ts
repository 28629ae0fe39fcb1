/** Who is behind numbers, which conversation an item belongs to, and what the channel `io.twilio.sms` has stored already. */
import { type Entity, type EntityReference, ref } from "@backplane/plugin-api";
import type { Context } from "./history.ts";

/** The channel that stores what its webhooks tell, under the same ids of Twilio. */
const channelPlugin = "io.twilio.sms";
const ownPlugin = "com.twilio";

/** One call or message as its conversation sees it. */
export interface Contact {
  channel: string;
  own: string;
  address: string;
  /** RFC 3339. */
  at: string;
  inbound: boolean;
}

export interface Party {
  contactId: string | null;
  conversationId: string | EntityReference;
  /** The conversation's row, where it is this plugin's. */
  conversation?: Record<string, unknown>;
  key: string;
}

interface Times {
  lastMessageAt?: string | null;
  lastInboundAt?: string | null;
}

/** Times of conversations in this sync: what it yielded may not be stored yet when the next page is read. */
export type Seen = Map<string, Times>;

const maxSeen = 20_000;
const atOnce = 25;

/** Parties of all items of a page, in their order. */
export async function partiesOf(ctx: Context, contacts: readonly Contact[], seen: Seen): Promise<Party[]> {
  const keys = [...new Set(contacts.map(keyOf))];
  const [people, ofChannel, stored] = await Promise.all([
    peopleByNumber(ctx, [...new Set(contacts.map(({ address }) => address))]),
    conversations(ctx, channelPlugin, keys),
    conversations(ctx, ownPlugin, keys),
  ]);
  return contacts.map((contact) => {
    const key = keyOf(contact);
    const contactId = people.get(contact.address) ?? null;
    const theirs = ofChannel.get(key);
    if (theirs) return { key, contactId, conversationId: theirs.id };
    const known = latest(seen.get(key), stored.get(key));
    const times = latest(known, { lastMessageAt: contact.at, lastInboundAt: contact.inbound ? contact.at : null });
    remember(seen, key, times);
    return {
      key,
      contactId,
      conversationId: ref("conversations", key),
      conversation: {
        channel: contact.channel,
        ownAddress: contact.own,
        participants: [{ address: contact.address, ...(contactId === null ? {} : { contactId }) }],
        ...(contactId === null ? {} : { contactId }),
        ...Object.fromEntries(Object.entries(times).filter(([, time]) => time)),
      },
    };
  });
}

export const conversationEntity = ({ key, conversation }: Party): Entity[] =>
  conversation === undefined ? [] : [{ type: "conversations", externalId: key, data: conversation }];

/** Calls that the channel has stored: they are not stored a second time. */
export async function callsOfChannel(ctx: Context, sids: readonly string[]): Promise<Set<string>> {
  const rows = await ctx.data.query<{ externalId: string }>("calls", storedAs(channelPlugin, sids), { limit: 200 });
  return new Set(rows.map(({ externalId }) => externalId));
}

export async function messagesOfChannel(ctx: Context, sids: readonly string[]): Promise<Set<string>> {
  const rows = await ctx.data.query<{ externalId: string }>("messages", storedAs(channelPlugin, sids), { limit: 200 });
  return new Set(rows.map(({ externalId }) => externalId));
}

/** Voicemails that are stored: whether somebody has listened to them is not said again. */
export async function voicemailsStored(ctx: Context, sids: readonly string[]): Promise<Set<string>> {
  const rows = await ctx.data.query<{ externalId: string }>("voicemails", storedAs(ownPlugin, sids), { limit: 200 });
  return new Set(rows.map(({ externalId }) => externalId));
}

const storedAs = (source: string, sids: readonly string[]): Record<string, unknown> => ({
  source,
  externalId: { $in: sids },
});

async function conversations(
  ctx: Context,
  source: string,
  keys: readonly string[],
): Promise<Map<string, Times & { id: string }>> {
  const rows = await ctx.data.query<Times & { id: string; externalId: string }>(
    "conversations",
    storedAs(source, keys),
    { limit: 200 },
  );
  return new Map(rows.map((row) => [row.externalId, row]));
}

async function peopleByNumber(ctx: Context, numbers: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (let at = 0; at < numbers.length; at += atOnce) {
    const some = numbers.slice(at, at + atOnce);
    const rows = await ctx.data.query<{ id: string; phones?: { number?: string }[] | null }>(
      "contacts",
      { $or: some.map((number) => ({ phones: [{ number }] })) },
      { limit: 200, orderBy: "createdAt" },
    );
    for (const { id, phones } of rows)
      for (const { number } of phones ?? [])
        if (number !== undefined && some.includes(number) && !found.has(number)) found.set(number, id);
  }
  return found;
}

/** As the channel names its conversations. */
const keyOf = ({ channel, own, address }: Contact): string => `${channel}:${own}:${address}`.slice(0, 512);

function latest(a: Times | undefined, b: Times | undefined): Times {
  return {
    lastMessageAt: later(a?.lastMessageAt, b?.lastMessageAt),
    lastInboundAt: later(a?.lastInboundAt, b?.lastInboundAt),
  };
}

const later = (a: string | null | undefined, b: string | null | undefined): string | null =>
  !a ? (b ?? null) : !b ? a : Date.parse(b) > Date.parse(a) ? b : a;

/** What was not touched for long is stored by now. */
function remember(seen: Seen, key: string, times: Times): void {
  seen.delete(key);
  seen.set(key, times);
  if (seen.size > maxSeen) seen.delete(seen.keys().next().value!);
}
