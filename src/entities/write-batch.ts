/**
 * Writes many rows of the data model in a few statements, inside the caller's transaction, with the events of what really
 * changed. Checks no permissions. Long because it is one algorithm: prepare, insert what is new, lock and merge what is
 * there, publish. It inserts before it looks where nothing refers to other rows, since a first sync is nothing but new rows.
 */
import { type RawBuilder, sql } from "kysely";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import { isObject } from "../base/json.ts";
import type { EventLog, EventsInCommon } from "../bus/event-log.ts";
import { isStorableText } from "../bus/event-record.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { isEntityName } from "../manifest/entity-name.ts";
import { jsonRows, jsonRowsOf, jsonText } from "../store/json.ts";
import type { Tx } from "../store/store.ts";
import { checkKnownFields } from "./check-entity.ts";
import { cleanData, dataCaps, type Reference, sameJson } from "./clean-data.ts";
import { entityName, hubFields, type StoredEntity } from "./entity-record.ts";
import { dataBytes } from "./page-statement.ts";

/** Who writes, for provenance and for the events. */
export interface EntityWrite {
  organization: OrganizationId;
  plugin: PluginId;
  execution: string | null;
  traceparent: string;
  eventDepth: number;
  /** CloudEvents `source` of the events. @default `/plugins/<plugin>` */
  eventSource?: string;
  /** What `prepareAhead` made of the same changes; it serves one write, and any other goes without. */
  ahead?: Ahead | undefined;
}

/** One row as it should be. Its top-level fields replace those of the row; fields it does not name stay. */
export interface EntityChange {
  type: string;
  /** Where it comes from. @default the plugin's id */
  source?: string | undefined;
  /** Its id there: (source, externalId) names one row for ever. */
  externalId?: string | undefined;
  /** The hub's id, where it is known. */
  id?: string | undefined;
  data: Readonly<Record<string, unknown>>;
  /** The row is to be deleted: it stays, marked, and comes back when it is written again. */
  deleted?: boolean | undefined;
  /** Who writes this one, where changes of several executions share a write. @default as the write says; of a row named twice, as the first says */
  cause?: Cause | undefined;
}

export interface Cause {
  execution: string;
  traceparent: string;
}

/** Distinct rows, not changes: a row named twice counts once. */
export interface BatchCounts {
  created: number;
  updated: number;
  deleted: number;
  unchanged: number;
}

export interface Outcome {
  kind: "created" | "updated" | "deleted" | "unchanged";
  /** Undefined when a row was to be deleted that is not there. */
  row: StoredEntity | undefined;
}

/** Of one call. */
const maxChanges = 1000;
const maxNameLength = 512;
const maxIdLength = 200;
const maxTags = 200;
/** Of the data that the rows of one call have already, which are all read. */
const maxBatchBytes = 32 * 1024 * 1024;

/**
 * Gives one outcome per change, in their order; the same for changes of one row. Errors: `invalid_input` naming
 * `changes.<n>.…`, `payload_too_large`, `call_depth_exceeded`.
 */
export async function applyChanges(
  { tx, eventLog, history }: { tx: Tx; eventLog: EventLog; history: WriteHistory },
  write: EntityWrite,
  changes: readonly EntityChange[],
): Promise<Outcome[]> {
  const batch = write.ahead?.take(changes) ?? prepare(write, changes, history.mostlyNew(write));
  await store({ tx, eventLog, write, batch });
  await eventLog.announce(tx, batch.eventIds);
  history.saw(write, batch.rows);
  return batch.byChange.map(({ outcome }) => outcome!);
}

/** Changes checked, copied and brought into the text of a statement before their transaction begins, which so is shorter. */
export class Ahead {
  readonly #changes: readonly EntityChange[];
  #batch: Batch | undefined;

  constructor(changes: readonly EntityChange[], batch: Batch) {
    this.#changes = changes;
    this.#batch = batch;
  }

