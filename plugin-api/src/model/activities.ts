/** `activities` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const activitiesSchema = {
  title: "Activity",
  description: "A walk, a run, a workout.",
  type: "object",
  properties: {
    activityType: { type: "string", description: "Such as `running`." },
    name: { type: "string", description: "What it is called." },
    startedAt: { type: "string", format: "date-time", description: "When it began." },
    endedAt: { type: "string", format: "date-time", description: "When it ended." },
    durationSeconds: { type: "number", description: "Seconds." },
    distanceMeters: { type: "number", description: "Metres." },
    steps: { type: "number", description: "Steps." },
    energyKcal: { type: "number", description: "Kilocalories burnt." },
    averageHeartRate: { type: "number", description: "Beats a minute." },
    deviceId: { type: "string", description: "Id of the device." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type ActivityData = FromSchema<typeof activitiesSchema>;
