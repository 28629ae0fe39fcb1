/** Channels carry messages, calls and faxes between people and the organisation. */
import type { IncomingChanges } from "./connector.ts";
import type { ConfigShape, PluginContext } from "./context.ts";

/**
 * Made Open's Channel. Its `id`, `name` and `version` live in `plugin.json`; every method gets the context of its own call
 * as the last argument.
 */
export interface Channel<Config extends object = ConfigShape> {
  readonly id?: string;
  readonly name?: string;
  readonly version?: string;
  /** `sms`, `voice`, `video`, `email`, `whatsapp`, `fax`, or a name of your own. */
  readonly type?: string;
  init?(ctx: PluginContext<Config>): Promise<void>;
  /**
   * Takes one item that the webhook handler accepted. The `entities` and `events` it answers are stored in one transaction.
   * Comes again after a failure, so it must bear repetition.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: an async method without a return gives Promise<void>
  handleIncomingEvent(payload: unknown, ctx: PluginContext<Config>): Promise<ChannelChanges | void>;
  /** Sends. Comes again after a failure: pass `message.id` to the service as its idempotency key where it has one. */
  // biome-ignore lint/suspicious/noConfusingVoidType: an async method without a return gives Promise<void>
  sendMessage(message: OutboundMessage, ctx: PluginContext<Config>): Promise<SendReceipt | void>;
  placeCall?(call: OutboundCall, ctx: PluginContext<Config>): Promise<CallSession>;
  // biome-ignore lint/suspicious/noConfusingVoidType: an async method without a return gives Promise<void>
  sendFax?(fax: OutboundFax, ctx: PluginContext<Config>): Promise<SendReceipt | void>;
  /** A short-lived token for a browser or phone client of `userId`. */
  generateAccessToken?(userId: string, ctx: PluginContext<Config>): Promise<string>;
  stop?(ctx: PluginContext<Config>): Promise<void>;
}

/** What an incoming item means for the data model. */
export type ChannelChanges = Pick<IncomingChanges, "entities" | "events">;

/** An item for `accept` in a webhook's answer. */
export interface IncomingEvent {
  /** The service's id of the message: the same id is handled once. */
  id: string;
  [field: string]: unknown;
}

export interface OutboundMessage {
  /** Stable over retries. */
  id: string;
  to: string;
  from?: string;
  subject?: string;
  body: string;
  html?: string;
  attachments?: { url: string; contentType?: string; filename?: string }[];
  replyToMessageId?: string;
  /** This plugin's webhook address, for services that report the state of each message to a given place. */
  webhookUrl?: string;
  metadata?: Record<string, unknown>;
}

export interface SendReceipt {
  /** The service's id of what was sent. */
  externalId?: string;
  status?: string;
}

export interface OutboundCall {
  id: string;
  to: string;
  from?: string;
  /** What to say, or where the service fetches its instructions. */
  message?: string;
  instructionsUrl?: string;
  /** This plugin's webhook address. */
  webhookUrl?: string;
  metadata?: Record<string, unknown>;
}

export interface CallSession {
  /** The service's id of the call. */
  id: string;
  status:
    | "queued"
    | "ringing"
    | "in-progress"
    | "completed"
    | "busy"
    | "failed"
    | "no-answer"
    | "canceled"
    | (string & {});
  /** RFC 3339. */
  startedAt?: string;
}

export interface OutboundFax {
  id: string;
  to: string;
  from?: string;
  mediaUrl: string;
  quality?: "standard" | "fine";
  metadata?: Record<string, unknown>;
}