  /** Once, since writing changes it: a transaction that is tried again prepares anew. */
  take(changes: readonly EntityChange[]): Batch | undefined {
    const batch = this.#batch;
    if (!batch || changes.length !== this.#changes.length || changes.some((change, i) => change !== this.#changes[i]))
      return undefined;
    this.#batch = undefined;
    batch.now = new Date();
    return batch;
  }
}

/** Undefined for what cannot be written, which says so when it is. The changes must stay as they are. */
export function prepareAhead(
  history: WriteHistory,
  write: Pick<EntityWrite, "organization" | "plugin">,
  changes: readonly EntityChange[],
): Ahead | undefined {
  if (changes.length > maxChanges) return undefined;
  try {
    const batch = prepare(write, changes, history.mostlyNew(write));
    if (insertsFirst(batch)) batch.insertion = insertionOf(batch.rows.filter(({ deleted }) => !deleted));
    return new Ahead(changes, batch);
  } catch (error) {
    if (error instanceof BackplaneError) return undefined;
    throw error;
  }
}

/** Remembers whether a plugin's last batch was mostly new rows, as its next one then is: a guess that only costs or saves time. */
export class WriteHistory {
  #known = new Set<string>();

  mostlyNew({ organization, plugin }: Pick<EntityWrite, "organization" | "plugin">): boolean {
    return !this.#known.has(`${organization}\n${plugin}`);
  }

