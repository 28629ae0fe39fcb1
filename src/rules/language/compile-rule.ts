/**
 * Reads a rule's YAML and checks all of it against what the organisation's plugins offer: every fault at once, each with
 * line and column. Pure; the engine calls it when a rule is saved and when it is loaded. Long because each part of a rule
 * has its own checks, in the order in which a rule is read.
 */
import { Cron } from "croner";
import { eventPatternFault } from "../../manifest/event-pattern.ts";
import { didYouMean, nearest } from "../../manifest/near-miss.ts";
import { clip, dottedPath, type Segment } from "../../manifest/path.ts";
import { type CelEnvironment, dyn, type KnownType, metaType, nowType, ruleType, runType } from "./cel/environment.ts";
import type { Expression } from "./cel/expression.ts";
import { compileParams } from "./compile-params.ts";
import { durationMs } from "./durations.ts";
import { type RuleLimits, ruleLimits } from "./limits.ts";
import { readYaml } from "./read-yaml.ts";
import { RuleReading } from "./rule-reading.ts";
import { ruleShapeFaults } from "./rule-shape.ts";
import type {
  ActionNode,
  ActionSequence,
  CompiledAction,
  CompiledRule,
  CompiledTrigger,
  ConditionGroup,
  ConditionNode,
  OperatorCatalog,
  OperatorEntry,
  Retry,
  RuleFault,
  RuleMode,
  Throttle,
} from "./types.ts";

export interface CompileResult {
  /** Present exactly when there are no faults. */
  rule?: CompiledRule;
  /** In the order of the source. */
  faults: RuleFault[];
}

/** Never throws, whatever `source` is. */
export function compileRule(source: string, catalog: OperatorCatalog, limits?: Partial<RuleLimits>): CompileResult {
  const caps = { ...ruleLimits, ...limits };
  const yaml = readYaml(source, caps);
  if (yaml.faults.length > 0) return { faults: yaml.faults };
  const reading = new RuleReading(yaml, caps);
  for (const fault of ruleShapeFaults(yaml.value, caps.faults))
    reading.fault("shape", fault.message, fault.path, fault.at);
  if (reading.faults.length > 0) return { faults: inOrder(reading.faults) };
  const rule = new Compiler(reading, catalog, caps, source).rule(yaml.value as RawRule);
  return reading.faults.length > 0 ? { faults: inOrder(reading.faults) } : { rule, faults: [] };
}

function inOrder(faults: RuleFault[]): RuleFault[] {
  return faults.sort((a, b) => a.line - b.line || a.column - b.column);
}

/** What rule-schema.ts lets through. */
interface RawRule {
  id?: string;
  name: string;
  description?: string;
  enabled?: boolean;
  trigger?: RawTrigger;
  triggers?: RawTrigger[];
  conditions?: RawCondition[] | RawCondition;
  actions: RawAction[];
  mode?: RuleMode;
  max?: number;
  throttle?: { per: string; count?: number; key?: string };
}

interface RawTrigger {
  event?: string;
  filter?: string;
  cron?: string;
  timezone?: string;
  webhook?: string;
}

interface RawCondition {
  operator?: string;
  params?: Record<string, unknown>;
  timeout?: string;
  cel?: string;
  all?: RawCondition[];
  any?: RawCondition[];
  not?: RawCondition;
}

interface RawAction {
  operator?: string;
  id?: string;
  params?: Record<string, unknown>;
  retry?: number | { attempts: number; backoff?: string; factor?: number; maxBackoff?: string };
  timeout?: string;
  continueOnError?: boolean;
  parallel?: RawAction[];
  sequence?: RawAction[];
}

type Path = readonly Segment[];

const second = 1000;
const minute = 60 * second;
const day = 24 * 60 * minute;

/** An event's own fields are unknown; those of its envelope are not. */
const eventType: KnownType = { type: "map", some: new Map([["meta", metaType]]) };
const notInFilters = new Map([
  ["steps", "No action has run yet: `steps` is there in actions only."],
  ["run", "There is no run yet: `run` is there in conditions and actions."],
]);
const notInConditions = new Map([["steps", "No action has run yet: `steps` is there in actions only."]]);

