/** `matches`: RE2 with a price, as the text and often the pattern are an outsider's. */
import { RE2JS } from "re2js";
import { patternFault } from "../../../manifest/safe-pattern.ts";
import { type Frame, fail } from "./failure.ts";

const maxPattern = 512;
const maxKept = 256;
const kept = new Map<string, { pattern: RE2JS; size: number }>();

/** Undefined when it is a pattern RE2 takes. */
export function regexFault(pattern: string): string | undefined {
  if (pattern.length > maxPattern) return `a pattern may have at most ${maxPattern} characters`;
  return patternFault(pattern);
}

/** Anywhere in the text, as CEL has it. */
export function matchesPattern(text: string, pattern: string, frame: Frame, offset: number): boolean {
  let compiled = kept.get(pattern);
  if (compiled === undefined) {
    frame.spend(1_000 + pattern.length * 10, offset);
    const fault = regexFault(pattern);
    if (fault !== undefined) return fail("argument", `The regular expression does not work: ${fault}.`, offset);
    const made = RE2JS.compile(RE2JS.translateRegExp(pattern));
    compiled = { pattern: made, size: made.programSize() };
    if (kept.size >= maxKept) kept.delete(kept.keys().next().value!);
    kept.set(pattern, compiled);
  }
  frame.spend(4 + ((compiled.size * text.length) >> 3), offset);
  return compiled.pattern.test(text);
}
