/**
 * Takes runs up and brings them to their end: conditions, throttle, then actions (run-steps.ts). Whoever takes a run up
 * raises its `turn`, which fences off the one before; what was decided and done is in the database, so a run that was cut off
 * goes on after it. Conditions are asked again when they had not all been answered: they only look.
 */
import { sql } from "kysely";
import { asOrganizationId, type OrganizationId } from "../base/brands.ts";
import type { JsonObject } from "../base/json.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import { type Delivery, RetryLater } from "../bus/delivery.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import { json } from "../store/json.ts";
import type { Db, Store, Tx } from "../store/store.ts";
import { evaluateExpression } from "./language/evaluate.ts";
import { type ConditionOutcome, evaluateConditions, type OperatorCall } from "./language/evaluate-conditions.ts";
import type { RuleEvent, RuleScope } from "./language/types.ts";
import type { OperatorCalls } from "./operator-calls.ts";
import type { OperatorCatalogs } from "./operator-catalog.ts";
import type { RedactionOf } from "./redaction.ts";
import { pluginsOf } from "./rule-parts.ts";
import type { RunReason, RunRow, RunStatus, TriggerKind } from "./rule-record.ts";
import { runConsumerPrefix, runError } from "./rule-runs.ts";
import type { RuleSets } from "./rule-sets.ts";
import { type RunningRun, runActions, StepFailed, Superseded } from "./run-steps.ts";
import { clip, shownError } from "./trace-values.ts";

export interface RunWorkerOptions {
  store: Store;
  deliveries: Pick<Deliveries, "handle">;
  eventLog: Pick<EventLog, "get">;
  sets: RuleSets;
  catalogs: OperatorCatalogs;
  calls: OperatorCalls;
  redactionOf: RedactionOf;
  onEnded?(run: { trigger: TriggerKind; status: RunStatus; reason: string | null; ms?: number }): void;
  /** How long a run waits for a plugin that is not active, ms. @default 3600000 */
  patienceMs?: number;
}

interface Ending {
  status: Exclude<RunStatus, "queued" | "running">;
  reason?: RunReason | string;
  error?: { code: string; message: string };
  trace?: JsonObject;
}

/** Runs of one rule at once on a node, where its mode allows. */
const concurrency = 32;
const maxAttempts = 12;
/** Tries of conditions that failed for a reason that may pass. */
const conditionTries = 3;
/** Codes that another try may not meet. */
const passing = new Set(["deadline_exceeded", "runner_lost", "egress_failed", "egress_timeout", "ability_timeout"]);
const mostTraceBytes = 64 * 1024;
const mostThrottleKey = 500;

