/**
 * Compiles a plugin's JSON Schema with ajv and validates values with it at bounded cost: the guard's caps come first,
 * each value's size × the schema's cost is capped, patterns run on RE2, recursion and patterns spend a budget. Compiled
 * schemas are kept by content; one fresh ajv each, so nothing of one plugin can reach or outlive another's.
 */
import { createHash } from "node:crypto";
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { isObject } from "../base/json.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { dottedPath, type Fault, type Segment } from "./path.ts";
import { type CostBudget, CostExceeded, patternFault, safeRegExp, spend } from "./safe-pattern.ts";
import { guardSchema } from "./schema-guard.ts";
import { schemaFaults } from "./schema-sentences.ts";
import { allDifferent, measure, valueCaps } from "./value-caps.ts";

export interface ValidateOptions {
  /** What is missing is no fault: the value may be completed later. */
  partial?: boolean;
  /** Fields (`auth.token`, `accounts.*.key`) whose value is not looked at, only whether there is one. */
  unseen?: ReadonlySet<string>;
}

export interface CompiledSchema {
  /** Faults of `value`, at most 50; empty when it is valid. Never throws, never changes `value`. */
  validate(value: unknown, options?: ValidateOptions): FieldError[];
}

const maxKept = 256;
const bySchema = new WeakMap<object, CompiledSchema>();
const byContent = new Map<string, CompiledSchema>();
/** Only ever checks schemas against the meta-schema; compiles none of theirs. */
const metaAjv = new Ajv2020({ allErrors: true, verbose: true, strict: false, logger: false });

/** All faults of a schema that a plugin supplies. Checked when a manifest is read. */
export function pluginSchemaFaults(schema: unknown): Fault[] {
  const { faults } = guardSchema(schema);
  if (faults.length > 0) return faults;
  const bare = withoutRootNames(schema as Record<string, unknown>);
  if (!metaAjv.validateSchema(bare)) {
    const found = schemaFaults((metaAjv.errors ?? []) as ErrorObject[], { value: bare });
    const exact = found.filter(
      (fault) =>
        !fault.message.startsWith("It matches none") ||
        !found.some((other) => other !== fault && dottedPath(other.path) === dottedPath(fault.path)),
    );
    return exact.length > 0 ? exact : [{ path: [], message: "It is no JSON Schema." }];
  }
  try {
    compilePluginSchema(schema as Record<string, unknown>);
    return [];
  } catch (error) {
    return [
      {
        path: [],
        message: `The schema cannot be used: ${error instanceof Error ? error.message.slice(0, 200) : "unknown reason"}.`,
      },
    ];
  }
}

/** `schema` is not to be changed afterwards. Error: `invalid_input` when it does not pass the guard. */
export function compilePluginSchema(schema: Record<string, unknown>): CompiledSchema {
  const known = bySchema.get(schema);
  if (known !== undefined) return known;
  const { faults, cost, recursive } = guardSchema(schema);
  if (faults.length > 0)
    throw new BackplaneError(
      "invalid_input",
      {},
      { errors: faults.map((fault) => ({ path: dottedPath(fault.path), message: fault.message })) },
    );
  const text = JSON.stringify(schema);
  const key = createHash("sha256").update(text).digest("base64");
  let compiled = byContent.get(key);
  byContent.delete(key);
  compiled ??= build(withoutRootNames(JSON.parse(text) as Record<string, unknown>), cost, recursive);
  byContent.set(key, compiled);
  if (byContent.size > maxKept) byContent.delete(byContent.keys().next().value!);
  bySchema.set(schema, compiled);
  return compiled;
}

