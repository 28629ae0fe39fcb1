/** `transactions` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const transactionsSchema = {
  title: "Transaction",
  description: "Money that went out of an account or came in.",
  type: "object",
  properties: {
    accountId: { type: "string", description: "Id of the account." },
    amount: { type: "number", description: "Positive: money out. Negative: money in." },
    currency: { type: "string", description: "ISO 4217." },
    date: { type: "string", format: "date", description: "When it was booked." },
    authorizedDate: { type: "string", format: "date", description: "When it was agreed to." },
    name: { type: "string", description: "The bank's text." },
    merchantName: { type: "string", description: "Whom it was with." },
    category: { type: "array", description: "From general to special.", items: { type: "string" } },
    pending: { type: "boolean", description: "Not booked yet." },
    paymentChannel: { type: "string", description: "Such as `online`." },
    pendingTransactionId: {
      type: "string",
      description: "The source's id of the pending one that it takes the place of.",
    },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type TransactionData = FromSchema<typeof transactionsSchema>;
