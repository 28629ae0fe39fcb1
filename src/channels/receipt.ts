/** What a channel's `sendMessage` gave back, read with mistrust: what is odd is left out, for the message itself is on its way. */
import { isObject } from "../base/json.ts";
import { isStorableText } from "../bus/event-record.ts";
import { type MessageStatus, parseMessageStatus } from "./message-status.ts";

export interface Receipt {
  /** At least `sent`: a service that has only accepted it is no concern of ours any more. */
  status: MessageStatus;
  externalId: string | undefined;
  /** The service's own word. */
  providerStatus: string | undefined;
}

const maxExternalId = 400;
const maxWord = 64;

export function readReceipt(given: unknown): Receipt {
  const { externalId, status } = isObject(given) ? given : {};
  const word = shortText(status, maxWord);
  const known = parseMessageStatus(word);
  return {
    status: known === undefined || known === "queued" || known === "sending" ? "sent" : known,
    externalId: shortText(typeof externalId === "number" ? String(externalId) : externalId, maxExternalId),
    providerStatus: word,
  };
}

/** The text itself, or nothing when it is none, is empty or too long, or cannot be stored. */
export function shortText(value: unknown, max: number): string | undefined {
  return typeof value === "string" && value !== "" && value.length <= max && isStorableText(value) ? value : undefined;
}
