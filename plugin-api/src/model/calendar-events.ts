/** `calendar_events` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const calendarEventsSchema = {
  title: "CalendarEvent",
  description: "An entry of a calendar.",
  type: "object",
  properties: {
    title: { type: "string", description: "The subject." },
    description: { type: "string", description: "The text." },
    startsAt: { type: "string", format: "date-time", description: "When it begins." },
    endsAt: { type: "string", format: "date-time", description: "When it ends." },
    allDay: { type: "boolean", description: "Whole days, from midnight to midnight in its time zone." },
    timeZone: { type: "string", description: "IANA name, such as `Europe/Berlin`." },
    location: { type: "string", description: "Where, in words." },
    placeId: { type: "string", description: "Id of the place, where it is a known one." },
    organizer: {
      type: "object",
      description: "Who called it.",
      properties: {
        name: { type: "string", description: "Their name." },
        address: { type: "string", description: "Their address." },
      },
    },
    attendees: {
      type: "array",
      description: "Who takes part.",
      items: {
        type: "object",
        properties: {
          name: { type: "string", description: "Their name." },
          address: { type: "string", description: "Their address." },
          status: { type: "string", description: "Such as `accepted`." },
          contactId: { type: "string", description: "Id of the contact." },
        },
      },
    },
    status: { enum: ["confirmed", "tentative", "cancelled"], description: "How sure it is." },
    recurrence: { type: "array", description: "Rules of RFC 5545, one a line.", items: { type: "string" } },
    seriesId: { type: "string", description: "The same for all entries of one series." },
    url: { type: "string", description: "Where to open it." },
    calendarId: { type: "string", description: "The calendar, as its source calls it." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type CalendarEventData = FromSchema<typeof calendarEventsSchema>;
