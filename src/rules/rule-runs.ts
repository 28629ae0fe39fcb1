/**
 * Runs from the moment a rule is set off: which of them begin, by mode, and with what delivery; reading, cancelling and
 * forgetting them. What a run does is run-worker.ts. Long because every statement that changes what is queued is here.
 *
 * A run is `queued` with its delivery in one transaction → `running` → `succeeded`, `failed`, `cancelled` or `skipped` (it
 * was decided not to act). One that is never to run is written as `skipped` at once, so that everybody sees why. Its id is
 * made of the rule and of what set it off: the same event a second time is the same run.
 */
import { createHash } from "node:crypto";
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { lowestIdAt } from "../base/ids.ts";
import type { JsonObject } from "../base/json.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import { json } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import { formatTraceparent, type Trace } from "../telemetry/trace.ts";
import type { CompiledRule, RuleEvent } from "./language/types.ts";
import { actionsOf } from "./rule-parts.ts";
import {
  type RunDetail,
  type RunReason,
  type RunRecord,
  type RunStatus,
  type TriggerKind,
  toRun,
  toStep,
} from "./rule-record.ts";
import { clip } from "./trace-values.ts";

/** A rule that something has set off. */
export interface Occasion {
  rule: { id: string; version: number; compiled: CompiledRule };
  kind: TriggerKind;
  /** Names the occasion among those of its kind, e.g. the event's id: the same one again makes no second run. */
  name: string;
  /** When it came to be. The same for the same occasion: it is part of the run's id. */
  at: Date;
  /** Of the log, read again when the run needs it; for other occasions what tells a repetition. Once a rule. */
  eventId?: string;
  /** For what is not in the log. */
  event?: RuleEvent;
  /** Index of the trigger. */
  trigger: number | null;
  depth: number;
  trace: Trace;
  actor: string;
}

export interface BegunRun {
  id: string;
  status: RunStatus;
  /** False when the occasion had its run already. */
  fresh: boolean;
}

