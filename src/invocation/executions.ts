/** Reads executions and asks for their cancellation; the running half of a cancel is the invoker's, which listens. */
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { BackplaneError } from "../errors/error.ts";
import { json } from "../store/json.ts";
import type { Store } from "../store/store.ts";
import { deleteBatchesBefore, findInBatches, listFromBatches } from "./execution-batches.ts";
import { type ExecutionRecord, type ExecutionStatus, endedStatuses, executionFromRow } from "./execution-record.ts";

export const cancelChannel = "execution_cancel";

export interface ListExecutions {
  plugin?: string;
  status?: ExecutionStatus;
  contribution?: string;
  traceId?: string;
  parent?: string;
  since?: Date;
  /** ≤ 200. @default 50 */
  limit?: number;
  cursor?: string;
}

export interface Executions {
  /** Newest first. Error: `invalid_cursor`. */
  list(
    organization: OrganizationId,
    filter: ListExecutions,
  ): Promise<{ executions: ExecutionRecord[]; nextCursor: string | null }>;
  /** Error: `not_found`. */
  get(organization: OrganizationId, id: string): Promise<ExecutionRecord>;
  /** A queued one ends at once; a running one is asked to stop. Errors: `not_found`, `conflict` when it has ended. */
  cancel(organization: OrganizationId, id: string): Promise<ExecutionRecord>;
  logs(
    organization: OrganizationId,
    plugin: PluginId,
    filter: ListLogs,
  ): Promise<{ logs: LogEntry[]; nextCursor: string | null }>;
  /** Deletes ended executions and log lines older than `before`; returns how many rows went. */
  deleteEndedBefore(before: Date): Promise<number>;
}

export interface ListLogs {
  level?: string;
  execution?: string;
  limit?: number;
  cursor?: string;
  /** Lines after this sequence number, oldest first: for following. */
  after?: number;
}

export interface LogEntry {
  seq: number;
  at: string;
  level: string;
  message: string;
  data?: unknown;
  executionId: string | null;
}

export function createExecutions({ store }: { store: Store }): Executions {
  const get: Executions["get"] = async (organization, id) => {
    const row = await store.db
      .selectFrom("executions")
      .selectAll()
      .where("organization_id", "=", organization)
      .where("id", "=", id)
      .executeTakeFirst();
    const record = row ? executionFromRow(row) : await findInBatches(store.db, organization, id);
    if (!record) throw new BackplaneError("not_found", { thing: "execution" });
    return record;
  };

  return {
    get,
    async list(organization, filter) {
      const limit = filter.limit ?? 50;
      let query = store.db.selectFrom("executions").selectAll().where("organization_id", "=", organization);
      if (filter.plugin !== undefined) query = query.where("plugin_id", "=", filter.plugin);
      if (filter.status !== undefined) query = query.where("status", "=", filter.status);
      if (filter.contribution !== undefined) query = query.where("contribution", "=", filter.contribution);
      if (filter.traceId !== undefined) query = query.where("trace_id", "=", filter.traceId);
      if (filter.parent !== undefined) query = query.where("parent_id", "=", filter.parent);
      if (filter.since !== undefined) query = query.where("created_at", ">=", filter.since);
      // Ids are UUIDv7: their order is the order of creation.
      const before = filter.cursor === undefined ? undefined : String(decodeCursor(filter.cursor, 1)[0]);
      if (before !== undefined) query = query.where("id", "<", before);
      const rows = await query
        .orderBy("id", "desc")
        .limit(limit + 1)
        .execute();
      const found = new Map(rows.map((row) => [row.id, executionFromRow(row)]));
      if (filter.status === undefined || endedStatuses.includes(filter.status)) {
        const oldest = rows.length > limit ? rows.at(-1)!.id : undefined;
        const { cursor: _, limit: __, ...conditions } = filter;
        const batched = await listFromBatches(store.db, {
          organization,
          filter: {
            ...conditions,
            ...(before === undefined ? {} : { before }),
            ...(oldest === undefined ? {} : { from: oldest }),
          },
          enough: limit + 1,
        });
        for (const record of batched) found.set(record.id, record);
      }
      const all = [...found.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
      const executions = all.slice(0, limit);
      const last = executions.at(-1);
      return { executions, nextCursor: all.length > limit && last ? encodeCursor([last.id]) : null };
    },
    async cancel(organization, id) {
      const batched = await findInBatches(store.db, organization, id);
      if (batched) throw hasEnded(batched);
      await store.transaction(async (tx) => {
        const row = await tx
          .selectFrom("executions")
          .selectAll()
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .forUpdate()
          .executeTakeFirst();
        if (!row) throw new BackplaneError("not_found", { thing: "execution" });
        const record = executionFromRow(row);
        if (endedStatuses.includes(record.status)) {
          throw hasEnded(record);
        }
        const queued = record.status === "queued";
        await tx
          .updateTable("executions")
          .set(
            queued
              ? {
                  status: "cancelled",
                  cancel_requested: true,
                  ended_at: new Date(),
                  error: json({ code: "cancelled", message: new BackplaneError("cancelled").message }),
                }
              : { cancel_requested: true },
          )
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .execute();
        await store.notify(tx, cancelChannel, id);
      });
      return get(organization, id);
    },
    async logs(organization, plugin, filter) {
      const limit = filter.limit ?? 50;
      let query = store.db
        .selectFrom("execution_logs")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin);
      if (filter.level !== undefined) query = query.where("level", "=", filter.level);
      if (filter.execution !== undefined) query = query.where("execution_id", "=", filter.execution);
      if (filter.after !== undefined) query = query.where("seq", ">", filter.after);
      if (filter.cursor !== undefined) query = query.where("seq", "<", sequenceOf(filter.cursor));
      const rows = await query
        .orderBy("seq", filter.after === undefined ? "desc" : "asc")
        .limit(limit + 1)
        .execute();
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      return {
        logs: page.map((row) => ({
          seq: Number(row.seq),
          at: row.at.toISOString(),
          level: row.level,
          message: row.message,
          ...(row.data === null ? {} : { data: row.data }),
          executionId: row.execution_id,
        })),
        nextCursor: rows.length > limit && last ? encodeCursor([Number(last.seq)]) : null,
      };
    },
    async deleteEndedBefore(before) {
      const executions = await store.db
        .deleteFrom("executions")
        .where("created_at", "<", before)
        .where("status", "in", [...endedStatuses])
        .executeTakeFirst();
      const logs = await store.db.deleteFrom("execution_logs").where("at", "<", before).executeTakeFirst();
      const batched = await deleteBatchesBefore(store.db, before);
      return Number(executions.numDeletedRows) + batched + Number(logs.numDeletedRows);
    },
  };
}

const hasEnded = ({ status }: ExecutionRecord): BackplaneError =>
  new BackplaneError("conflict", {
    reason: `The execution has ended already: it ${status === "cancelled" ? "was cancelled" : status}.`,
  });

/** Error: `invalid_cursor`. */
function sequenceOf(cursor: string): number {
  const [seq] = decodeCursor(cursor, 1);
  if (!Number.isSafeInteger(seq)) throw new BackplaneError("invalid_cursor");
  return seq as number;
}
