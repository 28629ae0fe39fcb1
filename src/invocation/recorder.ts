/**
 * Writes execution records and log lines in batches (group commit): many calls share one statement, and a caller that
 * waits for `write` knows that its record is in the database. While the database is away records stay queued and are
 * tried again; a waiting caller is told `database_unavailable` after a bound, its record is still written later.
 */
import { sql } from "kysely";
import { backoffMs } from "../base/backoff.ts";
import type { ExecutionId, OrganizationId, PluginId } from "../base/brands.ts";
import { sleep } from "../base/deferred.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import { insertBatches } from "./execution-batches.ts";
import type { ExecutionRecord } from "./execution-record.ts";

export interface LogLine {
  organization: OrganizationId;
  plugin: PluginId;
  execution: ExecutionId | null;
  at: Date;
  level: "debug" | "info" | "warn" | "error";
  message: string;
  data?: unknown;
}

export interface Recorder {
  /**
   * Resolves when the record is committed. A later write of the same id replaces it, unless it had ended. `once` promises
   * that this is the only write of an ended record, which may then share a row with others (execution-batches.ts).
   */
  write(record: ExecutionRecord, options?: { once?: boolean }): Promise<void>;
  /** Written soon; never waited for. Beyond 20,000 waiting lines the oldest are dropped and counted. */
  log(line: LogLine): void;
  /** Resolves when everything given so far is committed. */
  flush(): Promise<void>;
  readonly droppedLogLines: number;
  close(): Promise<void>;
}

export interface RecorderOptions {
  store: Store;
  node: string;
  /** Records per statement. @default 1000 */
  batchSize?: number;
  /** How long a caller waits for an absent database, ms. @default 10000 */
  patienceMs?: number;
}

interface Waiting {
  record: ExecutionRecord;
  once: boolean;
  resolve: () => void;
  reject: (error: unknown) => void;
  /** Its caller hears `database_unavailable` then; performance.now(). */
  patientUntil: number;
}

const maxLogLines = 20_000;
const logDelayMs = 20;

export function createRecorder({ store, node, batchSize = 1000, patienceMs = 10_000 }: RecorderOptions): Recorder {
  let waiting: Waiting[] = [];
  let lines: LogLine[] = [];
  let droppedLogLines = 0;
  let flushing: Promise<void> | undefined;
  let logTimer: NodeJS.Timeout | undefined;
  let patienceTimer: NodeJS.Timeout | undefined;
  let closed = false;

  /** One timer for all that wait: one each would be a good part of what a write costs the hub. */
  const watchPatience = (): void => {
    patienceTimer ??= setTimeout(
      () => {
        patienceTimer = undefined;
        const now = performance.now();
        for (const { patientUntil, reject } of waiting)
          if (now >= patientUntil) reject(new BackplaneError("database_unavailable"));
        if (waiting.length > 0) watchPatience();
      },
      Math.max(10, patienceMs / 20),
    );
  };

  const writeBatch = async (batch: Waiting[]): Promise<void> => {
    // One statement cannot touch a row twice: of several states of one execution only the last is written.
    const latest = new Map<string, ExecutionRecord>();
    const once: ExecutionRecord[] = [];
    for (const entry of batch) {
      if (entry.once) once.push(entry.record);
      else latest.set(`${entry.record.organization}\0${entry.record.id}`, entry.record);
    }
    const rows = [...latest.values(), ...(await insertBatches(store, once))];
    if (rows.length > 0) await upsertExecutions(store, node, rows);
    for (const entry of batch) entry.resolve();
  };

  const drain = async (): Promise<void> => {
    let failures = 0;
    while (waiting.length > 0 || lines.length > 0) {
      const batch = waiting.slice(0, batchSize);
      const someLines = lines.slice(0, batchSize);
      try {
        if (batch.length > 0) await writeBatch(batch);
        waiting = waiting.slice(batch.length);
        if (someLines.length > 0) await insertLines(store, someLines);
        lines = lines.slice(someLines.length);
        failures = 0;
      } catch (error) {
        if (!isPassing(error)) {
          if (batch.length > 1) {
            // One bad record must not hold the others: write them one by one, and fail only the bad ones.
            waiting = waiting.slice(batch.length);
            for (const entry of batch) {
              await writeBatch([entry]).catch((cause: unknown) => {
                if (isPassing(cause)) waiting.push(entry);
                else entry.reject(cause);
              });
            }
            continue;
          }
          for (const entry of batch) entry.reject(error);
          waiting = waiting.slice(batch.length);
          if (batch.length === 0) lines = lines.slice(someLines.length);
          continue;
        }
        failures += 1;
        if (closed && failures > 3) {
          for (const entry of waiting) entry.reject(error);
          throw error;
        }
        await sleep(backoffMs(failures, { baseMs: 50, capMs: 2000 }));
      }
    }
  };

  const kick = (): Promise<void> => {
    flushing ??= (async () => {
      // One turn of the loop lets calls that end together share the statement.
      await new Promise((resolve) => setImmediate(resolve));
      try {
        await drain();
      } finally {
        flushing = undefined;
      }
      // What came between the last look of `drain` and here.
      if (waiting.length > 0 || lines.length > 0) kick().catch(() => {});
    })();
    return flushing;
  };

  const flush = async (): Promise<void> => {
    while (waiting.length > 0 || lines.length > 0 || flushing) await kick();
  };

  return {
    write(record, { once = false } = {}) {
      return new Promise((resolve, reject) => {
        waiting.push({ record, once, resolve, reject, patientUntil: performance.now() + patienceMs });
        watchPatience();
        if (!flushing) kick().catch(reject);
      });
    },
    log(line) {
      if (lines.length >= maxLogLines) {
        lines.shift();
        droppedLogLines += 1;
      }
      lines.push(line);
      logTimer ??= setTimeout(() => {
        logTimer = undefined;
        kick().catch(() => {});
      }, logDelayMs);
    },
    flush,
    get droppedLogLines() {
      return droppedLogLines;
    },
    async close() {
      closed = true;
      clearTimeout(logTimer);
      await flush().finally(() => clearTimeout(patienceTimer));
    },
  };
}