export function registerRunWorker(options: RunWorkerOptions): void {
  const { store, sets, catalogs, calls, eventLog, redactionOf, onEnded, patienceMs = 3_600_000 } = options;

  options.deliveries.handle("rule", (delivery) => work(delivery), {
    consumerPrefix: runConsumerPrefix,
    concurrency,
    maxAttempts,
    keepDone: false,
  });

  async function work(delivery: Delivery): Promise<void> {
    const organization = asOrganizationId(delivery.organization);
    const row = await takeUp(organization, delivery.itemId);
    if (!row) return;
    try {
      await carryOut(organization, row, delivery);
    } catch (error) {
      if (error instanceof Superseded) return;
      if (delivery.signal.aborted) throw error;
      if (error instanceof StepFailed)
        return await end(organization, row, { status: "failed", reason: error.code, error: runErrorOf(error) });
      // What passes by itself is waited for as long as it takes; a plugin that somebody has turned off is not.
      const pausedFor = Date.now() - (row.started_at ?? row.created_at).getTime();
      if (error instanceof RetryLater && !(isPaused(error.cause) && pausedFor >= patienceMs + error.ms)) throw error;
      if (error instanceof RetryLater || delivery.attempt >= delivery.maxAttempts) {
        const shown = shownError(error instanceof RetryLater ? error.cause : error);
        return await end(organization, row, { status: "failed", reason: shown.code, error: shown });
      }
      throw error;
    }
  }

  const takeUp = async (organization: OrganizationId, id: string): Promise<RunRow | undefined> =>
    await store.db
      .updateTable("rule_runs")
      .set({
        status: "running",
        turn: sql`turn + 1`,
        started_at: sql`coalesce(started_at, now())`,
      })
      .where("organization_id", "=", organization)
      .where("id", "=", id)
      .where("status", "in", ["queued", "running"])
      .returningAll()
      .executeTakeFirst();

  async function carryOut(organization: OrganizationId, row: RunRow, delivery: Delivery): Promise<void> {
    const compiled = await sets.version(organization, row.rule_id, row.rule_version);
    if (!compiled) return await end(organization, row, { status: "cancelled", reason: "rule_deleted" });
    if (!compiled.rule) {
      const error = new BackplaneError("rule_broken", {
        rule: row.rule_id,
        reason: compiled.faults[0]?.message ?? "its source cannot be read",
      });
      return await end(organization, row, { status: "failed", reason: error.code, error: runErrorOf(error) });
    }
    const event = await eventOf(organization, row);
    if (event === "gone")
      return await end(organization, row, {
        status: "failed",
        reason: "event_gone",
        error: { code: "event_gone", message: "The event was removed by retention before the run began." },
      });
    const run: RunningRun = {
      row,
      organization,
      rule: compiled.rule,
      catalog: (await catalogs.of(organization)).installed,
      event,
      trace: { traceId: row.trace_id, spanId: row.span_id },
      signal: delivery.signal,
    };
    if (row.acted_at === null && !(await decide(run, delivery))) return;
    await runActions({ store, calls, redactionOf }, run);
    await end(organization, row, { status: "succeeded" });
  }

  const eventOf = async (organization: OrganizationId, row: RunRow): Promise<RuleEvent | undefined | "gone"> => {
    if (row.event !== null) return row.event as unknown as RuleEvent;
    if (row.event_id === null) return undefined;
    return ((await eventLog.get(organization, row.event_id)) as RuleEvent | undefined) ?? "gone";
  };

  /** Conditions and throttle. False when the run ended here; afterwards `acted_at` stands and neither is asked again. */
  async function decide(run: RunningRun, delivery: Delivery): Promise<boolean> {
    const { row, organization } = run;
    const scope: RuleScope = {
      ...(run.event ? { event: run.event } : {}),
      now: new Date(),
      rule: { id: row.rule_id, name: row.rule_name },
      run: { id: row.id, startedAt: row.started_at ?? row.created_at },
    };
    const outcome = await askConditions(run, scope);
    const trace = shownTrace(run, outcome);
    if (outcome.outcome === "failed") {
      const failure = outcome.failure ?? { code: "internal", message: "A condition could not be evaluated." };
      if (passing.has(failure.code) && delivery.attempt < conditionTries)
        throw Object.assign(new Error(failure.message), { code: failure.code });
      await end(organization, row, { status: "failed", reason: failure.code, error: failure, trace });
      return false;
    }
    if (outcome.outcome === "not_met") {
      await end(organization, row, { status: "skipped", reason: "conditions_not_met", trace });
      return false;
    }
    const throttled = await takeThrottle(run, scope, trace);
    if (throttled === undefined) return true;
    await end(organization, row, { ...throttled, trace });
    return false;
  }

  async function askConditions(run: RunningRun, scope: RuleScope): Promise<ConditionOutcome> {
    const { row, organization, rule, event, catalog, trace, signal } = run;
    const { show } = await redactionOf(organization, pluginsOf(rule, catalog.variables));
    let later: RetryLater | undefined;
    const outcome = await evaluateConditions(rule.conditions, {
      scope,
      show,
      async evaluateOperator({ plugin, operator, params, timeoutMs }: OperatorCall) {
        try {
          return await calls.condition({
            organization,
            plugin,
            operator,
            params,
            context: { rule: { id: row.rule_id, name: row.rule_name }, ...(event ? { event } : {}), organization },
            trace,
            depth: row.depth,
            timeoutMs,
            signal,
          });
        } catch (error) {
          if (error instanceof RetryLater) later = error;
          else if (signal.aborted) later = new RetryLater(0, "the hub stops");
          throw error;
        }
      },
    });
    if (later) throw later;
    return outcome;
  }

  function shownTrace(run: RunningRun, outcome: ConditionOutcome): JsonObject {
    const former = (run.row.trace ?? {}) as JsonObject;
    const small = clip(outcome.trace, { text: 2_000, items: 100, depth: 24, total: mostTraceBytes });
    return {
      ...former,
      conditions: small as JsonObject,
      ...(outcome.stoppedAt === undefined ? {} : { stoppedAt: outcome.stoppedAt }),
    };
  }

  /** Counts this run, or says why it may not act. Under the rule's lock, so that two runs never take the last place both. */
  async function takeThrottle(run: RunningRun, scope: RuleScope, trace: JsonObject): Promise<Ending | undefined> {
    const { row, organization, rule } = run;
    const { throttle } = rule;
    let key = "";
    if (throttle?.key) {
      const value = evaluateExpression(throttle.key, scope);
      if (!value.ok)
        return { status: "failed", reason: `throttle_${value.failure.code}`, error: runErrorOf(value.failure) };
      key = (typeof value.value === "string" ? value.value : (JSON.stringify(value.value) ?? "")).slice(
        0,
        mostThrottleKey,
      );
    }
    const act = async (executor: Db | Tx): Promise<void> => {
      const { numUpdatedRows } = await executor
        .updateTable("rule_runs")
        .set({ acted_at: sql`now()`, throttle_key: key, trace: json(trace) })
        .where("organization_id", "=", organization)
        .where("id", "=", row.id)
        .where("status", "=", "running")
        .where("turn", "=", row.turn)
        .executeTakeFirst();
      if (numUpdatedRows !== 1n) throw new Superseded();
    };
    if (!throttle) {
      await act(store.db);
      return undefined;
    }
    return await store.transaction(async (tx) => {
      await sql`select pg_advisory_xact_lock(hashtextextended(${`rule:${organization}:${row.rule_id}`}, 0))`.execute(
        tx,
      );
      const { rows } = await sql<{ count: number; next: Date | null }>`
        select count(*)::int as count, min(acted_at) as next from rule_runs
        where organization_id = ${organization} and rule_id = ${row.rule_id} and throttle_key = ${key}
          and acted_at > now() - ${throttle.perMs}::float8 * interval '1 millisecond'`.execute(tx);
      const { count = 0, next = null } = rows[0] ?? {};
      if (count >= throttle.count) {
        const until = next === null ? null : new Date(next.getTime() + throttle.perMs).toISOString();
        Object.assign(trace, { throttle: clip({ key, acted: count, count: throttle.count, until }) as JsonObject });
        return { status: "skipped", reason: "throttled" };
      }
      await act(tx);
      return undefined;
    });
  }

  async function end(
    organization: OrganizationId,
    row: RunRow,
    { status, reason, error, trace }: Ending,
  ): Promise<void> {
    const ended = await store.db
      .updateTable("rule_runs")
      .set({
        status,
        reason: reason?.slice(0, 100) ?? null,
        ended_at: sql`now()`,
        ...(error ? { error: json(runError(error)) } : {}),
        ...(trace ? { trace: json(trace) } : {}),
      })
      .where("organization_id", "=", organization)
      .where("id", "=", row.id)
      .where("status", "=", "running")
      .where("turn", "=", row.turn)
      .returning(["started_at", "ended_at"])
      .executeTakeFirst();
    if (!ended) return;
    const ms = (ended.ended_at?.getTime() ?? 0) - (ended.started_at?.getTime() ?? 0);
    onEnded?.({ trigger: row.trigger as TriggerKind, status, reason: reason ?? null, ms });
  }
}

const isPaused = (error: unknown): boolean =>
  error instanceof BackplaneError && (error.code === "plugin_not_active" || error.code === "plugin_quarantined");

function runErrorOf(error: { code: string; message: string }): { code: string; message: string } {
  return { code: error.code, message: error.message };
}
