/**
 * What a rule would do about an event, without doing it: its conditions asked in their walls, its params rendered. Shared by
 * the dry run of one event and the replay of many.
 */
import type { OrganizationId } from "../base/brands.ts";
import { RetryLater } from "../bus/delivery.ts";
import type { Trace } from "../telemetry/trace.ts";
import { type ConditionTrace, evaluateConditions } from "./language/evaluate-conditions.ts";
import { renderParams } from "./language/template.ts";
import type { CompiledAction, CompiledRule, OperatorCatalog, RuleEvent, RuleScope } from "./language/types.ts";
import type { OperatorRequest } from "./operator-calls.ts";
import type { Redaction } from "./redaction.ts";
import { actionsOf, expressionsOf } from "./rule-parts.ts";
import { clip, shownError } from "./trace-values.ts";

export interface Judging {
  organization: OrganizationId;
  id: string;
  rule: CompiledRule;
  event: RuleEvent;
  /** Of the organisation's plugins. */
  catalog: OperatorCatalog;
  trace: Trace;
  now: Date;
  signal: AbortSignal;
  /** Of all plugins of the rule. */
  redaction: Redaction;
  ask: {
    condition(request: OperatorRequest): Promise<boolean>;
    variable(request: Omit<OperatorRequest, "params">): Promise<Record<string, unknown>[]>;
  };
}

export interface Verdict {
  outcome: "met" | "not_met" | "failed";
  trace: ConditionTrace;
  stoppedAt?: string;
  failure?: { code: string; message: string };
}

/** One action that would run; with a variable one for each value. */
export interface PlannedAction {
  step: string;
  operator: string;
  params?: unknown;
  /** What cannot be known before the actions run: it depends on `steps`. */
  unresolved?: string;
  failure?: { code: string; message: string };
}

export const scopeOf = ({ id, rule, event, now }: Pick<Judging, "id" | "rule" | "event" | "now">): RuleScope => ({
  event,
  now,
  rule: { id, name: rule.name },
  run: { id: "dry-run", startedAt: now },
});

/** Throws `RetryLater` when an operator cannot be asked now. */
export async function judge(judging: Judging): Promise<Verdict> {
  const { organization, id, rule, event, trace, signal, redaction, ask } = judging;
  let later: RetryLater | undefined;
  const outcome = await evaluateConditions(rule.conditions, {
    scope: scopeOf(judging),
    show: redaction.show,
    async evaluateOperator({ plugin, operator, params, timeoutMs }) {
      try {
        return await ask.condition({
          organization,
          plugin,
          operator,
          params,
          context: { rule: { id, name: rule.name }, event, organization },
          trace,
          depth: 0,
          timeoutMs,
          signal,
        });
      } catch (error) {
        if (error instanceof RetryLater) later = error;
        throw error;
      }
    },
  });
  if (later) throw later;
  return outcome;
}

/** The actions in the order of the source. Throws `RetryLater` when a variable cannot be listed now. */
export async function plan(judging: Judging): Promise<PlannedAction[]> {
  const planned: PlannedAction[] = [];
  const lists = new Map<string, Record<string, unknown>[] | { failure: { code: string; message: string } }>();
  for (const action of actionsOf(judging.rule.actions)) {
    const [variable] = action.variables;
    if (variable === undefined) {
      planned.push(planOne(judging, action, action.key, {}));
      continue;
    }
    let values = lists.get(variable);
    if (!values) {
      values = await listValues(judging, variable);
      lists.set(variable, values);
    }
    if (Array.isArray(values))
      for (const [n, value] of values.entries())
        planned.push(planOne(judging, action, `${action.key}:${n}`, { [variable]: value }));
    else planned.push({ step: action.key, operator: action.operator, failure: values.failure });
  }
  return planned;
}

async function listValues(
  { organization, id, rule, event, catalog, trace, signal, redaction, ask }: Judging,
  variable: string,
): Promise<Record<string, unknown>[] | { failure: { code: string; message: string } }> {
  const plugin = catalog.variables.get(variable)?.plugin;
  if (plugin === undefined)
    return { failure: { code: "rule_broken", message: `No plugin offers the variable '${variable}'.` } };
  try {
    return await ask.variable({
      organization,
      plugin,
      operator: variable,
      context: { rule: { id, name: rule.name }, event, organization },
      trace,
      depth: 0,
      signal,
    });
  } catch (error) {
    if (error instanceof RetryLater) throw error;
    return { failure: shown(redaction, shownError(error)) };
  }
}

function planOne(
  judging: Judging,
  { operator, params }: CompiledAction,
  step: string,
  variables: Record<string, unknown>,
): PlannedAction {
  const rendered = renderParams(params, { ...scopeOf(judging), steps: {}, variables });
  if (rendered.ok) return { step, operator, params: clip(judging.redaction.show(rendered.value)) };
  if (expressionsOf(params).some(({ roots }) => roots.has("steps")))
    return { step, operator, unresolved: "depends on the results of earlier actions" };
  const { code, message } = rendered.failure;
  return { step, operator, failure: shown(judging.redaction, { code: `template_${code}`, message }) };
}

const shown = (
  { show }: Redaction,
  { code, message }: { code: string; message: string },
): { code: string; message: string } => ({ code, message: String(show(message)) });