/** Worth another try: the database is away or busy, the record is not to blame. */
const isPassing = (error: unknown): boolean => error instanceof BackplaneError && error.retryable;

const text = (value: unknown): unknown => (value === undefined ? null : value);

async function upsertExecutions(store: Store, node: string, records: ExecutionRecord[]): Promise<void> {
  const rows = records.map((record) => ({
    organization_id: record.organization,
    id: record.id,
    plugin_id: record.plugin,
    installation_id: record.installation,
    version: record.version,
    kind: record.kind,
    contribution: record.contribution,
    mode: record.mode,
    status: record.status,
    parameters: text(record.parameters),
    result: text(record.result),
    error: record.error,
    progress: text(record.progress),
    actor: record.actor,
    parent_id: record.parent,
    trace_id: record.traceId,
    span_id: record.spanId,
    session_id: record.sessionId,
    idempotent: record.idempotent,
    node_id: record.node ?? node,
    cpu_ms: record.cpuMs,
    wall_ms: record.wallMs,
    peak_memory_bytes: Math.round(record.peakMemoryBytes),
    ability_calls: record.abilityCalls,
    created_at: record.createdAt,
    started_at: record.startedAt,
    ended_at: record.endedAt,
  }));
  await sql`
    insert into executions (organization_id, id, plugin_id, installation_id, version, kind, contribution, mode, status, parameters, result, error,
      progress, actor, parent_id, trace_id, span_id, session_id, idempotent, node_id, cpu_ms, wall_ms, peak_memory_bytes, ability_calls,
      created_at, started_at, ended_at)
    select * from jsonb_to_recordset(${storableJson(rows)}::jsonb) as r(
      organization_id text, id text, plugin_id text, installation_id text, version text, kind text, contribution text, mode text, status text,
      parameters jsonb, result jsonb, error jsonb, progress jsonb, actor text, parent_id text, trace_id text, span_id text, session_id text,
      idempotent boolean, node_id text, cpu_ms double precision, wall_ms double precision, peak_memory_bytes bigint, ability_calls jsonb,
      created_at timestamptz, started_at timestamptz, ended_at timestamptz)
    on conflict (organization_id, id) do update set
      status = excluded.status, result = excluded.result, error = excluded.error, progress = coalesce(excluded.progress, executions.progress),
      node_id = excluded.node_id, cpu_ms = excluded.cpu_ms, wall_ms = excluded.wall_ms, peak_memory_bytes = excluded.peak_memory_bytes,
      ability_calls = excluded.ability_calls, started_at = excluded.started_at, ended_at = excluded.ended_at
    where executions.status in ('queued', 'running')`.execute(store.db);
}

async function insertLines(store: Store, lines: LogLine[]): Promise<void> {
  const rows = lines.map((line) => ({
    organization_id: line.organization,
    plugin_id: line.plugin,
    execution_id: line.execution,
    at: line.at,
    level: line.level,
    message: line.message,
    data: text(line.data),
  }));
  await sql`
    insert into execution_logs (organization_id, plugin_id, execution_id, at, level, message, data)
    select * from jsonb_to_recordset(${storableJson(rows)}::jsonb) as r(
      organization_id text, plugin_id text, execution_id text, at timestamptz, level text, message text, data jsonb)`.execute(
    store.db,
  );
}

/** JSON that PostgreSQL's jsonb takes: U+0000 and lone surrogates, which it refuses, become U+FFFD. */
function storableJson(value: unknown): string {
  const encoded = JSON.stringify(value);
  if (!/\\u(?:0000|d[89a-f])/i.test(encoded)) return encoded;
  return encoded.replace(/(\\\\)|\\u0000|\\ud[89a-f][0-9a-f]{2}/gi, (match, escapedBackslash) =>
    escapedBackslash ? match : "\\ufffd",
  );
}
