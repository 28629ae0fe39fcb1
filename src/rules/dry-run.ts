/** One event against one rule, saved or not: which trigger matches, what each condition answers now, and what would be done. Nothing is executed or kept. */
import type { OrganizationId } from "../base/brands.ts";
import { RetryLater } from "../bus/delivery.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Trace } from "../telemetry/trace.ts";
import { judge, type PlannedAction, plan } from "./judge.ts";
import { compileRule } from "./language/compile-rule.ts";
import type { CompiledRule, RuleFault } from "./language/types.ts";
import { createMatcher } from "./matching/matcher.ts";
import type { OperatorCalls } from "./operator-calls.ts";
import type { OperatorCatalogs } from "./operator-catalog.ts";
import type { RedactionOf } from "./redaction.ts";
import { pluginsOf } from "./rule-parts.ts";
import { slugOf } from "./rule-records.ts";
import { type RuleSets, stateOf } from "./rule-sets.ts";
import { clip } from "./trace-values.ts";
import { givenEvent } from "./triggers.ts";

export interface DryRunRequest {
  organization: OrganizationId;
  /** A draft, or else a saved rule. */
  source?: string | undefined;
  rule?: string | undefined;
  event?: { type?: string | undefined; data?: unknown; subject?: string | undefined } | undefined;
  eventId?: string | undefined;
  trace: Trace;
  signal: AbortSignal;
}

export interface DryRunAnswer {
  valid: boolean;
  faults: readonly RuleFault[];
  /** Index of the trigger that the event matches, `null` when none does; conditions are asked all the same. */
  trigger?: number | null;
  event?: unknown;
  outcome?: "met" | "not_met" | "failed";
  conditions?: unknown;
  stoppedAt?: string;
  failure?: { code: string; message: string };
  /** Matched, met, and nothing failed. An event that is given without a type sets the rule off by itself, as a person's run does. */
  wouldRun?: boolean;
  actions?: PlannedAction[];
}

export interface DryRunOptions {
  sets: RuleSets;
  catalogs: OperatorCatalogs;
  calls: OperatorCalls;
  redactionOf: RedactionOf;
  eventLog: Pick<EventLog, "get">;
}

/** Errors: `not_found`, `rule_broken`, `invalid_input`, and `plugin_not_active` or the like when an operator cannot be asked. */
export async function dryRun(
  { sets, catalogs, calls, redactionOf, eventLog }: DryRunOptions,
  { organization, source, rule: id, event: given, eventId, trace, signal }: DryRunRequest,
): Promise<DryRunAnswer> {
  const catalog = await catalogs.of(organization);
  let compiled: CompiledRule;
  let name: string;
  if (source !== undefined) {
    const { rule, faults } = compileRule(source, catalog.active);
    if (!rule) return { valid: false, faults };
    [compiled, name] = [rule, id ?? rule.id ?? slugOf(rule.name)];
  } else {
    if (id === undefined)
      throw new BackplaneError(
        "invalid_input",
        {},
        { errors: [{ path: "source", message: "name a draft's `source`, or a `rule`" }] },
      );
    const loaded = (await sets.current(organization)).rules.get(id);
    if (!loaded) throw new BackplaneError("not_found", { thing: "rule" });
    if (!loaded.compiled)
      throw new BackplaneError("rule_broken", { rule: id, reason: stateOf(loaded, catalog).reason ?? "" });
    [compiled, name] = [loaded.compiled, id];
  }
  const now = new Date();
  const event = await givenEvent(eventLog, organization, { event: given, eventId, at: now });
  const unnamed = eventId === undefined && given?.type === undefined;
  const [match] = createMatcher([[name, { ...compiled, enabled: true }]]).match(event, now);
  const redaction = await redactionOf(organization, pluginsOf(compiled, catalog.installed.variables));
  const judging = {
    organization,
    id: name,
    rule: compiled,
    event,
    catalog: catalog.installed,
    trace,
    now,
    signal,
    redaction,
    ask: calls,
  };
  try {
    const verdict = await judge(judging);
    const actions = await plan(judging);
    return {
      valid: true,
      faults: [],
      trigger: match?.trigger ?? null,
      event: clip(event),
      outcome: verdict.outcome,
      conditions: clip(verdict.trace, { text: 2_000, items: 100, depth: 24, total: 64 * 1024 }),
      ...(verdict.stoppedAt === undefined ? {} : { stoppedAt: verdict.stoppedAt }),
      ...(verdict.failure ? { failure: verdict.failure } : {}),
      wouldRun: (match !== undefined || unnamed) && verdict.outcome === "met",
      actions,
    };
  } catch (error) {
    if (error instanceof RetryLater && error.cause instanceof BackplaneError) throw error.cause;
    throw error;
  }
}
