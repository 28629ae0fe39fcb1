/**
 * Checks a CEL expression against the names, types and functions there are where it stands, and turns it into closures
 * whose cost is bounded. cel-js's own evaluator has no budget and runs patterns as JavaScript's. Long because it has a
 * case for each form of the language.
 */
import type { ASTNode } from "@marcbachmann/cel-js";
import { isObject } from "../../../base/json.ts";
import { didYouMean, nearest } from "../../../manifest/near-miss.ts";
import { clip } from "../../../manifest/path.ts";
import { ruleLimits } from "../limits.ts";
import type { Evaluated, EvaluationFailure } from "../types.ts";
import { type CelEnvironment, dyn, type KnownType } from "./environment.ts";
import { findEqualities } from "./equalities.ts";
import type { CelScope, Expression } from "./expression.ts";
import { CelFailure, Frame, fail, type StepBudget } from "./failure.ts";
import {
  accepts,
  acceptsValue,
  checkedInt,
  functions,
  macros,
  madeList,
  madeText,
  methods,
  type Overload,
} from "./functions.ts";
import type { CelParser, SyntaxFault } from "./parse.ts";
import { compilePattern, regexFault, testPattern } from "./regex.ts";
import { shift } from "./time.ts";
import type { CelType } from "./types.ts";
import { absent, CelDuration, equal, isFinal, isNumber, typeOf } from "./values.ts";

export interface CompileExpressionOptions {
  parse: CelParser;
  environment: CelEnvironment;
  /** What it must be; without it anything may be. */
  wanted?: CelType;
  /** How many more patterns may be compiled; shared by the expressions of a rule, as each takes a millisecond. */
  patterns?: { left: number };
  /** Where a failure is, for people: path, line and column of a character of the expression. */
  locate?: (offset: number) => Pick<EvaluationFailure, "path" | "line" | "column">;
}

export interface CompiledExpression {
  /** Present exactly when there are no faults. */
  expression?: Expression;
  faults: SyntaxFault[];
}

type Run = (frame: Frame) => unknown;

interface Checked {
  known: KnownType;
  run: Run;
}

/** Never throws. */
export function compileExpression(source: string, options: CompileExpressionOptions): CompiledExpression {
  const parsed = options.parse(source);
  if (parsed.fault !== undefined) return { faults: [parsed.fault] };
  const checker = new Checker(source, options.environment, options.patterns ?? { left: ruleLimits.patterns });
  let checked: Checked;
  try {
    checked = checker.check(parsed.tree, new Map(), 0);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { faults: [{ message: "The expression is nested too deeply.", offset: 0 }] };
  }
  const { type } = checked.known;
  if (checker.faults.length === 0 && options.wanted !== undefined && type !== "dyn" && type !== options.wanted)
    checker.fault(`It must be ${typeNames[options.wanted]}, but this is ${typeNames[type]}.`, parsed.tree.start);
  if (checker.faults.length > 0) return { faults: checker.faults };
  const { equalities, complete } = findEqualities(parsed.tree);
  const locate = options.locate ?? ((offset) => ({ line: 1, column: offset + 1 }));
  const evaluate = evaluator(checked.run, checker.nodes, locate);
  return {
    faults: [],
    expression: {
      source,
      type,
      roots: checker.roots,
      equalities,
      onlyEqualities: complete,
      evaluate,
    },
  };
}

function evaluator(run: Run, nodes: number, locate: NonNullable<CompileExpressionOptions["locate"]>) {
  return (scope: CelScope, budget?: StepBudget): Evaluated<unknown> => {
    const steps = Math.min(ruleLimits.evaluationSteps, budget?.left ?? Number.POSITIVE_INFINITY);
    const frame = new Frame(scope, steps);
    try {
      frame.spend(nodes, 0);
      const value = run(frame);
      return { ok: true, value: value === absent ? null : value };
    } catch (error) {
      const failure =
        error instanceof CelFailure
          ? error
          : new CelFailure("cost", "The expression cannot be evaluated on this value: it is nested too deeply.", 0);
      return { ok: false, failure: { code: failure.code, message: failure.message, ...locate(failure.offset) } };
    } finally {
      if (budget !== undefined) budget.left -= steps - frame.left;
    }
  };
}