function build(schema: Record<string, unknown>, cost: number, recursive: boolean): CompiledSchema {
  markTicks(schema, recursive);
  const budget: CostBudget = { left: valueCaps.budget };
  const compile = (allErrors: boolean): ValidateFunction => createAjv(allErrors, budget).compile(schema);
  const thorough = compile(true);
  let brief: ValidateFunction | undefined;
  return {
    validate(value, { partial = false, unseen } = {}) {
      const size = measure(value);
      if (typeof size === "string") return [{ path: "$", message: size }];
      const work = size * Math.max(cost, 1);
      // Only all errors tell what else is wrong besides what may be missing or unseen.
      const needsAll = partial || unseen !== undefined;
      if (work > (needsAll ? valueCaps.partialWork : valueCaps.work))
        return [{ path: "$", message: "The value is too large to be checked against this schema; send less at once." }];
      budget.left = valueCaps.budget;
      // All errors of a huge value would be more than anyone reads, and more than memory should hold.
      let run = thorough;
      if (work > valueCaps.allErrors && !needsAll) {
        brief ??= compile(false);
        run = brief;
      }
      try {
        if (run(value) === true) return [];
        return schemaFaults(run.errors ?? [], { value })
          .filter((fault) => !(partial && fault.missing))
          .filter((fault) => fault.missing || !unseen?.has(starPath(fault.path)))
          .map((fault) => ({ path: dottedPath(fault.path), message: fault.message }));
      } catch (error) {
        const tooCostly = error instanceof CostExceeded || error instanceof RangeError;
        const message = tooCostly
          ? "The value is too costly to check against this schema; send less or simplify it."
          : "The value cannot be checked against this schema.";
        return [{ path: "$", message }];
      } finally {
        run.errors = null;
      }
    },
  };
}

function starPath(path: readonly Segment[]): string {
  return path.map((segment) => (typeof segment === "number" ? "*" : segment)).join(".");
}

function createAjv(allErrors: boolean, budget: CostBudget): Ajv2020 {
  const ajv = new Ajv2020({
    allErrors,
    verbose: true,
    strict: false,
    logger: false,
    meta: false,
    validateSchema: false,
    inlineRefs: false,
    ownProperties: true,
    addUsedSchema: false,
    code: { regExp: safeRegExp(budget), optimize: false },
  });
  for (const name of [
    "date",
    "time",
    "date-time",
    "iso-time",
    "iso-date-time",
    "duration",
    "uri",
    "uri-reference",
    "uri-template",
    "url",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "json-pointer",
    "relative-json-pointer",
    "byte",
  ] as const) {
    const format = formats.default.get(name);
    ajv.addFormat(name, (text: string) => text.length <= valueCaps.formatLength && matchesFormat(format, text));
  }
  ajv.addFormat("regex", (text: string) => text.length <= 512 && patternFault(text) === undefined);
  // ajv's own compares every pair.
  ajv.removeKeyword("uniqueItems");
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    validate: (wanted: boolean, items: unknown[]) => !wanted || allDifferent(items),
  });
  ajv.addKeyword({
    keyword: tick,
    before: "$ref",
    schemaType: "boolean",
    errors: false,
    validate: () => spend(budget, 100),
  });
  return ajv;
}

const tick = "x-backplane-tick";

/**
 * What may be visited far more often than there are values is paid for at each visit: references of a schema that refers
 * back to itself, and the branches of choices, each of which leaves an error behind.
 */
function markTicks(node: unknown, recursive: boolean): void {
  if (Array.isArray(node)) for (const item of node) markTicks(item, recursive);
  if (!isObject(node)) return;
  for (const [keyword, item] of Object.entries(node)) {
    markTicks(item, recursive);
    const branches = keyword === "contains" ? [item] : keyword === "anyOf" || keyword === "oneOf" ? item : [];
    if (Array.isArray(branches)) for (const branch of branches) if (isObject(branch)) branch[tick] = true;
  }
  if (recursive && typeof node["$ref"] === "string") node[tick] = true;
}

function withoutRootNames(schema: Record<string, unknown>): Record<string, unknown> {
  const { $schema: _draft, $id: _address, ...rest } = schema;
  return rest;
}

type Format = ReturnType<typeof formats.default.get>;

function matchesFormat(format: Format, text: string): boolean {
  if (typeof format === "function") return format(text) === true;
  if (format instanceof RegExp) return format.test(text);
  if (typeof format === "object" && "validate" in format) {
    const check = format.validate as RegExp | string | ((text: string) => unknown);
    return typeof check === "function" ? check(text) === true : new RegExp(check).test(text);
  }
  return true;
}