  saw({ organization, plugin }: EntityWrite, rows: readonly { outcome?: Outcome }[]): void {
    if (rows.length === 0) return;
    const made = rows.filter(({ outcome }) => outcome?.kind === "created").length;
    const key = `${organization}\n${plugin}`;
    if (made * 2 >= rows.length) this.#known.delete(key);
    else if (this.#known.size < 10_000) this.#known.add(key);
  }
}

/** A row of the batch: all changes that name it, merged. */
interface Pending {
  /** Of the first change that names it. */
  index: number;
  type: string;
  source: string;
  externalId: string | undefined;
  /** As given. */
  id: string | undefined;
  /** For the row, should it be new. */
  newId: string;
  data: Record<string, unknown>;
  references: Reference[];
  deleted: boolean;
  cause: Cause | undefined;
  outcome?: Outcome;
}

interface Batch {
  rows: Pending[];
  byChange: Pending[];
  byName: Map<string, Pending>;
  now: Date;
  /** Of what was really published. */
  eventIds: string[];
  /** Whether most rows are probably new. */
  insertFirst: boolean;
  /** Of the first statement, where it was made ahead. */
  insertion?: Insertion;
}

/** Rows for `insert` as one parameter. */
interface Insertion {
  pendings: readonly Pending[];
  eventIds: string[];
  text: string;
}

const nameKey = (type: string, source: string, externalId: string): string => `${type}\nx\n${source}\n${externalId}`;
const idKey = (type: string, id: string): string => `${type}\ni\n${id}`;

function prepare(write: Pick<EntityWrite, "plugin">, changes: readonly EntityChange[], insertFirst: boolean): Batch {
  const faults: FieldError[] = [];
  if (changes.length > maxChanges) faults.push({ path: "changes", message: `at most ${maxChanges} at once` });
  const batch: Batch = { rows: [], byChange: [], byName: new Map(), now: new Date(), eventIds: [], insertFirst };
  for (const [index, change] of changes.entries()) {
    if (faults.length > 0 && (faults.length > 50 || changes.length > maxChanges)) break;
    const pending = prepareOne(write, change, index, faults);
    if (pending) batch.byChange.push(merge(batch, pending));
  }
  // Each change is within its caps; a row that many of them name is made of all.
  if (batch.rows.length < batch.byChange.length)
    for (const { index, data } of new Set(batch.byChange))
      if (sizeOf(data) > maxRowCharacters) faults.push({ path: `changes.${index}.data`, message: tooLarge });
  if (faults.length > 0) throw new BackplaneError("invalid_input", {}, { errors: faults.slice(0, 50) });
  return batch;
}

/** By the change's index, a sentence with the first of what is wrong with it. */
export function refusalsOf(
  write: Pick<EntityWrite, "plugin">,
  changes: readonly EntityChange[],
): ReadonlyMap<number, string> {
  const refused = new Map<number, string>();
  for (const [index, change] of changes.entries()) {
    const faults: FieldError[] = [];
    prepareOne(write, change, index, faults);
    const said = faults.slice(0, 3).map(({ path, message }) => `${path.replace(/^changes\.\d+\.?/, "")} ${message}`);
    if (said.length > 0) refused.set(index, said.join("; ").trim());
  }
  return refused;
}

function prepareOne(
  write: Pick<EntityWrite, "plugin">,
  change: EntityChange,
  index: number,
  faults: FieldError[],
): Pending | undefined {
  const path = `changes.${index}`;
  const before = faults.length;
  if (!isObject(change) || !isObject(change.data ?? {})) {
    faults.push({ path, message: "must be an object" });
    return undefined;
  }
  const { type, id, source, externalId, deleted = false, cause } = change;
  if (typeof type !== "string" || !isEntityName(type))
    faults.push({
      path: `${path}.type`,
      message: "must be lower-case letters, digits and underscores, such as `contacts`",
    });
  for (const [name, value, max] of [
    ["id", id, maxIdLength],
    ["source", source, maxNameLength],
    ["externalId", externalId, maxNameLength],
  ] as const)
    if (
      value !== undefined &&
      !(typeof value === "string" && value !== "" && value.length <= max && isStorableText(value))
    )
      faults.push({
        path: `${path}.${name}`,
        message: `must be text of 1 to ${max} characters without control characters`,
      });
  if (faults.length > before) return undefined;
  const { data, references } = cleanData(change.data ?? {}, { without: hubFields, path: `${path}.data`, faults });
  if (!deleted) checkKnownFields(type, data, { path: `${path}.data`, faults });
  checkTags(data, `${path}.data`, faults);
  return {
    index,
    type,
    source: source ?? write.plugin,
    externalId,
    id,
    newId: id ?? newId(),
    data,
    references,
    deleted,
    cause,
  };
}

function checkTags(data: Record<string, unknown>, path: string, faults: FieldError[]): void {
  const { tags } = data;
  if (tags === undefined || tags === null) return;
  if (
    !Array.isArray(tags) ||
    tags.length > maxTags ||
    tags.some((tag) => typeof tag !== "string" || tag === "" || tag.length > 200)
  )
    faults.push({ path: `${path}.tags`, message: `must be a list of at most ${maxTags} texts of 1 to 200 characters` });
  else data["tags"] = [...new Set(tags)];
}

/** Adds to the batch, or to what it has of the row already. */
function merge({ rows, byName }: Batch, pending: Pending): Pending {
  const { type, source, externalId, id } = pending;
  const names = [
    ...(externalId === undefined ? [] : [nameKey(type, source, externalId)]),
    ...(id === undefined ? [] : [idKey(type, id)]),
  ];
  const known = names.map((name) => byName.get(name)).find((found) => found !== undefined);
  for (const name of names) byName.set(name, known ?? pending);
  if (!known) {
    rows.push(pending);
    return pending;
  }
  Object.assign(known.data, pending.data);
  known.references = [
    ...known.references.filter(({ field }) => field === undefined || !Object.hasOwn(pending.data, field)),
    ...pending.references.map((reference) => {
      const { field } = reference;
      if (field === undefined) return reference;
      const resolve = (id: string | null): void => {
        known.data[field] = id;
      };
      return { ...reference, resolve };
    }),
  ];
  known.deleted = pending.deleted;
  known.externalId ??= externalId;
  if (id !== undefined && known.id === undefined) Object.assign(known, { id, newId: id });
  return known;
}

interface Storing {
  tx: Tx;
  eventLog: EventLog;
  write: EntityWrite;
  batch: Batch;
}

async function store(storing: Storing): Promise<void> {
  const { rows, insertion } = storing.batch;
  const refers = hasReferences(storing.batch);
  let open = rows;
  if (insertsFirst(storing.batch))
    open = without(open, await insert(storing, insertion ?? insertionOf(open.filter(({ deleted }) => !deleted))));
  for (let round = 0; open.length > 0; round += 1) {
    const found = await lock(storing, open);
    if (refers && round === 0) await resolve(storing, found);
    await update(storing, found);
    const missing = open.filter((pending) => !found.has(pending));
    for (const pending of missing) if (pending.deleted) pending.outcome = { kind: "unchanged", row: undefined };
    const absent = missing.filter(({ deleted }) => !deleted);
    if (absent.length === 0) return;
    open = without(absent, await insert(storing, insertionOf(absent)));
    if (open.length > 0 && round > 0) throw clash(open);
    // Somebody else made a row in this very moment, and what refers to it has been given another id: once more, from the start.
    if (open.length > 0 && refers)
      throw Object.assign(new Error("A row appeared while a batch was written"), { code: "40001" });
  }
}

const hasReferences = ({ rows }: Batch): boolean => rows.some(({ references }) => references.length > 0);
const insertsFirst = (batch: Batch): boolean => batch.insertFirst && !hasReferences(batch);

const without = (all: Pending[], done: ReadonlySet<Pending>): Pending[] =>
  done.size === 0 ? all : all.filter((pending) => !done.has(pending));

function clash(open: readonly Pending[]): BackplaneError {
  const message = "`id` and `externalId` name two different rows, or a row that has another name already";
  return new BackplaneError(
    "invalid_input",
    {},
    { errors: open.slice(0, 20).map(({ index }) => ({ path: `changes.${index}`, message })) },
  );
}

function insertionOf(pendings: readonly Pending[]): Insertion {
  const eventIds = pendings.map(() => newId());
  const rows = pendings.map((pending, n) => ({
    n,
    event_id: eventIds[n],
    type: pending.type,
    id: pending.newId,
    source: pending.source,
    external_id: pending.externalId ?? null,
    data: pending.data,
    source_tags: sourceTagsOf(pending) ?? null,
    ...causeOf(pending),
  }));
  return { pendings, eventIds, text: jsonText(rows) };
}

/** Where it is not the write's, as fields of a row. */
const causeOf = ({ cause }: Pending) => cause && { execution_id: cause.execution, traceparent: cause.traceparent };

/** Inserts those whose names are free, with their events, and gives them back. */
async function insert(
  { tx, eventLog, write, batch }: Storing,
  { pendings, eventIds, text }: Insertion,
): Promise<Set<Pending>> {
  const done = new Set<Pending>();
  if (pendings.length === 0) return done;
  const at = batch.now.toISOString();
  const made = sql`
    select rows.event_id as id, ${eventTypes(pendings, "Created")}::jsonb ->> written.type as type, written.id as subject, rows.traceparent,
      jsonb_build_object('entity', written.type, 'id', written.id, 'record', written.data || jsonb_build_object('id', written.id,
        'source', written.source, 'externalId', written.external_id, 'version', 1, 'createdAt', ${at}::text, 'updatedAt', ${at}::text)) as data
    from written join rows using (type, id) order by rows.n`;
  const result = await sql<{ count: number; written: [string, string][] | null }>`
    with rows as materialized (select * from ${jsonRowsOf(text, pendings.length, insertColumns)}),
    written as (
      insert into entities (organization_id, type, id, source, external_id, data, source_tags, plugin_id, execution_id, created_at, updated_at)
      select ${write.organization}, type, id, source, external_id, data, source_tags, ${write.plugin}, coalesce(execution_id, ${write.execution}),
        ${at}::timestamptz, ${at}::timestamptz
      from rows on conflict do nothing returning type, id, source, external_id, data
    ),
    ${eventLog.insertion(inCommon(write, batch), made)}
    select count(*) as count, case when count(*) < ${pendings.length} then jsonb_agg(jsonb_build_array(type, id)) end as written
    from written`.execute(tx);
  const { count, written } = result.rows[0]!;
  if (count === 0) return done;
  const ids = written === null ? undefined : new Set(written.map(([type, id]) => idKey(type, id)));
  for (const [n, pending] of pendings.entries()) {
    const { type, newId: id, source, externalId, data } = pending;
    if (ids && !ids.has(idKey(type, id))) continue;
    done.add(pending);
    batch.eventIds.push(eventIds[n]!);
    pending.outcome = {
      kind: "created",
      row: {
        type,
        id,
        source,
        external_id: externalId ?? null,
        data,
        version: 1,
        plugin_id: write.plugin,
        execution_id: pending.cause?.execution ?? write.execution,
        created_at: batch.now,
        updated_at: batch.now,
        deleted_at: null,
        source_tags: sourceTagsOf(pending) ?? null,
        link_id: null,
      },
    };
  }
  return done;
}

const insertColumns = {
  n: "int",
  event_id: "text",
  type: "text",
  id: "text",
  source: "text",
  external_id: "text",
  data: "jsonb",
  source_tags: "jsonb",
  execution_id: "text",
  traceparent: "text",
};

/** JSON text of the events' types by entity type. */
function eventTypes(pendings: readonly Pending[], what: "Created" | "Updated" | "Deleted"): string {
  const types = new Set(pendings.map(({ type }) => type));
  return JSON.stringify(Object.fromEntries([...types].map((type) => [type, `data.${entityName(type)}${what}`])));
}

function inCommon(write: EntityWrite, { now }: Batch): EventsInCommon {
  return {
    organization: write.organization,
    source: write.eventSource ?? `/plugins/${write.plugin}`,
    traceparent: write.traceparent === "" ? undefined : write.traceparent,
    time: now,
    depth: write.eventDepth + 1,
  };
}

const byName = sql`e.source = rows.source and e.external_id = rows.external_id`;
const columns = sql`e.type, e.id, e.source, e.external_id, e.data, e.version, e.plugin_id, e.execution_id, e.created_at, e.updated_at, e.deleted_at, e.source_tags, e.link_id`;

/** The rows that are there, locked until the transaction ends. Error: `invalid_input` when a change names two rows. */
async function lock({ tx, write }: Storing, pendings: readonly Pending[]): Promise<Map<Pending, StoredEntity>> {
  const found = new Map<Pending, StoredEntity>();
  const named: { n: number; type: string; source: string; external_id: string }[] = [];
  const byId: { n: number; type: string; id: string | undefined }[] = [];
  for (const [n, { type, id, source, externalId }] of pendings.entries()) {
    if (externalId === undefined) byId.push({ n, type, id });
    else named.push({ n, type, source, external_id: externalId });
  }
  type Found = StoredEntity & { n: number; bytes: number };
  // Lateral with a limit is one index search a row; a plain join becomes a scan of the table where its statistics are young.
  const select = (keys: RawBuilder<unknown>, where: RawBuilder<unknown>) =>
    sql<Found>`select n, type, id, source, external_id, case when bytes <= ${maxBatchBytes} then data end as data, version, plugin_id,
        execution_id, created_at, updated_at, deleted_at, source_tags, link_id, bytes
      from (select rows.n, e.*, sum(${dataBytes}) over (rows unbounded preceding)::float8 as bytes from ${keys} cross join lateral (
        select ${columns} from entities e where e.organization_id = ${write.organization} and e.type = rows.type and ${where} limit 1 for update
      ) e) measured`.execute(tx);
  const rows: Found[] = [];
  if (named.length > 0) {
    const keys = jsonRows(named, { n: "int", type: "text", source: "text", external_id: "text" });
    rows.push(...(await select(keys, byName)).rows);
  }
  if (byId.length > 0)
    rows.push(...(await select(jsonRows(byId, { n: "int", type: "text", id: "text" }), sql`e.id = rows.id`)).rows);
  if (rows.some(({ bytes }) => bytes > maxBatchBytes))
    throw new BackplaneError(
      "invalid_input",
      {},
      {
        errors: [
          { path: "changes", message: `the rows have more than ${maxBatchBytes} bytes together; write fewer at once` },
        ],
      },
    );
  for (const { n, bytes: _, ...row } of rows) found.set(pendings[n]!, row);
  const wrong = [...found].filter(([{ id }, row]) => id !== undefined && id !== row.id).map(([pending]) => pending);
  if (wrong.length > 0) throw clash(wrong);
  return found;
}

/** Puts ids in the place of references: of rows of this batch, else of stored ones, else null. */
async function resolve({ tx, write, batch }: Storing, found: Map<Pending, StoredEntity>): Promise<void> {
  const elsewhere = new Map<
    string,
    { key: string; type: string; source: string; external_id: string; to: Reference[] }
  >();
  for (const { source: own, references } of batch.rows)
    for (const reference of references) {
      const { type, source = own, externalId } = reference;
      const key = nameKey(type, source, externalId);
      const target = batch.byName.get(key);
      const there = target && found.get(target);
      if (there) reference.resolve(there.id);
      else if (target && !target.deleted) reference.resolve(target.newId);
      else {
        const entry = elsewhere.get(key) ?? { key, type, source, external_id: externalId, to: [] };
        entry.to.push(reference);
        elsewhere.set(key, entry);
      }
    }
  if (elsewhere.size === 0) return;
  const keys = [...elsewhere.values()].map(({ to: _, ...key }) => key);
  const stored = await sql<{ key: string; id: string }>`
    select rows.key, e.id from ${jsonRows(keys, { key: "text", type: "text", source: "text", external_id: "text" })}
    cross join lateral (
      select e.id from entities e where e.organization_id = ${write.organization} and e.type = rows.type and ${byName} limit 1
    ) e`.execute(tx);
  for (const { key, id } of stored.rows) for (const reference of elsewhere.get(key)!.to) reference.resolve(id);
}

async function update({ tx, eventLog, write, batch }: Storing, found: Map<Pending, StoredEntity>): Promise<void> {
  const faults: FieldError[] = [];
  const patches: { n: number; event_id: string; step: number; changed: string[] }[] = [];
  for (const [pending, row] of found) {
    const patch = pending.deleted ? (row.deleted_at === null ? {} : undefined) : patchOf(pending, row);
    const said = pending.deleted ? undefined : sourceTagsOf(pending);
    const sourceTags = said === undefined || sameJson(said, row.source_tags) ? undefined : said;
    if (patch && !fits(row, patch)) faults.push({ path: `changes.${pending.index}.data`, message: tooLarge });
    pending.outcome = patch ? changedOutcome({ write, batch, pending, row, patch }) : { kind: "unchanged", row };
    if (!patch && !sourceTags) continue;
    const changed = [...Object.keys(patch ?? {}), ...(row.deleted_at === null ? [] : ["deletedAt"])];
    // A step of 0 notes what the source said of tags where that changes nothing to be seen.
    const fields = {
      patch: patch ?? {},
      step: patch ? 1 : 0,
      deleted: pending.deleted,
      source_tags: sourceTags,
      changed,
      ...causeOf(pending),
    };
    patches.push({ n: pending.index, event_id: newId(), type: row.type, id: row.id, ...fields } as never);
  }
  if (faults.length > 0) throw new BackplaneError("invalid_input", {}, { errors: faults.slice(0, 50) });
  if (patches.length === 0) return;
  const at = batch.now.toISOString();
  const pendings = [...found.keys()];
  const made = sql`
    select rows.event_id as id, written.id as subject, rows.traceparent,
      case when rows.deleted then ${eventTypes(pendings, "Deleted")}::jsonb else ${eventTypes(pendings, "Updated")}::jsonb end ->> type as type,
      jsonb_build_object('entity', type, 'id', id, 'record', written.data || jsonb_build_object('id', id,
        'source', written.source, 'externalId', written.external_id, 'version', written.version, 'updatedAt', ${at}::text,
        'createdAt', to_char(written.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
        || case when rows.deleted then jsonb_build_object('deletedAt', ${at}::text) else '{}' end)
      || case when rows.deleted then '{}' else jsonb_build_object('changed', rows.changed) end as data
    from written join rows using (type, id) where rows.step = 1 order by rows.n`;
  // The rows are there and locked; an insert in conflict finds each by its key, where a join becomes a scan of the table as long as its statistics are young.
  await sql`
    with rows as materialized (select * from ${jsonRows(patches as never[], updateColumns)}),
    written as (
      insert into entities as e (organization_id, type, id, data, version, plugin_id, execution_id, updated_at, deleted_at, source_tags)
      select ${write.organization}, type, id, patch, step, ${write.plugin}, coalesce(execution_id, ${write.execution}), ${at}::timestamptz,
        case when deleted then ${at}::timestamptz end, source_tags from rows
      on conflict (organization_id, type, id) do update set data = e.data || excluded.data, version = e.version + excluded.version,
        plugin_id = case excluded.version when 1 then excluded.plugin_id else e.plugin_id end,
        execution_id = case excluded.version when 1 then excluded.execution_id else e.execution_id end,
        updated_at = case excluded.version when 1 then excluded.updated_at else e.updated_at end,
        deleted_at = excluded.deleted_at, source_tags = coalesce(excluded.source_tags, e.source_tags)
      returning type, id, source, external_id, data, version, created_at
    ),
    ${eventLog.insertion(inCommon(write, batch), made)}
    select 1`.execute(tx);
  for (const { step, event_id } of patches) if (step === 1) batch.eventIds.push(event_id);
}

/** Of a row as JSON, whatever the number of writes that made it: two of the largest items. */
const maxRowCharacters = 2 * dataCaps.characters;
const tooLarge = `the row would have more than ${maxRowCharacters} characters; null empties a field`;
const sizeOf = (data: object): number => JSON.stringify(data).length;

/** Merged fields add up over many writes, however small each is. */
function fits({ data }: StoredEntity, patch: Record<string, unknown>): boolean {
  const replaced = Object.fromEntries(
    Object.keys(patch).flatMap((key) => (Object.hasOwn(data, key) ? [[key, data[key]]] : [])),
  );
  return sizeOf(patch) <= sizeOf(replaced) || sizeOf({ ...data, ...patch }) <= maxRowCharacters;
}

const updateColumns = {
  n: "int",
  event_id: "text",
  type: "text",
  id: "text",
  patch: "jsonb",
  step: "int",
  deleted: "boolean",
  source_tags: "jsonb",
  changed: "jsonb",
  execution_id: "text",
  traceparent: "text",
};

interface Changing {
  write: EntityWrite;
  batch: Batch;
  pending: Pending;
  row: StoredEntity;
  patch: Record<string, unknown>;
}

function changedOutcome({ write, batch, pending, row, patch }: Changing): Outcome {
  return {
    kind: pending.deleted ? "deleted" : "updated",
    row: {
      ...row,
      data: { ...row.data, ...patch },
      version: row.version + 1,
      plugin_id: write.plugin,
      execution_id: pending.cause?.execution ?? write.execution,
      updated_at: batch.now,
      deleted_at: pending.deleted ? batch.now : null,
    },
  };
}

/** The fields that differ; undefined when the row is as it should be. What changes nothing is no change: vendors send the same item again and again. */
function patchOf(pending: Pending, row: StoredEntity): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {};
  const tags = mergedTags(pending, row);
  let differs = row.deleted_at !== null;
  for (const key of Object.keys(pending.data)) {
    const value = key === "tags" ? tags : pending.data[key];
    if (sameJson(value, row.data[key]) && Object.hasOwn(row.data, key)) continue;
    patch[key] = value;
    differs = true;
  }
  return differs ? patch : undefined;
}

/** By (source, externalId) a source speaks of its own item; by id somebody edits the row. */
function sourceTagsOf({ id, externalId, data }: Pick<Pending, "id" | "externalId" | "data">): string[] | undefined {
  return id === undefined && externalId !== undefined && Array.isArray(data["tags"]) ? data["tags"] : undefined;
}

/** A source adds and takes away its own tags; what others added stays, and what they took away stays away. */
function mergedTags(pending: Pending, row: StoredEntity): unknown {
  const given = sourceTagsOf(pending);
  if (given === undefined) return pending.data["tags"];
  const said = new Set(row.source_tags ?? []);
  const saidNow = new Set(given);
  const there = Array.isArray(row.data["tags"]) ? (row.data["tags"] as string[]) : [];
  const kept = there.filter((tag) => saidNow.has(tag) || !said.has(tag));
  return [...kept, ...given.filter((tag) => !said.has(tag) && !kept.includes(tag))];
}
