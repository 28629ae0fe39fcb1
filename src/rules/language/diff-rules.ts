/** What changed in meaning between two versions of a rule; order of fields, comments and spelling do not count. */
import { isObject } from "../../base/json.ts";
import type { Expression } from "./cel/expression.ts";
import type { ActionNode, CompiledRule, CompiledTrigger, ConditionNode, Template } from "./types.ts";

export interface RuleChange {
  /** Dotted: `actions[0].params.body`. Of an item that is gone: where it stood before. */
  path: string;
  kind: "added" | "removed" | "changed";
  /** JSON. */
  before?: unknown;
  after?: unknown;
}

const maxChanges = 500;

/** At most 500 changes. Equal rules have none. */
export function diffRules(before: CompiledRule, after: CompiledRule): RuleChange[] {
  const changes: RuleChange[] = [];
  compare(canonicalRule(before), canonicalRule(after), "", changes);
  return changes.slice(0, maxChanges);
}

/** The rule as JSON with all defaults written out and one spelling for each thing. Equal JSON, equal rules. */
export function canonicalRule(rule: CompiledRule): Record<string, unknown> {
  return {
    id: rule.id ?? null,
    name: rule.name,
    description: rule.description ?? null,
    enabled: rule.enabled,
    triggers: rule.triggers.map(trigger),
    conditions: rule.conditions.items.map(condition),
    actions: rule.actions.items.map(action),
    mode: rule.mode,
    max: rule.max,
    throttle:
      rule.throttle === undefined
        ? null
        : { per: rule.throttle.perMs, count: rule.throttle.count, key: cel(rule.throttle.key) },
  };
}

function trigger(item: CompiledTrigger): Record<string, unknown> {
  if (item.kind === "cron") return { cron: item.cron, timezone: item.timezone };
  return item.kind === "webhook" ? { webhook: item.webhook } : { event: item.pattern, filter: cel(item.filter) };
}

function cel(expression: Expression | undefined): string | null {
  return expression === undefined ? null : expression.source.trim();
}

function condition(node: ConditionNode): Record<string, unknown> {
  switch (node.kind) {
    case "all":
    case "any":
      return { [node.kind]: node.items.map(condition) };
    case "not":
      return { not: condition(node.item) };
    case "cel":
      return { cel: cel(node.expression) };
    case "operator":
      return { operator: node.operator, params: template(node.params), timeout: node.timeoutMs };
  }
}

function action(node: ActionNode): Record<string, unknown> {
  if (node.kind !== "action") return { [node.kind]: node.items.map(action) };
  const { operator, id = null, retry, timeoutMs, continueOnError } = node;
  return { operator, id, params: template(node.params), retry, timeout: timeoutMs, continueOnError };
}

function template(node: Template): unknown {
  switch (node.kind) {
    case "literal":
      return escaped(node.value);
    case "value":
      return `{{ ${cel(node.expression)} }}`;
    case "text":
      return node.parts.map((part) => (typeof part === "string" ? escaped(part) : `{{ ${cel(part)} }}`)).join("");
    case "list":
      return node.items.map(template);
    case "object":
      return Object.fromEntries(node.fields.map(([name, field]) => [name, template(field)]));
  }
}

/** Braces as they were written to stay braces. */
function escaped(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll("{{", "\\{{");
  if (Array.isArray(value)) return value.map(escaped);
  return isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([name, item]) => [name, escaped(item)]))
    : value;
}

function compare(before: unknown, after: unknown, path: string, changes: RuleChange[]): void {
  if (changes.length >= maxChanges) return;
  if (isObject(before) && isObject(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const at = path === "" ? name : /^[\w$-]+$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
      if (!Object.hasOwn(after, name)) changes.push({ path: at, kind: "removed", before: before[name] });
      else if (!Object.hasOwn(before, name)) changes.push({ path: at, kind: "added", after: after[name] });
      else compare(before[name], after[name], at, changes);
    }
  } else if (Array.isArray(before) && Array.isArray(after)) compareLists(before, after, path, changes);
  else if (JSON.stringify(before) !== JSON.stringify(after)) changes.push({ path, kind: "changed", before, after });
}

/** An item put in front of others is one that was added, not a change of all that follow. */
function compareLists(before: unknown[], after: unknown[], path: string, changes: RuleChange[]): void {
  const left = before.map((item) => JSON.stringify(item));
  const right = after.map((item) => JSON.stringify(item));
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head += 1;
  let tail = 0;
  while (tail < left.length - head && tail < right.length - head && left.at(-1 - tail) === right.at(-1 - tail))
    tail += 1;
  const gone = left.length - head - tail;
  const come = right.length - head - tail;
  const both = Math.min(gone, come);
  for (let i = 0; i < both; i++) compare(before[head + i], after[head + i], `${path}[${head + i}]`, changes);
  for (let i = both; i < gone; i++)
    changes.push({ path: `${path}[${head + i}]`, kind: "removed", before: before[head + i] });
  for (let i = both; i < come; i++)
    changes.push({ path: `${path}[${head + i}]`, kind: "added", after: after[head + i] });
}
