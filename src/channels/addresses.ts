/** From a contact to its address on a channel, and back. Rows of the data model come from services: nothing about their shape is taken for granted. */
import type { OrganizationId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import type { Entities } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import { shortText } from "./receipt.ts";

const maxAddress = 320;
/** Channel types that reach a telephone. */
const telephone: ReadonlySet<string> = new Set(["sms", "mms", "rcs", "whatsapp", "voice", "video", "fax", "signal"]);

/** What kind of address a channel's type takes; a type we do not know has a kind of its own. */
export function addressKind(channel: string): string {
  return channel === "email" || !telephone.has(channel) ? channel : "telephone";
}

/** Errors: `not_found` (no such contact), `no_address`. */
export async function addressOfContact(
  entities: Pick<Entities, "getById">,
  { organization, contact, channel }: { organization: OrganizationId; contact: string; channel: string },
): Promise<string> {
  const row = await entities.getById(organization, "contacts", contact);
  if (!row) throw new BackplaneError("not_found", { thing: "contact" });
  const kind = addressKind(channel);
  const address =
    kind === "email"
      ? preferred(row["emails"], "address")
      : kind === "telephone"
        ? preferred(row["phones"], "number")
        : undefined;
  if (address === undefined) throw new BackplaneError("no_address", { channel });
  return address;
}

/** The contact that has this address, if any; the latest of several. */
export async function contactOfAddress(
  entities: Pick<Entities, "query">,
  { organization, address, channel }: { organization: OrganizationId; address: string; channel: string },
): Promise<string | undefined> {
  const spellings = channel === "email" ? [...new Set([address, address.toLowerCase()])] : [address];
  for (const spelling of spellings) {
    const filter = channel === "email" ? { emails: [{ address: spelling }] } : { phones: [{ number: spelling }] };
    const [contact] = await entities.query(organization, "contacts", filter, { limit: 1 });
    if (contact) return contact.id;
  }
  return undefined;
}

function preferred(list: unknown, field: string): string | undefined {
  if (!Array.isArray(list)) return undefined;
  const usable = list.filter(
    (entry): entry is Record<string, unknown> => isObject(entry) && shortText(entry[field], maxAddress) !== undefined,
  );
  const best = usable.find((entry) => entry["primary"] === true) ?? usable[0];
  return best === undefined ? undefined : (best[field] as string);
}
