/** Rules, runs and their steps as rows become records, and as the outside sees them. */
import type { Selectable } from "kysely";
import type { JsonObject } from "../base/json.ts";
import type { Database } from "../store/schema.ts";
import type { RuleFault } from "./language/types.ts";

export type RunStatus = "queued" | "running" | "succeeded" | "failed" | "cancelled" | "skipped";
export type TriggerKind = "event" | "cron" | "webhook" | "manual";

/** Why a run stopped where it did; with `failed` the code of the error. */
export const runReasons = {
  conditions_not_met: "the conditions were not met",
  throttled: "it has acted often enough for now",
  already_running: "a run of this rule was under way (mode single)",
  queue_full: "too many runs of this rule wait already",
  loop: "the rule sets itself off again and again",
  restarted: "a newer run took its place (mode restart)",
  rule_deleted: "the rule was deleted",
  cancelled: "somebody cancelled it",
} as const;

export type RunReason = keyof typeof runReasons;

export interface RuleRecord {
  id: string;
  name: string;
  description: string | null;
  version: number;
  enabled: boolean;
  /** `broken`: an operator is gone, or its plugin is not active. */
  state: "enabled" | "disabled" | "broken";
  /** Why it is broken. */
  stateReason: string | null;
  faults: readonly RuleFault[];
  source: string;
  triggers: readonly object[];
  mode: string | null;
  /** Addresses that set it off, below the hub's; only for those who may run it. */
  hooks: readonly { name: string; path: string }[];
  /** Of its cron triggers. */
  nextRunAt: string | null;
  createdBy: string;
  updatedBy: string;
  createdAt: string;
  updatedAt: string;
}

export interface RuleVersionRecord {
  version: number;
  source: string;
  actor: string;
  reason: string | null;
  createdAt: string;
}

/** What became of a message that a step asked for. */
export interface StepMessage {
  /** Id of the `comms.MessageRequested` event. */
  requestId: string;
  /** Of `GET /api/messages/:id`; null before the hub has taken the request, and when it refused it. */
  messageId: string | null;
  /** `requested`, then as of messages. */
  status: string;
  channel: string | null;
  plugin: string | null;
  to: string | null;
  errorCode: string | null;
  error: string | null;
}

export interface StepRecord {
  step: string;
  operator: string;
  status: string;
  attempts: number;
  params: unknown;
  result: unknown;
  /** Of an action whose result names its request as `requestId`. */
  message: StepMessage | null;
  error: JsonObject | null;
  executionId: string | null;
  startedAt: string;
  endedAt: string | null;
  /** When it is tried again. */
  nextAt: string | null;
}

export interface RunRecord {
  id: string;
  rule: string;
  ruleName: string;
  ruleVersion: number;
  mode: string;
  status: RunStatus;
  reason: string | null;
  /** The reason as a sentence. */
  explanation: string | null;
  trigger: TriggerKind;
  eventId: string | null;
  depth: number;
  traceId: string;
  actor: string;
  stepsTotal: number;
  stepsDone: number;
  /** Messages of its steps that did not go out or did not arrive, as far as is known by now. */
  failedMessages: number;
  error: JsonObject | null;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}

export interface RunDetail extends RunRecord {
  event: unknown;
  /** Matched trigger, conditions with every value, throttle. */
  trace: unknown;
  variables: unknown;
  steps: StepRecord[];
}

export type RunRow = Selectable<Database["rule_runs"]>;
export type StepRow = Selectable<Database["rule_run_steps"]>;

const iso = (time: Date | null): string | null => time?.toISOString() ?? null;

export function toRun(row: Omit<RunRow, "event" | "trace" | "variables">): RunRecord {
  const error = row.error as JsonObject | null;
  return {
    id: row.id,
    rule: row.rule_id,
    ruleName: row.rule_name,
    ruleVersion: row.rule_version,
    mode: row.mode,
    status: row.status as RunStatus,
    reason: row.reason,
    explanation:
      row.reason === null ? null : (runReasons[row.reason as RunReason] ?? (error ? String(error["message"]) : null)),
    trigger: row.trigger as TriggerKind,
    eventId: row.event_id,
    depth: row.depth,
    traceId: row.trace_id,
    actor: row.actor,
    stepsTotal: row.steps_total,
    stepsDone: row.steps_done,
    failedMessages: 0,
    error,
    createdAt: row.created_at.toISOString(),
    startedAt: iso(row.started_at),
    endedAt: iso(row.ended_at),
  };
}

export function toStep(row: StepRow): StepRecord {
  return {
    step: row.step,
    operator: row.operator,
    status: row.status,
    attempts: row.attempts,
    params: row.params,
    result: row.result,
    message: null,
    error: row.error as JsonObject | null,
    executionId: row.execution_id,
    startedAt: row.started_at.toISOString(),
    endedAt: iso(row.ended_at),
    nextAt: iso(row.next_at),
  };
}
