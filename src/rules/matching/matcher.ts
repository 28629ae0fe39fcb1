/**
 * Which rules an event sets off. Rules are kept by event pattern, then by one value that their filter asks of the event,
 * so that an event meets only rules that may want it: the cost does not grow with the others.
 */
import type { CelScope, Equality, Expression } from "../language/cel/expression.ts";
import type { StepBudget } from "../language/cel/failure.ts";
import { eventField, eventValue } from "../language/evaluate.ts";
import { ruleLimits } from "../language/limits.ts";
import type { CompiledRule, CompiledTrigger, RuleEvent } from "../language/types.ts";

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
  /** In the order in which the rules were added. Never throws. `now` is what filters see as it. @default the clock */
  match(event: RuleEvent, now?: Date): RuleMatch[];
  readonly size: number;
}

export interface MatcherOptions {
  /** The filters that one event met cost more than all may together: those that were left count as not true. */
  onOverrun?: (event: RuleEvent) => void;
}

/** One per organisation. `rules` by the store's ids. */
export function createMatcher(
  rules: Iterable<readonly [id: string, rule: CompiledRule]> = [],
  options: MatcherOptions = {},
): Matcher {
  const matcher = new IndexedMatcher(options);
  for (const [id, rule] of rules) matcher.add(id, rule);
  return matcher;
}

/** One event trigger of one rule. */
interface Entry {
  id: string;
  rule: CompiledRule;
  trigger: number;
  order: number;
  /** All must be true; without those that the place in the index already says. */
  residual: readonly Expression[];
}

type Value = Equality["values"][number];

/** Triggers of one pattern that ask for a value of one field: by that value. */
interface FieldIndex {
  path: readonly string[];
  byValue: Map<Value, Set<Entry>>;
  size: number;
}

/** Triggers of one event pattern. */
interface Bucket {
  /** Those that ask for no value: an event meets all of them. */
  always: Set<Entry>;
  fields: Map<string, FieldIndex>;
}

interface Placement {
  pattern: string;
  entry: Entry;
  field?: string;
  values: readonly Value[];
}

class IndexedMatcher implements Matcher {
  readonly #rules = new Map<string, { enabled: boolean; placements: Placement[] }>();
  /** By type, or by domain with the `*` taken off: `comms.`. */
  readonly #types = new Map<string, Bucket>();
  readonly #domains = new Map<string, Bucket>();
  readonly #options: MatcherOptions;
  #order = 0;

  constructor(options: MatcherOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#rules.size;
  }

