/** How an outbound message appears in the unified data model: the entity `messages` of the same id, within a conversation. */
import type { OrganizationId } from "../base/brands.ts";
import { asPluginId } from "../base/brands.ts";
import type { Entities, EntityChange, EntityWrite } from "../entities/entities.ts";
import type { Tx } from "../store/store.ts";
import { formatTraceparent, newTrace } from "../telemetry/trace.ts";
import type { Attempt } from "./outbound-message.ts";

/** CloudEvents `source` of what this part of the hub publishes. */
export const eventSource = "/hub/channels";
/** Source of the rows; no plugin can have this id, so none writes over them. */
export const entitySource = "hub:channels";

export const writeFor = (
  attempt: Pick<Attempt, "organization" | "traceparent" | "depth">,
  plugin: string,
): EntityWrite => ({
  organization: attempt.organization,
  plugin: asPluginId(plugin),
  execution: null,
  traceparent: attempt.traceparent ?? formatTraceparent(newTrace()),
  eventDepth: attempt.depth,
  eventSource,
});

export function messageChange(attempt: Attempt): EntityChange {
  const { content } = attempt;
  return {
    type: "messages",
    source: entitySource,
    externalId: attempt.id,
    id: attempt.id,
    data: {
      direction: "outbound",
      channel: attempt.channel,
      provider: attempt.plugin,
      status: attempt.status,
      to: [attempt.to],
      body: content.body,
      sentAt: attempt.sendAt.toISOString(),
      ...(attempt.conversation === null ? {} : { conversationId: attempt.conversation }),
      ...(attempt.contact === null ? {} : { contactId: attempt.contact }),
      ...(content.from === undefined ? {} : { from: content.from }),
      ...(content.subject === undefined ? {} : { subject: content.subject }),
      ...(content.html === undefined ? {} : { html: content.html }),
      ...(content.attachments === undefined ? {} : { media: content.attachments }),
      ...(content.replyToMessageId === undefined ? {} : { replyToMessageId: content.replyToMessageId }),
      ...(attempt.number === 1 ? {} : { fallbackOf: attempt.root }),
    },
  };
}

/** Fields of the entity that change while the message is on its way. */
export function messagePatch(attempt: Pick<Attempt, "id">, data: Record<string, unknown>): EntityChange {
  return { type: "messages", source: entitySource, externalId: attempt.id, id: attempt.id, data };
}

export interface ConversationName {
  organization: OrganizationId;
  plugin: string;
  channel: string;
  /** The other's address. */
  address: string;
  /** Our own, where it is known. */
  own: string | undefined;
}

/** The latest conversation with this address over this channel. */
export async function findConversation(
  entities: Pick<Entities, "query">,
  { organization, channel, address, own }: ConversationName,
): Promise<string | undefined> {
  const rows = await entities.query(
    organization,
    "conversations",
    { channel, participants: [{ address }] },
    { limit: 50, orderBy: "-updatedAt" },
  );
  return (rows.find((row) => row["ownAddress"] === own) ?? rows[0])?.id;
}

/**
 * A new conversation, under the name that a channel plugin would give it: `<channel>:<own address>:<address>`. Should the plugin
 * make it at the same moment, it is the same row.
 */
export function conversationChange(
  { plugin, channel, address, own }: ConversationName,
  { contact, at }: { contact: string | undefined; at: Date },
): EntityChange & { externalId: string } {
  return {
    type: "conversations",
    source: plugin,
    externalId: own === undefined ? `${channel}:${address}` : `${channel}:${own}:${address}`,
    data: {
      channel,
      participants: [{ address, ...(contact === undefined ? {} : { contactId: contact }) }],
      lastMessageAt: at.toISOString(),
      ...(own === undefined ? {} : { ownAddress: own }),
      ...(contact === undefined ? {} : { contactId: contact }),
    },
  };
}

/** The id of a conversation that was written in this transaction. */
export async function conversationId(
  tx: Tx,
  organization: string,
  source: string,
  externalId: string,
): Promise<string> {
  const row = await tx
    .selectFrom("entities")
    .select("id")
    .where("organization_id", "=", organization)
    .where("type", "=", "conversations")
    .where("source", "=", source)
    .where("external_id", "=", externalId)
    .executeTakeFirstOrThrow();
  return row.id;
}
