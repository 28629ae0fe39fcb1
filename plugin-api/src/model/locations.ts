/** `locations` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const locationsSchema = {
  title: "Location",
  description: "Where a device was at a moment.",
  type: "object",
  properties: {
    deviceId: { type: "string", description: "Id of the device." },
    recordedAt: { type: "string", format: "date-time", description: "When." },
    latitude: { type: "number", description: "Degrees, north positive." },
    longitude: { type: "number", description: "Degrees, east positive." },
    accuracyMeters: { type: "number", description: "Radius of the doubt." },
    altitudeMeters: { type: "number", description: "Above the sea." },
    speedMps: { type: "number", description: "Metres a second." },
    headingDegrees: { type: "number", description: "From north, clockwise." },
    placeId: { type: "string", description: "Id of the place, where it is a known one." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type LocationData = FromSchema<typeof locationsSchema>;
