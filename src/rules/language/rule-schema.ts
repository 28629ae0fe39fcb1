/**
 * The shape of a rule as one JSON Schema (draft 2020-12). Editors use plugin-api/rule.schema.json, which is generated
 * from here. What a schema cannot say (CEL, operators, steps) compile-rule.ts checks. A table.
 */
import { ruleLimits } from "./limits.ts";

const cel = { type: "string", minLength: 1, maxLength: ruleLimits.expressionLength } as const;
const duration = {
  type: "string",
  maxLength: 40,
  pattern: "^([0-9]{1,9}(ms|s|m|h|d))+$",
  patternErrorMessage: "Write a duration such as `30s`, `5m`, `1h30m` or `7d`.",
} as const;

export const ruleSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "https://backplane.dev/schemas/rule.schema.json",
  title: "Backplane rule",
  description: "What sets it off, what must be so, what it does. `{{ }}` in params holds CEL.",
  type: "object",
  required: ["name", "actions"],
  oneOf: [{ required: ["trigger"] }, { required: ["triggers"] }],
  additionalProperties: false,
  properties: {
    $schema: { type: "string", maxLength: 512, description: "Address of this schema, for editors." },
    id: {
      type: "string",
      pattern: "^[a-z0-9][a-z0-9_-]{0,63}$",
      patternErrorMessage: "Write lower-case letters, digits, `-` and `_`, at most 64.",
      description: "Names the rule in files and on the command line. By default it is made from the name.",
    },
    name: { type: "string", minLength: 1, maxLength: 200 },
    description: { type: "string", maxLength: 2000 },
    enabled: { type: "boolean", default: true },
    trigger: { $ref: "#/$defs/trigger" },
    triggers: {
      type: "array",
      minItems: 1,
      maxItems: ruleLimits.triggers,
      items: { $ref: "#/$defs/trigger" },
      description: "Any one of them sets the rule off.",
    },
    conditions: {
      description: "A list, all of which must be so, or one condition such as `any: […]`.",
      if: { type: "array" },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
      then: { maxItems: 50, items: { $ref: "#/$defs/condition" } },
      else: { $ref: "#/$defs/condition" },
    },
    actions: {
      type: "array",
      minItems: 1,
      maxItems: ruleLimits.actions,
      items: { $ref: "#/$defs/action" },
      description: "In this order, each when the one before is done.",
    },
    mode: {
      enum: ["single", "queued", "parallel", "restart"],
      default: "queued",
      description:
        "What happens when it is set off while it runs: nothing, the next run waits, both run, or the running one is cancelled.",
    },
    max: {
      type: "integer",
      minimum: 1,
      maximum: 1000,
      description: "`queued`: runs that may wait (100). `parallel`: runs at once (10).",
    },
    throttle: {
      type: "object",
      required: ["per"],
      additionalProperties: false,
      properties: {
        per: { ...duration, description: "Length of the window." },
        count: { type: "integer", minimum: 1, maximum: 100_000, default: 1, description: "Runs in one window." },
        key: { ...cel, description: "CEL: runs are counted for each of its values." },
      },
    },
  },
  $defs: {
    trigger: {
      type: "object",
      oneOf: [{ required: ["event"] }, { required: ["cron"] }, { required: ["webhook"] }],
      dependentRequired: { filter: ["event"], timezone: ["cron"] },
      additionalProperties: false,
      properties: {
        event: { type: "string", maxLength: 200, description: "An event's type, or a domain: `comms.*`." },
        filter: { ...cel, description: "CEL: only events for which it is true." },
        cron: { type: "string", maxLength: 100, description: "Five fields, such as `0 8 * * 1-5`, or `@daily`." },
        timezone: { type: "string", maxLength: 64, default: "UTC", description: "Such as `Europe/Berlin`." },
        webhook: {
          type: "string",
          pattern: "^[a-z0-9][a-z0-9_-]{0,63}$",
          patternErrorMessage: "Write lower-case letters, digits, `-` and `_`, at most 64.",
          description: "Name of an address of its own that sets the rule off.",
        },
      },
    },
    condition: {
      type: "object",
      oneOf: [
        { required: ["operator"] },
        { required: ["cel"] },
        { required: ["all"] },
        { required: ["any"] },
        { required: ["not"] },
      ],
      dependentRequired: { params: ["operator"], timeout: ["operator"] },
      additionalProperties: false,
      properties: {
        operator: { type: "string", maxLength: 200, description: "Id of a condition operator." },
        params: { $ref: "#/$defs/params" },
        timeout: { ...duration, default: "10s" },
        cel: { ...cel, description: "CEL that is true or false." },
        all: { $ref: "#/$defs/conditions" },
        any: { $ref: "#/$defs/conditions" },
        not: { $ref: "#/$defs/condition" },
      },
    },
    conditions: { type: "array", minItems: 1, maxItems: 50, items: { $ref: "#/$defs/condition" } },
    action: {
      type: "object",
      oneOf: [{ required: ["operator"] }, { required: ["parallel"] }, { required: ["sequence"] }],
      dependentRequired: {
        params: ["operator"],
        id: ["operator"],
        retry: ["operator"],
        timeout: ["operator"],
        continueOnError: ["operator"],
      },
      additionalProperties: false,
      properties: {
        operator: { type: "string", maxLength: 200, description: "Id of an action operator." },
        id: {
          type: "string",
          pattern: "^[A-Za-z_][A-Za-z0-9_]{0,63}$",
          patternErrorMessage: "Write a name that CEL can read: letters, digits and `_`, not beginning with a digit.",
          description: "Later actions find its result in `steps.<id>`.",
        },
        params: { $ref: "#/$defs/params" },
        retry: {
          type: ["integer", "object"],
          minimum: 1,
          maximum: 20,
          required: ["attempts"],
          additionalProperties: false,
          description: "How often it is tried in all, and how long it waits in between.",
          properties: {
            attempts: { type: "integer", minimum: 1, maximum: 20 },
            backoff: { ...duration, default: "1s" },
            factor: { type: "number", minimum: 1, maximum: 10, default: 2 },
            maxBackoff: { ...duration, default: "5m" },
          },
        },
        timeout: { ...duration, default: "30s", description: "Of one try." },
        continueOnError: {
          type: "boolean",
          default: false,
          description: "The actions after it run even when it failed; `steps.<id>` is null then.",
        },
        parallel: { $ref: "#/$defs/actions", description: "All of them at once." },
        sequence: { $ref: "#/$defs/actions", description: "One after the other, as a branch of `parallel`." },
      },
    },
    actions: { type: "array", minItems: 1, maxItems: 20, items: { $ref: "#/$defs/action" } },
    params: { type: "object", description: "As the operator's schema asks; any text may hold `{{ CEL }}`." },
  },
} as const;
