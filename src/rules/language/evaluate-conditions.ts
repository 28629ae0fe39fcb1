/**
 * Walks a rule's conditions, stops as soon as the answer is known, and tells of every node what it was given, what it
 * answered and why the walk stopped.
 */
import type { ConditionNode, EvaluationFailure, RuleScope } from "./types.ts";

export interface OperatorCall {
  operator: string;
  plugin: string;
  params: Record<string, unknown>;
  path: string;
  timeoutMs: number;
}

export interface ConditionTrace {
  path: string;
  kind: ConditionNode["kind"];
  operator?: string;
  /** Source of a `cel` condition. */
  cel?: string;
  /** As rendered; long values are cut, see `clipForTrace`. */
  params?: unknown;
  /** Absent when it was not evaluated or failed. */
  value?: boolean;
  /** The answer was known before: by which sibling. */
  skipped?: string;
  failure?: EvaluationFailure | { code: string; message: string };
  /** Milliseconds of an operator's call. */
  ms?: number;
  items?: ConditionTrace[];
}

export interface ConditionOutcome {
  /** `failed`: something that had to be known could not be. The rule does not act then. */
  outcome: "met" | "not_met" | "failed";
  trace: ConditionTrace;
  /** The node that decided, when not met or failed. */
  stoppedAt?: string;
  failure?: { code: string; message: string };
}

/** `evaluateOperator` may throw: the walk then ends with `failed` and the error's code. One call at a time, in order. */
export async function evaluateConditions(
  tree: ConditionNode,
  options: { scope: RuleScope; evaluateOperator: (call: OperatorCall) => Promise<boolean> | boolean },
): Promise<ConditionOutcome> {
  throw new Error(`soon ${tree.kind} ${options.scope.rule.id}`);
}
