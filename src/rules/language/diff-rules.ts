/** What changed in meaning between two versions of a rule; order of fields, comments and spelling do not count. */
import type { CompiledRule } from "./types.ts";

export interface RuleChange {
  /** Dotted: `actions[0].params.body`. */
  path: string;
  kind: "added" | "removed" | "changed";
  before?: unknown;
  after?: unknown;
}

/** Sources of two checked versions, or the rules. At most 500 changes. */
export function diffRules(before: CompiledRule, after: CompiledRule): RuleChange[] {
  throw new Error(`soon ${before.name} ${after.name}`);
}
