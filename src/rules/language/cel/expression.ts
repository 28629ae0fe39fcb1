/** A checked CEL expression, ready to be evaluated. compile.ts makes it. */
import type { Evaluated } from "../types.ts";
import type { StepBudget } from "./failure.ts";
import type { CelType } from "./types.ts";

export interface Expression {
  /** As written, without the `{{ }}` of a template. */
  source: string;
  type: CelType;
  /** Names of the scope it looks at: `event`, `steps`, `now`, `rule`, `run` and variables. */
  roots: ReadonlySet<string>;
  /**
   * Values the event must have for the expression to be true, as far as the expression says so in its `&&`. Empty when it
   * says nothing. The matcher's index is built on it.
   */
  equalities: readonly Equality[];
  /** True when `equalities` say all there is. */
  onlyEqualities: boolean;
  /** Never throws. Cost is bounded, see limits.ts, and by `budget`, from which its steps are taken. */
  evaluate(scope: CelScope, budget?: StepBudget): Evaluated<unknown>;
}

/** `event.a.b == "x"` or `event.a.b in ["x", "y"]`. */
export interface Equality {
  /** Fields below `event`. */
  path: readonly string[];
  values: readonly (string | number | boolean | null)[];
}

/** The names an expression may use, with plain values (JSON, Date). */
export type CelScope = Readonly<Record<string, unknown>>;
