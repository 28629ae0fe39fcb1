/** Contacts of one folder (https://learn.microsoft.com/graph/api/contact-delta), and who is behind an address. */
import { type Entity, type EntityReference, type RawItem, ref } from "@backplane/plugin-api";
import { type Collection, type Removable, storedIds } from "./delta.ts";
import { addressOf, type Context, getJson, immutableIds, type Page } from "./graph.ts";

interface PhysicalAddress {
  street?: string | null;
  city?: string | null;
  state?: string | null;
  postalCode?: string | null;
  countryOrRegion?: string | null;
}

export interface GraphContact extends Removable {
  displayName?: string | null;
  givenName?: string | null;
  surname?: string | null;
  nickName?: string | null;
  emailAddresses?: { address?: string | null; name?: string | null }[];
  mobilePhone?: string | null;
  businessPhones?: string[];
  homePhones?: string[];
  companyName?: string | null;
  jobTitle?: string | null;
  birthday?: string | null;
  homeAddress?: PhysicalAddress | null;
  businessAddress?: PhysicalAddress | null;
  otherAddress?: PhysicalAddress | null;
  personalNotes?: string | null;
  categories?: string[];
  lastModifiedDateTime?: string | null;
}

const fields = [
  ...[
    "displayName",
    "givenName",
    "surname",
    "nickName",
    "emailAddresses",
    "mobilePhone",
    "businessPhones",
    "homePhones",
  ],
  ...["companyName", "jobTitle", "birthday", "homeAddress", "businessAddress", "otherAddress", "personalNotes"],
  ...["categories", "lastModifiedDateTime"],
].join(",");

export function contactChanges(ctx: Context, met: Met): Collection<GraphContact> {
  return {
    type: "contact",
    prefer: [immutableIds],
    pageSizes: [200, 20, 1],
    async begin() {
      const folder = ctx.config.contactFolder ?? (await defaultFolder(ctx));
      return folder === undefined
        ? undefined
        : addressOf(ctx, `contactFolders/${encodeURIComponent(folder)}/contacts/delta?$select=${fields}`);
    },
    isWhole: ({ emailAddresses, businessPhones, displayName }) =>
      emailAddresses !== undefined && businessPhones !== undefined && displayName !== undefined,
    address: (id) => addressOf(ctx, `contacts/${encodeURIComponent(id)}?$select=${fields}`),
    async items(rows) {
      for (const { id, emailAddresses } of rows)
        for (const { address } of emailAddresses ?? [])
          if (address && met.size < maxMet) met.set(address.trim().toLowerCase(), id);
      return rows.map(contactItem);
    },
    stored: () =>
      storedIds((cursor) =>
        ctx.data.page<{ externalId: string | null }>(
          "contacts",
          { source: "com.microsoft.graph" },
          { cursor, limit: 200, orderBy: "createdAt" },
        ),
      ),
  };
}

/** The folder that new contacts are in. Delta is documented for folders only, and the default one has no name of its own. */
async function defaultFolder(ctx: Context): Promise<string | undefined> {
  const { value } = await getJson<Page<{ parentFolderId?: string | null }>>(
    ctx,
    addressOf(ctx, "contacts?$top=1&$select=parentFolderId"),
  );
  return value[0]?.parentFolderId ?? undefined;
}

function contactItem(row: GraphContact): RawItem {
  return {
    id: row.id,
    type: "contact",
    data: row,
    ...(row["@removed"] ? { deleted: true } : {}),
    ...(row.lastModifiedDateTime ? { updatedAt: row.lastModifiedDateTime } : {}),
  };
}

