/** `calls` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const callsSchema = {
  title: "Call",
  description: "One call, in or out.",
  type: "object",
  properties: {
    conversationId: { type: "string", description: "Id of the conversation." },
    direction: { enum: ["inbound", "outbound"], description: "Who called." },
    from: { type: "string", description: "Number of the caller." },
    to: { type: "string", description: "Number that was called." },
    fromContactId: { type: "string", description: "Id of the caller's contact." },
    contactId: { type: "string", description: "Id of the other party's contact." },
    status: {
      enum: ["queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"],
      description: "How it stands or ended.",
    },
    missed: { type: "boolean", description: "It came in and nobody took it." },
    startedAt: { type: "string", format: "date-time", description: "When it began to ring." },
    answeredAt: { type: "string", format: "date-time", description: "When it was taken." },
    endedAt: { type: "string", format: "date-time", description: "When it ended." },
    durationSeconds: { type: "number", description: "Seconds of talk." },
    provider: { type: "string", description: "Who carries it." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type CallData = FromSchema<typeof callsSchema>;
