/** Rules about communication: how often and how lately people and we spoke, and what to send or remember. */
import { definePlugin, type PluginContext, type RuleContext } from "@backplane/plugin-api";
import { type Contact, contactMeant, emailsOf, personOf, phonesOf } from "../linked-contacts.ts";
import { countCalls, daysAgo, hasConversations, hasMessages, hasUnheard } from "./history.ts";

interface Config {
  smsPlugin?: string;
  emailPlugin?: string;
}

type Context = PluginContext<Config>;

interface Task {
  id: string;
  title?: string | null;
  notes?: string | null;
  contactId?: string | null;
  dueAt?: string | null;
}

const mostFollowUps = 200;

export default definePlugin<Config>({
  conditions: {
    "comms.callCount": {
      async evaluate(params, context, ctx) {
        const {
          direction,
          windowDays,
          count = 0,
        } = params as { direction: string; windowDays: number; count?: number };
        const person = await personMeant(params, context, ctx);
        if (!person) return false;
        const filter = {
          startedAt: { $gte: daysAgo(windowDays) },
          ...(direction === "any" ? {} : { direction }),
        };
        return (await countCalls(ctx, person, { filter, enough: count + 1 })) > count;
      },
    },
    "comms.lastContact": {
      async evaluate(params, context, ctx) {
        const { channelType, withinDays } = params as { channelType: string; withinDays: number };
        const person = await personMeant(params, context, ctx);
        if (!person) return false;
        const since = { $gte: daysAgo(withinDays) };
        if (channelType === "voice" || channelType === "any") {
          const called = (await countCalls(ctx, person, { filter: { startedAt: since }, enough: 1 })) > 0;
          if (called || channelType === "voice") return called;
        }
        const channel = channelType === "any" ? {} : { channel: channelType };
        return (
          (await hasMessages(ctx, person, { sentAt: since, ...channel })) ||
          hasConversations(ctx, person, { lastMessageAt: since, ...channel })
        );
      },
    },
    "comms.hasVoicemail": {
      async evaluate(params, context, ctx) {
        if (params["contactId"] === undefined) return hasUnheard(ctx, undefined);
        const person = await personMeant(params, context, ctx);
        return person !== undefined && hasUnheard(ctx, person);
      },
    },
    "comms.missedCalls": {
      async evaluate(params, context, ctx) {
        const { count } = params as { count: number };
        const filter = { missed: true };
        if (params["contactId"] === undefined) return (await ctx.data.count("calls", filter)) >= count;
        const person = await personMeant(params, context, ctx);
        return person !== undefined && (await countCalls(ctx, person, { filter, enough: count })) >= count;
      },
    },
  },
  actions: {
    "comms.sendSms": {
      async execute(params, context, ctx) {
        const { to, body } = params as { to: string; body: string };
        const { address, contactId } = await receiver(to, isNumber, phonesOf, { what: "phone number", ctx });
        const { smsPlugin: plugin } = ctx.config;
        return request({ channel: "sms", plugin, to: address, contactId, body }, context, ctx);
      },
    },
    "comms.sendEmail": {
      async execute(params, context, ctx) {
        const { to, subject, body, replyToMessageId } = params as {
          to: string;
          subject: string;
          body: string;
          replyToMessageId?: string;
        };
        const { address, contactId } = await receiver(to, isEmail, emailsOf, { what: "email address", ctx });
        const { emailPlugin: plugin } = ctx.config;
        return request(
          { channel: "email", plugin, to: address, contactId, subject, body, replyToMessageId },
          context,
          ctx,
        );
      },
    },
    "comms.createFollowUp": {
      async execute(params, context, ctx) {
        const { contactId, dueAt, note } = params as { contactId: string; dueAt: string; note?: string };
        const due = new Date(dueAt);
        if (Number.isNaN(due.getTime())) throw new Error(`\`dueAt\` is no time: '${dueAt}'. Write RFC 3339.`);
        const contact = await ctx.data.getById<Contact>("contacts", contactId);
        if (!contact) throw new Error(`There is no contact '${contactId}'.`);
        const externalId = keyOf(context, ctx);
        // Made before, and perhaps done since: a second try must not open it again.
        const [made] = await ctx.data.query<Task>(
          "tasks",
          { source: "io.madeopen.comms-rules", externalId },
          { limit: 1 },
        );
        const { id } =
          made ??
          (await ctx.data.upsert<Task>("tasks", {
            externalId,
            kind: "follow_up",
            status: "open",
            title: `Follow up with ${contact.displayName ?? phonesOf([contact])[0] ?? "a contact"}`,
            contactId,
            dueAt: due.toISOString(),
            ...(note === undefined ? {} : { notes: note }),
          }));
        return { taskId: id };
      },
    },
  },
  variables: {
    followUp: {
      async list(_context, ctx) {
        const tasks = await ctx.data.query<Task>(
          "tasks",
          { kind: "follow_up", status: "open", contactId: { $exists: true } },
          { limit: mostFollowUps, orderBy: "dueAt" },
        );
        return tasks.flatMap(({ id, contactId, title = null, notes = null, dueAt = null }) =>
          contactId ? [{ taskId: id, contactId, title, note: notes, dueAt }] : [],
        );
      },
    },
  },
});

/** Undefined for nobody. A contact that is not there any more may still have calls under its id. */
async function personMeant(
  params: Record<string, unknown>,
  context: RuleContext,
  ctx: Context,
): Promise<readonly Contact[] | undefined> {
  const contactId = contactMeant(params, context);
  if (contactId === null) return undefined;
  const person = await personOf(ctx.data, contactId);
  return person.length > 0 ? person : [{ id: contactId }];
}

const isNumber = (to: string): boolean => /^\+[1-9]\d{5,14}$/.test(to);
const isEmail = (to: string): boolean => /^[^\s@]+@[^\s@]+$/.test(to);

/** An address as it is, or the contact's. */
async function receiver(
  to: string,
  isAddress: (to: string) => boolean,
  addressesOf: (person: readonly Contact[]) => string[],
  { what, ctx }: { what: string; ctx: Context },
): Promise<{ address: string; contactId?: string }> {
  if (isAddress(to)) return { address: to };
  if (to === "") throw new Error("`to` is empty: the event names no contact, or the template found nothing.");
  const person = await personOf(ctx.data, to);
  if (person.length === 0)
    throw new Error(`\`to\` is neither a ${what} nor the id of a contact: '${to.slice(0, 100)}'.`);
  const [address] = addressesOf(person);
  if (address === undefined) throw new Error(`Contact '${person[0]!.displayName ?? to}' has no ${what}.`);
  return { address, contactId: person[0]!.id };
}

/** The hub sends what `comms.MessageRequested` asks for, once per event id. */
async function request(
  data: Record<string, unknown>,
  context: RuleContext,
  ctx: Context,
): Promise<{ requestId: string }> {
  const { id } = await ctx.emitEvent("comms.MessageRequested", data, {
    id: keyOf(context, ctx),
    subject: String(data["to"]),
  });
  return { requestId: id };
}

/** The same when the action is tried again. */
const keyOf = ({ run }: RuleContext, ctx: Context): string => run?.idempotencyKey ?? ctx.execution.id;
