/** `devices` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const devicesSchema = {
  title: "Device",
  description: "A telephone, a watch, a computer.",
  type: "object",
  properties: {
    name: { type: "string", description: "Its name." },
    platform: { type: "string", description: "Such as `android`, `windows`." },
    model: { type: "string", description: "Its make." },
    osVersion: { type: "string", description: "Version of its system." },
    batteryPercent: { type: "number", description: "0 to 100." },
    charging: { type: "boolean", description: "On the cable." },
    lastSeenAt: { type: "string", format: "date-time", description: "When it was heard of." },
    currentPlaceId: { type: "string", description: "Id of the place it is at." },
    currentPlaceType: { type: "string", description: "Kind of that place." },
    placeSince: { type: "string", format: "date-time", description: "Since when it is there." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type DeviceData = FromSchema<typeof devicesSchema>;