  add(id: string, rule: CompiledRule): void {
    this.remove(id);
    const order = this.#order++;
    const placements: Placement[] = [];
    if (rule.enabled)
      for (const [trigger, given] of rule.triggers.entries())
        if (given.kind === "event") placements.push(this.#place({ id, rule, trigger, order, given }));
    this.#rules.set(id, { enabled: rule.enabled, placements });
  }

  remove(id: string): void {
    for (const placement of this.#rules.get(id)?.placements ?? []) this.#take(placement);
    this.#rules.delete(id);
  }

  match(event: RuleEvent, now: Date = new Date()): RuleMatch[] {
    const found = new Map<string, Entry>();
    const test = new Test(event, now);
    this.#collect(this.#types.get(event.type), event, test, found);
    if (this.#domains.size > 0)
      for (let dot = event.type.indexOf("."); dot !== -1; dot = event.type.indexOf(".", dot + 1))
        this.#collect(this.#domains.get(event.type.slice(0, dot + 1)), event, test, found);
    if (test.overrun) this.#options.onOverrun?.(event);
    if (found.size === 0) return [];
    const entries = [...found.values()];
    if (entries.length > 1) entries.sort((a, b) => a.order - b.order);
    return entries.map(({ id, rule, trigger }) => ({ id, rule, trigger }));
  }

  #collect(bucket: Bucket | undefined, event: RuleEvent, test: Test, found: Map<string, Entry>): void {
    if (bucket === undefined) return;
    for (const entry of bucket.always) offer(entry, test, found);
    for (const index of bucket.fields.values()) {
      const value = eventField(event, index.path);
      // An object or a list equals no literal, and is no key.
      if (value === undefined) continue;
      const entries = index.byValue.get(value as Value);
      if (entries !== undefined) for (const entry of entries) offer(entry, test, found);
    }
  }

  #place({ given, ...rest }: Omit<Entry, "residual"> & { given: CompiledTrigger & { kind: "event" } }): Placement {
    const { pattern, filter } = given;
    const bucket = this.#bucket(pattern, true)!;
    const expressions = [...(filter === undefined ? [] : [filter]), ...rest.rule.prefilters];
    const chosen = this.#choose(bucket, expressions);
    const residual = expressions.filter(
      (expression) =>
        !(expression === chosen?.expression && expression.onlyEqualities && expression.equalities.length === 1),
    );
    const entry: Entry = { ...rest, residual };
    if (chosen === undefined) {
      bucket.always.add(entry);
      return { pattern, entry, values: [] };
    }
    const { path, values } = chosen.equality;
    const field = fieldKey(path);
    let index = bucket.fields.get(field);
    if (index === undefined) {
      index = { path, byValue: new Map(), size: 0 };
      bucket.fields.set(field, index);
    }
    index.size += 1;
    for (const value of new Set(values)) {
      const entries = index.byValue.get(value);
      if (entries === undefined) index.byValue.set(value, new Set([entry]));
      else entries.add(entry);
    }
    return { pattern, entry, field, values };
  }

  /**
   * The equality with the fewest rules beside it: of `channel == "sms" && contactId == "c-17"` the second, once there are
   * other rules about text messages. Between equals, a field that is looked up anyway.
   */
  #choose(
    bucket: Bucket,
    expressions: readonly Expression[],
  ): { equality: Equality; expression: Expression } | undefined {
    let best: { equality: Equality; expression: Expression } | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const expression of expressions)
      for (const equality of expression.equalities) {
        const index = bucket.fields.get(fieldKey(equality.path));
        let beside = index === undefined ? 0.5 : 0;
        for (const value of equality.values) beside += index?.byValue.get(value)?.size ?? 0;
        if (beside < least) {
          best = { equality, expression };
          least = beside;
        }
      }
    return best;
  }

  #take({ pattern, entry, field, values }: Placement): void {
    const bucket = this.#bucket(pattern, false);
    if (bucket === undefined) return;
    bucket.always.delete(entry);
    const index = field === undefined ? undefined : bucket.fields.get(field);
    if (index !== undefined && field !== undefined) {
      index.size -= 1;
      for (const value of values) {
        const entries = index.byValue.get(value);
        entries?.delete(entry);
        if (entries?.size === 0) index.byValue.delete(value);
      }
      if (index.size === 0) bucket.fields.delete(field);
    }
    if (bucket.always.size === 0 && bucket.fields.size === 0) this.#drop(pattern);
  }

  #bucket(pattern: string, make: boolean): Bucket | undefined {
    const [map, key] = this.#home(pattern);
    let bucket = map.get(key);
    if (bucket === undefined && make) {
      bucket = { always: new Set(), fields: new Map() };
      map.set(key, bucket);
    }
    return bucket;
  }

  #drop(pattern: string): void {
    const [map, key] = this.#home(pattern);
    map.delete(key);
  }

  #home(pattern: string): [Map<string, Bucket>, string] {
    return pattern.endsWith(".*") ? [this.#domains, pattern.slice(0, -1)] : [this.#types, pattern];
  }
}

function offer(entry: Entry, test: Test, found: Map<string, Entry>): void {
  const known = found.get(entry.id);
  if (known !== undefined && known.trigger <= entry.trigger) return;
  if (entry.residual.every((expression) => test.isTrue(expression, entry))) found.set(entry.id, entry);
}

/** What filters see, made when the first is evaluated. */
class Test {
  readonly #event: RuleEvent;
  readonly #now: Date;
  readonly #budget: StepBudget = { left: ruleLimits.matchSteps };
  #value: Record<string, unknown> | undefined;

  constructor(event: RuleEvent, now: Date) {
    this.#event = event;
    this.#now = now;
  }

  get overrun(): boolean {
    return this.#budget.left <= 0;
  }

  isTrue(expression: Expression, { id, rule }: Entry): boolean {
    if (this.overrun) return false;
    this.#value ??= eventValue(this.#event);
    const scope: CelScope = { event: this.#value, now: this.#now, rule: { id, name: rule.name } };
    const result = expression.evaluate(scope, this.#budget);
    return result.ok && result.value === true;
  }
}

function fieldKey(path: readonly string[]): string {
  return path.length === 1 ? path[0]! : JSON.stringify(path);
}
