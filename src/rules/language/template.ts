/** Params with `{{ CEL }}`: rendering them in a scope, and which variables an action names. */
import type { CompiledAction, Evaluated, RuleScope, Template } from "./types.ts";

/**
 * A text that is exactly one `{{ }}` becomes the value itself, any other text has the values written into it. The first
 * failure ends it: an operator never sees half of its params. Never throws.
 */
export function renderParams(template: Template, scope: RuleScope): Evaluated<Record<string, unknown>> {
  throw new Error(`soon ${template.kind} ${scope.rule.id}`);
}

/** Names of catalog variables in the action's params; at most one. */
export function usesVariables(action: CompiledAction): readonly string[] {
  return action.variables;
}
