/** `contacts` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const contactsSchema = {
  title: "Contact",
  description: "A person or an organisation that messages, calls and events are with.",
  type: "object",
  properties: {
    displayName: { type: "string", description: "The name to show." },
    givenName: { type: "string", description: "First name." },
    familyName: { type: "string", description: "Last name." },
    nickname: { type: "string", description: "What friends say." },
    emails: {
      type: "array",
      description: "Addresses.",
      items: {
        type: "object",
        properties: {
          address: { type: "string", description: "The address." },
          label: { type: "string", description: "Such as `work`." },
          primary: { type: "boolean", description: "The one to use." },
        },
      },
    },
    phones: {
      type: "array",
      description: "Numbers.",
      items: {
        type: "object",
        properties: {
          number: { type: "string", description: "In E.164 form, such as `+15551234567`." },
          label: { type: "string", description: "Such as `mobile`." },
        },
      },
    },
    company: { type: "string", description: "Where they work." },
    jobTitle: { type: "string", description: "As what." },
    birthday: { type: "string", format: "date", description: "Day of birth." },
    addresses: {
      type: "array",
      description: "Postal addresses.",
      items: {
        type: "object",
        properties: {
          street: { type: "string", description: "Street and number." },
          city: { type: "string", description: "City." },
          region: { type: "string", description: "State or region." },
          postalCode: { type: "string", description: "Postal code." },
          country: { type: "string", description: "Country." },
          label: { type: "string", description: "Such as `home`." },
        },
      },
    },
    notes: { type: "string", description: "Free text." },
    photoUrl: { type: "string", description: "Address of a picture." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type ContactData = FromSchema<typeof contactsSchema>;
