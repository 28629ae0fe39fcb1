/**
 * What Meta's webhook says, as items (https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/payload-examples). One
 * request may carry many messages and states; each becomes an item under its own id.
 */

/** A message as Meta sends it; the part named like `type` holds its content. */
export interface MetaMessage {
  id: string;
  from: string;
  /** Seconds since 1970, as text. */
  timestamp: string;
  type: string;
  context?: { id?: string };
  text?: { body: string };
  image?: MetaMedia;
  video?: MetaMedia;
  audio?: MetaMedia;
  document?: MetaMedia;
  sticker?: MetaMedia;
  location?: { latitude: number; longitude: number; name?: string; address?: string };
  button?: { text: string; payload?: string };
  interactive?: {
    type: string;
    button_reply?: { id: string; title: string };
    list_reply?: { id: string; title: string };
  };
  reaction?: { message_id: string; emoji?: string };
}

export interface MetaMedia {
  id: string;
  mime_type?: string;
  caption?: string;
  filename?: string;
}

export interface MetaStatus {
  id: string;
  status: string;
  timestamp: string;
  recipient_id?: string;
  errors?: { code: number; title?: string; message?: string }[];
}

export type Incoming =
  | { id: string; key: string; kind: "message"; message: MetaMessage; name: string | null; own: string }
  | { id: string; key: string; kind: "status"; status: MetaStatus };

interface Payload {
  object?: string;
  entry?: {
    changes?: {
      field?: string;
      value?: {
        metadata?: { display_phone_number?: string; phone_number_id?: string };
        contacts?: { profile?: { name?: string }; wa_id?: string }[];
        messages?: MetaMessage[];
        statuses?: MetaStatus[];
      };
    }[];
  }[];
}

/** Items of one number; what is of others, or of a kind that says nothing about messages, is left out. */
export function readIncoming(payload: unknown, phoneNumberId: string): Incoming[] {
  const { object, entry = [] } = (payload ?? {}) as Payload;
  if (object !== "whatsapp_business_account") return [];
  return entry
    .flatMap(({ changes = [] }) => changes)
    .filter(({ field, value }) => field === "messages" && value?.metadata?.phone_number_id === phoneNumberId)
    .flatMap(({ value }): Incoming[] => {
      const { metadata, contacts = [], messages = [], statuses = [] } = value!;
      const nameOf = (id: string): string | null => contacts.find(({ wa_id }) => wa_id === id)?.profile?.name ?? null;
      return [
        ...messages
          .filter(({ type }) => type !== "system")
          .map(
            (message): Incoming => ({
              id: message.id,
              key: message.from,
              kind: "message",
              message,
              name: nameOf(message.from),
              own: e164(metadata?.display_phone_number ?? ""),
            }),
          ),
        // Each state of a message is an item of its own.
        ...statuses.map(
          (status): Incoming => ({ id: `${status.id}:${status.status}`, key: status.id, kind: "status", status }),
        ),
      ];
    });
}

/** Meta leaves the plus away. */
export const e164 = (number: string): string =>
  number === "" || number.startsWith("+") ? number : `+${number.replace(/\D/g, "")}`;

export const timeOf = (timestamp: string): string => new Date(Number(timestamp) * 1000).toISOString();

/** What a person would read. */
export function bodyOf(message: MetaMessage): string {
  const { text, button, interactive, reaction, location } = message;
  if (text) return text.body;
  if (button) return button.text;
  if (interactive) return (interactive.button_reply ?? interactive.list_reply)?.title ?? "";
  if (reaction) return reaction.emoji ?? "";
  if (location)
    return [location.name, location.address, `${location.latitude}, ${location.longitude}`].filter(Boolean).join("\n");
  return mediaPart(message)?.caption ?? "";
}

export const mediaPart = ({ image, video, audio, document, sticker }: MetaMessage): MetaMedia | undefined =>
  image ?? video ?? audio ?? document ?? sticker;
