/**
 * The one invocation path (DESIGN decision 11): validate → authorise → meter → run → record. Every edge, event, webhook
 * and plugin-to-plugin call comes through `run` (waits for the outcome), `stream` (gives chunks as the caller takes them) or
 * `enqueue` (durable, answered later).
 *
 * Life of an execution: `queued` (async only: row and delivery in one transaction) → `running` (the row is written before
 * an async call runs; a sync one appears once it is 200 ms old) → `succeeded`, `failed` or `cancelled`, written before the
 * caller is answered. A sync call that its hub did not survive ends `failed` with `hub_lost` through `failLost`; an async
 * one comes again by its delivery: it runs again when idempotent, else it ends the same way. A hub that stops in good order
 * leaves its async calls in that same state. What never began to run (no room, no runner) goes back to `queued`.
 */

import type { Attributes } from "@opentelemetry/api";
import { sql } from "kysely";
import type { CallContext } from "../abilities/call-context.ts";
import type { ExecutionId, OrganizationId, PluginId } from "../base/brands.ts";
import { encodeJson } from "../base/json.ts";
import { TokenBuckets } from "../base/token-bucket.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import { RetryLater } from "../bus/delivery.ts";
import { HubStops } from "../bus/delivery-runner.ts";
import { BackplaneError, toBackplaneError } from "../errors/error.ts";
import type { ErrorCode } from "../errors/table.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import { compilePluginSchema } from "../manifest/compile-schema.ts";
import { executionConsumer } from "../policy/consumers.ts";
import { permits } from "../policy/permits.ts";
import type { PluginInstance, PluginRuntime, RuntimeCall, RuntimeOutcome, RuntimeStream } from "../runtimes/runtime.ts";
import { json } from "../store/json.ts";
import type { Store } from "../store/store.ts";
import { assertOutsideTransaction } from "../store/transaction-scope.ts";
import { withSpan } from "../telemetry/span.ts";
import { childSpan, newTrace, type Trace } from "../telemetry/trace.ts";
import { cancelled, Interrupted, whyStopped, withoutSecrets } from "./call-end.ts";
import { deadlineOf, environmentOf, streamCpuMs } from "./call-limits.ts";
import { type Contribution, findContribution } from "./contributions.ts";
import { type ContributionKind, type ExecutionRecord, endedStatuses, executionFromRow } from "./execution-record.ts";
import { cancelChannel } from "./executions.ts";
import { assertActive, checkParameters, nextChain, restrictionOf } from "./guards.ts";
import type { Instances } from "./instances.ts";
import { insertQueued, newRecord, requestOf } from "./new-record.ts";
import type { Recorder } from "./recorder.ts";

export interface InvokeRequest {
  organization: OrganizationId;
  plugin: PluginId;
  kind: ContributionKind;
  name: string;
  /** Arguments of the handler before `ctx`; for functions one: the parameters. */
  args: readonly unknown[];
  actor: string;
  /** The span this call belongs under; a new trace without it. */
  trace?: Trace;
  /** The call that makes this one: deadline, trace and chain are inherited. */
  parent?: CallContext;
  sessionId?: string;
  channel?: string;
  userId?: string;
  eventDepth?: number;
  /** Shortens the installation's wall time, ms. */
  timeoutMs?: number;
  /** The result is a credential: the caller gets it, the record does not keep it. Sync calls only. @default false */
  confidential?: boolean;
  /** The caller paces itself and must not use up the installation's rate, which is for live calls. @default false */
  paced?: boolean;
  signal?: AbortSignal;
}

/** The finished record, and the error behind a `failed` or `cancelled` one. */
export interface InvokeOutcome {
  record: ExecutionRecord;
  error?: BackplaneError;
}

/** A call whose handler yields. Iterate it once: asking for the next chunk says that the one before is done with. */
export interface InvokeStream extends AsyncIterable<Uint8Array> {
  readonly execution: ExecutionId;
  /** How it ended, after the last chunk; leaving the iteration early ends it `cancelled`. */
  readonly outcome: Promise<InvokeOutcome>;
}

