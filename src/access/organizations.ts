/** Organisations: who lives on this hub. Organisation `*` is the hub's own and can be neither made nor removed. */
import { sql } from "kysely";
import type { Audit } from "../audit/audit.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import type { Store, Tx } from "../store/store.ts";

export interface Organization {
  id: string;
  name: string;
  createdAt: string;
}

export interface PageOptions {
  /** @default 50, at most 200 */
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface Organizations {
  /** Errors: `invalid_input`, `conflict`. */
  create(input: { id: string; name: string; actor: string }): Promise<Organization>;
  /** Makes it unless it exists; tells whether it did. */
  ensure(input: { id: string; name: string; actor: string }): Promise<boolean>;
  get(id: string): Promise<Organization | undefined>;
  /** Errors: `invalid_input`, `not_found`. */
  rename(input: { id: string; name: string; actor: string }): Promise<Organization>;
  /** Removes the organisation and everything it owns but its audit log. Errors: `not_found`, `conflict` while plugins are installed. */
  remove(input: { id: string; actor: string }): Promise<void>;
  /** Newest first. */
  list(options?: PageOptions): Promise<{ organizations: Organization[]; nextCursor: string | null }>;
}

const idPattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** Rows that no foreign key takes along. */
const ownedTables = [
  "executions",
  "execution_batches",
  "execution_logs",
  "event_arrivals",
  "event_positions",
  "events",
  "deliveries",
  "consumers",
  "webhook_requests",
  "entities",
  "files",
  "packages",
  "artifacts",
  "installation_transitions",
  "connector_seen",
  "outbound_messages",
  "channel_rates",
  "channel_defaults",
] as const;

export function createOrganizations({
  store,
  audit,
  onCreated,
  onRemoved,
}: {
  store: Store;
  audit: Audit;
  onCreated?: ((tx: Tx, id: string) => Promise<void>) | undefined;
  onRemoved: (tx: Tx, id: string) => Promise<void>;
}): Organizations {
  const insert = (input: { id: string; name: string; actor: string }): Promise<Organization | undefined> => {
    assertValid(input);
    return store.transaction(async (tx) => {
      const row = await tx
        .insertInto("organizations")
        .values({ id: input.id, name: input.name })
        .onConflict((conflict) => conflict.doNothing())
        .returningAll()
        .executeTakeFirst();
      if (!row) return undefined;
      await audit.record(tx, {
        organization: row.id,
        actor: input.actor,
        action: "organization.created",
        target: row.id,
        details: { name: row.name },
      });
      await onCreated?.(tx, row.id);
      return toOrganization(row);
    });
  };

  return {
    async create(input) {
      const made = await insert(input);
      if (!made) throw new BackplaneError("conflict", { reason: `There is an organisation '${input.id}' already.` });
      return made;
    },

    async ensure(input) {
      return (await insert(input)) !== undefined;
    },

    async get(id) {
      const row = await store.db.selectFrom("organizations").selectAll().where("id", "=", id).executeTakeFirst();
      return row && toOrganization(row);
    },

    async rename(input) {
      assertValid(input);
      return await store.transaction(async (tx) => {
        const row = await tx
          .updateTable("organizations")
          .set({ name: input.name })
          .where("id", "=", input.id)
          .returningAll()
          .executeTakeFirst();
        if (!row) throw new BackplaneError("not_found", { thing: "organisation" });
        await audit.record(tx, {
          organization: row.id,
          actor: input.actor,
          action: "organization.renamed",
          target: row.id,
          details: { name: row.name },
        });
        return toOrganization(row);
      });
    },

    async remove({ id, actor }) {
      await store.transaction(async (tx) => {
        const row = await tx
          .selectFrom("organizations")
          .select("id")
          .where("id", "=", id)
          .forUpdate()
          .executeTakeFirst();
        if (!row) throw new BackplaneError("not_found", { thing: "organisation" });
        const installed = await tx
          .selectFrom("installations")
          .select("plugin_id")
          .where("organization_id", "=", id)
          .execute();
        if (installed.length > 0) {
          const plugins = installed.slice(0, 10).map((plugin) => `'${plugin.plugin_id}'`);
          throw new BackplaneError("conflict", {
            reason: `Organisation '${id}' has plugins installed (${plugins.join(", ")}). Uninstall them first.`,
          });
        }
        for (const table of ownedTables) await tx.deleteFrom(table).where("organization_id", "=", id).execute();
        await tx.deleteFrom("organizations").where("id", "=", id).execute();
        await audit.record(tx, { organization: id, actor, action: "organization.removed", target: id });
        await onRemoved(tx, id);
      });
    },

    async list({ limit = 50, cursor } = {}) {
      const size = Math.min(Math.max(limit, 1), 200);
      // The database counts microseconds, a cursor milliseconds: compared as they are, a page would lose rows.
      const createdMs = sql<Date>`date_trunc('milliseconds', created_at)`;
      let query = store.db
        .selectFrom("organizations")
        .selectAll()
        .orderBy(createdMs, "desc")
        .orderBy("id", "desc")
        .limit(size + 1);
      if (cursor !== undefined) {
        const [ms, id] = decodeCursor(cursor, 2);
        if (typeof ms !== "number" || typeof id !== "string" || Math.abs(ms) > 8.64e15)
          throw new BackplaneError("invalid_cursor");
        query = query.where(sql<boolean>`(${createdMs}, id) < (${new Date(ms)}::timestamptz, ${id})`);
      }
      const rows = await query.execute();
      const organizations = rows.slice(0, size).map(toOrganization);
      const last = rows[size - 1];
      return {
        organizations,
        nextCursor: rows.length > size && last ? encodeCursor([last.created_at.getTime(), last.id]) : null,
      };
    },
  };
}

/** Faults of a name that people read; the path is the field. */
export function nameFaults(name: unknown): FieldError[] {
  if (typeof name !== "string" || name.trim() === "")
    return [{ path: "name", message: "must be a text that is not empty" }];
  if (name.length > 200) return [{ path: "name", message: "must have at most 200 characters" }];
  return [];
}

function assertValid({ id, name }: { id: unknown; name: unknown }): void {
  const errors = nameFaults(name);
  if (typeof id !== "string" || !idPattern.test(id)) {
    errors.unshift({
      path: "id",
      message: "must be 1 to 63 lower-case letters, digits and hyphens, and not begin with a hyphen",
    });
  }
  if (errors.length > 0) throw new BackplaneError("invalid_input", {}, { errors });
}

function toOrganization(row: { id: string; name: string; created_at: Date }): Organization {
  return { id: row.id, name: row.name, createdAt: row.created_at.toISOString() };
}
