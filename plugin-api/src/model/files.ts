/** `files` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const filesSchema = {
  title: "File",
  description: "A file of a service or a device.",
  type: "object",
  properties: {
    name: { type: "string", description: "Its name." },
    path: { type: "string", description: "Where it lies." },
    contentType: { type: "string", description: "MIME type." },
    size: { type: "number", description: "Bytes." },
    url: { type: "string", description: "Where to open it." },
    hash: { type: "string", description: "Of its content, with the name of the algorithm, such as `sha256:…`." },
    modifiedAt: { type: "string", format: "date-time", description: "When it was changed." },
    deviceId: { type: "string", description: "Id of the device." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type FileData = FromSchema<typeof filesSchema>;
