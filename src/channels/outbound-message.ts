/**
 * One attempt to reach somebody: a row of `outbound_messages`, and how its states follow each other.
 *
 *   queued ──claimed──▶ sending ──receipt──▶ sent
 *     │  ▲                 ├── certainly not sent, may help later ──▶ queued
 *     │  └─────────────────┘
 *     │                    └── refused, or nobody knows ──▶ failed (── a receipt or report after all ──▶ sent)
 *     └──cancel──▶ cancelled
 *
 * `sending` is committed before the plugin is called. Whoever finds a row in it knows that an earlier try may have reached the
 * service. `state` is ours; `status` is what people see, and rises with what the service reports (message-status.ts).
 */
import { createHash } from "node:crypto";
import type { Selectable } from "kysely";
import type { OutboundMessage as SentMessage } from "../../plugin-api/src/channel.ts";
import { asOrganizationId, type OrganizationId } from "../base/brands.ts";
import { json, jsonText } from "../store/json.ts";
import type { Database } from "../store/schema.ts";
import type { Db, Tx } from "../store/store.ts";
import type { MessageStatus } from "./message-status.ts";

/** What is said, over whichever channel. */
export type MessageContent = Pick<
  SentMessage,
  "from" | "subject" | "body" | "html" | "attachments" | "replyToMessageId" | "metadata"
>;

/** Another way, for when this one fails. */
export interface Fallback {
  channel: string;
  /** @default the contact's address on that channel; without a contact, the address of an earlier attempt that the channel takes as well */
  to?: string | undefined;
  plugin?: string | undefined;
}

export interface Attempt {
  organization: OrganizationId;
  /** Also the id of its entity, and what the plugin gets as `message.id`: the same over all tries. */
  id: string;
  /** Id of the first attempt; its own for that one. */
  root: string;
  /** 1 for the first channel, 2 for the first fallback. */
  number: number;
  /** `null` when no plugin could be found for the channel. */
  plugin: string | null;
  channel: string;
  to: string;
  conversation: string | null;
  contact: string | null;
  content: MessageContent;
  /** What is left to try after this one. */
  fallback: readonly Fallback[];
  state: "queued" | "sending" | "sent" | "failed" | "cancelled";
  status: MessageStatus;
  tries: number;
  externalId: string | null;
  providerStatus: string | null;
  errorCode: string | null;
  error: string | null;
  idempotencyKey: string | null;
  requestHash: string;
  actor: string;
  traceparent: string | null;
  depth: number;
  sendAt: Date;
  createdAt: Date;
  updatedAt: Date;
  sentAt: Date | null;
  readAt: Date | null;
}

/** The delivery's dedupe key and the row's id are one. */
export const attemptFromRow = (row: Selectable<Database["outbound_messages"]>): Attempt => ({
  organization: asOrganizationId(row.organization_id),
  id: row.id,
  root: row.root_id,
  number: row.attempt,
  plugin: row.plugin_id,
  channel: row.channel,
  to: row.address,
  conversation: row.conversation_id,
  contact: row.contact_id,
  content: row.request as unknown as MessageContent,
  fallback: row.fallback as unknown as Fallback[],
  state: row.state,
  status: row.status,
  tries: row.tries,
  externalId: row.external_id,
  providerStatus: row.provider_status,
  errorCode: row.error_code,
  error: row.error,
  idempotencyKey: row.idempotency_key,
  requestHash: row.request_hash,
  actor: row.actor,
  traceparent: row.traceparent,
  depth: row.depth,
  sendAt: row.send_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  sentAt: row.sent_at,
  readAt: row.read_at,
});

/** False when the idempotency key, or the place in the chain of fallbacks, is taken. */
export async function insertAttempt(tx: Tx, attempt: Attempt): Promise<boolean> {
  const row = await tx
    .insertInto("outbound_messages")
    .values({
      organization_id: attempt.organization,
      id: attempt.id,
      root_id: attempt.root,
      attempt: attempt.number,
      plugin_id: attempt.plugin,
      channel: attempt.channel,
      address: attempt.to,
      conversation_id: attempt.conversation,
      contact_id: attempt.contact,
      request: json(attempt.content),
      fallback: json(attempt.fallback),
      state: attempt.state,
      status: attempt.status,
      error_code: attempt.errorCode,
      error: attempt.error,
      idempotency_key: attempt.idempotencyKey,
      request_hash: attempt.requestHash,
      actor: attempt.actor,
      traceparent: attempt.traceparent,
      depth: attempt.depth,
      send_at: attempt.sendAt,
      created_at: attempt.createdAt,
      updated_at: attempt.createdAt,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

export async function findAttempt(db: Db, organization: string, id: string): Promise<Attempt | undefined> {
  const row = await db
    .selectFrom("outbound_messages")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("id", "=", id)
    .executeTakeFirst();
  return row && attemptFromRow(row);
}

export async function lockAttempt(tx: Tx, organization: string, id: string): Promise<Attempt | undefined> {
  const row = await tx
    .selectFrom("outbound_messages")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
  return row && attemptFromRow(row);
}

/** The attempts of a message, first to last; by the id of any of them. */
export async function listAttempts(db: Db, organization: string, id: string): Promise<Attempt[]> {
  const rows = await db
    .selectFrom("outbound_messages")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("root_id", "=", (eb) =>
      eb
        .selectFrom("outbound_messages as one")
        .select("one.root_id")
        .where("one.organization_id", "=", organization)
        .where("one.id", "=", id),
    )
    .orderBy("attempt")
    .execute();
  return rows.map(attemptFromRow);
}

/** A digest by which a repeated request is told from another one under the same idempotency key. */
export function hashRequest(request: object): string {
  return createHash("sha256").update(jsonText(request)).digest("hex");
}
