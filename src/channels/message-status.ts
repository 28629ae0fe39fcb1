/**
 * The states of a message as people see them, and how a new one joins what is known. Vendors report out of order and more than
 * once, so a state only ever rises: whatever the order of the reports, the end is the same.
 */

/** From weakest to strongest. A message that was delivered after all was delivered, whatever was thought before. */
export const messageStatuses = ["queued", "sending", "sent", "undelivered", "failed", "delivered", "read"] as const;
export type MessageStatus = (typeof messageStatuses)[number];

/** Words of services for the same states; what is not here says nothing. */
const words: Readonly<Record<string, MessageStatus>> = {
  ...Object.fromEntries(messageStatuses.map((status) => [status, status])),
  accepted: "sent",
  scheduled: "sent",
  submitted: "sent",
  dispatched: "sent",
  seen: "read",
  opened: "read",
  rejected: "failed",
  error: "failed",
  expired: "failed",
  deleted: "failed",
  canceled: "failed",
  cancelled: "failed",
  bounced: "undelivered",
};

/** `undefined` for what is no known word. */
export function parseMessageStatus(word: unknown): MessageStatus | undefined {
  if (typeof word !== "string" || word.length > 64) return undefined;
  const lower = word.toLowerCase();
  return Object.hasOwn(words, lower) ? words[lower] : undefined;
}

/** The stronger of both. */
export function raiseStatus(known: MessageStatus, reported: MessageStatus): MessageStatus {
  return messageStatuses.indexOf(reported) > messageStatuses.indexOf(known) ? reported : known;
}

/** It did not reach its receiver, as far as is known. */
export const isFailure = (status: MessageStatus): boolean => status === "failed" || status === "undelivered";
