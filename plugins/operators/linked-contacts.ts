/** One person, as several services know them: linked contacts are asked together. Shared by the operator plugins beside this file. */
import type { PluginContext, RuleContext } from "@backplane/plugin-api";

export interface Contact {
  id: string;
  displayName?: string | null;
  phones?: { number?: string | null }[] | null;
  emails?: { address?: string | null; primary?: boolean | null }[] | null;
  tags?: string[] | null;
  /** The other contacts that are the same person. */
  linkedIds?: string[];
}

type Data = PluginContext["data"];

/** The contact and those linked with it, itself first. Empty when there is none. */
export async function personOf(data: Data, contactId: string): Promise<Contact[]> {
  const contact = await data.getById<Contact>("contacts", contactId);
  if (!contact) return [];
  const linked = (contact.linkedIds ?? []).filter((id) => id !== contact.id);
  if (linked.length === 0) return [contact];
  const others = await data.query<Contact>("contacts", { id: { $in: linked } }, { limit: 50 });
  return [contact, ...others];
}

export const phonesOf = (person: readonly Contact[]): string[] => [
  ...new Set(person.flatMap(({ phones }) => (phones ?? []).flatMap(({ number }) => (number ? [number] : [])))),
];

/** Those marked as primary first. */
export const emailsOf = (person: readonly Contact[]): string[] => {
  const all = person.flatMap(({ emails }) => emails ?? []).filter(({ address }) => address);
  const sorted = [...all.filter(({ primary }) => primary), ...all.filter(({ primary }) => !primary)];
  return [...new Set(sorted.map(({ address }) => address!))];
};

/**
 * The contact a parameter means: the one it names, or, where it is left out, the one the event is from. Null for nobody: an
 * event of an unknown caller names no contact, and that is not the same as asking about everybody.
 */
export function contactMeant(params: Record<string, unknown>, context: RuleContext): string | null {
  const named = params["contactId"];
  const from = named === undefined ? (context.event?.data as { fromContactId?: unknown } | null)?.fromContactId : named;
  return typeof from === "string" && from !== "" ? from : null;
}
