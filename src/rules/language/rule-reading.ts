/** One pass over one rule: collects faults with their places, and compiles the expressions it meets. */
import { dottedPath, type Segment } from "../../manifest/path.ts";
import { compileExpression } from "./cel/compile.ts";
import type { CelEnvironment } from "./cel/environment.ts";
import type { Expression } from "./cel/expression.ts";
import { type CelParser, createCelParser } from "./cel/parse.ts";
import type { CelType } from "./cel/types.ts";
import { type RuleLimits, ruleLimits } from "./limits.ts";
import type { Position, YamlSource } from "./read-yaml.ts";
import type { RuleFault, RuleFaultCode } from "./types.ts";

export interface ExpressionPlace {
  path: readonly Segment[];
  /** Where it begins in the text at `path`. @default 0 */
  from?: number;
  environment: CelEnvironment;
  wanted?: CelType;
  code?: RuleFaultCode;
}

export class RuleReading {
  readonly faults: RuleFault[] = [];
  readonly #yaml: YamlSource;
  readonly #limits: RuleLimits;
  readonly #patterns = { left: ruleLimits.patterns };
  #expressions = 0;

  constructor(yaml: YamlSource, limits: RuleLimits) {
    this.#yaml = yaml;
    this.#limits = limits;
  }

  fault(code: RuleFaultCode, message: string, path: readonly Segment[], at?: "key"): void {
    this.#add({ code, message, ...this.#yaml.locate(path, at), path: dottedPath(path) });
  }

  /** At a character of the text at `path`. */
  faultIn(code: RuleFaultCode, message: string, path: readonly Segment[], offset: number): void {
    this.#add({ code, message, ...this.#yaml.locateIn(path, offset), path: dottedPath(path) });
  }

  #add(fault: RuleFault): void {
    const known = this.faults.some(
      (other) => other.path === fault.path && other.message === fault.message && other.line === fault.line,
    );
    if (!known && this.faults.length < this.#limits.faults) this.faults.push(fault);
  }

  /** Undefined when it has faults. */
  expression(source: string, place: ExpressionPlace): Expression | undefined {
    const { path, from = 0, environment, wanted, code = "expression" } = place;
    this.#expressions += 1;
    if (this.#expressions > this.#limits.expressions) {
      this.fault("limit", `A rule may have at most ${this.#limits.expressions} expressions.`, []);
      return undefined;
    }
    const compiled = compileExpression(source, {
      parse: sharedParser(),
      environment,
      patterns: this.#patterns,
      ...(wanted === undefined ? {} : { wanted }),
      locate: locator(this.#yaml, path, from, source.length),
    });
    for (const fault of compiled.faults) this.faultIn(code, fault.message, path, from + fault.offset);
    return compiled.expression;
  }
}

const parserUses = 500;
let parser: CelParser | undefined;
let uses = 0;

/** Making one takes a fifth of the time a rule takes; one that is used for ever grows with what outsiders write. */
function sharedParser(): CelParser {
  if (parser === undefined || ++uses > parserUses) {
    parser = createCelParser();
    uses = 0;
  }
  return parser;
}

/**
 * Where a character of an expression stands, kept as the few places where the column does not simply count on: the rule
 * lives longer than its YAML should.
 */
function locator(
  yaml: YamlSource,
  path: readonly Segment[],
  from: number,
  length: number,
): (offset: number) => Position & { path: string } {
  const runs: (Position & { offset: number })[] = [];
  for (let offset = 0; offset <= length; offset++) {
    const place = yaml.locateIn(path, from + offset);
    const last = runs.at(-1);
    if (last === undefined || last.line !== place.line || last.column + offset - last.offset !== place.column)
      runs.push({ ...place, offset });
  }
  const where = dottedPath(path);
  return (offset) => {
    const run = runs.findLast((candidate) => candidate.offset <= offset) ?? { line: 1, column: 1, offset };
    return { path: where, line: run.line, column: run.column + Math.min(offset, length) - run.offset };
  };
}
