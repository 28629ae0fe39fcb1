/**
 * Under load, calls that ended together are kept together: one row holds the compressed records of a group commit, with
 * what lists filter by beside it. It costs the database a twentieth of a row each, and no second copy is ever made: reads
 * look at rows and batches alike. Only records that nothing changes any more come here: ended ones that never had a row.
 */
import { promisify } from "node:util";
import { constants, zstdCompressSync, zstdDecompress } from "node:zlib";
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { lowestIdAt, timeOfId } from "../base/ids.ts";
import type { Db, Store } from "../store/store.ts";
import type { ExecutionRecord } from "./execution-record.ts";

export interface BatchFilter {
  plugin?: string;
  status?: string;
  contribution?: string;
  parent?: string;
  traceId?: string;
  since?: Date;
  /** Only ids before this one. */
  before?: string;
  /** Ids before this one are not needed. */
  from?: string;
}

/** Below this a batch saves nothing. */
const fewest = 8;
/** Ids of one batch lie so close together that a lookup by id reads few batches. */
const spanMs = 10_000;
const largestRecord = 32 * 1024;
const largestBatch = 4 * 1024 * 1024;
const batchesPerRead = 4;
const compression = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const decompress = promisify(zstdDecompress);

interface Packed {
  record: ExecutionRecord;
  text: string;
}

/** Writes what is worth a batch in one statement, and gives back the records that are to become rows. */
export async function insertBatches(store: Store, records: readonly ExecutionRecord[]): Promise<ExecutionRecord[]> {
  const rows: ExecutionRecord[] = [];
  const batches: Packed[][] = [];
  for (const ofOne of Map.groupBy(records, (record) => record.organization).values()) {
    if (ofOne.length < fewest) rows.push(...ofOne);
    else for (const batch of cut(ofOne, rows)) batches.push(batch);
  }
  if (batches.length > 0) {
    await sql`insert into execution_batches (organization_id, last_id, first_id, count, keys, traces, records)
      values ${sql.join(batches.map(batchRow))}
      on conflict (organization_id, last_id) do update set
        first_id = excluded.first_id, count = excluded.count, keys = excluded.keys, traces = excluded.traces, records = excluded.records`.execute(
      store.db,
    );
  }
  return rows;
}

/** One organisation's records as batches in the order of ids; what does not suit goes to `rows`. */
function cut(records: readonly ExecutionRecord[], rows: ExecutionRecord[]): Packed[][] {
  const batches: Packed[][] = [];
  let batch: Packed[] = [];
  let bytes = 0;
  let until = Number.NEGATIVE_INFINITY;
  for (const record of records.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    const time = timeOfId(record.id);
    const text = encode(record);
    if (time === undefined || text.length > largestRecord) {
      rows.push(record);
      continue;
    }
    if (batch.length === 0 || time >= until || bytes + text.length > largestBatch) {
      batch = [];
      batches.push(batch);
      bytes = 0;
      until = time + spanMs;
    }
    batch.push({ record, text });
    bytes += text.length;
  }
  return batches;
}

function batchRow(batch: readonly Packed[]): unknown {
  const keys = new Set<string>();
  const traces = new Set<string>();
  for (const { record } of batch) {
    for (const key of [record.plugin, record.kind, record.contribution, record.status]) keys.add(key);
    if (record.parent !== null) keys.add(record.parent);
    traces.add(record.traceId);
  }
  const first = batch[0]!.record;
  const compressed = zstdCompressSync(`[${batch.map(({ text }) => text).join(",")}]`, compression);
  return sql`(${first.organization}, ${batch.at(-1)!.record.id}, ${first.id}, ${batch.length}, ${[...keys]}::text[],
    ${Buffer.from([...traces].join(""), "hex")}, ${compressed})`;
}

export async function findInBatches(
  db: Db,
  organization: OrganizationId,
  id: string,
): Promise<ExecutionRecord | undefined> {
  const time = timeOfId(id);
  if (time === undefined) return undefined;
  const { rows } = await sql<{ records: Uint8Array }>`select records from execution_batches
    where organization_id = ${organization} and last_id >= ${id} and last_id < ${lowestIdAt(time + spanMs + 1)}
      and first_id <= ${id} order by last_id`.execute(db);
  for (const { records } of rows) {
    const found = (await decode(organization, records)).find((record) => record.id === id);
    if (found) return found;
  }
  return undefined;
}

