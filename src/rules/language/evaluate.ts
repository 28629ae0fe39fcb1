/** Evaluates single expressions of a rule (filters, throttle keys) and builds what they see. */
import { isObject } from "../../base/json.ts";
import type { CelScope, Expression } from "./cel/expression.ts";
import type { Evaluated, RuleEvent, RuleScope } from "./types.ts";

/** Never throws. */
export function evaluateExpression(expression: Expression, scope: RuleScope): Evaluated<unknown> {
  return expression.evaluate(createCelScope(scope));
}

/** True only when the filter is true: a filter that fails, because a field is not there, does not match. */
export function evaluateFilter(expression: Expression, scope: RuleScope): boolean {
  const result = evaluateExpression(expression, scope);
  return result.ok && result.value === true;
}

/** What is not there stays undefined; naming it is a failure then. */
export function createCelScope(scope: RuleScope): CelScope {
  const { event, now, rule, run, steps, variables } = scope;
  return {
    ...variables,
    event: event === undefined ? undefined : eventValue(event),
    now,
    rule,
    run,
    steps,
  };
}

const known = new WeakMap<RuleEvent, Record<string, unknown>>();

/** The event's data with the envelope as `meta`. Data that is no object is `event.data`. Made once for each event. */
export function eventValue(event: RuleEvent): Record<string, unknown> {
  let value = known.get(event);
  if (value === undefined) {
    value = isObject(event.data) ? { ...event.data, meta: metaOf(event) } : { data: event.data, meta: metaOf(event) };
    known.set(event, value);
  }
  return value;
}

/** The fields of environment.ts's `metaType`, each of them there. */
function metaOf(event: RuleEvent): Record<string, unknown> {
  const { id, type, source, subject = null, time, organization = null, traceparent = null } = event;
  return { id, type, source, subject, time, organization, traceparent };
}

/** A field below `event` without building its value: for the matcher. Undefined when it is not there. */
export function eventField(event: RuleEvent, path: readonly string[]): unknown {
  const [first, second] = path;
  if (first === "meta") return path.length === 2 ? metaField(event, second!) : undefined;
  if (!isObject(event.data)) return first === "data" && path.length === 1 ? event.data : undefined;
  let value: unknown = event.data;
  for (const name of path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

function metaField(event: RuleEvent, name: string): unknown {
  const meta = metaOf(event);
  return Object.hasOwn(meta, name) ? meta[name] : undefined;
}
