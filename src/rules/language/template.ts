/** Params with `{{ CEL }}`: rendering them in a scope, and which variables an action names. */
import type { CelScope } from "./cel/expression.ts";
import { CelFailure, type StepBudget } from "./cel/failure.ts";
import { toJson, toText } from "./cel/values.ts";
import { createCelScope } from "./evaluate.ts";
import { ruleLimits } from "./limits.ts";
import type { CompiledAction, Evaluated, EvaluationFailure, RuleScope, Template } from "./types.ts";

/**
 * A text that is exactly one `{{ }}` becomes the value itself, any other text has the values written into it; null is
 * nothing there. The first failure ends it: an operator never sees half of its params. Never throws.
 */
export function renderParams(
  template: Template,
  scope: RuleScope,
  budget: StepBudget = { left: ruleLimits.paramsSteps },
): Evaluated<Record<string, unknown>> {
  const renderer = new Renderer(createCelScope(scope), budget);
  try {
    return { ok: true, value: renderer.render(template) as Record<string, unknown> };
  } catch (error) {
    if (error instanceof RenderFailure) return { ok: false, failure: error.failure };
    throw error;
  }
}

/** Names of catalog variables in the action's params; at most one. */
export function usesVariables(action: CompiledAction): readonly string[] {
  return action.variables;
}

class RenderFailure {
  readonly failure: EvaluationFailure;
  constructor(failure: EvaluationFailure) {
    this.failure = failure;
  }
}

class Renderer {
  readonly #scope: CelScope;
  readonly #budget: StepBudget;
  #length = 0;

  constructor(scope: CelScope, budget: StepBudget) {
    this.#scope = scope;
    this.#budget = budget;
  }

  render(template: Template): unknown {
    switch (template.kind) {
      case "literal":
        return structuredClone(template.value);
      case "list":
        return template.items.map((item) => this.render(item));
      case "object":
        return Object.fromEntries(template.fields.map(([name, field]) => [name, this.render(field)]));
      case "value": {
        const value = this.#evaluate(template.expression, toJson, template.path);
        this.#count(typeof value === "string" ? value.length : JSON.stringify(value).length, template.path);
        return value;
      }
      case "text": {
        let text = "";
        for (const part of template.parts)
          text += typeof part === "string" ? part : this.#evaluate(part, toText, template.path);
        this.#count(text.length, template.path);
        return text;
      }
    }
  }

  #evaluate(
    expression: (Template & { kind: "value" })["expression"],
    convert: (value: unknown) => unknown,
    path: string,
  ): unknown {
    const result = expression.evaluate(this.#scope, this.#budget);
    if (!result.ok) throw new RenderFailure({ ...result.failure, path });
    try {
      return convert(result.value);
    } catch (error) {
      if (!(error instanceof CelFailure)) throw error;
      throw new RenderFailure({ code: error.code, message: error.message, path });
    }
  }

  /** Each value may be as large as an evaluation allows; all together, too. */
  #count(length: number, path: string): void {
    this.#length += length;
    if (this.#length > ruleLimits.textLength * 2)
      throw new RenderFailure({ code: "size", message: "The params get too large.", path });
  }
}
