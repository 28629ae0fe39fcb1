/**
 * Outbound messages and their states. This file is the port and its composition: queue-message.ts accepts, carry-message.ts hands
 * to the channel plugin, attempt-outcomes.ts writes what comes of it, status-events.ts and requested-events.ts take what plugins
 * publish. Inbound messages are the plugins' own work: they write them into the data model themselves.
 */
import type { BackoffOptions } from "../base/backoff.ts";
import type { OrganizationId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import { isObject } from "../base/json.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { Entities } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { isPluginId } from "../manifest/plugin-id.ts";
import { messageConsumer } from "../policy/consumers.ts";
import type { Store } from "../store/store.ts";
import type { Subscriptions } from "../subscriptions/subscriptions.ts";
import { formatTraceparent, type Trace } from "../telemetry/trace.ts";
import { createAttemptOutcomes } from "./attempt-outcomes.ts";
import { createCarrier } from "./carry-message.ts";
import { createChannelRate } from "./channel-rate.ts";
import { assertActive, createChannelDirectory, typesOf } from "./choose-channel.ts";
import { type ListMessages, listMessages, type MessagePage } from "./list-messages.ts";
import { type Attempt, listAttempts } from "./outbound-message.ts";
import { createMessageQueue, type Queued } from "./queue-message.ts";
import { shortText } from "./receipt.ts";
import { createRequestQuota } from "./request-quota.ts";
import { createRequestedEvents } from "./requested-events.ts";
import { type RequestedMessage, requestedMessages } from "./requested-messages.ts";
import { contentOf } from "./send-body.ts";
import type { CallBody, FaxBody, SendBody } from "./send-request.ts";
import { createStatusEvents } from "./status-events.ts";

export interface ChannelsOptions {
  store: Store;
  deliveries: Deliveries;
  invoker: Pick<Invoker, "run">;
  installations: Installations;
  entities: Entities;
  eventLog: EventLog;
  subscriptions: Pick<Subscriptions, "onHub">;
  /** The hub's address as vendors see it, without a trailing slash. */
  publicUrl(): string;
  /** Tries of one attempt before it has failed. @default 6 */
  maxTries?: number;
  /** After this long a message is not worth sending any more, ms. @default 24 hours */
  maxAgeMs?: number;
  /** Between the tries of one attempt. */
  backoff?: BackoffOptions;
}

/** Who asks, for records. */
export interface Caller {
  organization: OrganizationId;
  actor: string;
  trace?: Trace | undefined;
  signal?: AbortSignal | undefined;
}

export interface ChannelSummary {
  /** The plugin's id. */
  id: string;
  name: string;
  status: string;
  health: string;
  types: readonly string[];
  /** Types for which it is the organisation's default. */
  defaultFor: string[];
  ratePerSecond: number;
  idempotent: boolean;
  inbound: boolean;
}

export interface Channels {
  /** Queues a message. Errors: `channel_unavailable`, `channel_ambiguous`, `plugin_not_active`, `plugin_quarantined`, `not_found`, `no_address`, `invalid_input`, `conflict`. */
  send(caller: Caller, body: SendBody): Promise<Queued>;
  /** Error: `invalid_cursor`. */
  list(organization: OrganizationId, filter: ListMessages): Promise<MessagePage>;
  /** A message in or out; outbound ones with all attempts, by the id of any. Error: `not_found`. */
  get(organization: OrganizationId, id: string): Promise<Record<string, unknown>>;
  /** Messages that events asked for, by the ids of the `comms.MessageRequested` events; ids of anything else are left out. */
  requested(organization: OrganizationId, requestIds: readonly string[]): Promise<RequestedMessage[]>;
  /** Errors: `not_found`, `conflict` when it is not queued any more. */
  cancel(organization: OrganizationId, id: string): Promise<Record<string, unknown>>;
  channels(organization: OrganizationId): Promise<ChannelSummary[]>;
  /** Errors: `not_found`, `channel_unavailable`. */
  setDefault(caller: Caller, plugin: string, channel: string): Promise<void>;
  /** These three call the plugin and wait. Errors: `function_not_found` when its channel cannot do it, and whatever the call ran into. */
  placeCall(caller: Caller, plugin: string, call: CallBody): Promise<Record<string, unknown>>;
  sendFax(caller: Caller, plugin: string, fax: FaxBody): Promise<Record<string, unknown>>;
  accessToken(caller: Caller, plugin: string, userId: string): Promise<string>;
  /** What has ended; the entities stay. */
  deleteEndedBefore(before: Date): Promise<number>;
}

/** Room for many conversations beside each other; a plugin's own limit of concurrent calls is 32. */
const concurrency = 24;
const maxTokenLength = 16_384;

export function createChannels(options: ChannelsOptions): Channels {
  const { store, deliveries, invoker, installations, entities, eventLog, subscriptions, publicUrl } = options;
  const directory = createChannelDirectory({ store, installations });
  const queue = createMessageQueue({ store, deliveries, entities, directory });
  const outcomes = createAttemptOutcomes({ store, eventLog, entities, queue });
  const rate = createChannelRate({ store });

  const webhookUrl = ({ organization, plugin, grants }: Installation): string | undefined =>
    grants.includes("network:inbound")
      ? `${publicUrl()}/webhooks/${organization}/${encodeURIComponent(plugin)}`
      : undefined;

  deliveries.handle(
    "message",
    createCarrier({
      store,
      invoker,
      installations,
      rate,
      outcomes,
      webhookUrl,
      ...(options.maxTries === undefined ? {} : { maxTries: options.maxTries }),
      ...(options.maxAgeMs === undefined ? {} : { maxAgeMs: options.maxAgeMs }),
      ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
    }),
    { consumerPrefix: messageConsumer(""), concurrency },
  );
  const statusEvents = createStatusEvents({ store, outcomes });
  const requestedEvents = createRequestedEvents({
    ...{ store, eventLog, queue },
    quota: createRequestQuota({ rate, installations }),
  });
  subscriptions.onHub(
    "channels",
    (delivery) => (delivery.event.type === "comms.MessageStatus" ? statusEvents(delivery) : requestedEvents(delivery)),
    { patterns: ["comms.MessageRequested", "comms.MessageStatus"] },
  );

  const callMethod = async (
    { organization, actor, trace, signal }: Caller,
    plugin: string,
    {
      method,
      args,
      confidential = false,
    }: { method: string; args: (installation: Installation) => unknown[]; confidential?: boolean },
  ): Promise<unknown> => {
    if (!isPluginId(plugin)) throw new BackplaneError("not_found", { thing: "channel" });
    const installation = await installations.get(organization, plugin as Installation["plugin"]);
    if (typesOf(installation).length === 0) throw new BackplaneError("not_found", { thing: "channel" });
    assertActive(installation);
    const { record, error } = await invoker.run({
      organization,
      plugin: installation.plugin,
      kind: "channel",
      name: method,
      args: args(installation),
      actor,
      ...(trace ? { trace } : {}),
      ...(signal ? { signal } : {}),
      ...(confidential ? { confidential } : {}),
    });
    if (error?.code === "handler_missing")
      throw new BackplaneError("function_not_found", { plugin, kind: "channel method", name: method });
    if (error) throw error;
    return record.result;
  };

  const odd = (plugin: string, reason: string): BackplaneError =>
    new BackplaneError("result_invalid", { plugin, reason });

  const get: Channels["get"] = async (organization, id) => {
    // Attempts first: the row changes with them, so it is never older than what they tell.
    const attempts = await listAttempts(store.db, organization, id);
    const row = await entities.getById(organization, "messages", id);
    if (!row && attempts.length === 0) throw new BackplaneError("not_found", { thing: "message" });
    return { ...(row ?? { id, direction: "outbound" }), attempts: attempts.map(presentAttempt) };
  };

  return {
    send: ({ organization, actor, trace }, body) =>
      queue.send({
        organization,
        channel: body.channel,
        plugin: body.plugin,
        to: body.to,
        contactId: body.contactId,
        content: contentOf(body),
        fallback: body.fallback,
        sendAt: body.sendAt === undefined ? undefined : new Date(body.sendAt),
        idempotencyKey: body.idempotencyKey === undefined ? undefined : `key:${body.idempotencyKey}`,
        actor,
        traceparent: trace ? formatTraceparent(trace) : undefined,
      }),
    list: (organization, filter) => listMessages(entities, organization, filter),
    get,
    requested: (organization, requestIds) => requestedMessages(store.db, organization, requestIds),
    async cancel(organization, id) {
      const attempts = await listAttempts(store.db, organization, id);
      const attempt = attempts.find((candidate) => candidate.state === "queued") ?? attempts.at(-1);
      if (!attempt) throw new BackplaneError("not_found", { thing: "message" });
      await store.transaction(async (tx) => {
        await outcomes.cancelled(tx, attempt);
        if (attempt.plugin !== null)
          await deliveries.cancel(tx, { organization, consumer: messageConsumer(attempt.plugin), itemId: attempt.id });
      });
      return get(organization, id);
    },
    async channels(organization) {
      const [all, defaults] = await Promise.all([directory.list(organization), directory.defaults(organization)]);
      return all.map((installation) => {
        const types = typesOf(installation);
        const { channel, webhook } = installation.manifest.contributes;
        return {
          id: installation.plugin,
          name: installation.name,
          status: installation.status,
          health: installation.health,
          types,
          defaultFor: types.filter((type) => defaults.get(type) === installation.plugin),
          ratePerSecond: channel?.ratePerSecond ?? 10,
          idempotent: channel?.idempotent ?? false,
          inbound: webhook !== undefined && installation.grants.includes("network:inbound"),
        };
      });
    },
    setDefault: ({ organization, actor }, plugin, channel) =>
      directory.setDefault(organization, channel, plugin, actor),
    async placeCall(caller, plugin, call) {
      const session = await callMethod(caller, plugin, {
        method: "placeCall",
        args: (installation) => [withWebhook({ id: newId(), ...call }, webhookUrl(installation))],
      });
      const id = isObject(session) ? shortText(session["id"], 400) : undefined;
      if (!isObject(session) || id === undefined) throw odd(plugin, "`placeCall` returns {id, status}");
      const { status, startedAt } = session;
      return { id, status: shortText(status, 64) ?? "queued", startedAt: shortText(startedAt, 64) ?? null };
    },
    async sendFax(caller, plugin, fax) {
      const receipt = await callMethod(caller, plugin, { method: "sendFax", args: () => [{ id: newId(), ...fax }] });
      const { externalId, status } = isObject(receipt) ? receipt : {};
      return { externalId: shortText(externalId, 400) ?? null, status: shortText(status, 64) ?? "sent" };
    },
    async accessToken(caller, plugin, userId) {
      const token = await callMethod(caller, plugin, {
        method: "generateAccessToken",
        args: () => [userId],
        confidential: true,
      });
      if (typeof token !== "string" || token === "" || token.length > maxTokenLength)
        throw odd(plugin, `\`generateAccessToken\` returns a text of at most ${maxTokenLength} characters`);
      return token;
    },
    async deleteEndedBefore(before) {
      const gone = await store.db
        .deleteFrom("outbound_messages")
        .where("created_at", "<", before)
        .where("updated_at", "<", before)
        .where("state", "in", ["sent", "failed", "cancelled"])
        .executeTakeFirst();
      return Number(gone.numDeletedRows);
    },
  };
}

const withWebhook = (call: object, url: string | undefined): object =>
  url === undefined ? call : { ...call, webhookUrl: url };

function presentAttempt(attempt: Attempt): Record<string, unknown> {
  const { id, number, plugin, channel, to, state, status, tries, externalId, providerStatus, errorCode, error } =
    attempt;
  return {
    id,
    number,
    plugin,
    channel,
    to,
    state,
    status,
    tries,
    externalId,
    providerStatus,
    errorCode,
    error,
    sendAt: attempt.sendAt.toISOString(),
    createdAt: attempt.createdAt.toISOString(),
    updatedAt: attempt.updatedAt.toISOString(),
    sentAt: attempt.sentAt?.toISOString() ?? null,
    readAt: attempt.readAt?.toISOString() ?? null,
  };
}
