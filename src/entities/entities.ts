/**
 * The unified data model: rows by organisation and type, found by id or by (source, external id), with provenance.
 * Every change publishes `data.<Entity>Created`, `…Updated` or `…Deleted` in the same transaction. Checks no permissions.
 */
import { type RawBuilder, sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store, Tx } from "../store/store.ts";
import { assertEntityType, type EntityRow, presentEntity, type StoredEntity } from "./entity-record.ts";
import { type LinkCall, linkedIdsOf, linkRows, unlinkRows } from "./links.ts";
import { matchingRows, maxPageBytes, pageStatement, type QueryOptions } from "./page-statement.ts";
import {
  applyChanges,
  type BatchCounts,
  type EntityChange,
  type EntityWrite,
  type Outcome,
  prepareAhead,
  refusalsOf,
  WriteHistory,
} from "./write-batch.ts";

export type { EntityRow } from "./entity-record.ts";
export type { QueryOptions } from "./page-statement.ts";
export type { BatchCounts, Cause, EntityChange, EntityWrite } from "./write-batch.ts";

export interface EntityItem {
  id?: string;
  /** Where the item comes from. @default the plugin's id */
  source?: string;
  /** Its id there: (source, externalId) names one row for ever, which makes a repeated upsert harmless. */
  externalId?: string;
  [field: string]: unknown;
}

export interface EntityPage {
  items: EntityRow[];
  /** Null at the end. */
  nextCursor: string | null;
  /** At most 10,000. */
  count?: number;
  /** True when there are as many as `count` or more. */
  countCapped?: boolean;
}

/** Which plugin and which execution wrote the row last, and when. */
export interface Provenance {
  plugin: string | null;
  execution: string | null;
  updatedAt: string;
}

export interface EntityTypeCount {
  type: string;
  /** At most 10,000. */
  count: number;
  countCapped: boolean;
}

export interface Entities {
  /** As `page`, its items alone. */
  query(organization: OrganizationId, type: string, filter: object, options?: QueryOptions): Promise<EntityRow[]>;
  /** Rows that match, by default newest first. Errors: `invalid_input` naming the place in the filter, `invalid_cursor`. */
  page(organization: OrganizationId, type: string, filter: object, options?: QueryOptions): Promise<EntityPage>;
  /** How many rows match; 100,000 stands for as many or more. Error: `invalid_input`. */
  count(organization: OrganizationId, type: string, filter: object): Promise<number>;
  getById(organization: OrganizationId, type: string, id: string): Promise<EntityRow | null>;
  /** Of rows by id, deleted ones too. */
  provenance(organization: OrganizationId, type: string, ids: readonly string[]): Promise<Map<string, Provenance>>;
  /** Types that have rows, by name. */
  types(organization: OrganizationId): Promise<EntityTypeCount[]>;
  /** Creates or merges (top-level fields of the item replace those of the row). At most 500 items. Error: `invalid_input` naming `items.<n>.…`. */
  upsert(write: EntityWrite, type: string, items: readonly EntityItem[]): Promise<EntityRow[]>;
  /** Marks rows as deleted and tells how many it was; those that are not there do not count. At most 500 ids. Error: `invalid_input`. */
  delete(write: EntityWrite, type: string, ids: readonly string[]): Promise<number>;
  /** Brings a deleted row back. Error: `not_found`. */
  restore(write: EntityWrite, type: string, id: string): Promise<EntityRow>;
  /** Says that rows stand for the same person; gives all that are linked now. At most 100. Errors: `not_found`, `invalid_input`. */
  link(write: EntityWrite, type: string, ids: readonly string[]): Promise<EntityRow[]>;
  /** Takes rows out of their group; gives them and those that stay. Error: `not_found`. */
  unlink(write: EntityWrite, type: string, ids: readonly string[]): Promise<EntityRow[]>;
  /**
   * Writes rows of any types in a few statements, with their events, in the caller's transaction, which must be repeatable.
   * At most 1,000 changes. Errors: `invalid_input` naming `changes.<n>.…`, `call_depth_exceeded`.
   */
  writeBatch(tx: Tx, write: EntityWrite, changes: readonly EntityChange[]): Promise<BatchCounts>;
  /** The same, with one outcome per change, in their order. */
  writeEach(tx: Tx, write: EntityWrite, changes: readonly EntityChange[]): Promise<Outcome[]>;
  /** What `writeBatch` would refuse of each change, looked at by itself: sentences by its index. Those that only stored rows refuse are missing. */
  refusals(write: Pick<EntityWrite, "plugin">, changes: readonly EntityChange[]): ReadonlyMap<number, string>;
  /** For `write.ahead` of a later `writeBatch` of the same changes: what of its work needs no transaction. */
  prepareBatch(
    write: Pick<EntityWrite, "organization" | "plugin">,
    changes: readonly EntityChange[],
  ): EntityWrite["ahead"];
}

