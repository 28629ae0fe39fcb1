/** What happened between us and a person: filters over calls, messages and voicemails, by contact and by the person's addresses. */
import { type Contact, emailsOf, phonesOf } from "../linked-contacts.ts";

export type Filter = Record<string, unknown>;

/** A long list of addresses makes a slow filter; nobody has more than a few. */
const mostAddresses = 20;

const idsOf = (person: readonly Contact[]): string[] => person.map(({ id }) => id);

/** Rows that a service stored before it knew the contact carry only a number. */
export function callsWith(person: readonly Contact[]): Filter {
  const numbers = phonesOf(person).slice(0, mostAddresses);
  const byContact = { contactId: { $in: idsOf(person) } };
  if (numbers.length === 0) return byContact;
  return { $or: [byContact, { from: { $in: numbers } }, { to: { $in: numbers } }] };
}

export function voicemailsOf(person: readonly Contact[]): Filter {
  const numbers = phonesOf(person).slice(0, mostAddresses);
  const byContact = { contactId: { $in: idsOf(person) } };
  return numbers.length === 0 ? byContact : { $or: [byContact, { from: { $in: numbers } }] };
}

export function messagesWith(person: readonly Contact[]): Filter {
  const addresses = [...phonesOf(person), ...emailsOf(person)].slice(0, mostAddresses);
  const byContact = { contactId: { $in: idsOf(person) } };
  if (addresses.length === 0) return byContact;
  return {
    $or: [byContact, { from: { $in: addresses } }, ...addresses.map((address) => ({ to: { $contains: address } }))],
  };
}

export const conversationsWith = (person: readonly Contact[]): Filter => ({ contactId: { $in: idsOf(person) } });

/** RFC 3339 of `days` ago. */
export const daysAgo = (days: number): string => new Date(Date.now() - days * 24 * 60 * 60 * 1000).toISOString();
