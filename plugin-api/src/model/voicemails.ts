/** `voicemails` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const voicemailsSchema = {
  title: "Voicemail",
  description: "What a caller left.",
  type: "object",
  properties: {
    callId: { type: "string", description: "Id of the call." },
    from: { type: "string", description: "Number of the caller." },
    contactId: { type: "string", description: "Id of the caller's contact." },
    recordedAt: { type: "string", format: "date-time", description: "When it was left." },
    durationSeconds: { type: "number", description: "Seconds." },
    recordingUrl: { type: "string", description: "Where the sound lies." },
    transcript: { type: "string", description: "What was said." },
    listened: { type: "boolean", description: "Somebody has heard it." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type VoicemailData = FromSchema<typeof voicemailsSchema>;