/** For people. */
export const typeNames: Record<CelType, string> = {
  dyn: "anything",
  null: "null",
  bool: "true or false",
  int: "a whole number",
  double: "a number",
  string: "a text",
  bytes: "bytes",
  list: "a list",
  map: "an object",
  timestamp: "a time",
  duration: "a duration",
};

/** The variables of macros that are visible, with their slots. */
type Locals = ReadonlyMap<string, { slot: number; known: KnownType }>;

const nothing: Checked = { known: dyn, run: () => null };

class Checker {
  readonly faults: SyntaxFault[] = [];
  readonly roots = new Set<string>();
  nodes = 0;
  readonly #source: string;
  readonly #environment: CelEnvironment;
  readonly #patterns: { left: number };
  #slots = 0;

  constructor(source: string, environment: CelEnvironment, patterns: { left: number }) {
    this.#source = source;
    this.#environment = environment;
    this.#patterns = patterns;
  }

  fault(message: string, offset: number): Checked {
    if (this.faults.length < 20) this.faults.push({ message, offset });
    return nothing;
  }

  check(node: ASTNode, locals: Locals, depth: number): Checked {
    this.nodes += 1;
    switch (node.op) {
      case "value":
        return this.#literal(node.args, node.start);
      case "id":
        return this.#name(node.args, node.start, locals);
      case ".":
      case ".?":
        return this.#field(node.args[0], node.args[1], node, node.op === ".?", locals, depth);
      case "[]":
      case "[?]":
        return this.#index(node.args[0], node.args[1], node, node.op === "[?]", locals, depth);
      case "call":
        return this.#call(node, locals, depth);
      case "rcall":
        return this.#method(node, locals, depth);
      case "list":
        return this.#list(node.args, node.start, locals, depth);
      case "map":
        return this.#map(node.args, node.start, locals, depth);
      case "?:":
        return this.#choice(node.args, locals, depth);
      case "||":
        return this.#logical(node.args, true, locals, depth);
      case "&&":
        return this.#logical(node.args, false, locals, depth);
      case "!_":
        return this.#not(node.args, locals, depth);
      case "-_":
        return this.#minus(node.args, node.start, locals, depth);
      default:
        return this.#binary(node.op, node.args[0], node.args[1], locals, depth);
    }
  }

