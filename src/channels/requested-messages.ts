/** What became of messages that plugins asked for by event, found by the events' ids. A request that could not be met has no message, only the event that tells why. */
import type { OrganizationId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import type { Db } from "../store/store.ts";
import { attemptFromRow } from "./outbound-message.ts";
import { failedRequestId, requestKey } from "./requested-events.ts";

export interface RequestedMessage {
  /** Id of the `comms.MessageRequested` event. */
  requestId: string;
  /** Of `GET /api/messages/:id`; null before the hub has taken the request, and when it refused it. */
  messageId: string | null;
  /** `requested`, then as of messages; the last attempt counts. */
  status: string;
  channel: string | null;
  /** The plugin that carries it. */
  plugin: string | null;
  to: string | null;
  errorCode: string | null;
  error: string | null;
}

/** In no order; ids that are no request's are left out. */
export async function requestedMessages(
  db: Db,
  organization: OrganizationId,
  requestIds: readonly string[],
): Promise<RequestedMessage[]> {
  if (requestIds.length === 0) return [];
  const ids = [...new Set(requestIds)];
  const [sent, told] = await Promise.all([lastAttempts(db, organization, ids), toldOf(db, organization, ids)]);
  // A request that was refused may have been met since.
  return ids.flatMap((id) => sent.get(id) ?? told.get(id) ?? []);
}

async function lastAttempts(
  db: Db,
  organization: OrganizationId,
  ids: readonly string[],
): Promise<Map<string, RequestedMessage>> {
  const requestOf = new Map(ids.map((id) => [requestKey(id), id]));
  const rows = await db
    .selectFrom("outbound_messages as first")
    .innerJoin("outbound_messages as last", (join) =>
      join.onRef("last.organization_id", "=", "first.organization_id").onRef("last.root_id", "=", "first.root_id"),
    )
    .selectAll("last")
    .select("first.idempotency_key as key")
    .where("first.organization_id", "=", organization)
    .where("first.idempotency_key", "in", [...requestOf.keys()])
    .orderBy("last.attempt")
    .execute();
  return new Map(
    rows.map(({ key, ...row }) => {
      const requestId = requestOf.get(key!)!;
      const { root, state, status, channel, plugin, to, errorCode, error } = attemptFromRow(row);
      const now = state === "cancelled" ? state : status;
      return [requestId, { requestId, messageId: root, status: now, channel, plugin, to, errorCode, error }];
    }),
  );
}

/** From the log: requests that wait, and those that were refused. */
async function toldOf(
  db: Db,
  organization: OrganizationId,
  ids: readonly string[],
): Promise<Map<string, RequestedMessage>> {
  const rows = await db
    .selectFrom("events")
    .select(["id", "type", "data"])
    .where("organization_id", "=", organization)
    .where("id", "in", [...ids, ...ids.map(failedRequestId)])
    .where("type", "in", ["comms.MessageRequested", "comms.MessageStatus"])
    .execute();
  const found = new Map(rows.map((row) => [row.id, row]));
  return new Map(
    ids.flatMap((requestId): [string, RequestedMessage][] => {
      const failed = found.get(failedRequestId(requestId));
      const asked = found.get(requestId);
      if (!failed && asked?.type !== "comms.MessageRequested") return [];
      const data = failed?.data ?? asked?.data;
      const field = (name: string): string | null => {
        const value = isObject(data) ? data[name] : undefined;
        return typeof value === "string" ? value.slice(0, 1_000) : null;
      };
      const told = { channel: field("channel"), plugin: field(failed ? "provider" : "plugin"), to: field("to") };
      const fault = failed
        ? { errorCode: field("errorCode"), error: field("error") }
        : { errorCode: null, error: null };
      return [[requestId, { requestId, messageId: null, status: failed ? "failed" : "requested", ...told, ...fault }]];
    }),
  );
}
