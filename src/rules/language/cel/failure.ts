/** Why an evaluation ended, and the budget that ends the costly ones. Thrown inside cel/ only; expressions answer it as a value. */
import { ruleLimits } from "../limits.ts";
import type { EvaluationFailure } from "../types.ts";

/** No Error: a quantifier may meet thousands, and nobody reads their stacks. */
export class CelFailure {
  readonly code: EvaluationFailure["code"];
  readonly message: string;
  /** Characters into the expression. */
  readonly offset: number;

  constructor(code: EvaluationFailure["code"], message: string, offset: number) {
    this.code = code;
    this.message = message;
    this.offset = offset;
  }

  /** `||`, `&&`, `all` and `exists` may answer in spite of other failures; these end everything. */
  get final(): boolean {
    return this.code === "cost" || this.code === "size";
  }
}

/** Steps that several evaluations share. */
export interface StepBudget {
  left: number;
}

/** State of one evaluation. */
export class Frame {
  readonly scope: Readonly<Record<string, unknown>>;
  /** Values of the variables of macros. */
  readonly locals: unknown[] = [];
  #left: number;

  constructor(scope: Readonly<Record<string, unknown>>, steps: number = ruleLimits.evaluationSteps) {
    this.scope = scope;
    this.#left = steps;
  }

  get left(): number {
    return Math.max(0, this.#left);
  }

  spend(steps: number, offset: number): void {
    this.#left -= steps;
    if (this.#left < 0)
      throw new CelFailure("cost", "The expression costs more than an evaluation may; look at fewer items.", offset);
  }
}

export function fail(code: EvaluationFailure["code"], message: string, offset: number): never {
  throw new CelFailure(code, message, offset);
}