  /** The tree has places of values only: a sign is what comes next behind one. */
  #after(node: ASTNode, sign: string): number {
    const at = this.#source.indexOf(sign, node.end);
    return at === -1 ? node.start : at;
  }

  #text(node: ASTNode): string {
    return clip(this.#source.slice(node.start, node.end), 60);
  }

  #literal(value: unknown, offset: number): Checked {
    if (value instanceof Uint8Array) return this.fault("Bytes are not supported here; write a text.", offset);
    const type = typeOf(value);
    if (type === "map") return this.fault("Write whole numbers without `u`.", offset);
    if (typeof value === "bigint") {
      const wide = value > 9_223_372_036_854_775_807n;
      if (wide) return this.fault("The whole number is too large.", offset);
    }
    return { known: { type: type as CelType }, run: () => value };
  }

  #name(name: string, offset: number, locals: Locals): Checked {
    const local = locals.get(name);
    if (local !== undefined) {
      const { slot } = local;
      return { known: local.known, run: (frame) => frame.locals[slot] };
    }
    const known = this.#environment.roots.get(name);
    if (known === undefined) {
      const reason = this.#environment.absent.get(name);
      if (reason !== undefined) return this.fault(reason, offset);
      const names = [...locals.keys(), ...this.#environment.roots.keys()];
      const suggestion = didYouMean(name, names);
      const hint = suggestion === "" ? ` Known here: ${names.map((n) => `\`${clip(n)}\``).join(", ")}.` : suggestion;
      return this.fault(`There is no \`${clip(name)}\` here.${hint}`, offset);
    }
    this.roots.add(name);
    return {
      known,
      run: (frame) => {
        const value = frame.scope[name];
        return value === undefined ? fail("missing", `\`${name}\` has no value here.`, offset) : value;
      },
    };
  }

  #field(object: ASTNode, name: string, node: ASTNode, optional: boolean, locals: Locals, depth: number): Checked {
    const { known, run } = this.check(object, locals, depth);
    return this.#access(known, run, name, { object, node, optional });
  }

  /** A field whose name is known when the rule is saved. */
  #access(
    known: KnownType,
    run: Run,
    name: string,
    { object, node, optional }: { object: ASTNode; node: ASTNode; optional: boolean },
  ): Checked {
    const offset = node.pos;
    if (known.type !== "dyn" && known.type !== "map")
      return this.fault(`\`${this.#text(object)}\` is ${typeNames[known.type]}; it has no fields.`, offset);
    const field = known.fields?.get(name) ?? known.some?.get(name);
    if (known.fields !== undefined && field === undefined && !optional) {
      const reason =
        known.noField?.(name) ??
        `\`${this.#text(object)}\` has no field \`${clip(name)}\`.${didYouMean(name, known.fields.keys())}`;
      return this.fault(reason, offset);
    }
    const where = this.#text(node);
    return {
      known: optional ? dyn : (field ?? dyn),
      run: (frame) => {
        const value = run(frame);
        if (isObject(value) && !(value instanceof Date) && !(value instanceof CelDuration)) {
          if (Object.hasOwn(value, name)) {
            const found = value[name];
            if (found !== undefined) return found;
          }
          if (optional) return absent;
        } else if (value === absent || (optional && value === null)) return absent;
        else if (value !== null) fail("type", `\`${where}\`: ${describe(value)} has no fields.`, offset);
        return fail(
          "missing",
          `\`${where}\` is not there. If it may be missing, ask \`has(…)\` first or write \`.?${name}\`.`,
          offset,
        );
      },
    };
  }

  #index(object: ASTNode, index: ASTNode, node: ASTNode, optional: boolean, locals: Locals, depth: number): Checked {
    const { known, run } = this.check(object, locals, depth);
    const offset = this.#after(object, "[");
    if (index.op === "value" && typeof index.args === "string" && known.type !== "list") {
      this.nodes += 1;
      return this.#access(known, run, index.args, { object, node, optional });
    }
    const key = this.check(index, locals, depth);
    if (known.type !== "dyn" && known.type !== "map" && known.type !== "list")
      return this.fault(`\`${this.#text(object)}\` is ${typeNames[known.type]}; it has no items.`, offset);
    const wrongKey =
      known.type === "list"
        ? !accepts("number", key.known.type)
        : known.type === "map" && !accepts("string", key.known.type);
    if (wrongKey)
      return this.fault(
        `${known.type === "list" ? "A list takes a whole number" : "An object takes a text"} in \`[ ]\`, not ${typeNames[key.known.type]}.`,
        index.start,
      );
    const where = this.#text(node);
    return {
      known: dyn,
      run: (frame) => {
        const value = run(frame);
        const at = key.run(frame);
        let found: unknown;
        if (Array.isArray(value) && isNumber(at)) found = value[Number(at)];
        else if (isObject(value) && typeof at === "string" && typeOf(value) === "map")
          found = Object.hasOwn(value, at) ? value[at] : undefined;
        else if (value === absent || (optional && value === null)) return absent;
        else return fail("type", `\`${where}\`: ${describe(value)} has no such items.`, offset);
        if (found !== undefined) return found;
        return optional ? absent : fail("missing", `\`${where}\` is not there.`, offset);
      },
    };
  }

  #list(items: readonly ASTNode[], offset: number, locals: Locals, depth: number): Checked {
    const runs = items.map((item) => this.check(item, locals, depth).run);
    return {
      known: { type: "list" },
      run: (frame) => {
        const list = runs.map((run) => run(frame));
        frame.spend(list.length, offset);
        return list;
      },
    };
  }

  #map(entries: readonly (readonly [ASTNode, ASTNode])[], offset: number, locals: Locals, depth: number): Checked {
    const names = new Set<unknown>();
    const runs = entries.map(([name, value]): [Run, Run] => {
      const key = this.check(name, locals, depth);
      if (!accepts("string", key.known.type))
        this.fault(`Names of an object's fields are texts, not ${typeNames[key.known.type]}.`, name.start);
      if (name.op === "value") {
        if (names.has(name.args)) this.fault("The object has this field twice.", name.start);
        if (name.args === "__proto__") this.fault("The name `__proto__` is not allowed.", name.start);
        names.add(name.args);
      }
      return [key.run, this.check(value, locals, depth).run];
    });
    return {
      known: { type: "map" },
      run: (frame) => {
        const map: Record<string, unknown> = {};
        for (const [name, value] of runs) {
          const key = name(frame);
          if (typeof key !== "string" || key === "__proto__")
            return fail("type", "Names of an object's fields are texts.", offset);
          map[key] = value(frame);
        }
        frame.spend(runs.length, offset);
        return map;
      },
    };
  }

  #bool(node: ASTNode, locals: Locals, depth: number, what: string): Run {
    const { known, run } = this.check(node, locals, depth);
    if (!accepts("bool", known.type))
      this.fault(`${what} must be true or false, but \`${this.#text(node)}\` is ${typeNames[known.type]}.`, node.start);
    const offset = node.start;
    return (frame) => {
      const value = run(frame);
      return typeof value === "boolean"
        ? value
        : fail("type", `${what} must be true or false, not ${describe(value)}.`, offset);
    };
  }

  #choice([condition, yes, no]: readonly [ASTNode, ASTNode, ASTNode], locals: Locals, depth: number): Checked {
    const ask = this.#bool(condition, locals, depth, "What stands before `?`");
    const left = this.check(yes, locals, depth);
    const right = this.check(no, locals, depth);
    const same = left.known.type === right.known.type;
    return {
      known: same && left.known.fields === right.known.fields ? left.known : dyn,
      run: (frame) => (ask(frame) ? left.run(frame) : right.run(frame)),
    };
  }

  /** What one side says for sure counts even when the other fails. */
  #logical([a, b]: readonly [ASTNode, ASTNode], deciding: boolean, locals: Locals, depth: number): Checked {
    const what = deciding ? "Both sides of `||`" : "Both sides of `&&`";
    const left = this.#bool(a, locals, depth, what);
    const right = this.#bool(b, locals, depth, what);
    return {
      known: { type: "bool" },
      run: (frame) => {
        let failure: unknown;
        try {
          if (left(frame) === deciding) return deciding;
        } catch (error) {
          if (isFinal(error)) throw error;
          failure = error;
        }
        if (right(frame) === deciding) return deciding;
        if (failure !== undefined) throw failure;
        return !deciding;
      },
    };
  }

  #not(node: ASTNode, locals: Locals, depth: number): Checked {
    const run = this.#bool(node, locals, depth, "What follows `!`");
    return { known: { type: "bool" }, run: (frame) => run(frame) !== true };
  }

  #minus(node: ASTNode, offset: number, locals: Locals, depth: number): Checked {
    const { known, run } = this.check(node, locals, depth);
    if (!accepts("number", known.type) && known.type !== "duration")
      return this.fault(`\`-\` takes a number, not ${typeNames[known.type]}.`, offset);
    return {
      known: known.type === "dyn" ? dyn : { type: known.type },
      run: (frame) => {
        const value = run(frame);
        if (typeof value === "bigint") return checkedInt(-value, offset);
        if (typeof value === "number") return -value;
        if (value instanceof CelDuration) return new CelDuration(-value.ms);
        return fail("type", `\`-\` takes a number, not ${describe(value)}.`, offset);
      },
    };
  }

  #binary(op: string, a: ASTNode, b: ASTNode, locals: Locals, depth: number): Checked {
    const offset = this.#after(a, op);
    const left = this.check(a, locals, depth);
    const right = this.check(b, locals, depth);
    const wrong = (): Checked =>
      this.fault(
        `\`${op}\` does not work on ${typeNames[left.known.type]} and ${typeNames[right.known.type]}.`,
        offset,
      );
    if (op === "==" || op === "!=") {
      if (!comparable(left.known.type, right.known.type))
        return this.fault(
          `${capital(typeNames[left.known.type])} and ${typeNames[right.known.type]} are never equal.`,
          offset,
        );
      const same = op === "==";
      return {
        known: { type: "bool" },
        run: (frame) => {
          const x = left.run(frame);
          const y = right.run(frame);
          if (x === absent || y === absent)
            return fail("missing", "What is compared is not there; give it a value with `.orValue(…)`.", offset);
          return equal(x, y, frame, offset) === same;
        },
      };
    }
    if (op === "in") {
      if (!["list", "map", "dyn"].includes(right.known.type))
        return this.fault(
          `\`in\` looks into a list or an object, not ${typeNames[right.known.type]}.${right.known.type === "string" ? " For a part of a text write `text.contains(part)`." : ""}`,
          offset,
        );
      return { known: { type: "bool" }, run: (frame) => isIn(left.run(frame), right.run(frame), frame, offset) };
    }
    const gives = resultOf(op, left.known.type, right.known.type);
    if (gives === undefined) return wrong();
    const { run: x } = left;
    const { run: y } = right;
    return { known: { type: gives }, run: (frame) => calculate(op, x(frame), y(frame), frame, offset) };
  }

  #call(node: ASTNode & { op: "call" }, locals: Locals, depth: number): Checked {
    const [name, args] = node.args;
    if (name === "has") return this.#has(node, args, locals, depth);
    const known = functions.get(name);
    if (known === undefined) {
      for (const arg of args) this.check(arg, locals, depth);
      const method = methods.has(name) ? ` Write it behind a value: \`value.${name}(…)\`.` : "";
      return this.fault(
        `There is no function \`${clip(name)}\`.${method === "" ? didYouMean(name, [...functions.keys(), "has"]) : method}`,
        node.start,
      );
    }
    return this.#apply(name, known, args, node.start, locals, depth);
  }

  #method(node: ASTNode & { op: "rcall" }, locals: Locals, depth: number): Checked {
    const [name, receiver, args] = node.args;
    // The name stands right behind the receiver and its dot.
    const offset = Math.max(node.start, this.#source.indexOf(name, receiver.end));
    if (name !== "has" && (macros as readonly string[]).includes(name))
      return this.#comprehension(name, receiver, args, offset, locals, depth);
    const known = methods.get(name);
    if (known === undefined) {
      this.check(receiver, locals, depth);
      for (const arg of args) this.check(arg, locals, depth);
      const suggestion = nearest(name, [...methods.keys(), ...macros.slice(1)]);
      return this.fault(
        `There is no method \`${clip(name)}\`.${suggestion !== undefined ? ` Did you mean \`${suggestion}\`?` : functions.has(name) ? ` Write \`${name}(…)\`.` : ""}`,
        offset,
      );
    }
    const [pattern] = args;
    if (name === "matches" && args.length === 1 && pattern?.op === "value" && typeof pattern.args === "string")
      return this.#matches(receiver, pattern.args, pattern.start, offset, locals, depth);
    return this.#apply(name, known, [receiver, ...args], offset, locals, depth, true);
  }

  /** A pattern that is known when the rule is saved is compiled then. */
  #matches(receiver: ASTNode, pattern: string, at: number, offset: number, locals: Locals, depth: number): Checked {
    const { known, run } = this.check(receiver, locals, depth);
    if (!accepts("string", known.type))
      return this.fault(`\`matches\` looks at a text, not ${typeNames[known.type]}.`, offset);
    this.#patterns.left -= 1;
    if (this.#patterns.left < 0)
      return this.fault(`A rule may have at most ${ruleLimits.patterns} regular expressions.`, at);
    const fault = regexFault(pattern);
    if (fault !== undefined) return this.fault(`The regular expression does not work: ${fault}.`, at);
    const compiled = compilePattern(pattern);
    return {
      known: { type: "bool" },
      run: (frame) => {
        const text = run(frame);
        return typeof text === "string"
          ? testPattern(text, compiled, frame, offset)
          : fail("type", `\`matches\` looks at a text, not ${describe(text)}.`, offset);
      },
    };
  }

  #apply(
    name: string,
    overloads: readonly Overload[],
    args: readonly ASTNode[],
    offset: number,
    locals: Locals,
    depth: number,
    method = false,
  ): Checked {
    const checked = args.map((arg) => this.check(arg, locals, depth));
    const types = checked.map((arg) => arg.known.type);
    const fit = overloads.filter(
      (candidate) =>
        candidate.takes.length === types.length && candidate.takes.every((wanted, i) => accepts(wanted, types[i]!)),
    );
    if (fit.length === 0)
      return this.fault(
        `\`${name}\` does not work like this; it takes ${signatures(name, overloads, method)}.`,
        offset,
      );
    const runs = checked.map((arg) => arg.run);
    const gives = fit.every((candidate) => candidate.gives === fit[0]!.gives) ? fit[0]!.gives : "dyn";
    const call = (frame: Frame): unknown => {
      const values = runs.map((run) => run(frame));
      for (const candidate of fit)
        if (candidate.takes.every((wanted, i) => acceptsValue(wanted, values[i])))
          return candidate.call(frame, offset, ...values);
      return fail(
        "type",
        `\`${name}\` does not work on ${values.map(describe).join(" and ")}; it takes ${signatures(name, overloads, method)}.`,
        offset,
      );
    };
    return { known: gives === "dyn" ? dyn : { type: gives }, run: call };
  }

  #has(node: ASTNode, args: readonly ASTNode[], locals: Locals, depth: number): Checked {
    const [asked] = args;
    if (args.length !== 1 || asked === undefined || (asked.op !== "." && asked.op !== ".?"))
      return this.fault("`has` takes one field, such as `has(event.contact)`.", node.start);
    // `event.a.b` where `a` is not there has no `b` either: no failure.
    const { run } = this.#field(asked.args[0], asked.args[1], asked, true, locals, depth);
    return {
      known: { type: "bool" },
      run: (frame) => {
        try {
          return run(frame) !== absent;
        } catch (error) {
          if (error instanceof CelFailure && error.code === "missing") return false;
          throw error;
        }
      },
    };
  }

  #comprehension(
    name: string,
    receiver: ASTNode,
    args: readonly ASTNode[],
    offset: number,
    locals: Locals,
    depth: number,
  ): Checked {
    const range = this.check(receiver, locals, depth);
    if (!["list", "map", "dyn"].includes(range.known.type))
      return this.fault(`\`${name}\` goes through a list or an object, not ${typeNames[range.known.type]}.`, offset);
    const [variable, first, second] = args;
    const counts = name === "map" ? [2, 3] : [2];
    if (variable?.op !== "id" || first === undefined || !counts.includes(args.length))
      return this.fault(
        `\`${name}\` takes a name and an expression, such as \`items.${name}(item, item.price > 10)\`.`,
        offset,
      );
    if (depth >= ruleLimits.comprehensionDepth)
      return this.fault(
        `\`map\`, \`filter\` and the like may stand in one another at most ${ruleLimits.comprehensionDepth} times.`,
        offset,
      );
    const slot = this.#slots++;
    const inner = new Map(locals).set(variable.args, {
      slot,
      known: range.known.type === "map" ? { type: "string" } : dyn,
    });
    const before = this.nodes;
    const condition =
      name === "map" && second === undefined
        ? undefined
        : this.#bool(first, inner, depth + 1, `The condition of \`${name}\``);
    const transform =
      name === "map" ? this.check(second ?? first, inner, depth + 1).run : (frame: Frame) => frame.locals[slot];
    const price = this.nodes - before + 1;
    const items = (frame: Frame): unknown[] => {
      const value = range.run(frame);
      const list = Array.isArray(value) ? value : typeOf(value) === "map" ? Object.keys(value as object) : undefined;
      if (list === undefined)
        return fail("type", `\`${name}\` goes through a list or an object, not ${describe(value)}.`, offset);
      frame.spend(list.length >> 2, offset);
      return list;
    };
    const step = (frame: Frame, item: unknown): void => {
      frame.spend(price, offset);
      frame.locals[slot] = item;
    };
    if (name === "map" || name === "filter")
      return {
        known: { type: "list" },
        run: (frame) => {
          const made: unknown[] = [];
          for (const item of items(frame)) {
            step(frame, item);
            if (condition !== undefined && condition(frame) !== true) continue;
            const value = transform(frame);
            made.push(value === absent ? null : value);
          }
          return madeList(made, frame, offset);
        },
      };
    const test = condition!;
    if (name === "exists_one")
      return {
        known: { type: "bool" },
        run: (frame) => {
          let found = 0;
          for (const item of items(frame)) {
            step(frame, item);
            if (test(frame) === true) found += 1;
          }
          return found === 1;
        },
      };
    const deciding = name === "exists";
    return {
      known: { type: "bool" },
      run: (frame) => {
        let failure: unknown;
        for (const item of items(frame)) {
          step(frame, item);
          try {
            if (test(frame) === deciding) return deciding;
          } catch (error) {
            if (isFinal(error)) throw error;
            frame.spend(10, offset);
            failure ??= error;
          }
        }
        if (failure !== undefined) throw failure;
        return !deciding;
      },
    };
  }
}