export interface InvokerOptions {
  store: Store;
  node: string;
  installations: Installations;
  instances: Instances;
  runtime: PluginRuntime;
  recorder: Recorder;
  deliveries: Deliveries;
  /** Wall time of async calls whose manifest names none, ms. @default 900000 */
  asyncTimeoutMs?: number;
  /** Calls per second and installation before `rate_limited`. @default 2000, burst 4000 */
  rate?: { perSecond: number; burst: number };
  /** Takes the installation's secrets out of what its code threw. */
  redact(installation: Installation, text: string): string;
  /** Makes a guest stack readable through the source map. */
  mapStack(installation: Installation, stack: string): Promise<string>;
  /** Told about every ended call; for health and metrics. */
  onOutcome?(installation: Installation, outcome: InvokeOutcome): void;
}

export interface Invoker {
  /**
   * Errors before anything runs (no execution exists): `not_found`, `plugin_not_active`, `plugin_quarantined`, `function_not_found`,
   * `invalid_parameters`, `permission_denied`, `rate_limited`, `call_cycle`, `call_depth_exceeded`, `no_code`, `shutting_down`.
   */
  run(request: InvokeRequest): Promise<InvokeOutcome>;
  /** The same path for a handler that yields. `window`: chunks it may be ahead of the reader. Errors as of `run`. */
  stream(request: InvokeRequest, options?: { window?: number }): Promise<InvokeStream>;
  /** The same checks, then a durable `queued` execution. Errors as of `run`, and `invalid_input` for what has a secret result. */
  enqueue(request: InvokeRequest): Promise<ExecutionId>;
  /** Ends executions whose hub is gone. `alive` are the ids of living hubs. Returns how many. */
  failLost(alive: readonly string[]): Promise<number>;
  readonly running: number;
  /** Refuses new calls, waits `drainMs` for running ones, then aborts them. */
  close(options?: { drainMs?: number }): Promise<void>;
}

export interface Prepared {
  installation: Installation;
  contribution: Contribution;
  trace: Trace;
  chain: PluginId[];
}

interface Running {
  record: ExecutionRecord;
  abort: AbortController;
  /** Progress that the row does not show yet. */
  dirty: boolean;
  /** The row exists. */
  visible: boolean;
  /** The result is left out of the record. */
  confidential: boolean;
}

const later: readonly ErrorCode[] = ["shutting_down", "database_unavailable", "rate_limited"];

const visibleAfterMs = 200;
/** Parameters and results above this are left out of the record of a sync call; async results are always kept. */
const recordedBytes = 256 * 1024;

