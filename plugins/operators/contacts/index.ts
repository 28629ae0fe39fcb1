/** Rules about who somebody is. Contacts that are linked are one person: a tag on any of them counts for all. */
import { definePlugin, type PluginContext, type RuleContext } from "@backplane/plugin-api";
import { type Contact, contactMeant, personOf } from "../linked-contacts.ts";

export default definePlugin({
  conditions: {
    "contact.HasTag": {
      async evaluate(params, context, ctx) {
        const { tag } = params as { tag: string };
        const contactId = contactMeant(params, context);
        if (contactId === null) return false;
        return (await personOf(ctx.data, contactId)).some(({ tags }) => (tags ?? []).includes(tag));
      },
    },
    "contact.IsKnown": {
      async evaluate(params, context, ctx) {
        const { address: named } = params as { address?: string | null };
        const contactId = contactMeant(params, context);
        if (contactId !== null && (await ctx.data.getById("contacts", contactId))) return true;
        const from = (context.event?.data as { from?: unknown } | null)?.from;
        const address = named === undefined && params["contactId"] === undefined ? from : named;
        return typeof address === "string" && address !== "" && (await isSomebodys(address, ctx));
      },
    },
  },
  actions: {
    "contact.AddTag": {
      async execute(params, context, ctx) {
        const { tag } = params as { tag: string };
        const [contact] = await person(params, context, ctx);
        const added = await setTags(contact, (tags) => (tags.includes(tag) ? tags : [...tags, tag]), ctx);
        return { contactId: contact.id, added };
      },
    },
    "contact.RemoveTag": {
      async execute(params, context, ctx) {
        const { tag } = params as { tag: string };
        const contacts = await person(params, context, ctx);
        let removed = false;
        for (const contact of contacts) {
          const without = (tags: readonly string[]): readonly string[] =>
            tags.includes(tag) ? tags.filter((other) => other !== tag) : tags;
          removed = (await setTags(contact, without, ctx)) || removed;
        }
        return { contactId: contacts[0].id, removed };
      },
    },
  },
});

/** At least the contact itself. */
async function person(
  params: Record<string, unknown>,
  context: RuleContext,
  ctx: PluginContext,
): Promise<[Contact, ...Contact[]]> {
  const contactId = contactMeant(params, context);
  if (contactId === null) throw new Error("No contact is named, and the event is from none that is known.");
  const [contact, ...linked] = await personOf(ctx.data, contactId);
  if (!contact) throw new Error(`There is no contact '${contactId}'.`);
  return [contact, ...linked];
}

/** Whether anything changed. */
async function setTags(
  { id, tags }: Contact,
  change: (tags: readonly string[]) => readonly string[],
  ctx: PluginContext,
): Promise<boolean> {
  const before = tags ?? [];
  const after = change(before);
  if (after === before) return false;
  await ctx.data.upsert("contacts", { id, tags: after });
  return true;
}

async function isSomebodys(address: string, ctx: PluginContext): Promise<boolean> {
  const filter = address.includes("@")
    ? { $or: [...new Set([address, address.toLowerCase()])].map((spelling) => ({ emails: [{ address: spelling }] })) }
    : { phones: [{ number: address }] };
  return (await ctx.data.query("contacts", filter, { limit: 1 })).length > 0;
}
