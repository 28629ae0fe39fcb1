/** One call of a connector's `sync`: batches as they come across the wall, read and checked. Stores nothing. */
import type { SyncOptions } from "../../plugin-api/src/connector.ts";
import { readBatch, readEnd, type StreamEnd, type SyncedItem } from "../incoming/read-batch.ts";
import type { Installation } from "../installations/installations.ts";
import { syncBatches } from "../invocation/contributions.ts";
import type { Invoker } from "../invocation/invoker.ts";
import type { Trace } from "../telemetry/trace.ts";

export interface PullRequest {
  invoker: Pick<Invoker, "stream">;
  /** Asked before each batch: grants may be taken back meanwhile. */
  installation(): Promise<Installation>;
  options: SyncOptions;
  actor: string;
  ordered: boolean;
  trace?: Trace;
  signal?: AbortSignal;
  /** After so long the call ends where another can go on, ms. @default never */
  endAfterMs?: number;
  /** After so many items too. @default never */
  endAfterItems?: number;
  onBegin?(execution: string): void;
  /** Told of a batch as soon as it is read, while the one before it may still be stored. */
  onRead?(items: readonly SyncedItem[]): void;
}

export interface PulledBatch {
  items: SyncedItem[];
  execution: string;
}

const batchItems = 500;
const batchSize = 1_000_000;
/** Longest an item waits for its batch to fill, ms: vendors that answer slowly still show progress. */
const batchWaitMs = 2_000;

/**
 * Errors: those of `invoker.stream`, what the connector threw, `result_invalid`, `permission_denied`. While the reader stores a
 * batch the next one is made and read, and nothing is ahead of that: what was wrong with it comes when it is asked for.
 */
export async function* pullBatches(request: PullRequest): AsyncGenerator<PulledBatch, StreamEnd, undefined> {
  const first = await request.installation();
  const { since } = request.options;
  const limits = {
    items: batchItems,
    size: batchSize,
    waitMs: batchWaitMs,
    endAfterMs: request.endAfterMs ?? Number.MAX_SAFE_INTEGER,
    endAfterItems: request.endAfterItems ?? Number.MAX_SAFE_INTEGER,
    ordered: request.ordered,
    ...(since === undefined ? {} : { orderedSince: since }),
  };
  const left = new AbortController();
  const stream = await request.invoker.stream(
    {
      organization: first.organization,
      plugin: first.plugin,
      kind: "connector",
      name: syncBatches,
      args: [request.options, limits],
      actor: request.actor,
      ...(request.trace ? { trace: request.trace } : {}),
      signal: request.signal ? AbortSignal.any([request.signal, left.signal]) : left.signal,
    },
    { window: 1 },
  );
  request.onBegin?.(stream.execution);
  const chunks = stream[Symbol.asyncIterator]();
  async function read() {
    const { value: chunk, done } = await chunks.next();
    if (done) return undefined;
    const who = await request.installation();
    const items = readBatch(chunk, who);
    request.onRead?.(items);
    return { chunk, who, items };
  }
  let ahead = read();
  try {
    for (;;) {
      const batch = await ahead;
      if (!batch) break;
      ahead = read();
      ahead.catch(() => {});
      // It was read a while ago.
      const who = await request.installation();
      const items = who === batch.who ? batch.items : readBatch(batch.chunk, who);
      yield { items, execution: stream.execution };
    }
    const { record, error } = await stream.outcome;
    if (error) throw error;
    return readEnd(record.result, first);
  } finally {
    left.abort();
  }
}
