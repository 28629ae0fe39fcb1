/** `accounts` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const accountsSchema = {
  title: "Account",
  description: "An account at a bank.",
  type: "object",
  properties: {
    name: { type: "string", description: "Its name." },
    officialName: { type: "string", description: "As the bank calls it." },
    accountType: { type: "string", description: "Such as `depository`." },
    subtype: { type: "string", description: "Such as `checking`." },
    mask: { type: "string", description: "Its last digits." },
    currency: { type: "string", description: "ISO 4217." },
    currentBalance: { type: "number", description: "What is there, or owed." },
    availableBalance: { type: "number", description: "What can be spent." },
    creditLimit: { type: "number", description: "What can be owed." },
    institution: { type: "string", description: "The bank." },
    status: { type: "string", description: "As its source says." },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type AccountData = FromSchema<typeof accountsSchema>;
