/** `conversations` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const conversationsSchema = {
  title: "Conversation",
  description: "Messages and calls with the same people on one channel.",
  type: "object",
  properties: {
    channel: { type: "string", description: "Such as `sms`, `whatsapp`, `voice`, `email`." },
    contactId: { type: "string", description: "Id of the other party, where there is one." },
    participants: {
      type: "array",
      description: "Who takes part.",
      items: {
        type: "object",
        properties: {
          address: { type: "string", description: "Number or address." },
          name: { type: "string", description: "Their name." },
          contactId: { type: "string", description: "Id of the contact." },
        },
      },
    },
    subject: { type: "string", description: "What it is about." },
    ownAddress: { type: "string", description: "The number or address of ours that it runs over." },
    lastMessageAt: { type: "string", format: "date-time", description: "Of the latest message or call." },
    lastInboundAt: { type: "string", format: "date-time", description: "Of the latest one that came in." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type ConversationData = FromSchema<typeof conversationsSchema>;
