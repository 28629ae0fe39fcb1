/**
 * Accepts a message: everything that can be known to be wrong is said now, then the attempt, its entity and its delivery are
 * written in one transaction. Also plans the next attempt when one has failed.
 */
import { createHash } from "node:crypto";
import type { OrganizationId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { DeliveryInput } from "../bus/delivery.ts";
import type { Entities } from "../entities/entities.ts";
import { BackplaneError, toBackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import { messageConsumer } from "../policy/consumers.ts";
import type { Store, Tx } from "../store/store.ts";
import { addressKind, addressOfContact, contactOfAddress } from "./addresses.ts";
import type { Channel, ChannelDirectory } from "./choose-channel.ts";
import {
  type ConversationName,
  conversationChange,
  conversationId,
  findConversation,
  messageChange,
  writeFor,
} from "./message-entities.ts";
import {
  type Attempt,
  type Fallback,
  hashRequest,
  insertAttempt,
  listAttempts,
  type MessageContent,
} from "./outbound-message.ts";

export interface SendRequest {
  organization: OrganizationId;
  /** A type such as `sms`; the plugin's first when `plugin` is named alone. */
  channel?: string | undefined;
  plugin?: string | undefined;
  /** @default the contact's address on the channel */
  to?: string | undefined;
  contactId?: string | undefined;
  content: MessageContent;
  /** Other ways, in order, for when this one fails. */
  fallback?: readonly Fallback[] | undefined;
  /** Not before. */
  sendAt?: Date | undefined;
  /** The same key again gives the same message. */
  idempotencyKey?: string | undefined;
  actor: string;
  traceparent?: string | undefined;
  /** Place in a chain of causes. */
  depth?: number | undefined;
  /** Asked when the message is new and could be queued; refuses it by its error. */
  admit?: (() => Promise<void>) | undefined;
}

export interface Queued {
  id: string;
  /** False when the key had its message already. */
  accepted: boolean;
}

export interface MessageQueueOptions {
  store: Store;
  deliveries: Pick<Deliveries, "enqueue">;
  entities: Pick<Entities, "query" | "getById" | "writeBatch">;
  directory: ChannelDirectory;
}

/** An attempt that is ready to be written. */
export interface Planned {
  attempt: Attempt;
  /** How its conversation is made, when there is none yet. */
  conversation: ConversationName | undefined;
}

export interface MessageQueue {
  /** Errors: those of choosing a channel, `not_found` (contact), `no_address`, `invalid_input`, `conflict` (the key has another message). */
  send(request: SendRequest): Promise<Queued>;
  /** The attempts that follow a failed one: those that cannot be made, as failed ones, and the first that can. Empty when nothing is left. */
  planFallback(failed: Attempt): Promise<Planned[]>;
  /** Writes what was planned. False when it is there already. */
  write(tx: Tx, planned: Planned): Promise<boolean>;
}

class Duplicate extends Error {}

export function createMessageQueue({ store, deliveries, entities, directory }: MessageQueueOptions): MessageQueue {
  const byKey = async (organization: string, key: string): Promise<{ id: string; request_hash: string } | undefined> =>
    store.db
      .selectFrom("outbound_messages")
      .select(["id", "request_hash"])
      .where("organization_id", "=", organization)
      .where("idempotency_key", "=", key)
      .executeTakeFirst();

  const reach = async (
    organization: OrganizationId,
    { channel, to, contact }: { channel: Channel; to: string | undefined; contact: string | undefined },
  ): Promise<{ address: string; contact: string | null; conversation: string | null; name: ConversationName }> => {
    const { installation, type } = channel;
    const address = to ?? (await addressOfContact(entities, { organization, contact: contact!, channel: type }));
    const known = contact ?? (await contactOfAddress(entities, { organization, address, channel: type })) ?? null;
    const name = { organization, plugin: installation.plugin, channel: type, address, own: ownAddress(installation) };
    return { address, contact: known, conversation: (await findConversation(entities, name)) ?? null, name };
  };

  /** An address that an earlier attempt had and that this channel takes as well. Error: `no_address`. */
  const addressBefore = async ({ organization, root }: Attempt, channel: string): Promise<string> => {
    const attempts = await listAttempts(store.db, organization, root);
    const before = attempts.find((attempt) => addressKind(attempt.channel) === addressKind(channel));
    if (!before) throw new BackplaneError("no_address", { channel });
    return before.to;
  };

  const queue: MessageQueue = {
    async send(request) {
      const { organization, content, idempotencyKey: key = null, fallback = [] } = request;
      const { channel, plugin, to, contactId, sendAt } = request;
      const requestHash = hashRequest({ channel, plugin, to, contactId, content, fallback, sendAt });
      const again = (row: { id: string; request_hash: string }): Queued => {
        if (row.request_hash !== requestHash)
          throw new BackplaneError("conflict", { reason: "The idempotency key belongs to another message." });
        return { id: row.id, accepted: false };
      };
      const before = key === null ? undefined : await byKey(organization, key);
      if (before) return again(before);
      if (to === undefined && contactId === undefined)
        throw new BackplaneError(
          "invalid_input",
          {},
          { errors: [{ path: "to", message: "name `to` or `contactId`" }] },
        );
      const chosen = await directory.choose({ organization, channel, plugin });
      const reached = await reach(organization, { channel: chosen, to, contact: contactId });
      await request.admit?.();
      const id = newId();
      const planned = plan(
        {
          ...base(request, requestHash),
          id,
          root: id,
          number: 1,
          plugin: chosen.installation.plugin,
          channel: chosen.type,
          to: reached.address,
          contact: reached.contact,
          conversation: reached.conversation,
          fallback,
          idempotencyKey: key,
        },
        reached.name,
      );
      try {
        await store.transaction(async (tx) => {
          if (!(await queue.write(tx, planned))) throw new Duplicate();
        });
        return { id, accepted: true };
      } catch (error) {
        if (!(error instanceof Duplicate)) throw error;
        const row = key === null ? undefined : await byKey(organization, key);
        if (!row) throw new BackplaneError("conflict", { reason: "The message could not be stored; send it again." });
        return again(row);
      }
    },

    async planFallback(failed) {
      const planned: Planned[] = [];
      for (const [n, next] of failed.fallback.entries()) {
        const rest = {
          ...failed,
          id: newId(),
          number: failed.number + n + 1,
          fallback: failed.fallback.slice(n + 1),
          channel: next.channel,
          idempotencyKey: null,
          sendAt: new Date(),
        };
        try {
          const channel = await directory.choose({ organization: failed.organization, ...next });
          const to = next.to ?? (failed.contact === null ? await addressBefore(failed, channel.type) : undefined);
          const reached = await reach(failed.organization, { channel, to, contact: failed.contact ?? undefined });
          const attempt = fresh({
            ...rest,
            plugin: channel.installation.plugin,
            to: reached.address,
            contact: reached.contact,
            conversation: reached.conversation,
          });
          planned.push(plan(attempt, reached.name));
          return planned;
        } catch (error) {
          const { code, message } = toBackplaneError(error);
          if (!(error instanceof BackplaneError) || error.row.status >= 500) throw error;
          const attempt = fresh({ ...rest, plugin: null, to: next.to ?? failed.to, conversation: null });
          planned.push({
            attempt: { ...attempt, state: "failed", status: "failed", errorCode: code, error: message },
            conversation: undefined,
          });
        }
      }
      return planned;
    },

    async write(tx, { attempt: given, conversation }) {
      const write = given.plugin === null ? undefined : writeFor(given, given.plugin);
      const attempt = { ...given };
      if (write && conversation) {
        const change = conversationChange(conversation, { contact: given.contact ?? undefined, at: given.createdAt });
        await entities.writeBatch(tx, write, [change]);
        attempt.conversation = await conversationId(tx, given.organization, conversation.plugin, change.externalId);
      }
      if (!(await insertAttempt(tx, attempt))) return false;
      if (!write || attempt.state !== "queued") return true;
      await entities.writeBatch(tx, write, [messageChange(attempt)]);
      await deliveries.enqueue(tx, [deliveryOf(attempt, attempt.plugin!)]);
      return true;
    },
  };
  return queue;
}

type Fresh =
  | "state"
  | "status"
  | "tries"
  | "externalId"
  | "providerStatus"
  | "errorCode"
  | "error"
  | "createdAt"
  | "updatedAt"
  | "sentAt"
  | "readAt";

function fresh(attempt: Omit<Attempt, Fresh>): Attempt {
  const now = new Date();
  return {
    ...attempt,
    state: "queued",
    status: "queued",
    tries: 0,
    externalId: null,
    providerStatus: null,
    errorCode: null,
    error: null,
    createdAt: now,
    updatedAt: now,
    sentAt: null,
    readAt: null,
  };
}

const base = (
  { organization, content, actor, traceparent = undefined, depth = 0, sendAt = new Date() }: SendRequest,
  requestHash: string,
): Pick<Attempt, "organization" | "content" | "actor" | "traceparent" | "depth" | "sendAt" | "requestHash"> => ({
  organization,
  content,
  actor,
  traceparent: traceparent ?? null,
  depth,
  sendAt,
  requestHash,
});

function plan(attempt: Omit<Attempt, Fresh>, conversation: ConversationName): Planned {
  return { attempt: fresh(attempt), conversation: attempt.conversation === null ? conversation : undefined };
}

function deliveryOf(attempt: Attempt, plugin: string): DeliveryInput {
  const later = attempt.sendAt.getTime() > Date.now();
  return {
    organization: attempt.organization,
    consumer: messageConsumer(plugin),
    kind: "message",
    // One conversation goes out in order. What is to go later must not keep the rest of it waiting.
    key: later ? attempt.id : conversationKey(attempt),
    itemId: attempt.id,
    payload: {},
    ...(later ? { due: attempt.sendAt } : {}),
    ...(attempt.traceparent === null ? {} : { traceparent: attempt.traceparent }),
  };
}

function conversationKey({ channel, to }: Attempt): string {
  const name = `${channel}:${to}`;
  return Buffer.byteLength(name) <= 200 ? name : `sha256:${createHash("sha256").update(name).digest("hex")}`;
}

/** By convention the setting `from` of a channel is the organisation's own address. */
function ownAddress({ config }: Installation): string | undefined {
  const from = config["from"];
  return typeof from === "string" && from !== "" && from.length <= 100 ? from : undefined;
}
