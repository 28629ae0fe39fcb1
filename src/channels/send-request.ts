/** What may be asked of a channel: shapes and bounds, for the HTTP API and for events that ask for a message. */
import { z } from "zod";
import { storableText } from "./storable-text.ts";

/** Characters of a body, of its HTML, and JSON characters of `metadata`. */
export const limits = { body: 100_000, html: 400_000, metadata: 16_000, attachments: 20, fallbacks: 5 } as const;
const yearMs = 366 * 24 * 60 * 60 * 1000;

const channelType = z.string().regex(/^[a-z][a-z0-9._-]{0,62}$/i, "must be a channel's type, such as `sms`");
const pluginId = z.string().min(1).max(200);
const address = storableText(320).min(1);
/** Not well-formed text is refused: what would be sent is not what would be stored. */
const prose = (max: number): z.ZodString =>
  z
    .string()
    .max(max)
    .refine((text) => text.isWellFormed() && !text.includes("\u0000"), "must be well-formed text without NUL");

const media = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).max(2000),
  contentType: storableText(200).optional(),
  filename: storableText(255).optional(),
});

const metadata = z
  .record(z.string().max(200), z.unknown())
  .refine(
    (value) => JSON.stringify(value).length <= limits.metadata,
    `must have at most ${limits.metadata} characters`,
  );

const fallback = z.strictObject({ channel: channelType, to: address.optional(), plugin: pluginId.optional() });

const content = {
  channel: channelType.optional(),
  plugin: pluginId.optional(),
  to: address.optional().describe("An address of the channel; without it, the contact's."),
  contactId: storableText(200).min(1).optional(),
  from: address.optional(),
  subject: storableText(1000).optional(),
  body: prose(limits.body),
  html: prose(limits.html).optional(),
  media: z.array(media).max(limits.attachments).optional(),
  replyToMessageId: storableText(400).min(1).optional(),
  metadata: metadata.optional(),
  fallback: z.array(fallback).max(limits.fallbacks).optional(),
};

/** The body of `POST /api/messages`. */
export const sendSchema = z.strictObject({
  ...content,
  sendAt: z.iso
    .datetime({ offset: true })
    .refine((time) => Date.parse(time) < Date.now() + yearMs, "must be within a year")
    .optional(),
  idempotencyKey: storableText(200).min(1).optional().describe("The same key again gives the same message."),
});
export type SendBody = z.infer<typeof sendSchema>;

const nullsAway = (value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null))
    : value;

/** The data of `comms.MessageRequested`: what it does not name is ignored, and null is as good as absent. */
export const requestedSchema = z.preprocess(nullsAway, z.object(content));

export const callSchema = z.strictObject({
  to: address,
  from: address.optional(),
  message: prose(4000).optional(),
  instructionsUrl: z
    .url({ protocol: /^https?$/ })
    .max(2000)
    .optional(),
  metadata: metadata.optional(),
});
export type CallBody = z.infer<typeof callSchema>;

export const faxSchema = z.strictObject({
  to: address,
  from: address.optional(),
  mediaUrl: z.url({ protocol: /^https?$/ }).max(2000),
  quality: z.enum(["standard", "fine"]).optional(),
  metadata: metadata.optional(),
});
export type FaxBody = z.infer<typeof faxSchema>;
