/** `messages` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const messagesSchema = {
  title: "Message",
  description: "One message, in or out.",
  type: "object",
  properties: {
    conversationId: { type: "string", description: "Id of the conversation." },
    channel: { type: "string", description: "Such as `sms`, `whatsapp`, `email`." },
    direction: { enum: ["inbound", "outbound"], description: "Where it went." },
    from: { type: "string", description: "Number or address of the sender." },
    to: { type: "array", description: "Numbers or addresses of the receivers.", items: { type: "string" } },
    fromContactId: { type: "string", description: "Id of the sender's contact." },
    contactId: { type: "string", description: "Id of the other party's contact." },
    subject: { type: "string", description: "The subject, where the channel has one." },
    body: { type: "string", description: "The text." },
    html: { type: "string", description: "The text as HTML." },
    media: {
      type: "array",
      description: "What came with it.",
      items: {
        type: "object",
        properties: {
          url: { type: "string", description: "Where it lies." },
          contentType: { type: "string", description: "MIME type." },
          filename: { type: "string", description: "Its name." },
          size: { type: "number", description: "Bytes." },
        },
      },
    },
    sentAt: { type: "string", format: "date-time", description: "When it was sent. Always set." },
    status: {
      enum: ["queued", "sending", "sent", "delivered", "read", "failed", "undelivered", "received"],
      description: "How far it is.",
    },
    errorCode: { type: "string", description: "Why it failed, as the provider says." },
    error: { type: "string", description: "Why it failed, in words." },
    replyToMessageId: { type: "string", description: "Id of the message it answers." },
    provider: { type: "string", description: "Who carries it, such as `twilio`." },
    providerStatus: { type: "string", description: "How far it is, as the provider says." },
    readAt: { type: "string", format: "date-time", description: "When it was read." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type MessageData = FromSchema<typeof messagesSchema>;