export async function createInvoker(options: InvokerOptions): Promise<Invoker> {
  const { store, node, installations, instances, runtime, recorder, deliveries } = options;
  const longMs = options.asyncTimeoutMs ?? 900_000;
  const buckets = new TokenBuckets(options.rate ?? { perSecond: 2000, burst: 4000 });
  const running = new Map<string, Running>();
  let closing = false;

  const cancels = await store.listen(cancelChannel, (id) => {
    if (id !== "") running.get(id)?.abort.abort(cancelled);
    else void cancelAsked().catch(() => {});
  });
  /** After a lost connection: what was cancelled meanwhile. */
  const cancelAsked = async (): Promise<void> => {
    if (running.size === 0) return;
    const rows = await store.db
      .selectFrom("executions")
      .select("id")
      .where("id", "in", [...running.keys()])
      .where("cancel_requested", "=", true)
      .execute();
    for (const { id } of rows) running.get(id)?.abort.abort(cancelled);
  };
  const ticker = setInterval(() => writeVisible(running, recorder), visibleAfterMs);
  ticker.unref();

  const prepare = async (request: InvokeRequest): Promise<Prepared> => {
    if (closing) throw new BackplaneError("shutting_down");
    assertOutsideTransaction("invoke");
    const installation = await installations.get(request.organization, request.plugin);
    assertActive(installation);
    const contribution = findContribution(installation.manifest, request.kind, request.name);
    if (contribution.parameters) checkParameters(contribution.parameters, request);
    for (const permission of contribution.permissions) {
      if (!permits(installation.grants, permission))
        throw new BackplaneError("permission_denied", { plugin: request.plugin, permission });
    }
    const chain = nextChain(request);
    const retryAfter = request.paced ? 0 : buckets.take(`${request.organization}\0${request.plugin}`);
    if (retryAfter > 0) throw new BackplaneError("rate_limited", { retryAfter });
    const above = request.parent?.trace ?? request.trace;
    return { installation, contribution, chain, trace: above ? childSpan(above) : newTrace() };
  };

  const execute = async (
    record: ExecutionRecord,
    prepared: Prepared,
    request: InvokeRequest,
    stream?: (instance: PluginInstance, call: RuntimeCall) => RuntimeStream,
  ): Promise<InvokeOutcome> => {
    const { installation, contribution } = prepared;
    const entry: Running = {
      record,
      abort: new AbortController(),
      dirty: false,
      visible: record.mode === "async",
      confidential: request.confidential === true || contribution.confidential,
    };
    running.set(record.id, entry);
    const unlink = follow(request.signal ?? undefined, entry.abort);
    try {
      if (record.mode === "async" && !(await begin(record))) throw new Interrupted("it has ended", { unbegun: false });
      const instance = await instances.of(installation, request.name);
      const mayBeLong = record.mode === "async" || stream !== undefined;
      const deadline = deadlineOf({ record, request, instance, installation, longMs, mayBeLong });
      const restriction = restrictionOf(installation, request);
      const context: CallContext = {
        organization: record.organization,
        installation,
        execution: record.id,
        trace: prepared.trace,
        chain: prepared.chain,
        deadline,
        eventDepth: request.eventDepth ?? request.parent?.eventDepth ?? 0,
        ...(restriction ? { restriction } : {}),
        abilityCalls: record.abilityCalls,
        onProgress(value) {
          record.progress = value;
          entry.dirty = true;
        },
      };
      const call: RuntimeCall = {
        execution: record.id,
        handler: contribution.handler,
        args: encodeJson(request.args),
        environment: environmentOf(record, request, deadline),
        deadline,
        signal: entry.abort.signal,
        idempotent: contribution.idempotent,
        ...(stream ? { cpuMs: streamCpuMs(instance, deadline) } : {}),
        context,
      };
      const outcome = await withSpan(`${request.kind} ${request.plugin}`, prepared.trace, spanAttributes(record), () =>
        stream ? stream(instance, call).outcome : runtime.call(instance, call),
      );
      return await settle(record, outcome, prepared, entry);
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      return await fail(record, toBackplaneError(error), installation, entry);
    } finally {
      unlink();
      running.delete(record.id);
    }
  };

  const settle = async (
    record: ExecutionRecord,
    outcome: RuntimeOutcome,
    prepared: Prepared,
    entry: Running,
  ): Promise<InvokeOutcome> => {
    record.cpuMs = outcome.usage.cpuMs;
    record.peakMemoryBytes = outcome.usage.peakMemoryBytes;
    if (!outcome.ok) return fail(record, outcome.error, prepared.installation, entry);
    const result: unknown = JSON.parse(
      Buffer.from(outcome.result.buffer, outcome.result.byteOffset, outcome.result.byteLength).toString(),
    );
    if (prepared.contribution.returns) {
      const faults = compilePluginSchema(prepared.contribution.returns).validate(result);
      if (faults.length > 0) {
        return fail(
          record,
          new BackplaneError("result_invalid", {
            plugin: record.plugin,
            reason: faults.map((f) => `${f.path}: ${f.message}`).join("; "),
          }),
          prepared.installation,
          entry,
        );
      }
    }
    record.result = result;
    return finish({ entry, installation: prepared.installation, resultBytes: outcome.result.byteLength });
  };

  const fail = async (
    record: ExecutionRecord,
    given: BackplaneError,
    installation: Installation,
    entry: Running,
  ): Promise<InvokeOutcome> => {
    const error = withoutSecrets(whyStopped(given, record, entry.abort.signal), (text) =>
      options.redact(installation, text),
    );
    record.error = { code: error.code, message: error.message };
    if (error.guestStack)
      record.error.stack = await options.mapStack(installation, error.guestStack).catch(() => error.guestStack!);
    return finish({ entry, error, installation, resultBytes: 0 });
  };

  /** The status changes here and not before, so that nothing half-ended is ever written. */
  const finish = async ({ entry, error, installation, resultBytes }: Finished): Promise<InvokeOutcome> => {
    const { record, visible } = entry;
    running.delete(record.id);
    record.status = !error ? "succeeded" : error.code === "cancelled" ? "cancelled" : "failed";
    record.endedAt = new Date();
    record.wallMs = record.endedAt.getTime() - (record.startedAt ?? record.createdAt).getTime();
    const outcome: InvokeOutcome = error ? { record, error } : { record };
    // Whether there is a health handler is asked of every plugin; that there is none is no failure to show people.
    if (record.kind === "health" && error?.code === "handler_missing" && !visible) return outcome;
    await recorder.write(
      record.mode === "sync" && (resultBytes > recordedBytes || (entry.confidential && resultBytes > 0))
        ? { ...record, result: { omitted: true, bytes: resultBytes } }
        : record,
      { once: !visible },
    );
    options.onOutcome?.(installation, outcome);
    return outcome;
  };

  /** Takes a queued or lost execution over; false when it has ended or was cancelled since it was read. */
  const begin = async (record: ExecutionRecord): Promise<boolean> => {
    Object.assign(record, { status: "running", node, startedAt: new Date() } satisfies Partial<ExecutionRecord>);
    const { numUpdatedRows } = await store.db
      .updateTable("executions")
      .set({ status: "running", node_id: node, started_at: record.startedAt, version: record.version })
      .where("organization_id", "=", record.organization)
      .where("id", "=", record.id)
      .where("status", "in", ["queued", "running"])
      .where("cancel_requested", "=", false)
      .executeTakeFirst();
    return numUpdatedRows === 1n;
  };

  const requeue = async (record: ExecutionRecord): Promise<void> => {
    await store.db
      .updateTable("executions")
      .set({ status: "queued", started_at: null })
      .where("organization_id", "=", record.organization)
      .where("id", "=", record.id)
      .where("status", "=", "running")
      .execute();
  };

  deliveries.handle("execution", async (delivery) => {
    const row = await store.db
      .selectFrom("executions")
      .selectAll()
      .where("organization_id", "=", delivery.organization)
      .where("id", "=", delivery.itemId)
      .executeTakeFirst();
    if (!row) return;
    const record = executionFromRow(row);
    if (endedStatuses.includes(record.status)) return;
    const request = requestOf(record, delivery);
    try {
      if (record.cancelRequested) throw new BackplaneError("cancelled");
      if (record.status === "running" && !record.idempotent) throw new BackplaneError("hub_lost");
      const prepared = await prepare(request);
      prepared.trace = { traceId: record.traceId, spanId: record.spanId };
      record.version = prepared.installation.version;
      await execute(record, prepared, request);
    } catch (error) {
      if (error instanceof Interrupted) {
        if (error.unbegun) await requeue(record);
        throw new RetryLater(error.unbegun ? 250 : 1_000, error.message, { cause: error });
      }
      const known = toBackplaneError(error);
      if (later.includes(known.code)) throw new RetryLater(1_000, known.message, { cause: known });
      Object.assign(record, { startedAt: record.startedAt ?? new Date() });
      const installation = await installations.find(record.organization, record.plugin);
      record.status = known.code === "cancelled" ? "cancelled" : "failed";
      record.error = { code: known.code, message: known.message };
      record.endedAt = new Date();
      await recorder.write(record);
      if (installation) options.onOutcome?.(installation, { record, error: known });
    }
  });

  return {
    async run(request) {
      const prepared = await prepare(request);
      return execute(newRecord({ request, prepared, node, mode: "sync" }), prepared, request);
    },
    async stream(request, { window } = {}) {
      const prepared = await prepare(request);
      const record = newRecord({ request, prepared, node, mode: "sync" });
      const begun = Promise.withResolvers<RuntimeStream | undefined>();
      const outcome = execute(record, prepared, request, (instance, call) => {
        const chunks = runtime.stream(instance, { ...call, ...(window === undefined ? {} : { window }) });
        begun.resolve(chunks);
        return chunks;
      });
      // Ended before it began to run, or after: there is nothing more to read then.
      outcome.then(
        () => begun.resolve(undefined),
        () => begun.resolve(undefined),
      );
      return {
        execution: record.id,
        outcome,
        async *[Symbol.asyncIterator]() {
          const chunks = await begun.promise;
          if (chunks) yield* chunks;
        },
      };
    },
    async enqueue(request) {
      const prepared = await prepare(request);
      if (prepared.installation.digest === null)
        throw new BackplaneError("no_code", { plugin: request.plugin, name: request.name });
      // Whoever comes for the result later would read it from the record.
      if (prepared.contribution.confidential)
        throw new BackplaneError(
          "invalid_input",
          {},
          {
            errors: [{ path: "mode", message: "the result is a secret and is kept nowhere; wait for it with `sync`" }],
          },
        );
      const record = newRecord({ request, prepared, node, mode: "async" });
      await store.transaction(async (tx) => {
        await insertQueued(tx, record);
        await deliveries.enqueue(tx, [
          {
            organization: record.organization,
            consumer: executionConsumer(record.plugin),
            kind: "execution",
            key: record.id,
            itemId: record.id,
            payload: {
              sessionId: request.sessionId ?? null,
              channel: request.channel ?? null,
              userId: request.userId ?? null,
              timeoutMs: request.timeoutMs ?? null,
            },
          },
        ]);
      });
      return record.id;
    },
    async failLost(alive) {
      const rows = await store.db
        .updateTable("executions")
        .set({
          status: "failed",
          ended_at: new Date(),
          error: json({ code: "hub_lost", message: new BackplaneError("hub_lost").message }),
        })
        .where("status", "=", "running")
        .where("mode", "=", "sync")
        .where("node_id", "not in", [...alive, node])
        .returning("id")
        .execute();
      // An asynchronous one whose delivery was given up, because every hub that took it died, comes never again.
      const { rows: givenUp } = await sql<{ id: string }>`
        update executions e set status = 'failed', ended_at = now(),
          error = ${json({ code: "hub_lost", message: new BackplaneError("hub_lost").message })}
        from deliveries d
        where e.status in ('queued', 'running') and e.mode = 'async' and d.organization_id = e.organization_id
          and d.consumer = 'execution:' || e.plugin_id and d.item_id = e.id and d.state = 'dead'
        returning e.id`.execute(store.db);
      return rows.length + givenUp.length;
    },
    get running() {
      return running.size;
    },
    async close({ drainMs = 10_000 } = {}) {
      closing = true;
      const until = Date.now() + drainMs;
      while (running.size > 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
      const left = [...running.values()];
      for (const entry of left) entry.abort.abort(new HubStops("the hub stops"));
      // They end at once; what they leave in the database is worth a moment.
      for (let waited = 0; running.size > 0 && waited < 2_000; waited += 20)
        await new Promise((resolve) => setTimeout(resolve, 20));
      cancels[Symbol.dispose]();
      clearInterval(ticker);
    },
  };
}

interface Finished {
  entry: Running;
  error?: BackplaneError;
  installation: Installation;
  resultBytes: number;
}

const spanAttributes = (record: ExecutionRecord): Attributes => ({
  "backplane.organization": record.organization,
  "backplane.plugin": record.plugin,
  "backplane.contribution": record.contribution,
  "backplane.execution": record.id,
});

function follow(signal: AbortSignal | undefined, abort: AbortController): () => void {
  if (!signal) return () => {};
  const onAbort = (): void => abort.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  return () => signal.removeEventListener("abort", onAbort);
}

/** Long calls become visible as `running`, and their progress is written, a few times a second for all calls together. */
function writeVisible(running: Map<string, Running>, recorder: Recorder): void {
  const now = Date.now();
  for (const entry of running.values()) {
    const { record } = entry;
    if (!entry.dirty && (entry.visible || now - record.createdAt.getTime() < visibleAfterMs)) continue;
    entry.dirty = false;
    entry.visible = true;
    recorder.write({ ...record, abilityCalls: { ...record.abilityCalls } }).catch(() => {});
  }
}
