/** Bodies of the Cloud API's `POST /<version>/<phone number id>/messages` (https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages). */
import type { OutboundMessage } from "@backplane/plugin-api";

export interface Template {
  name: string;
  language?: string;
  components?: object[];
}

export interface Outgoing {
  to: string;
  /** Meta's id of the message that is answered. */
  replyTo?: string;
}

/** Seconds after a customer's last message in which anything but a template may be sent. */
export const windowSeconds = 24 * 60 * 60;

export function textBody({ to, replyTo }: Outgoing, text: string): object {
  return { ...envelope(to, replyTo), type: "text", text: { body: text, preview_url: false } };
}

export function mediaBody(
  { to, replyTo }: Outgoing,
  { url, contentType, filename }: NonNullable<OutboundMessage["attachments"]>[number],
  caption: string,
): object {
  const type = mediaType(contentType);
  if (type === "audio" && caption !== "") throw new Error("WhatsApp takes no text with audio: send two messages.");
  return {
    ...envelope(to, replyTo),
    type,
    [type]: {
      link: url,
      ...(caption === "" ? {} : { caption }),
      ...(type === "document" && filename ? { filename } : {}),
    },
  };
}

export function templateBody({ to, replyTo }: Outgoing, { name, language = "en_US", components }: Template): object {
  return {
    ...envelope(to, replyTo),
    type: "template",
    template: { name, language: { code: language }, ...(components ? { components } : {}) },
  };
}

const envelope = (to: string, replyTo: string | undefined): object => ({
  messaging_product: "whatsapp",
  recipient_type: "individual",
  to,
  ...(replyTo ? { context: { message_id: replyTo } } : {}),
});

function mediaType(contentType = ""): "image" | "video" | "audio" | "document" {
  const [family] = contentType.split("/");
  return family === "image" || family === "video" || family === "audio" ? family : "document";
}

export function isTemplate(value: unknown): value is Template {
  return typeof value === "object" && value !== null && typeof (value as Template).name === "string";
}
