/**
 * Which rules an event sets off. Rules are kept by event pattern, then by one value that their filter asks of the event,
 * so that an event meets only rules that may want it: the cost does not grow with the others.
 */
import type { CompiledRule, RuleEvent } from "../language/types.ts";

export interface RuleMatch {
  id: string;
  rule: CompiledRule;
  /** Index of the trigger that matched: the first. */
  trigger: number;
}

export interface Matcher {
  /** Takes the place of a rule with the same id. Rules that are not enabled match nothing. */
  add(id: string, rule: CompiledRule): void;
  remove(id: string): void;
  /** In the order in which the rules were added. Never throws. */
  match(event: RuleEvent, now?: Date): RuleMatch[];
  readonly size: number;
}

/** One per organisation. `rules` by the store's ids. */
export function createMatcher(rules: Iterable<readonly [id: string, rule: CompiledRule]> = []): Matcher {
  throw new Error(`soon ${[...rules].length}`);
}
