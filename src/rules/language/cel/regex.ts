/** `matches`: RE2 with a price, as the text and often the pattern are an outsider's. */
import { RE2JS } from "re2js";
import { patternFault } from "../../../manifest/safe-pattern.ts";
import { type Frame, fail } from "./failure.ts";

const maxPattern = 512;
const maxKept = 256;
const kept = new Map<string, RE2JS>();

/** Undefined when it is a pattern RE2 takes. */
export function regexFault(pattern: string): string | undefined {
  if (pattern.length > maxPattern) return `a pattern may have at most ${maxPattern} characters`;
  return patternFault(pattern);
}

/** Anywhere in the text, as CEL has it. A pattern that only the run knows has its price each time, kept or not. */
export function matchesPattern(text: string, pattern: string, frame: Frame, offset: number): boolean {
  frame.spend(10_000, offset);
  let compiled = kept.get(pattern);
  if (compiled === undefined) {
    const fault = regexFault(pattern);
    if (fault !== undefined) return fail("argument", `The regular expression does not work: ${fault}.`, offset);
    compiled = compilePattern(pattern);
    if (kept.size >= maxKept) kept.delete(kept.keys().next().value!);
    kept.set(pattern, compiled);
  }
  return testPattern(text, compiled, frame, offset);
}

/** `pattern` has no fault. */
export function compilePattern(pattern: string): RE2JS {
  return RE2JS.compile(RE2JS.translateRegExp(pattern));
}

export function testPattern(text: string, pattern: RE2JS, frame: Frame, offset: number): boolean {
  frame.spend(4 + ((pattern.programSize() * text.length) >> 3), offset);
  return pattern.test(text);
}