/** The newest records that match, newest first; at least `enough` of them when there are so many. */
export async function listFromBatches(
  db: Db,
  { organization, filter, enough }: { organization: OrganizationId; filter: BatchFilter; enough: number },
): Promise<ExecutionRecord[]> {
  const { plugin, status, contribution, parent, traceId, since, before, from } = filter;
  const keys = [plugin, status, contribution, parent].filter((key) => key !== undefined);
  const trace = traceId === undefined ? undefined : /^[0-9a-f]{32}$/.test(traceId) ? Buffer.from(traceId, "hex") : null;
  if (trace === null) return [];
  const conditions = [
    sql`organization_id = ${organization}`,
    ...(keys.length > 0 ? [sql`keys @> ${keys}::text[]`] : []),
    ...(trace ? [sql`position(${trace}::bytea in traces) > 0`] : []),
    ...(before === undefined ? [] : [sql`first_id < ${before}`, ...below(before)]),
    ...(from === undefined ? [] : [sql`last_id >= ${from}`]),
    // An id is made in the same moment as the record's time or before it.
    ...(since === undefined ? [] : [sql`last_id >= ${lowestIdAt(since.getTime() - spanMs)}`]),
  ];
  const found = new Map<string, ExecutionRecord>();
  let next: string | undefined;
  for (;;) {
    const { rows } = await sql<{ last_id: string; records: Uint8Array }>`select last_id, records from execution_batches
      where ${sql.join(next === undefined ? conditions : [...conditions, sql`last_id < ${next}`], sql` and `)}
      order by last_id desc limit ${batchesPerRead}`.execute(db);
    for (const { records } of rows)
      for (const record of await decode(organization, records))
        if (matches(record, filter)) found.set(record.id, record);
    next = rows.at(-1)?.last_id;
    const sorted = [...found.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
    // Whatever is left unread is older than `next`.
    const last = sorted[enough - 1];
    if (rows.length < batchesPerRead || next === undefined || (last && last.id >= next)) return sorted;
  }
}

/** Batches that begin before an id end soon after it: the bound the primary key can use. */
function below(id: string): unknown[] {
  const time = timeOfId(id);
  return time === undefined ? [] : [sql`last_id < ${lowestIdAt(time + spanMs + 1)}`];
}

function matches(record: ExecutionRecord, filter: BatchFilter): boolean {
  return (
    (filter.plugin === undefined || record.plugin === filter.plugin) &&
    (filter.status === undefined || record.status === filter.status) &&
    (filter.contribution === undefined || record.contribution === filter.contribution) &&
    (filter.parent === undefined || record.parent === filter.parent) &&
    (filter.traceId === undefined || record.traceId === filter.traceId) &&
    (filter.since === undefined || record.createdAt >= filter.since) &&
    (filter.before === undefined || record.id < filter.before)
  );
}

/** Removes batches whose records are all older; returns how many records went. */
export async function deleteBatchesBefore(db: Db, before: Date): Promise<number> {
  const { rows } = await sql<{ count: number }>`with gone as (
      delete from execution_batches where last_id < ${lowestIdAt(before.getTime())} returning count
    ) select coalesce(sum(count), 0)::int as count from gone`.execute(db);
  return rows[0]?.count ?? 0;
}

function encode(record: ExecutionRecord): string {
  const { createdAt, startedAt, endedAt } = record;
  const times = { createdAt: createdAt.getTime(), startedAt: startedAt?.getTime(), endedAt: endedAt?.getTime() };
  // `undefined` leaves a field out; the reader knows the organisation from the row.
  return JSON.stringify({ ...record, organization: undefined, cancelRequested: undefined, ...times });
}

type Encoded = Omit<ExecutionRecord, "organization" | "cancelRequested" | "createdAt" | "startedAt" | "endedAt"> & {
  createdAt: number;
  startedAt?: number;
  endedAt?: number;
};

async function decode(organization: OrganizationId, records: Uint8Array): Promise<ExecutionRecord[]> {
  const list = JSON.parse((await decompress(records)).toString()) as Encoded[];
  return list.map((record) => ({
    ...record,
    organization,
    cancelRequested: false,
    parameters: record.parameters ?? null,
    result: record.result ?? null,
    progress: record.progress ?? null,
    createdAt: new Date(record.createdAt),
    startedAt: record.startedAt === undefined ? null : new Date(record.startedAt),
    endedAt: record.endedAt === undefined ? null : new Date(record.endedAt),
  }));
}
