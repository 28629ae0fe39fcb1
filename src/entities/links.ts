/**
 * Links between rows that stand for the same thing, such as one person in two address books. Linked rows share a group id,
 * so a link is transitive and a second one changes nothing; each row stays its source's own.
 */
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Tx } from "../store/store.ts";
import { type EntityRow, entityName, presentEntity, type StoredEntity } from "./entity-record.ts";
import type { EntityWrite } from "./write-batch.ts";

/** Rows in one group. */
export const maxLinked = 100;

export interface LinkCall {
  tx: Tx;
  eventLog: EventLog;
  write: EntityWrite;
  type: string;
  ids: readonly string[];
}

/** Joins the groups of all rows; gives all that are linked now. Errors: `not_found`, `invalid_input`. */
export async function linkRows(call: LinkCall): Promise<EntityRow[]> {
  const rows = await lockGroups(call);
  const groups = new Set(rows.map(({ link_id }) => link_id));
  const joined = groups.size === 1 && !groups.has(null);
  if (rows.length > maxLinked)
    throw new BackplaneError(
      "invalid_input",
      {},
      { errors: [{ path: "ids", message: `at most ${maxLinked} rows can be linked` }] },
    );
  if (joined || rows.length < 2) return present(rows);
  const group = [...groups].find((id) => id !== null) ?? newId();
  return present(
    await regroup(
      call,
      rows.map((row) => ({ row, link_id: group })),
    ),
  );
}

/** Takes the rows out of their groups; gives them and those that stay behind. Error: `not_found`. */
export async function unlinkRows(call: LinkCall): Promise<EntityRow[]> {
  const rows = await lockGroups(call);
  const leaving = new Set(call.ids);
  const staying = Map.groupBy(
    rows.filter(({ id, link_id }) => !leaving.has(id) && link_id !== null),
    ({ link_id }) => link_id!,
  );
  const regrouped = rows.map((row) => {
    const alone = leaving.has(row.id) || (staying.get(row.link_id ?? "")?.length ?? 0) < 2;
    return { row, link_id: alone ? null : row.link_id };
  });
  if (regrouped.every(({ row, link_id }) => row.link_id === link_id)) return present(rows);
  return present(await regroup(call, regrouped));
}

/** The named rows and whoever is linked with them, locked in the order of their ids. */
async function lockGroups({ tx, write: { organization }, type, ids }: LinkCall): Promise<StoredEntity[]> {
  const named =
    await sql<StoredEntity>`select * from entities where organization_id = ${organization} and type = ${type}
    and id = any(${[...ids]}::text[]) and deleted_at is null order by id for update`.execute(tx);
  if (named.rows.length < new Set(ids).size) throw new BackplaneError("not_found", { thing: `row of ${type}` });
  const groups = [...new Set(named.rows.flatMap(({ link_id }) => link_id ?? []))];
  if (groups.length === 0) return named.rows;
  const others =
    await sql<StoredEntity>`select * from entities where organization_id = ${organization} and type = ${type}
    and link_id = any(${groups}::text[]) and not id = any(${[...ids]}::text[]) order by id limit ${maxLinked + 1} for update`.execute(
      tx,
    );
  return [...named.rows, ...others.rows];
}

async function regroup(
  { tx, eventLog, write, type }: LinkCall,
  rows: readonly { row: StoredEntity; link_id: string | null }[],
): Promise<StoredEntity[]> {
  const now = new Date();
  const after = rows.map(({ row, link_id }) => ({ ...row, link_id, version: row.version + 1, updated_at: now }));
  await sql`update entities e set link_id = g.link_id, version = e.version + 1, updated_at = ${now.toISOString()}::timestamptz
    from unnest(${after.map(({ id }) => id)}::text[], ${after.map(({ link_id }) => link_id)}::text[]) as g(id, link_id)
    where e.organization_id = ${write.organization} and e.type = ${type} and e.id = g.id`.execute(tx);
  await eventLog.publishAll(
    tx,
    present(after.filter(({ deleted_at }) => deleted_at === null)).map((record) => ({
      organization: write.organization,
      type: `data.${entityName(type)}Updated`,
      source: write.eventSource ?? `/plugins/${write.plugin}`,
      subject: record.id,
      data: { entity: type, id: record.id, record, changed: ["linkedIds"] },
      traceparent: write.traceparent === "" ? undefined : write.traceparent,
      depth: write.eventDepth + 1,
    })),
  );
  return after;
}

function present(rows: readonly StoredEntity[]): EntityRow[] {
  return rows.map((row) =>
    presentEntity(
      row,
      row.link_id === null
        ? []
        : rows
            .filter((other) => other.link_id === row.link_id && other.id !== row.id && other.deleted_at === null)
            .map(({ id }) => id),
    ),
  );
}

/** Ids of the rows linked with each of `rows`, by id; a few rows in one search. */
export async function linkedIdsOf(
  executor: { organization: OrganizationId; type: string; db: Parameters<ReturnType<typeof sql>["execute"]>[0] },
  rows: readonly StoredEntity[],
): Promise<Map<string, string[]>> {
  const groups = [...new Set(rows.flatMap(({ link_id }) => link_id ?? []))];
  const linked = new Map<string, string[]>();
  if (groups.length === 0) return linked;
  const found = await sql<{ id: string; link_id: string }>`select id, link_id from entities
    where organization_id = ${executor.organization} and type = ${executor.type} and link_id = any(${groups}::text[])
    and deleted_at is null order by id`.execute(executor.db);
  for (const { id, link_id } of rows)
    if (link_id !== null)
      linked.set(
        id,
        found.rows.filter((other) => other.link_id === link_id && other.id !== id).map((other) => other.id),
      );
  return linked;
}
