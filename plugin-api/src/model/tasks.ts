/** `tasks` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const tasksSchema = {
  title: "Task",
  description: "Something to do.",
  type: "object",
  properties: {
    title: { type: "string", description: "What." },
    notes: { type: "string", description: "More about it." },
    status: { enum: ["open", "done", "cancelled"], description: "How it stands." },
    kind: { type: "string", description: "Such as `follow_up`." },
    dueAt: { type: "string", format: "date-time", description: "By when." },
    completedAt: { type: "string", format: "date-time", description: "When it was done." },
    contactId: { type: "string", description: "Id of the contact it is about." },
    priority: { type: ["string", "number"], description: "As its source says." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type TaskData = FromSchema<typeof tasksSchema>;
