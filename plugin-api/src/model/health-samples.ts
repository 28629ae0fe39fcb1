/** `health_samples` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const healthSamplesSchema = {
  title: "HealthSample",
  description: "One measured value of a body.",
  type: "object",
  properties: {
    metric: {
      type: "string",
      description:
        "What: `steps`, `heart_rate`, `resting_heart_rate`, `weight`, `body_fat`, `sleep`, `energy`, `distance`, `spo2`, …",
    },
    startedAt: { type: "string", format: "date-time", description: "When, or from when." },
    endedAt: { type: "string", format: "date-time", description: "Until when." },
    value: { type: "number", description: "How much." },
    unit: { type: "string", description: "Such as `bpm`." },
    details: { type: "object", description: "More, such as the stages of a sleep." },
    deviceId: { type: "string", description: "Id of the device." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type HealthSampleData = FromSchema<typeof healthSamplesSchema>;
