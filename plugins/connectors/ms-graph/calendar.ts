/**
 * Events of a window of the calendar (https://learn.microsoft.com/graph/api/event-delta, calendarView). A round keeps the
 * window it was started with, so a new one is started before the window's end comes near.
 */
import type { Entity, EntityReference, RawItem } from "@backplane/plugin-api";
import { contactsByAddress, type Met, tagsOf } from "./contacts.ts";
import { type Collection, type Cursor, type Removable, storedIds } from "./delta.ts";
import { addressOf, type Context, getJson, immutableIds } from "./graph.ts";

interface Recipient {
  emailAddress?: { address?: string | null; name?: string | null } | null;
}

interface DateTime {
  dateTime?: string;
  timeZone?: string | null;
}

export interface GraphEvent extends Removable {
  type?: string | null;
  seriesMasterId?: string | null;
  subject?: string | null;
  bodyPreview?: string | null;
  body?: { contentType?: string | null; content?: string | null } | null;
  start?: DateTime | null;
  end?: DateTime | null;
  isAllDay?: boolean | null;
  isCancelled?: boolean | null;
  showAs?: string | null;
  originalStartTimeZone?: string | null;
  location?: { displayName?: string | null } | null;
  organizer?: Recipient | null;
  attendees?: (Recipient & { status?: { response?: string | null } | null })[];
  categories?: string[];
  webLink?: string | null;
  lastModifiedDateTime?: string | null;
}

interface EventData {
  event: GraphEvent;
  /** Ids of contacts by mail address. */
  contacts: Record<string, string | EntityReference>;
}

const day = 86_400_000;
/** A window is moved after so many days; its future part is longer than that. */
const windowDays = 7;

const inUtc = 'outlook.timezone="UTC"';
const asText = 'outlook.body-content-type="text"';

export function calendarChanges(ctx: Context, met: Met): Collection<GraphEvent> {
  /** Masters of series: their occurrences come with little more than times. */
  const masters = new Map<string, GraphEvent>();
  return {
    type: "event",
    prefer: [immutableIds, inUtc, asText],
    pageSizes: [100, 10, 1],
    async begin() {
      const { pastDays, futureDays } = ctx.config;
      const at = (days: number): string => new Date(Date.now() + days * day).toISOString();
      return addressOf(ctx, `calendarView/delta?startDateTime=${at(-pastDays)}&endDateTime=${at(futureDays)}`);
    },
    isWhole: ({ start, end }) => start !== undefined && end !== undefined,
    address: (id) => addressOf(ctx, `events/${encodeURIComponent(id)}`),
    async items(rows) {
      for (const row of rows) if (row.type === "seriesMaster") keepMaster(masters, row);
      const events: GraphEvent[] = [];
      // One after the other, so that a series is asked for once.
      for (const row of rows) if (row.type !== "seriesMaster") events.push(await withMaster(ctx, row, masters));
      const contacts = Object.fromEntries(
        await contactsByAddress(
          ctx,
          events.flatMap(({ attendees }) => (attendees ?? []).map(({ emailAddress }) => emailAddress?.address ?? "")),
          met,
        ),
      );
      return events.map((event): RawItem => {
        const data: EventData = { event, contacts };
        return {
          id: event.id,
          type: "event",
          data,
          ...(event["@removed"] ? { deleted: true } : {}),
          ...(event.lastModifiedDateTime ? { updatedAt: event.lastModifiedDateTime } : {}),
        };
      });
    },
    stored: () =>
      storedIds((cursor) =>
        ctx.data.page<{ externalId: string | null }>(
          "calendar_events",
          {
            source: "com.microsoft.graph",
            startsAt: { $gte: new Date(Date.now() - ctx.config.pastDays * day).toISOString() },
          },
          { cursor, limit: 200, orderBy: "createdAt" },
        ),
      ),
  };
}

/** Whether the round's window has to be moved. */
export const isWindowOld = ({ started }: Cursor): boolean => Date.now() - Date.parse(started) > windowDays * day;

/** Most masters kept at once: a calendar has far fewer series. */
const maxMasters = 2000;

function keepMaster(masters: Map<string, GraphEvent>, master: GraphEvent): void {
  if (masters.size >= maxMasters) masters.clear();
  masters.set(master.id, master);
}

/** What an occurrence does not say itself, its series says. */
async function withMaster(ctx: Context, event: GraphEvent, masters: Map<string, GraphEvent>): Promise<GraphEvent> {
  const { seriesMasterId } = event;
  if (event["@removed"] || !seriesMasterId || event.subject !== undefined) return event;
  let master = masters.get(seriesMasterId);
  if (!master) {
    master = await getJson<GraphEvent>(ctx, addressOf(ctx, `events/${encodeURIComponent(seriesMasterId)}`), [
      immutableIds,
      inUtc,
      asText,
    ]);
    keepMaster(masters, master);
  }
  const { id: _id, start: _start, end: _end, type: _type, ...shared } = master;
  return { ...shared, ...event };
}

export function eventEntities({ id, data, deleted }: RawItem): Entity[] {
  if (deleted) return [{ type: "calendar_events", externalId: id, data: {}, deleted: true }];
  const { event, contacts } = data as EventData;
  const startsAt = utc(event.start);
  const endsAt = utc(event.end);
  if (startsAt === undefined || endsAt === undefined) return [];
  return [
    {
      type: "calendar_events",
      externalId: id,
      data: {
        title: event.subject ?? null,
        description:
          (event.body?.contentType?.toLowerCase() === "text" ? event.body.content : event.bodyPreview)?.slice(
            0,
            maxText,
          ) ?? null,
        startsAt,
        endsAt,
        allDay: event.isAllDay === true,
        // Windows has names of its own for zones; the data model takes IANA's.
        timeZone: event.originalStartTimeZone?.match(/^(UTC|\w+\/[\w/+-]+)$/)?.[0] ?? null,
        location: event.location?.displayName || null,
        organizer: person(event.organizer) ?? null,
        attendees: (event.attendees ?? []).flatMap((attendee) => {
          const one = person(attendee);
          if (!one) return [];
          const contactId = contacts[one.address?.toLowerCase() ?? ""];
          return [
            {
              ...one,
              ...(attendee.status?.response ? { status: attendee.status.response } : {}),
              ...(contactId === undefined ? {} : { contactId }),
            },
          ];
        }),
        status: event.isCancelled ? "cancelled" : event.showAs === "tentative" ? "tentative" : "confirmed",
        seriesId: event.seriesMasterId ?? null,
        url: event.webLink ?? null,
        tags: tagsOf(event.categories),
      },
    },
  ];
}

/** What of a text is kept: a row's event must hold it. */
const maxText = 65_536;

function person(recipient: Recipient | null | undefined): { name?: string; address?: string } | undefined {
  const { name, address } = recipient?.emailAddress ?? {};
  if (!address && !name) return undefined;
  return { ...(name ? { name } : {}), ...(address ? { address: address.toLowerCase() } : {}) };
}

/** Times come in UTC because we ask for that; in another zone their text would mean another time. */
function utc(time: DateTime | null | undefined): string | undefined {
  if (!time?.dateTime || (time.timeZone ?? "UTC").toUpperCase() !== "UTC") return undefined;
  const parsed = Date.parse(`${time.dateTime.slice(0, 23).replace(/Z$/, "")}Z`);
  return Number.isNaN(parsed) ? undefined : new Date(parsed).toISOString();
}