/** Every field is said, so that what was taken away at Graph goes here too. */
export function contactEntities({ id, data, deleted }: RawItem, countryCode: string | undefined): Entity[] {
  if (deleted) return [{ type: "contacts", externalId: id, data: {}, deleted: true }];
  const contact = data as GraphContact;
  const phones = [
    ...[contact.mobilePhone].map((number) => ({ number, label: "mobile" })),
    ...(contact.businessPhones ?? []).map((number) => ({ number, label: "work" })),
    ...(contact.homePhones ?? []).map((number) => ({ number, label: "home" })),
  ].flatMap(({ number, label }) => (number ? [{ number: phoneNumber(number, countryCode), label }] : []));
  const emails = (contact.emailAddresses ?? []).flatMap(({ address }) =>
    address ? [address.trim().toLowerCase()] : [],
  );
  return [
    {
      type: "contacts",
      externalId: id,
      data: {
        displayName: contact.displayName ?? null,
        givenName: contact.givenName ?? null,
        familyName: contact.surname ?? null,
        nickname: contact.nickName ?? null,
        emails: [...new Set(emails)].map((address, at) => ({ address, ...(at === 0 ? { primary: true } : {}) })),
        phones,
        company: contact.companyName ?? null,
        jobTitle: contact.jobTitle ?? null,
        birthday: contact.birthday?.slice(0, 10) ?? null,
        addresses: [
          ...address("home", contact.homeAddress),
          ...address("work", contact.businessAddress),
          ...address("other", contact.otherAddress),
        ],
        notes: contact.personalNotes ?? null,
        tags: tagsOf(contact.categories),
      },
    },
  ];
}

function address(label: string, given: PhysicalAddress | null | undefined): object[] {
  const known = {
    street: given?.street,
    city: given?.city,
    region: given?.state,
    postalCode: given?.postalCode,
    country: given?.countryOrRegion,
  };
  const said = Object.entries(known).filter(([, value]) => value);
  return said.length === 0 ? [] : [{ ...Object.fromEntries(said), label }];
}

/** Outlook keeps numbers as people write them. E.164 where that can be told; else as written. */
export function phoneNumber(text: string, countryCode: string | undefined): string {
  const digits = text
    .replace(/\(0\)/, "")
    .replace(/[^\d+]/g, "")
    .replace(/^00/, "+");
  if (/^\+[1-9]\d{6,14}$/.test(digits)) return digits;
  if (countryCode === undefined || digits.startsWith("+")) return text.trim();
  const national = `+${countryCode}${digits.replace(/^0+/, "")}`;
  return /^\+[1-9]\d{6,14}$/.test(national) ? national : text.trim();
}

/** Outlook's categories as tags, within what the data model takes. */
export const tagsOf = (categories: string[] | undefined): string[] =>
  [...new Set(categories ?? [])].filter((tag) => tag !== "" && tag.length <= 200).slice(0, 200);

/** Contacts of this sync by mail address: they may not be stored yet when their mail comes. */
export type Met = Map<string, string>;

/** Most addresses that are remembered during a sync. */
const maxMet = 50_000;

/** Ids of the contacts that have these mail addresses, whoever brought them; of those of this sync, references. */
export async function contactsByAddress(
  ctx: Context,
  addresses: Iterable<string>,
  met: Met = new Map(),
): Promise<Map<string, string | EntityReference>> {
  const wanted = [...new Set([...addresses].filter((text) => text !== "").map((text) => text.toLowerCase()))];
  const found = new Map<string, string | EntityReference>();
  for (let at = 0; at < wanted.length; at += lookedUpAtOnce) {
    const some = wanted.slice(at, at + lookedUpAtOnce);
    const rows = await ctx.data.query<{ id: string; emails?: { address?: string }[] | null }>(
      "contacts",
      { $or: some.map((one) => ({ emails: [{ address: one }] })) },
      { limit: 200, orderBy: "createdAt" },
    );
    for (const { id, emails } of rows)
      for (const { address: one } of emails ?? []) {
        const key = one?.toLowerCase();
        if (key !== undefined && some.includes(key) && !found.has(key)) found.set(key, id);
      }
  }
  for (const one of wanted) {
    const id = met.get(one);
    if (id !== undefined && !found.has(one)) found.set(one, ref("contacts", id));
  }
  return found;
}

const lookedUpAtOnce = 25;
