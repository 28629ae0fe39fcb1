/**
 * Walks a rule's conditions, stops as soon as the answer is known, and tells of every node what it was given, what it
 * answered and why the walk stopped.
 */
import { isObject } from "../../base/json.ts";
import { BackplaneError } from "../../errors/error.ts";
import type { StepBudget } from "./cel/failure.ts";
import { createCelScope } from "./evaluate.ts";
import { ruleLimits } from "./limits.ts";
import { renderParams } from "./template.ts";
import type { ConditionNode, EvaluationFailure, RuleScope } from "./types.ts";

export interface OperatorCall {
  operator: string;
  plugin: string;
  params: Record<string, unknown>;
  /** Dotted place of the condition in the rule. */
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
  /** It was not evaluated: why not. */
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
  /** Place of the condition that decided, when not met or failed. */
  stoppedAt?: string;
  failure?: EvaluationFailure | { code: string; message: string };
}

export interface EvaluateConditionsOptions {
  scope: RuleScope;
  /** Params and failures as the trace may hold them, before they are cut. @default as they are */
  show?: (value: unknown) => unknown;
  /** May throw: the walk then ends with `failed` and the error's code. Called one at a time, in order. */
  evaluateOperator: (call: OperatorCall) => Promise<boolean> | boolean;
  /** Milliseconds, for the trace. @default performance.now */
  clock?: () => number;
}

/** Never throws. A failure is no answer: it ends the walk, whatever stands around it. */
export async function evaluateConditions(
  tree: ConditionNode,
  options: EvaluateConditionsOptions,
): Promise<ConditionOutcome> {
  const walk = new Walk(options);
  const trace = await walk.node(tree);
  if (walk.failed !== undefined)
    return { outcome: "failed", trace, stoppedAt: walk.failed.path, failure: walk.failed.failure! };
  if (trace.value === true) return { outcome: "met", trace };
  return { outcome: "not_met", trace, stoppedAt: decidedBy(trace) };
}

class Walk {
  /** The node that failed; nothing is evaluated after it. */
  failed: ConditionTrace | undefined;
  readonly #options: EvaluateConditionsOptions;
  readonly #budget: StepBudget = { left: ruleLimits.paramsSteps };

  constructor(options: EvaluateConditionsOptions) {
    this.#options = options;
  }

  async node(node: ConditionNode): Promise<ConditionTrace> {
    const trace: ConditionTrace = { path: node.path, kind: node.kind };
    switch (node.kind) {
      case "all":
      case "any":
        return await this.#group(node.items, node.kind, trace);
      case "not": {
        const inner = await this.node(node.item);
        trace.items = [inner];
        if (inner.value !== undefined) trace.value = !inner.value;
        return trace;
      }
      case "cel": {
        trace.cel = node.expression.source;
        const result = node.expression.evaluate(createCelScope(this.#options.scope), this.#budget);
        if (!result.ok) return this.#fail(trace, result.failure);
        if (typeof result.value !== "boolean")
          return this.#fail(trace, { code: "type", message: "The condition is neither true nor false." });
        trace.value = result.value;
        return trace;
      }
      case "operator":
        return await this.#operator(node, trace);
    }
  }

  #show(value: unknown): unknown {
    return this.#options.show ? this.#options.show(value) : value;
  }

  async #group(items: readonly ConditionNode[], kind: "all" | "any", trace: ConditionTrace): Promise<ConditionTrace> {
    const deciding = kind === "any";
    trace.items = [];
    let decided: string | undefined;
    for (const item of items) {
      if (decided !== undefined || this.failed !== undefined) {
        const skipped = this.failed === undefined ? `${decided} decided` : `${this.failed.path} failed`;
        trace.items.push({ path: item.path, kind: item.kind, skipped });
        continue;
      }
      const inner = await this.node(item);
      trace.items.push(inner);
      if (inner.value === deciding) decided = item.path;
    }
    if (this.failed === undefined) trace.value = decided === undefined ? !deciding : deciding;
    return trace;
  }

  async #operator(node: ConditionNode & { kind: "operator" }, trace: ConditionTrace): Promise<ConditionTrace> {
    const { operator, plugin, path, timeoutMs } = node;
    trace.operator = operator;
    const rendered = renderParams(node.params, this.#options.scope, this.#budget);
    if (!rendered.ok) return this.#fail(trace, rendered.failure);
    trace.params = clipForTrace(this.#show(rendered.value));
    const { clock = () => performance.now() } = this.#options;
    const started = clock();
    try {
      const value: unknown = await this.#options.evaluateOperator({
        operator,
        plugin,
        params: rendered.value,
        path,
        timeoutMs,
      });
      trace.ms = clock() - started;
      if (typeof value !== "boolean")
        return this.#fail(trace, { code: "type", message: "The operator answered neither true nor false." });
      trace.value = value;
      return trace;
    } catch (error) {
      trace.ms = clock() - started;
      const code = error instanceof BackplaneError ? error.code : "internal";
      const message = error instanceof BackplaneError ? error.message : "The operator could not be asked.";
      return this.#fail(trace, { code, message });
    }
  }

  #fail(trace: ConditionTrace, failure: NonNullable<ConditionTrace["failure"]>): ConditionTrace {
    trace.failure = { ...failure, message: String(this.#show(failure.message)) };
    this.failed = trace;
    return trace;
  }
}

/** The innermost condition whose answer made the whole false. */
function decidedBy(trace: ConditionTrace): string {
  let here = trace;
  while (here.items !== undefined) {
    // For `not` and `any` all they hold had a part in it.
    const next = here.kind === "all" ? here.items.find((item) => item.value === false) : undefined;
    if (next === undefined) break;
    here = next;
  }
  return here.path;
}

const traceText = 1_000;
const traceItems = 50;

/** A copy that a trace can hold: texts to 1000 characters, lists and objects to 50 items, 6 levels. */
export function clipForTrace(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return value.length > traceText ? `${value.slice(0, traceText)}…` : value;
  if (typeof value !== "object" || value === null) return value;
  if (depth >= 6) return "…";
  if (Array.isArray(value)) {
    const shown = value.slice(0, traceItems).map((item) => clipForTrace(item, depth + 1));
    return value.length > traceItems ? [...shown, `… ${value.length - traceItems} more`] : shown;
  }
  if (!isObject(value)) return null;
  const entries = Object.entries(value);
  const shown = entries.slice(0, traceItems).map(([name, item]) => [name.slice(0, 200), clipForTrace(item, depth + 1)]);
  if (entries.length > traceItems) shown.push(["…", `${entries.length - traceItems} more`]);
  return Object.fromEntries(shown);
}