const maxItems = 500;
const maxPageCount = 10_000;
const maxCount = 100_000;

export function createEntities({ store, eventLog }: { store: Store; eventLog: EventLog }): Entities {
  const history = new WriteHistory();
  const apply = (tx: Tx, write: EntityWrite, changes: readonly EntityChange[]) =>
    applyChanges({ tx, eventLog, history }, write, changes);

  async function countTo(rows: RawBuilder<unknown>, cap: number): Promise<number> {
    const found = await sql<{
      count: number;
    }>`select count(*) as count from (select 1 ${rows} limit ${cap}) as capped`.execute(store.db);
    return found.rows[0]?.count ?? 0;
  }

  async function present(organization: OrganizationId, type: string, rows: readonly StoredEntity[]) {
    const linked = await linkedIdsOf({ organization, type, db: store.db }, rows);
    return rows.map((row) => presentEntity(row, linked.get(row.id)));
  }

  async function page(
    organization: OrganizationId,
    type: string,
    filter: object,
    options: QueryOptions = {},
  ): Promise<EntityPage> {
    const { statement, rows, order, size } = pageStatement(organization, type, filter, options);
    const found = await statement.execute(store.db);
    const here = found.rows.slice(0, size);
    if ((here.at(-1)?.bytes ?? 0) > maxPageBytes)
      throw invalid("limit", `the rows have more than ${maxPageBytes} bytes together; ask for fewer at once`);
    const last = here.at(-1);
    const total = options.count ? await countTo(rows, maxPageCount) : undefined;
    return {
      items: await present(organization, type, here),
      nextCursor: last && found.rows.length > size ? order.cursorAt(last) : null,
      ...(total === undefined ? {} : { count: total, countCapped: total >= maxPageCount }),
    };
  }

  async function linking(
    work: (call: LinkCall) => Promise<EntityRow[]>,
    write: EntityWrite,
    type: string,
    ids: readonly string[],
  ) {
    assertEntityType(type);
    assertIds(ids, 100);
    return store.transaction((tx) => work({ tx, eventLog, write, type, ids: [...new Set(ids)] }));
  }

  return {
    page,
    query: async (...args) => (await page(...args)).items,
    count: async (organization, type, filter) => countTo(matchingRows({ organization, type, filter }), maxCount),
    async getById(organization, type, id) {
      assertEntityType(type);
      const found =
        await sql<StoredEntity>`select * from entities e where organization_id = ${organization} and type = ${type}
        and id = ${id} and deleted_at is null`.execute(store.db);
      return (await present(organization, type, found.rows))[0] ?? null;
    },
    async provenance(organization, type, ids) {
      const found = await sql<Pick<StoredEntity, "id" | "plugin_id" | "execution_id" | "updated_at">>`
        select id, plugin_id, execution_id, updated_at from entities where organization_id = ${organization} and type = ${type}
        and id = any(${[...ids]}::text[])`.execute(store.db);
      return new Map(
        found.rows.map(({ id, plugin_id, execution_id, updated_at }) => [
          id,
          { plugin: plugin_id, execution: execution_id, updatedAt: updated_at.toISOString() },
        ]),
      );
    },
    async types(organization) {
      // From one type to the next by the key, not over all rows.
      const found = await sql<{ type: string; count: number }>`
        with recursive known(type) as (
          (select type from entities where organization_id = ${organization} order by type limit 1)
          union all
          select (select e.type from entities e where e.organization_id = ${organization} and e.type > known.type order by e.type limit 1)
          from known where known.type is not null
        )
        select known.type, (select count(*) from (select 1 from entities e where e.organization_id = ${organization}
          and e.type = known.type and e.deleted_at is null limit ${maxPageCount}) as capped) as count
        from known where known.type is not null limit 1000`.execute(store.db);
      return found.rows.map(({ type, count }) => ({ type, count, countCapped: count >= maxPageCount }));
    },
    async upsert(write, type, items) {
      assertEntityType(type);
      if (items.length > maxItems) throw invalid("items", `at most ${maxItems} at once`);
      const changes = items.map((item) => changeOf(type, item));
      const outcomes = await store
        .transaction((tx) => apply(tx, write, changes))
        .catch((error: unknown): never => {
          throw namingItems(error);
        });
      return present(
        write.organization,
        type,
        outcomes.map(({ row }) => row!),
      );
    },
    async delete(write, type, ids) {
      assertEntityType(type);
      assertIds(ids, maxItems);
      const changes = ids.map((id) => ({ type, id, data: {}, deleted: true }));
      const outcomes = await store.transaction((tx) => apply(tx, write, changes));
      return new Set(outcomes.filter(({ kind }) => kind === "deleted")).size;
    },
    async restore(write, type, id) {
      assertEntityType(type);
      const row = await store.transaction(async (tx) => {
        const there =
          await sql`select 1 from entities where organization_id = ${write.organization} and type = ${type} and id = ${id}`.execute(
            tx,
          );
        if (there.rows.length === 0) throw new BackplaneError("not_found", { thing: `row of ${type}` });
        return (await apply(tx, write, [{ type, id, data: {} }]))[0]!.row!;
      });
      return (await present(write.organization, type, [row]))[0]!;
    },
    link: (write, type, ids) => linking(linkRows, write, type, ids),
    unlink: (write, type, ids) => linking(unlinkRows, write, type, ids),
    prepareBatch: (write, changes) => prepareAhead(history, write, changes),
    refusals: refusalsOf,
    writeEach: apply,
    async writeBatch(tx, write, changes) {
      const counts: BatchCounts = { created: 0, updated: 0, deleted: 0, unchanged: 0 };
      for (const { kind } of new Set(await apply(tx, write, changes))) counts[kind] += 1;
      return counts;
    },
  };
}

function changeOf(type: string, item: EntityItem): EntityChange {
  if (!isObject(item)) throw invalid("items", "each item must be an object");
  const { id, source, externalId } = item;
  return { type, id, source, externalId, data: item };
}

function assertIds(ids: readonly string[], max: number): void {
  if (ids.length > max) throw invalid("ids", `at most ${max} at once`);
  if (ids.some((id) => typeof id !== "string" || id === "" || id.length > 200))
    throw invalid("ids", "must be texts of 1 to 200 characters");
}

function namingItems(error: unknown): unknown {
  if (!(error instanceof BackplaneError) || error.code !== "invalid_input") return error;
  const errors = (error.errors ?? []).map(({ path, message }) => ({
    path: path.replace(/^changes\.(\d+)(\.data)?/, "items.$1"),
    message,
  }));
  return new BackplaneError("invalid_input", {}, { errors, cause: error });
}

const invalid = (path: string, message: string): BackplaneError =>
  new BackplaneError("invalid_input", {}, { errors: [{ path, message }] });
