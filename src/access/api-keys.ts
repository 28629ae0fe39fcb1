/** API keys of organisations: 256 random bits, shown once, kept as their SHA-256. A random key needs no slow hash. */
import { createHash, randomBytes } from "node:crypto";
import type { Audit } from "../audit/audit.ts";
import type { OrganizationId } from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { newId } from "../base/ids.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store, Tx } from "../store/store.ts";
import { nameFaults, type PageOptions } from "./organizations.ts";
import { isRole, type Role } from "./principal.ts";

export interface ApiKey {
  id: string;
  name: string;
  role: Role;
  createdAt: string;
  lastUsedAt: string | null;
}

export interface ApiKeys {
  /** Errors: `invalid_input`, `not_found` (the organisation). */
  create(input: {
    organization: OrganizationId;
    name: string;
    role: Role;
    actor: string;
  }): Promise<{ id: string; key: string; name: string; role: Role }>;
  /** Error: `not_found`. */
  remove(input: { organization: OrganizationId; keyId: string; actor: string }): Promise<void>;
  /** Newest first. */
  list(organization: OrganizationId, options?: PageOptions): Promise<{ apiKeys: ApiKey[]; nextCursor: string | null }>;
}

const keyPattern = /^bp_[A-Za-z0-9_-]{43}$/;

/** Cheap check before the database is asked. */
export const looksLikeKey = (token: string): boolean => keyPattern.test(token);

export const hashKey = (key: string): string => createHash("sha256").update(key).digest("hex");

export function createApiKeys({
  store,
  audit,
  onRemoved,
}: {
  store: Store;
  audit: Audit;
  onRemoved: (tx: Tx, hash: string) => Promise<void>;
}): ApiKeys {
  return {
    async create({ organization, name, role, actor }) {
      const errors = nameFaults(name);
      if (!isRole(role)) errors.push({ path: "role", message: "must be viewer, member or admin" });
      if (errors.length > 0) throw new BackplaneError("invalid_input", {}, { errors });
      const key = `bp_${randomBytes(32).toString("base64url")}`;
      const id = newId();
      await store.transaction(async (tx) => {
        const exists = await tx
          .selectFrom("organizations")
          .select("id")
          .where("id", "=", organization)
          .forKeyShare()
          .executeTakeFirst();
        if (!exists) throw new BackplaneError("not_found", { thing: "organisation" });
        await tx
          .insertInto("api_keys")
          .values({ organization_id: organization, id, name, role, hash: hashKey(key) })
          .execute();
        await audit.record(tx, { organization, actor, action: "api_key.created", target: id, details: { name, role } });
      });
      return { id, key, name, role };
    },

    async remove({ organization, keyId, actor }) {
      await store.transaction(async (tx) => {
        const row = await tx
          .deleteFrom("api_keys")
          .where("organization_id", "=", organization)
          .where("id", "=", keyId)
          .returning(["hash", "name", "role"])
          .executeTakeFirst();
        if (!row) throw new BackplaneError("not_found", { thing: "API key" });
        await audit.record(tx, {
          organization,
          actor,
          action: "api_key.removed",
          target: keyId,
          details: { name: row.name, role: row.role },
        });
        await onRemoved(tx, row.hash);
      });
    },

    async list(organization, { limit = 50, cursor } = {}) {
      const size = Math.min(Math.max(limit, 1), 200);
      let query = store.db
        .selectFrom("api_keys")
        .select(["id", "name", "role", "created_at", "last_used_at"])
        .where("organization_id", "=", organization)
        // Ids begin with their time.
        .orderBy("id", "desc")
        .limit(size + 1);
      if (cursor !== undefined) query = query.where("id", "<", String(decodeCursor(cursor, 1)[0]));
      const rows = await query.execute();
      const apiKeys = rows.slice(0, size).map((row) => ({
        id: row.id,
        name: row.name,
        role: row.role,
        createdAt: row.created_at.toISOString(),
        lastUsedAt: row.last_used_at?.toISOString() ?? null,
      }));
      return { apiKeys, nextCursor: rows.length > size ? encodeCursor([apiKeys.at(-1)!.id]) : null };
    },
  };
}
