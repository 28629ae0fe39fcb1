/**
 * Regular expressions of outsiders, on RE2 (linear time), and with a price: program size × text length is taken from a
 * budget that the caller refills per validation. Plugs into ajv as its `code.regExp`.
 */
import { RE2JS } from "re2js";

const maxProgram = 5000;

/** Steps that one validation may still take; shared by all patterns and references of one compiled schema. */
export interface CostBudget {
  left: number;
}

/** Thrown out of a validation that costs more than its budget. */
export class CostExceeded extends Error {}

/** Always true, so that it can stand where a check stands. */
export function spend(budget: CostBudget, steps: number): true {
  budget.left -= steps;
  if (budget.left < 0) throw new CostExceeded("The validation costs more than its budget.");
  return true;
}

/** Undefined when RE2 takes the pattern; else why not. */
export function patternFault(pattern: string): string | undefined {
  try {
    const program = compile(pattern).programSize();
    return program > maxProgram ? "its repetitions make it too large; use smaller counts" : undefined;
  } catch (error) {
    const text = error instanceof Error ? error.message : "";
    if (/\(\?[=!<]/.test(pattern)) return "look-ahead and look-behind are not supported";
    if (/\\[1-9]/.test(pattern)) return "references to groups (`\\1`) are not supported";
    return text.replace(/^error parsing regexp: /, "").slice(0, 100) || "it is not a regular expression";
  }
}

export interface SafePattern {
  test(text: string): boolean;
  toString(): string;
}

/** The `code.regExp` of an ajv instance. ajv calls `test` as it would on a RegExp. */
export function safeRegExp(budget: CostBudget): { (pattern: string, flags: string): SafePattern; code: string } {
  const engine = (pattern: string): SafePattern => {
    const compiled = compile(pattern);
    const size = compiled.programSize();
    return {
      test(text: string): boolean {
        spend(budget, 16 + size * text.length);
        return compiled.test(text);
      },
      // ajv tells patterns apart by this text.
      toString: () => `re2:${pattern}`,
    };
  };
  return Object.assign(engine, { code: "safeRegExp" });
}

function compile(pattern: string): RE2JS {
  return RE2JS.compile(RE2JS.translateRegExp(pattern));
}
