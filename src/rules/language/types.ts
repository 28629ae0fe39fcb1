/**
 * What a rule is once it was checked, what it is checked against, and what its evaluation reports. Data and types only;
 * compile-rule.ts makes a CompiledRule, evaluate-conditions.ts, template.ts and the engine use it.
 */
import type { Expression } from "./cel/expression.ts";

/** Which check found a fault. */
export type RuleFaultCode =
  | "yaml"
  | "shape"
  | "limit"
  | "trigger"
  | "expression"
  | "template"
  | "operator_unknown"
  | "params"
  | "duration"
  | "step_id";

export interface RuleFault {
  code: RuleFaultCode;
  message: string;
  /** 1-based, in the rule's source. */
  line: number;
  column: number;
  /** Dotted: `actions[0].params.body`; `$` is the whole rule. */
  path: string;
}

export interface OperatorEntry {
  /** Id of the plugin that offers it. */
  plugin: string;
  /** JSON Schema of `params`; absent takes anything. */
  parameters?: Record<string, unknown>;
  permissions: readonly string[];
  /** Doing it twice with one idempotency key does it once. */
  idempotent: boolean;
}

export interface VariableEntry {
  plugin: string;
  /** JSON Schema of one value of the variable's list. */
  schema?: Record<string, unknown>;
}

/** What an organisation's active plugins offer to rules. */
export interface OperatorCatalog {
  conditions: ReadonlyMap<string, OperatorEntry>;
  actions: ReadonlyMap<string, OperatorEntry>;
  variables: ReadonlyMap<string, VariableEntry>;
  /** Operators and variables of plugins that are not active here, by id: the plugin to turn on. Only for messages. */
  offered?: ReadonlyMap<string, string>;
  /** Those of bundled plugins that are not installed here, by id. Only for messages. */
  installable?: ReadonlyMap<string, string>;
}

export type RuleMode = "single" | "queued" | "parallel" | "restart";

export interface CompiledRule {
  /** As written in the source; the store may give another id. */
  id?: string;
  name: string;
  description?: string;
  enabled: boolean;
  triggers: readonly CompiledTrigger[];
  /** Always of kind `all`; without conditions it is empty and so true. */
  conditions: ConditionGroup;
  /**
   * `cel` conditions at the head of `conditions` that look at nothing but the event. They are part of the match: an event
   * that does not meet them starts no run.
   */
  prefilters: readonly Expression[];
  actions: ActionSequence;
  mode: RuleMode;
  /** Runs at once for `parallel`, runs that wait for `queued`. */
  max: number;
  throttle?: Throttle;
  source: string;
}

export interface Throttle {
  perMs: number;
  count: number;
  /** Runs are counted for each value of it; without it for the rule. */
  key?: Expression;
}

export type CompiledTrigger =
  | { kind: "event"; pattern: string; filter?: Expression }
  | { kind: "cron"; cron: string; timezone: string }
  | { kind: "webhook"; webhook: string };

export type ConditionNode = ConditionGroup | ConditionNot | ConditionCel | ConditionOperatorCall;

interface ConditionBase {
  /** Dotted place in the source: `conditions.all[0]`. */
  path: string;
}
export interface ConditionGroup extends ConditionBase {
  kind: "all" | "any";
  items: readonly ConditionNode[];
}
export interface ConditionNot extends ConditionBase {
  kind: "not";
  item: ConditionNode;
}
export interface ConditionCel extends ConditionBase {
  kind: "cel";
  expression: Expression;
}
export interface ConditionOperatorCall extends ConditionBase {
  kind: "operator";
  operator: string;
  plugin: string;
  params: Template;
  timeoutMs: number;
}

export type ActionNode = ActionSequence | ActionParallel | CompiledAction;

export interface ActionSequence {
  kind: "sequence";
  path: string;
  items: readonly ActionNode[];
}
/** All branches run at once; it ends when all have ended, and fails when one failed that may not. */
export interface ActionParallel {
  kind: "parallel";
  path: string;
  items: readonly ActionNode[];
}
export interface CompiledAction {
  kind: "action";
  path: string;
  /** Names the step in a run: its `id`, else its place (`2`, `3.1`). Unique in the rule, stable while the source is. */
  key: string;
  /** Under this name later actions find the result in `steps`. */
  id?: string;
  operator: string;
  plugin: string;
  params: Template;
  retry: Retry;
  timeoutMs: number;
  continueOnError: boolean;
  /** Variables that `params` name: at most one. The action runs once for each of its values. */
  variables: readonly string[];
  idempotent: boolean;
}

export interface Retry {
  /** Tries in all, at least 1. */
  attempts: number;
  backoffMs: number;
  /** Each wait is the one before times this. */
  factor: number;
  maxBackoffMs: number;
}

/** Params with their `{{ }}`. */
export type Template =
  | { kind: "literal"; value: unknown }
  | { kind: "value"; path: string; expression: Expression }
  | { kind: "text"; path: string; parts: readonly (string | Expression)[] }
  | { kind: "list"; items: readonly Template[] }
  | { kind: "object"; fields: readonly (readonly [string, Template])[] };

/** The part of a stored event that rules look at. */
export interface RuleEvent {
  id: string;
  type: string;
  source: string;
  subject?: string | null;
  /** RFC 3339 UTC. */
  time: string;
  data: unknown;
  organization?: string;
  traceparent?: string;
}

/** What expressions see. A root that is absent here may not be named where the scope is used; compileRule refuses it. */
export interface RuleScope {
  event?: RuleEvent;
  now: Date;
  rule: { id: string; name: string };
  run?: { id: string; startedAt: Date };
  /** Results by step id. */
  steps?: Readonly<Record<string, unknown>>;
  /** One value for each variable that the action names. */
  variables?: Readonly<Record<string, unknown>>;
}

/** Why an expression or a template has no value. */
export interface EvaluationFailure {
  code: "missing" | "type" | "argument" | "cost" | "size";
  message: string;
  /** Place in the rule's source. */
  path?: string;
  line?: number;
  column?: number;
}

export type Evaluated<Value> =
  | { ok: true; value: Value; failure?: never }
  | { ok: false; failure: EvaluationFailure; value?: never };
