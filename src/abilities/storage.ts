/** `ctx.storage`: files of the installation, kept in the database within a quota. Needs `storage:read`, `storage:write`. */
import { sql } from "kysely";
import { z } from "zod";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { isStorableText } from "../bus/event-record.ts";
import { BackplaneError } from "../errors/error.ts";
import { inputSentence } from "../errors/input-faults.ts";
import type { Store } from "../store/store.ts";
import {
  type Ability,
  bytesSchema,
  defineAbility,
  hasGrant,
  requirePermission,
  storableString,
  toBytes,
} from "./ability.ts";

const path = z
  .string()
  .min(1)
  .max(512)
  .refine(
    (value) =>
      !value.startsWith("/") &&
      !value.includes("\\") &&
      isStorableText(value) &&
      !value.split("/").some((part) => part === "" || part === "." || part === ".."),
    "must be a relative path without empty or dotted parts, backslashes and control characters",
  );
const putOptions = z.object({ contentType: storableString(200).optional() }).nullish();
const listOptions = z
  .object({
    prefix: storableString(512).optional(),
    limit: z.number().int().min(1).max(200).optional(),
    cursor: z.string().max(2000).optional(),
  })
  .nullish();

/** What a file counts for at least: a row costs something even when it is empty. */
const minFileBytes = 1024;

export interface StorageOptions {
  store: Store;
  /** Bytes of all files of one installation. @default 52428800 */
  quotaBytes?: number;
}

export function createStorageAbilities({ store, quotaBytes = 50 * 1024 * 1024 }: StorageOptions): Ability[] {
  const mayRead = (installation: Parameters<Ability["available"]>[0]): boolean =>
    hasGrant(installation, "storage:read");
  const mayWrite = (installation: Parameters<Ability["available"]>[0]): boolean =>
    hasGrant(installation, "storage:write");

  return [
    defineAbility({
      name: "storage.get",
      available: mayRead,
      schema: z.tuple([path]),
      async run({ context }, [name]) {
        requirePermission(context, "storage:read");
        const row = await store.db
          .selectFrom("files")
          .select("bytes")
          .where("organization_id", "=", context.organization)
          .where("plugin_id", "=", context.installation.plugin)
          .where("path", "=", name)
          .executeTakeFirst();
        return row ? toBytes(row.bytes) : null;
      },
    }),
    defineAbility({
      name: "storage.put",
      available: mayWrite,
      schema: z.tuple([path, z.union([z.string(), bytesSchema])]).rest(z.unknown()),
      async run({ context }, [name, content, rest]) {
        requirePermission(context, "storage:write");
        const { plugin } = context.installation;
        const bytes = typeof content === "string" ? Buffer.from(content) : content;
        const contentType =
          putOptions.parse(rest, { error: inputSentence })?.contentType ??
          (typeof content === "string" ? "text/plain; charset=utf-8" : "application/octet-stream");
        await store.transaction(async (tx) => {
          // The installation's row is the lock that keeps two writers from passing the quota together.
          await tx
            .selectFrom("installations")
            .select("id")
            .where("organization_id", "=", context.organization)
            .where("plugin_id", "=", plugin)
            .forUpdate()
            .execute();
          const used = await tx
            .selectFrom("files")
            .select(sql<number>`coalesce(sum(greatest(size, ${minFileBytes})), 0)::float8`.as("bytes"))
            .where("organization_id", "=", context.organization)
            .where("plugin_id", "=", plugin)
            .where("path", "!=", name)
            .executeTakeFirstOrThrow();
          if (used.bytes + Math.max(bytes.byteLength, minFileBytes) > quotaBytes)
            throw new BackplaneError("storage_quota", { plugin, limit: quotaBytes });
          await tx
            .insertInto("files")
            .values({
              organization_id: context.organization,
              plugin_id: plugin,
              path: name,
              content_type: contentType,
              size: bytes.byteLength,
              bytes,
            })
            .onConflict((conflict) =>
              conflict
                .columns(["organization_id", "plugin_id", "path"])
                .doUpdateSet({ content_type: contentType, size: bytes.byteLength, bytes, updated_at: new Date() }),
            )
            .execute();
        });
        return null;
      },
    }),
    defineAbility({
      name: "storage.delete",
      available: mayWrite,
      schema: z.tuple([path]),
      async run({ context }, [name]) {
        requirePermission(context, "storage:write");
        const gone = await store.db
          .deleteFrom("files")
          .where("organization_id", "=", context.organization)
          .where("plugin_id", "=", context.installation.plugin)
          .where("path", "=", name)
          .executeTakeFirst();
        return Number(gone.numDeletedRows) > 0;
      },
    }),
    defineAbility({
      name: "storage.list",
      available: mayRead,
      schema: z.tuple([]).rest(z.unknown()),
      async run({ context }, [rest]) {
        requirePermission(context, "storage:read");
        const { prefix = "", limit = 50, cursor } = listOptions.parse(rest, { error: inputSentence }) ?? {};
        let query = store.db
          .selectFrom("files")
          .select(["path", "content_type", "size", "updated_at"])
          .where("organization_id", "=", context.organization)
          .where("plugin_id", "=", context.installation.plugin)
          .where(sql<boolean>`starts_with(path, ${prefix})`);
        if (cursor !== undefined) query = query.where("path", ">", String(decodeCursor(cursor, 1)[0]));
        const rows = await query
          .orderBy("path")
          .limit(limit + 1)
          .execute();
        const page = rows.slice(0, limit);
        const last = page.at(-1);
        return {
          files: page.map((row) => ({
            path: row.path,
            contentType: row.content_type,
            size: row.size,
            updatedAt: row.updated_at.toISOString(),
          })),
          nextCursor: rows.length > limit && last ? encodeCursor([last.path]) : null,
        };
      },
    }),
  ];
}
