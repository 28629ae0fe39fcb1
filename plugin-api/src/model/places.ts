/** `places` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const placesSchema = {
  title: "Place",
  description: "A place that means something.",
  type: "object",
  properties: {
    name: { type: "string", description: "Its name." },
    placeType: { type: "string", description: "Such as `home`, `work`, `gym`." },
    latitude: { type: "number", description: "Degrees, north positive." },
    longitude: { type: "number", description: "Degrees, east positive." },
    radiusMeters: { type: "number", description: "How far around the middle counts." },
    address: { type: "string", description: "In words." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type PlaceData = FromSchema<typeof placesSchema>;
