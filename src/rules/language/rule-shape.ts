/** Holds a rule's value against rule-schema.ts and says what is wrong in words of rules. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { Fault } from "../../manifest/path.ts";
import { schemaFaults } from "../../manifest/schema-sentences.ts";
import { ruleSchema } from "./rule-schema.ts";

let compiled: ValidateFunction | undefined;

/** Empty when the shape is right. */
export function ruleShapeFaults(value: unknown, limit: number): Fault[] {
  compiled ??= new Ajv2020({
    allErrors: true,
    verbose: true,
    strict: false,
    logger: false,
    validateSchema: false,
    meta: false,
    inlineRefs: false,
    code: { optimize: false },
  }).compile(ruleSchema);
  if (compiled(value) === true) return [];
  const faults = schemaFaults(compiled.errors ?? [], { value, limit });
  compiled.errors = null;
  return faults.map((fault) =>
    fault.message === "It must match exactly one of the allowed forms."
      ? { ...fault, message: oneOfSentence(fault, value) }
      : fault,
  );
}

function oneOfSentence({ path }: Fault, value: unknown): string {
  if (path.length === 0) {
    const both = typeof value === "object" && value !== null && "trigger" in value && "triggers" in value;
    return both
      ? "Write `trigger` for one or `triggers` for a list of them, not both."
      : "`trigger` is missing: say what sets the rule off, such as `event: comms.CallMissed`.";
  }
  if (path[0] === "trigger" || path[0] === "triggers")
    return "A trigger has exactly one of `event`, `cron` and `webhook`.";
  if (path[0] === "conditions") return "A condition has exactly one of `operator`, `cel`, `all`, `any` and `not`.";
  return "An action has exactly one of `operator`, `parallel` and `sequence`.";
}
