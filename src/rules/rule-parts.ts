/** Walks a compiled rule: which operators and variables it uses, what its actions are, which events set it off. Pure. */
import type { Expression } from "./language/cel/expression.ts";
import type {
  ActionNode,
  CompiledAction,
  CompiledRule,
  ConditionNode,
  ConditionOperatorCall,
  Template,
} from "./language/types.ts";

export function actionsOf(node: ActionNode): CompiledAction[] {
  return node.kind === "action" ? [node] : node.items.flatMap(actionsOf);
}

export function conditionCallsOf(node: ConditionNode): ConditionOperatorCall[] {
  switch (node.kind) {
    case "all":
    case "any":
      return node.items.flatMap(conditionCallsOf);
    case "not":
      return conditionCallsOf(node.item);
    case "cel":
      return [];
    case "operator":
      return [node];
  }
}

/** Distinct event patterns. */
export function patternsOf(rule: CompiledRule): string[] {
  return [...new Set(rule.triggers.flatMap((trigger) => (trigger.kind === "event" ? [trigger.pattern] : [])))].sort();
}

export function webhooksOf(rule: CompiledRule): string[] {
  return [...new Set(rule.triggers.flatMap((trigger) => (trigger.kind === "webhook" ? [trigger.webhook] : [])))];
}

/** What a rule needs of the catalog: `action comms.sendSms` and the like. */
export function usesOf(rule: CompiledRule): { kind: "conditions" | "actions" | "variables"; id: string }[] {
  const actions = actionsOf(rule.actions);
  return [
    ...conditionCallsOf(rule.conditions).map(({ operator }) => ({ kind: "conditions" as const, id: operator })),
    ...actions.map(({ operator }) => ({ kind: "actions" as const, id: operator })),
    ...actions.flatMap(({ variables }) => variables.map((id) => ({ kind: "variables" as const, id }))),
  ];
}

export function pluginsOf(rule: CompiledRule, variables: ReadonlyMap<string, { plugin: string }>): Set<string> {
  const actions = actionsOf(rule.actions);
  return new Set([
    ...conditionCallsOf(rule.conditions).map(({ plugin }) => plugin),
    ...actions.map(({ plugin }) => plugin),
    ...actions.flatMap((action) => action.variables.flatMap((name) => variables.get(name)?.plugin ?? [])),
  ]);
}

export function expressionsOf(template: Template): Expression[] {
  switch (template.kind) {
    case "literal":
      return [];
    case "value":
      return [template.expression];
    case "text":
      return template.parts.filter((part): part is Expression => typeof part !== "string");
    case "list":
      return template.items.flatMap(expressionsOf);
    case "object":
      return template.fields.flatMap(([, value]) => expressionsOf(value));
  }
}

/** The widest of the patterns: no two of the answer match one event, and together they match what all did. */
export function coverOf(patterns: Iterable<string>): string[] {
  const all = [...new Set(patterns)];
  if (all.includes("*")) return ["*"];
  const wide = new Set(all.filter((pattern) => pattern.endsWith(".*")));
  const covered = (pattern: string): boolean => {
    const words = (pattern.endsWith(".*") ? pattern.slice(0, -2) : pattern).split(".");
    return words.some((_, n) => n > 0 && wide.has(`${words.slice(0, n).join(".")}.*`));
  };
  return all.filter((pattern) => !covered(pattern)).sort();
}
