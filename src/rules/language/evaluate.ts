/** Evaluates single expressions of a rule: filters, throttle keys. */
import type { Expression } from "./cel/expression.ts";
import type { Evaluated, RuleScope } from "./types.ts";

/** Never throws. */
export function evaluateExpression(expression: Expression, scope: RuleScope): Evaluated<unknown> {
  throw new Error(`soon ${expression.source} ${scope.rule.id}`);
}

/** True only when the filter is true: a filter that fails, because a field is not there, does not match. */
export function evaluateFilter(expression: Expression, scope: RuleScope): boolean {
  const result = evaluateExpression(expression, scope);
  return result.ok && result.value === true;
}