export interface ListRuns {
  rule?: string | undefined;
  status?: RunStatus | undefined;
  trigger?: TriggerKind | undefined;
  eventId?: string | undefined;
  traceId?: string | undefined;
  since?: Date | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface RuleRuns {
  /** In the order given. Several of one rule in one call are not looked for. */
  begin(tx: Tx, organization: OrganizationId, occasions: readonly Occasion[]): Promise<BegunRun[]>;
  /** Newest first. Error: `invalid_cursor`. */
  list(organization: OrganizationId, filter: ListRuns): Promise<{ runs: RunRecord[]; nextCursor: string | null }>;
  /** Error: `not_found`. */
  get(organization: OrganizationId, id: string): Promise<RunDetail>;
  /** Nothing of it begins any more, and what is under way is told to stop. Errors: `not_found`, `conflict` when it has ended. */
  cancel(organization: OrganizationId, id: string): Promise<RunDetail>;
  /** All open ones of a rule. */
  cancelAll(tx: Tx, organization: OrganizationId, rule: string, reason: RunReason): Promise<number>;
  /** Ends runs that nothing works on any more: their delivery is gone. Returns how many. */
  failLost(): Promise<number>;
  /** Removes ended ones; returns how many. */
  deleteEndedBefore(before: Date): Promise<number>;
}

export interface RuleRunsOptions {
  store: Store;
  deliveries: Pick<Deliveries, "enqueue" | "cancel">;
  eventLog: Pick<EventLog, "get">;
  /** Told of runs that ended without running. */
  onEnded?(run: { trigger: TriggerKind; status: RunStatus; reason: string | null }): void;
}

/** Past this many runs of one rule that wait, more are skipped, whatever its mode. */
const mostWaiting = 10_000;
/** How often a rule may be among the causes of what sets it off. */
const mostTurns = 5;
/** Longest chain of events that still starts runs; the log itself ends at 32. */
const mostDepth = 16;
const deleteBatch = 2_000;

export const runConsumerPrefix = "rule:";
export const runConsumer = (rule: string): string => runConsumerPrefix + rule;

export function createRuleRuns({ store, deliveries, eventLog, onEnded }: RuleRunsOptions): RuleRuns {
  const begin: RuleRuns["begin"] = async (tx, organization, occasions) => {
    const begun: BegunRun[] = [];
    // Locks are taken in one order, so that two transactions never wait for each other.
    const order = occasions.toSorted((a, b) => (a.rule.id < b.rule.id ? -1 : 1));
    for (const { rule } of order)
      if (rule.compiled.mode !== "parallel")
        await sql`select pg_advisory_xact_lock(hashtextextended(${`rule:${organization}:${rule.id}`}, 0))`.execute(tx);
    for (const occasion of occasions) begun.push(await beginOne(tx, organization, occasion));
    return begun;
  };

  async function beginOne(tx: Tx, organization: OrganizationId, occasion: Occasion): Promise<BegunRun> {
    const { rule, kind, at, depth, trace, actor, event, eventId, trigger } = occasion;
    const { mode } = rule.compiled;
    const id = runIdOf(organization, rule.id, occasion);
    const eventKey = kind === "manual" ? null : (eventId ?? null);
    const there = await tx
      .selectFrom("rule_runs")
      .select(["id", "status"])
      .where("organization_id", "=", organization)
      .where((eb) =>
        eb.or([
          eb("id", "=", id),
          ...(eventKey === null ? [] : [eb.and([eb("rule_id", "=", rule.id), eb("event_id", "=", eventKey)])]),
        ]),
      )
      .executeTakeFirst();
    if (there) return { id: there.id, status: there.status as RunStatus, fresh: false };
    const { skip, slot } = await admit(tx, organization, occasion);
    if (skip === undefined && mode === "restart") await cancelAll(tx, organization, rule.id, "restarted");
    const status: RunStatus = skip === undefined ? "queued" : "skipped";
    const inserted = await tx
      .insertInto("rule_runs")
      .values({
        organization_id: organization,
        id,
        rule_id: rule.id,
        rule_name: rule.compiled.name,
        rule_version: rule.version,
        mode,
        status,
        reason: skip?.reason ?? null,
        trigger: kind,
        event_id: eventKey,
        event: event ? json(event) : null,
        depth,
        trace_id: trace.traceId,
        span_id: trace.spanId,
        actor,
        slot: slot ?? null,
        trace: json({ trigger, ...(skip ? { stopped: skip.note } : {}) }),
        steps_total: actionsOf(rule.compiled.actions).length,
        ...(skip ? { ended_at: at } : {}),
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning("id")
      .executeTakeFirst();
    if (!inserted) return { id, status, fresh: false };
    if (skip) onEnded?.({ trigger: kind, status, reason: skip.reason });
    else
      await deliveries.enqueue(tx, [
        {
          organization,
          consumer: runConsumer(rule.id),
          kind: "rule",
          key: slot === undefined ? rule.id : `${rule.id}#${slot}`,
          itemId: id,
          payload: null,
          traceparent: formatTraceparent(trace),
        },
      ]);
    return { id, status, fresh: true };
  }

  /** Whether the run may wait at all, and in which of a parallel rule's lines. */
  async function admit(
    tx: Tx,
    organization: OrganizationId,
    { rule, depth, trace }: Occasion,
  ): Promise<{ skip?: { reason: RunReason; note: string }; slot?: number }> {
    const { mode, max } = rule.compiled;
    if (depth > 0) {
      const turns = await turnsSoFar(tx, { organization, rule: rule.id, traceId: trace.traceId, depth });
      if (turns >= mostTurns)
        return {
          skip: {
            reason: "loop",
            note: `Rule '${rule.id}' ran ${turns} times already in the chain of events that led here: what it does sets it off again. It stops here; narrow its trigger or its conditions.`,
          },
        };
      if (depth >= mostDepth)
        return {
          skip: { reason: "loop", note: `The event is the ${depth}th in a chain of events that caused one another.` },
        };
    }
    const { rows } = await sql<{ slot: number | null; status: string; count: number }>`
      select slot, status, count(*)::int as count from rule_runs
      where organization_id = ${organization} and rule_id = ${rule.id} and status in ('queued', 'running')
      group by slot, status`.execute(tx);
    const open = rows.reduce((sum, { count }) => sum + count, 0);
    const queued = rows.reduce((sum, { status, count }) => sum + (status === "queued" ? count : 0), 0);
    if (mode === "single" && open > 0)
      return { skip: { reason: "already_running", note: "A run of this rule was under way, and its mode is single." } };
    const room = mode === "queued" ? Math.min(max, mostWaiting) : mostWaiting;
    if (mode !== "restart" && queued >= room)
      return { skip: { reason: "queue_full", note: `${queued} runs of this rule wait already; at most ${room} do.` } };
    if (mode !== "parallel") return {};
    const busy = new Map<number, number>();
    for (const { slot, count } of rows) if (slot !== null) busy.set(slot, (busy.get(slot) ?? 0) + count);
    let slot = 0;
    for (let other = 1; other < max; other += 1) if ((busy.get(other) ?? 0) < (busy.get(slot) ?? 0)) slot = other;
    return { slot };
  }

  const cancelAll: RuleRuns["cancelAll"] = async (tx, organization, rule, reason) => {
    const rows = await tx
      .updateTable("rule_runs")
      .set({ status: "cancelled", reason, ended_at: sql`now()` })
      .where("organization_id", "=", organization)
      .where("rule_id", "=", rule)
      .where("status", "in", ["queued", "running"])
      .returning(["id", "trigger"])
      .execute();
    for (const { id, trigger } of rows) {
      await closeSteps(tx, organization, id);
      await deliveries.cancel(tx, { organization, consumer: runConsumer(rule), itemId: id });
      onEnded?.({ trigger: trigger as TriggerKind, status: "cancelled", reason });
    }
    return rows.length;
  };

  const get: RuleRuns["get"] = async (organization, id) => {
    const [row, steps] = await Promise.all([
      store.db
        .selectFrom("rule_runs")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("id", "=", id)
        .executeTakeFirst(),
      store.db
        .selectFrom("rule_run_steps")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("run_id", "=", id)
        .orderBy("position")
        .orderBy("started_at")
        .execute(),
    ]);
    if (!row) throw new BackplaneError("not_found", { thing: "run" });
    const event =
      row.event ?? (row.event_id === null ? undefined : await eventLog.get(organization, row.event_id)) ?? null;
    return {
      ...toRun(row),
      event: clip(event),
      trace: row.trace,
      variables: clip(row.variables),
      steps: steps.map(toStep).map((step) => ({ ...step, result: clip(step.result) })),
    };
  };

  return {
    begin,
    cancelAll,
    get,
    async list(organization, { rule, status, trigger, eventId, traceId, since, limit = 50, cursor }) {
      let query = store.db
        .selectFrom("rule_runs")
        .select([...runColumns])
        .where("organization_id", "=", organization);
      if (rule !== undefined) query = query.where("rule_id", "=", rule);
      if (status !== undefined) query = query.where("status", "=", status);
      if (trigger !== undefined) query = query.where("trigger", "=", trigger);
      if (eventId !== undefined) query = query.where("event_id", "=", eventId);
      if (traceId !== undefined) query = query.where("trace_id", "=", traceId);
      if (since !== undefined) query = query.where("id", ">=", lowestIdAt(since.getTime()));
      if (cursor !== undefined) query = query.where("id", "<", String(decodeCursor(cursor, 1)[0]));
      const rows = await query
        .orderBy("id", "desc")
        .limit(limit + 1)
        .execute();
      const page = rows.slice(0, limit);
      return { runs: page.map(toRun), nextCursor: rows.length > limit ? encodeCursor([page.at(-1)!.id]) : null };
    },
    async cancel(organization, id) {
      await store.transaction(async (tx) => {
        const row = await tx
          .selectFrom("rule_runs")
          .select(["rule_id", "status", "trigger"])
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .forUpdate()
          .executeTakeFirst();
        if (!row) throw new BackplaneError("not_found", { thing: "run" });
        if (row.status !== "queued" && row.status !== "running")
          throw new BackplaneError("conflict", { reason: `The run has ended: it ${wordOf(row.status)}.` });
        await tx
          .updateTable("rule_runs")
          .set({ status: "cancelled", reason: "cancelled", ended_at: sql`now()` })
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .execute();
        await closeSteps(tx, organization, id);
        await deliveries.cancel(tx, { organization, consumer: runConsumer(row.rule_id), itemId: id });
        onEnded?.({ trigger: row.trigger as TriggerKind, status: "cancelled", reason: "cancelled" });
      });
      return get(organization, id);
    },
    async failLost() {
      const { code, message } = new BackplaneError("hub_lost");
      const { rows } = await sql<{ id: string }>`
        update rule_runs r set status = 'failed', reason = ${code}, ended_at = now(),
          error = ${JSON.stringify({ code, message })}::jsonb
        where status in ('queued', 'running') and created_at < now() - interval '1 minute' and not exists (
          select 1 from deliveries d where d.organization_id = r.organization_id and d.consumer = ${runConsumerPrefix} || r.rule_id
            and d.item_id = r.id and d.state = 'pending')
        returning id`.execute(store.db);
      return rows.length;
    },
    async deleteEndedBefore(before) {
      for (let total = 0; ; ) {
        const { numAffectedRows } = await sql`delete from rule_runs where (organization_id, id) in (
          select organization_id, id from rule_runs where ended_at < ${before.toISOString()}::timestamptz limit ${deleteBatch})`.execute(
          store.db,
        );
        const gone = Number(numAffectedRows ?? 0n);
        total += gone;
        if (gone < deleteBatch) return total;
      }
    },
  };
}

const runColumns = [
  "organization_id",
  "id",
  "rule_id",
  "rule_name",
  "rule_version",
  "mode",
  "status",
  "reason",
  "trigger",
  "event_id",
  "depth",
  "trace_id",
  "span_id",
  "actor",
  "slot",
  "turn",
  "throttle_key",
  "acted_at",
  "error",
  "steps_total",
  "steps_done",
  "created_at",
  "started_at",
  "ended_at",
] as const;

const wordOf = (status: string): string => (status === "skipped" ? "was skipped" : status);

async function closeSteps(tx: Tx, organization: OrganizationId, run: string): Promise<void> {
  await tx
    .updateTable("rule_run_steps")
    .set({ status: "cancelled", ended_at: sql`now()` })
    .where("organization_id", "=", organization)
    .where("run_id", "=", run)
    .where("status", "in", ["running", "waiting"])
    .execute();
}

interface Chain {
  organization: OrganizationId;
  rule: string;
  traceId: string;
  depth: number;
}

/**
 * In how many links of the chain that led here the rule has run before: runs of one trace count once a depth, so that many
 * events of one sync are no loop.
 */
async function turnsSoFar(tx: Tx, { organization, rule, traceId, depth }: Chain): Promise<number> {
  const { rows } = await sql<{ turns: number }>`
    select count(distinct depth)::int as turns from rule_runs
    where organization_id = ${organization} and trace_id = ${traceId} and rule_id = ${rule} and depth < ${depth}
      and status <> 'skipped'`.execute(tx);
  return rows[0]?.turns ?? 0;
}

/** A UUID of version 7 with the time of the occasion; what is random elsewhere is a hash here, of nobody else's rule either. */
function runIdOf(
  organization: string,
  rule: string,
  { kind, name, at }: Pick<Occasion, "kind" | "name" | "at">,
): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([organization, rule, kind, name]))
    .digest("hex");
  const time = lowestIdAt(at.getTime());
  return `${time}-7${hash.slice(0, 3)}-${"89ab"[Number.parseInt(hash[3]!, 16) & 3]}${hash.slice(4, 7)}-${hash.slice(7, 19)}`;
}

/** What a run's `error` column takes. */
export const runError = (error: { code: string; message: string }): JsonObject => ({
  code: error.code,
  message: error.message,
});