function describe(value: unknown): string {
  const type = typeOf(value);
  return type === "absent" ? "an absent field" : typeNames[type];
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function signatures(name: string, overloads: readonly Overload[], method: boolean): string {
  const shown = overloads.map(({ takes }) =>
    method ? `\`${takes[0]}.${name}(${takes.slice(1).join(", ")})\`` : `\`${name}(${takes.join(", ")})\``,
  );
  return [...new Set(shown)].join(" or ");
}

function comparable(a: CelType, b: CelType): boolean {
  return a === "dyn" || b === "dyn" || a === b || (accepts("number", a) && accepts("number", b));
}

function isIn(value: unknown, range: unknown, frame: Frame, offset: number): boolean {
  if (value === absent) return fail("missing", "What is looked for is not there.", offset);
  if (Array.isArray(range)) {
    for (const item of range) {
      frame.spend(1, offset);
      if (equal(value, item, frame, offset)) return true;
    }
    return false;
  }
  if (typeOf(range) === "map") return typeof value === "string" && Object.hasOwn(range as object, value);
  return fail("type", `\`in\` looks into a list or an object, not ${describe(range)}.`, offset);
}

/** Type of `a op b`; undefined where it cannot work. */
function resultOf(op: string, a: CelType, b: CelType): CelType | undefined {
  const pair = (x: CelType, y: CelType): boolean => (a === x || a === "dyn") && (b === y || b === "dyn");
  const numbers = accepts("number", a) && accepts("number", b);
  if (["<", "<=", ">", ">="].includes(op)) {
    const ordered = numbers || pair("string", "string") || pair("bool", "bool");
    return ordered || pair("timestamp", "timestamp") || pair("duration", "duration") ? "bool" : undefined;
  }
  if (op === "%") return pair("int", "int") || numbers ? (a === "int" && b === "int" ? "int" : "dyn") : undefined;
  if (numbers && a !== "dyn" && b !== "dyn") return a === "int" && b === "int" ? "int" : "double";
  const possible: CelType[] = [];
  if (numbers) possible.push("double");
  if (op === "+") {
    if (pair("string", "string")) possible.push("string");
    if (pair("list", "list")) possible.push("list");
    if (pair("timestamp", "duration") || pair("duration", "timestamp")) possible.push("timestamp");
    if (pair("duration", "duration")) possible.push("duration");
  }
  if (op === "-") {
    if (pair("timestamp", "timestamp") || pair("duration", "duration")) possible.push("duration");
    if (pair("timestamp", "duration")) possible.push("timestamp");
  }
  if (possible.length === 0) return undefined;
  // With one side unknown a number may be int or double.
  return possible.length === 1 && possible[0] !== "double" ? possible[0] : "dyn";
}

function calculate(op: string, a: unknown, b: unknown, frame: Frame, offset: number): unknown {
  if (isNumber(a) && isNumber(b)) return calculateNumbers(op, a, b, offset);
  if (typeof a === "string" && typeof b === "string") {
    if (op === "+") return madeText(a + b, frame, offset);
    frame.spend(Math.min(a.length, b.length) >> 4, offset);
    return compare(op, a, b) ?? mismatch(op, a, b, offset);
  }
  if (Array.isArray(a) && Array.isArray(b) && op === "+") return madeList([...a, ...b], frame, offset);
  if (a instanceof Date && b instanceof Date)
    return op === "-"
      ? new CelDuration(a.getTime() - b.getTime())
      : (compare(op, a.getTime(), b.getTime()) ?? mismatch(op, a, b, offset));
  if (a instanceof Date && b instanceof CelDuration && (op === "+" || op === "-"))
    return shift(a, op === "+" ? b.ms : -b.ms, offset);
  if (a instanceof CelDuration && b instanceof Date && op === "+") return shift(b, a.ms, offset);
  if (a instanceof CelDuration && b instanceof CelDuration) {
    if (op === "+") return new CelDuration(a.ms + b.ms);
    if (op === "-") return new CelDuration(a.ms - b.ms);
    return compare(op, a.ms, b.ms) ?? mismatch(op, a, b, offset);
  }
  if (typeof a === "boolean" && typeof b === "boolean")
    return compare(op, Number(a), Number(b)) ?? mismatch(op, a, b, offset);
  return mismatch(op, a, b, offset);
}

function mismatch(op: string, a: unknown, b: unknown, offset: number): never {
  return fail("type", `\`${op}\` does not work on ${describe(a)} and ${describe(b)}.`, offset);
}

/** Two ints stay one; with a double among them, as all numbers of JSON are, it is a double. */
function calculateNumbers(op: string, a: number | bigint, b: number | bigint, offset: number): unknown {
  const compared = compare(op, a, b);
  if (compared !== undefined) return compared;
  if (typeof a === "bigint" && typeof b === "bigint") {
    if (op === "+") return checkedInt(a + b, offset);
    if (op === "-") return checkedInt(a - b, offset);
    if (op === "*") return checkedInt(a * b, offset);
    if (b === 0n) return fail("argument", "Division by zero.", offset);
    return op === "/" ? checkedInt(a / b, offset) : a % b;
  }
  const x = Number(a);
  const y = Number(b);
  if (op === "+") return x + y;
  if (op === "-") return x - y;
  if (op === "*") return x * y;
  if (op === "/") return x / y;
  if (!Number.isInteger(x) || !Number.isInteger(y) || y === 0)
    return fail("argument", "`%` takes whole numbers, the second not 0.", offset);
  return x % y;
}

function compare(op: string, a: string | number | bigint, b: string | number | bigint): boolean | undefined {
  if (op === "<") return a < b;
  if (op === "<=") return a <= b;
  if (op === ">") return a > b;
  return op === ">=" ? a >= b : undefined;
}
