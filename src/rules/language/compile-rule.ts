/**
 * Reads a rule's YAML and checks all of it against what the organisation's plugins offer: every fault at once, each with
 * line and column. Pure; the engine calls it when a rule is saved and when it is loaded.
 */
import type { RuleLimits } from "./limits.ts";
import type { CompiledRule, OperatorCatalog, RuleFault } from "./types.ts";

export interface CompileResult {
  /** Present exactly when there are no faults. */
  rule?: CompiledRule;
  faults: RuleFault[];
}

/** Never throws, whatever `source` is. */
export function compileRule(source: string, catalog: OperatorCatalog, limits?: Partial<RuleLimits>): CompileResult {
  throw new Error(`soon: ${source.length} ${catalog.actions.size} ${limits === undefined}`);
}
