/** What the connector does at Graph: https://learn.microsoft.com/graph/api/user-post-events, https://learn.microsoft.com/graph/api/user-post-contacts. */
import type { ActionResult, ConnectorAction } from "@backplane/plugin-api";
import { sendMail } from "./email.ts";
import { addressOf, type Context, change, immutableIds, postJson } from "./graph.ts";

interface EventFields {
  id?: string;
  title?: string;
  startsAt?: string;
  endsAt?: string;
  allDay?: boolean;
  description?: string;
  location?: string;
  attendees?: string[];
}

interface ContactFields {
  id?: string;
  displayName?: string;
  givenName?: string;
  familyName?: string;
  emails?: string[];
  mobilePhone?: string;
  company?: string;
  jobTitle?: string;
  notes?: string;
}

interface MailFields {
  to: string[];
  cc?: string[];
  subject?: string;
  body: string;
  html?: string;
  replyToMessageId?: string;
}

export async function executeAction({ id, type, parameters }: ConnectorAction, ctx: Context): Promise<ActionResult> {
  switch (type) {
    case "sendMail": {
      const receipt = await sendMail(ctx, { id: id ?? ctx.execution.id, ...(parameters as unknown as MailFields) });
      return { success: true, data: receipt };
    }
    case "createEvent":
      // Graph makes one event of a transaction id, however often it is asked.
      return made(ctx, "events", { ...eventBody(parameters), ...(id === undefined ? {} : { transactionId: id }) });
    case "updateEvent":
      return changed(ctx, "events", await idOfEvent(ctx, String(parameters["id"])), eventBody(parameters));
    case "createContact":
      return made(ctx, "contacts", contactBody(parameters));
    case "updateContact":
      return changed(ctx, "contacts", await idOfContact(ctx, String(parameters["id"])), contactBody(parameters));
    default:
      return { success: false, error: `There is no action '${type}'.` };
  }
}

async function made(ctx: Context, collection: string, body: object): Promise<ActionResult> {
  const { id } = await postJson<{ id: string }>(ctx, addressOf(ctx, collection), body, [immutableIds]);
  return { success: true, data: { id } };
}

async function changed(ctx: Context, collection: string, id: string, body: object): Promise<ActionResult> {
  const url = addressOf(ctx, `${collection}/${encodeURIComponent(id)}`);
  const { status } = await change(ctx, { method: "PATCH", url, body, fine: [404] });
  return status === 404
    ? { success: false, error: `Graph has no ${id} in ${collection}.` }
    : { success: true, data: { id } };
}

/** Rows are named by their own id or by Graph's. */
const idOfEvent = async (ctx: Context, id: string): Promise<string> =>
  (await ctx.data.getById<{ externalId: string | null }>("calendar_events", id))?.externalId ?? id;

const idOfContact = async (ctx: Context, id: string): Promise<string> =>
  (await ctx.data.getById<{ externalId: string | null }>("contacts", id))?.externalId ?? id;

function eventBody(fields: EventFields): object {
  const { title, startsAt, endsAt, allDay, description, location, attendees } = fields;
  return said({
    subject: title,
    start: startsAt && utc(startsAt),
    end: endsAt && utc(endsAt),
    isAllDay: allDay,
    body: description === undefined ? undefined : { contentType: "text", content: description },
    location: location === undefined ? undefined : { displayName: location },
    attendees: attendees?.map((address) => ({ emailAddress: { address }, type: "required" })),
  });
}

function contactBody(fields: ContactFields): object {
  const { displayName, givenName, familyName, emails, mobilePhone, company, jobTitle, notes } = fields;
  return said({
    displayName,
    givenName,
    surname: familyName,
    emailAddresses: emails?.map((address) => ({ address })),
    mobilePhone,
    companyName: company,
    jobTitle,
    personalNotes: notes,
  });
}

const utc = (time: string): object => ({ dateTime: new Date(time).toISOString().slice(0, 19), timeZone: "UTC" });

const said = (fields: Record<string, unknown>): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