class Compiler {
  readonly #reading: RuleReading;
  readonly #catalog: OperatorCatalog;
  readonly #limits: RuleLimits;
  readonly #source: string;
  readonly #stepIds = new Set<string>();
  #conditions = 0;
  #actions = 0;

  constructor(reading: RuleReading, catalog: OperatorCatalog, limits: RuleLimits, source: string) {
    this.#reading = reading;
    this.#catalog = catalog;
    this.#limits = limits;
    this.#source = source;
  }

  /** Only of use when the reading has no faults afterwards. */
  rule(raw: RawRule): CompiledRule {
    this.#collectStepIds(raw.actions, ["actions"]);
    const triggers = (raw.triggers ?? [raw.trigger!]).map((trigger, i) =>
      this.#trigger(trigger, raw.triggers === undefined ? ["trigger"] : ["triggers", i]),
    );
    const conditions = this.#topConditions(raw.conditions ?? []);
    const { mode = "queued" } = raw;
    if (raw.max !== undefined && mode !== "queued" && mode !== "parallel")
      this.#reading.fault(
        "shape",
        `\`max\` goes with \`queued\` and \`parallel\`, not with \`${mode}\`.`,
        ["max"],
        "key",
      );
    const throttle = raw.throttle === undefined ? undefined : this.#throttle(raw.throttle);
    return {
      ...(raw.id === undefined ? {} : { id: raw.id }),
      name: raw.name,
      ...(raw.description === undefined ? {} : { description: raw.description }),
      enabled: raw.enabled ?? true,
      triggers,
      conditions,
      prefilters: prefilters(conditions),
      actions: this.#sequence(raw.actions, ["actions"], new Set(), ""),
      mode,
      max: raw.max ?? (mode === "parallel" ? 10 : mode === "queued" ? 100 : 1),
      ...(throttle === undefined ? {} : { throttle }),
      source: this.#source,
    };
  }

  #trigger(raw: RawTrigger, path: Path): CompiledTrigger {
    if (raw.cron !== undefined) return this.#cron(raw.cron, raw.timezone ?? "UTC", path);
    if (raw.webhook !== undefined) return { kind: "webhook", webhook: raw.webhook };
    const pattern = raw.event!;
    const fault = eventPatternFault(pattern);
    if (fault !== undefined)
      this.#reading.fault(
        "trigger",
        `${fault}.`.replace(/^./, (c) => c.toUpperCase()),
        [...path, "event"],
      );
    const filter = this.#cel(raw.filter, [...path, "filter"], this.#environment(notInFilters), "bool");
    return { kind: "event", pattern, ...(filter === undefined ? {} : { filter }) };
  }

  #cron(cron: string, timezone: string, path: Path): CompiledTrigger {
    const fault = timezoneFault(timezone);
    if (fault !== undefined) this.#reading.fault("trigger", fault, [...path, "timezone"]);
    else {
      const wrong = cronFault(cron, timezone);
      if (wrong !== undefined) this.#reading.fault("trigger", wrong, [...path, "cron"]);
    }
    return { kind: "cron", cron, timezone };
  }

  #throttle(raw: NonNullable<RawRule["throttle"]>): Throttle {
    const key = this.#cel(raw.key, ["throttle", "key"], this.#environment(notInFilters));
    const perMs = this.#duration(raw.per, ["throttle", "per"], { least: second, most: 366 * day });
    return { perMs, count: raw.count ?? 1, ...(key === undefined ? {} : { key }) };
  }

  #topConditions(raw: RawCondition[] | RawCondition): ConditionGroup {
    const path = ["conditions"];
    if (Array.isArray(raw))
      return { kind: "all", path: "conditions", items: raw.map((item, i) => this.#condition(item, [...path, i], 1)) };
    const node = this.#condition(raw, path, 1);
    return node.kind === "all" ? node : { kind: "all", path: "conditions", items: [node] };
  }

  #condition(raw: RawCondition, path: Path, depth: number): ConditionNode {
    const where = dottedPath(path);
    this.#conditions += 1;
    if (this.#conditions > this.#limits.conditions)
      this.#reading.fault("limit", `A rule may have at most ${this.#limits.conditions} conditions.`, ["conditions"]);
    if (depth > this.#limits.conditionDepth) {
      this.#reading.fault(
        "limit",
        `Conditions may stand in one another at most ${this.#limits.conditionDepth} times.`,
        path,
      );
      return { kind: "all", path: where, items: [] };
    }
    for (const kind of ["all", "any"] as const) {
      const items = raw[kind];
      if (items !== undefined)
        return {
          kind,
          path: where,
          items: items.map((item, i) => this.#condition(item, [...path, kind, i], depth + 1)),
        };
    }
    if (raw.not !== undefined)
      return { kind: "not", path: where, item: this.#condition(raw.not, [...path, "not"], depth + 1) };
    const environment = this.#environment(notInConditions, { run: true });
    if (raw.cel !== undefined) {
      const expression = this.#cel(raw.cel, [...path, "cel"], environment, "bool");
      return { kind: "cel", path: where, expression: expression! };
    }
    const entry = this.#operator(raw.operator!, "conditions", path);
    const { template } = compileParams(raw.params, {
      reading: this.#reading,
      path: [...path, "params"],
      environment,
      operator: raw.operator!,
      schema: entry?.parameters,
    });
    return {
      kind: "operator",
      path: where,
      operator: raw.operator!,
      plugin: entry?.plugin ?? "",
      params: template,
      timeoutMs: this.#duration(raw.timeout, [...path, "timeout"], {
        least: 100,
        most: minute,
        otherwise: 10 * second,
      }),
    };
  }

  #collectStepIds(actions: readonly RawAction[], path: Path): void {
    for (const [i, action] of actions.entries()) {
      const at = [...path, i];
      if (action.parallel !== undefined) this.#collectStepIds(action.parallel, [...at, "parallel"]);
      if (action.sequence !== undefined) this.#collectStepIds(action.sequence, [...at, "sequence"]);
      if (action.id === undefined) continue;
      if (this.#stepIds.has(action.id))
        this.#reading.fault("step_id", `Another action has the id \`${action.id}\`; each needs its own.`, [
          ...at,
          "id",
        ]);
      this.#stepIds.add(action.id);
    }
  }

  /** `before`: ids of the actions that have run when it begins; those of its own are added. */
  #sequence(raw: readonly RawAction[], path: Path, before: Set<string>, prefix: string): ActionSequence {
    const items = raw.map((action, i) => this.#action(action, [...path, i], before, `${prefix}${i + 1}`));
    return { kind: "sequence", path: dottedPath(path), items };
  }

  #action(raw: RawAction, path: Path, before: Set<string>, place: string): ActionNode {
    const depth = place.split(".").length;
    if (depth > 4) {
      this.#reading.fault("limit", "`parallel` and `sequence` may stand in one another at most 3 times.", path);
      return { kind: "sequence", path: dottedPath(path), items: [] };
    }
    if (raw.sequence !== undefined) return this.#sequence(raw.sequence, [...path, "sequence"], before, `${place}.`);
    if (raw.parallel !== undefined) {
      const after: string[] = [];
      const items = raw.parallel.map((branch, i) => {
        // A branch does not see what runs beside it.
        const own = new Set(before);
        const node = this.#action(branch, [...path, "parallel", i], own, `${place}.${i + 1}`);
        after.push(...own);
        return node;
      });
      for (const id of after) before.add(id);
      return { kind: "parallel", path: dottedPath(path), items };
    }
    const action = this.#call(raw, path, before, place);
    if (raw.id !== undefined) before.add(raw.id);
    return action;
  }

  #call(raw: RawAction, path: Path, before: ReadonlySet<string>, place: string): CompiledAction {
    this.#actions += 1;
    if (this.#actions > this.#limits.actions)
      this.#reading.fault("limit", `A rule may have at most ${this.#limits.actions} actions.`, ["actions"]);
    const entry = this.#operator(raw.operator!, "actions", path);
    const { template, expressions } = compileParams(raw.params, {
      reading: this.#reading,
      path: [...path, "params"],
      environment: this.#actionEnvironment(before),
      operator: raw.operator!,
      schema: entry?.parameters,
    });
    const named = new Set(expressions.flatMap((expression) => [...expression.roots]));
    const variables = [...named].filter((name) => this.#isVariable(name));
    if (variables.length > 1)
      this.#reading.fault(
        "template",
        `An action runs once for each value of a variable, so it may name one: here are ${variables.map((v) => `\`${v}\``).join(" and ")}.`,
        [...path, "params"],
        "key",
      );
    return {
      kind: "action",
      path: dottedPath(path),
      key: raw.id ?? place,
      ...(raw.id === undefined ? {} : { id: raw.id }),
      operator: raw.operator!,
      plugin: entry?.plugin ?? "",
      params: template,
      retry: this.#retry(raw.retry, [...path, "retry"]),
      timeoutMs: this.#duration(raw.timeout, [...path, "timeout"], {
        least: 100,
        most: 15 * minute,
        otherwise: 30 * second,
      }),
      continueOnError: raw.continueOnError ?? false,
      variables,
      idempotent: entry?.idempotent ?? false,
    };
  }

  #retry(raw: RawAction["retry"], path: Path): Retry {
    const { attempts, backoff, factor = 2, maxBackoff } = typeof raw === "object" ? raw : { attempts: raw ?? 1 };
    const backoffMs = this.#duration(backoff, [...path, "backoff"], { least: 0, most: 60 * minute, otherwise: second });
    const most = { least: 0, most: day, otherwise: Math.max(5 * minute, backoffMs) };
    const maxBackoffMs = this.#duration(maxBackoff, [...path, "maxBackoff"], most);
    if (maxBackoffMs < backoffMs)
      this.#reading.fault("duration", "`maxBackoff` is shorter than `backoff`.", [...path, "maxBackoff"]);
    return { attempts, backoffMs, factor, maxBackoffMs };
  }

  #duration(
    text: string | undefined,
    path: Path,
    { least, most, otherwise = least }: { least: number; most: number; otherwise?: number },
  ): number {
    if (text === undefined) return otherwise;
    const ms = durationMs(text);
    if (ms !== undefined && ms >= least && ms <= most) return ms;
    this.#reading.fault("duration", `It must be between ${inWords(least)} and ${inWords(most)}.`, path);
    return otherwise;
  }

  #operator(id: string, kind: "conditions" | "actions", path: Path): OperatorEntry | undefined {
    const entry = this.#catalog[kind].get(id);
    if (entry !== undefined) return entry;
    const other = kind === "conditions" ? "actions" : "conditions";
    const one = kind === "conditions" ? "condition" : "action";
    let hint: string;
    if (this.#catalog[other].has(id)) hint = ` It is ${other === "actions" ? "an action" : "a condition"}.`;
    else if (this.#whoOffers(id) !== undefined) hint = ` ${this.#whoOffers(id)}`;
    else {
      hint = didYouMean(id, this.#catalog[kind].keys());
      const others = [...(this.#catalog.offered?.keys() ?? []), ...(this.#catalog.installable?.keys() ?? [])];
      const near = hint === "" ? nearest(id, others) : undefined;
      if (near !== undefined) hint = ` ${this.#whoOffers(near, `\`${clip(near)}\``)}`;
    }
    this.#reading.fault("operator_unknown", `There is no ${one} \`${clip(id)}\` here.${hint}`, [...path, "operator"]);
    return undefined;
  }

  #cel(source: string | undefined, path: Path, environment: CelEnvironment, wanted?: "bool"): Expression | undefined {
    if (source === undefined) return undefined;
    return this.#reading.expression(source, { path, environment, ...(wanted === undefined ? {} : { wanted }) });
  }

  #environment(absent: ReadonlyMap<string, string>, { run = false } = {}): CelEnvironment {
    const roots = new Map<string, KnownType>([
      ["event", eventType],
      ["now", nowType],
      ["rule", ruleType],
    ]);
    if (run) roots.set("run", runType);
    const reasons = new Map(absent);
    for (const name of this.#catalog.variables.keys())
      reasons.set(name, `\`${clip(name)}\` has a value in the params of actions only, which run once for each.`);
    this.#addOffered(reasons);
    return { roots, absent: reasons };
  }

  #actionEnvironment(before: ReadonlySet<string>): CelEnvironment {
    const roots = new Map<string, KnownType>();
    for (const [name, { schema }] of this.#catalog.variables) roots.set(name, variableType(schema));
    roots.set("event", eventType);
    roots.set("now", nowType);
    roots.set("rule", ruleType);
    roots.set("run", runType);
    roots.set("steps", {
      type: "map",
      fields: new Map([...before].map((id) => [id, dyn])),
      noField: (name) =>
        this.#stepIds.has(name)
          ? `The action \`${name}\` does not run before this one.`
          : `No action has the id \`${clip(name)}\`.${didYouMean(name, this.#stepIds)}`,
    });
    const reasons = new Map<string, string>();
    this.#addOffered(reasons);
    return { roots, absent: reasons };
  }

  /** A plugin that could offer it here, and what to type for that. */
  #whoOffers(id: string, called = "it"): string | undefined {
    const paused = this.#catalog.offered?.get(id);
    if (paused !== undefined)
      return `The plugin \`${clip(paused)}\` offers ${called} and is not active: \`backplane activate ${clip(paused)}\`.`;
    const bundled = this.#catalog.installable?.get(id);
    return bundled === undefined
      ? undefined
      : `The plugin \`${clip(bundled)}\` offers ${called} and is not installed: \`backplane install ${clip(bundled)} --grant all --activate\`.`;
  }

  #addOffered(reasons: Map<string, string>): void {
    for (const [name] of [...(this.#catalog.installable ?? []), ...(this.#catalog.offered ?? [])])
      if (!this.#catalog.variables.has(name) && !name.includes("."))
        reasons.set(name, this.#whoOffers(name, `\`${clip(name)}\``)!);
  }

  /** The names of the language come first: a plugin cannot take them over. */
  #isVariable(name: string): boolean {
    return this.#catalog.variables.has(name) && !languageNames.has(name);
  }
}

/** Names that no variable may have. */
export const languageNames: ReadonlySet<string> = new Set(["event", "now", "rule", "run", "steps"]);

function variableType(schema: Record<string, unknown> | undefined): KnownType {
  const properties = schema?.["properties"];
  if (schema?.["additionalProperties"] !== false || typeof properties !== "object" || properties === null)
    return { type: "map" };
  return { type: "map", fields: new Map(Object.keys(properties).map((name) => [name, dyn])) };
}

/** The head of the conditions, as far as it is CEL about the event alone. */
function prefilters(conditions: ConditionGroup): Expression[] {
  const found: Expression[] = [];
  for (const item of conditions.items) {
    if (item.kind !== "cel" || item.expression === undefined) break;
    if ([...item.expression.roots].some((root) => root !== "event")) break;
    found.push(item.expression);
  }
  return found;
}

function timezoneFault(timezone: string): string | undefined {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: timezone });
    return undefined;
  } catch {
    return "There is no such time zone; write such as `Europe/Berlin`.";
  }
}

function cronFault(cron: string, timezone: string): string | undefined {
  const fields = cron.trim().split(/\s+/).length;
  if (!cron.startsWith("@") && fields !== 5)
    return "A cron expression has five fields: minute, hour, day of month, month, day of week; such as `0 8 * * 1-5`.";
  try {
    const job = new Cron(cron, { timezone, paused: true });
    return job.nextRun() === null ? "There is no day on which this would run." : undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^\w*Cron\w*: /, "") : "";
    return `This is no cron expression: ${clip(reason, 120)}`;
  }
}

function inWords(ms: number): string {
  if (ms < second) return `${ms}ms`;
  if (ms < minute) return `${ms / second}s`;
  if (ms < 60 * minute) return `${ms / minute}m`;
  return ms < 2 * day ? `${ms / 60 / minute}h` : `${ms / day}d`;
}
