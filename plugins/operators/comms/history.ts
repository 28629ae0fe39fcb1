/**
 * What happened between us and a person. Rows carry the contact where the service knew it, and only a number or address where it
 * did not: the first are found by an index, the others only within a time, so they are asked for apart and only when needed.
 */
import type { PluginContext } from "@backplane/plugin-api";
import { type Contact, emailsOf, phonesOf } from "../linked-contacts.ts";

export type Filter = Record<string, unknown>;

/** A long list of addresses makes a slow filter; nobody has more than a few. */
const mostAddresses = 20;
/** So far back calls count that carry only a number. */
const numbersDays = 366;

const ofContacts = (person: readonly Contact[]): Filter => ({ contactId: { $in: person.map(({ id }) => id) } });

/** How many calls with the person match `filter`; stops counting once there are `enough`. */
export async function countCalls(
  ctx: Pick<PluginContext, "data">,
  person: readonly Contact[],
  { filter, enough }: { filter: Filter; enough: number },
): Promise<number> {
  const known = await ctx.data.count("calls", { ...ofContacts(person), ...filter });
  const numbers = phonesOf(person).slice(0, mostAddresses);
  if (known >= enough || numbers.length === 0) return known;
  const byNumber = await ctx.data.count("calls", {
    startedAt: { $gte: daysAgo(numbersDays) },
    ...filter,
    $or: [{ from: { $in: numbers } }, { to: { $in: numbers } }],
    $not: ofContacts(person),
  });
  return known + byNumber;
}

/** Messages that reached somebody, with the person. */
export async function hasMessages(
  ctx: Pick<PluginContext, "data">,
  person: readonly Contact[],
  since: Filter,
): Promise<boolean> {
  // What never arrived is no contact.
  const arrived: Filter = { ...since, $not: { status: { $in: ["queued", "sending", "failed", "undelivered"] } } };
  if ((await ctx.data.query("messages", { ...ofContacts(person), ...arrived }, { limit: 1 })).length > 0) return true;
  const addresses = [...phonesOf(person), ...emailsOf(person)].slice(0, mostAddresses);
  if (addresses.length === 0) return false;
  const byAddress = [{ from: { $in: addresses } }, ...addresses.map((address) => ({ to: { $contains: address } }))];
  return (await ctx.data.query("messages", { ...arrived, $or: byAddress }, { limit: 1 })).length > 0;
}

/** Conversations whose messages are not stored one by one. */
export async function hasConversations(
  ctx: Pick<PluginContext, "data">,
  person: readonly Contact[],
  since: Filter,
): Promise<boolean> {
  return (await ctx.data.query("conversations", { ...ofContacts(person), ...since }, { limit: 1 })).length > 0;
}

/** Voicemails that nobody has listened to; of the person, or of anybody. */
export async function hasUnheard(
  ctx: Pick<PluginContext, "data">,
  person: readonly Contact[] | undefined,
): Promise<boolean> {
  const numbers = person ? phonesOf(person).slice(0, mostAddresses) : [];
  const whose = person ? { $or: [ofContacts(person), { from: { $in: numbers } }] } : {};
  return (await ctx.data.query("voicemails", { $not: { listened: true }, ...whose }, { limit: 1 })).length > 0;
}

/** RFC 3339 of `days` ago. */
export const daysAgo = (days: number): string => new Date(Date.now() - days * 24 * 60 * 60 * 1000).toISOString();
