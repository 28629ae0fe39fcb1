import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { parse as parseYaml } from "yaml";
import { isRuleSchemaFresh } from "../../../tools/gen-rule-schema.ts";
import { compileRule } from "./compile-rule.ts";
import { canonicalRule } from "./diff-rules.ts";
import { printRule } from "./print-rule.ts";
import { ruleSchema } from "./rule-schema.ts";
import { compiled, faultsOf, officeRule, testCatalog, vipRule, withFilter } from "./rules.fixture.ts";
import { usesVariables } from "./template.ts";
import type { ActionParallel, CompiledAction, CompiledTrigger } from "./types.ts";

describe("the example rules of the document compile word for word", () => {
  test("a VIP's missed calls", () => {
    const rule = compiled(vipRule);
    assert.equal(rule.name, "VIP Missed Call Follow-up");
    assert.deepEqual(rule.triggers, [{ kind: "event", pattern: "comms.CallMissed" }]);
    assert.equal(rule.conditions.items.length, 2);
    assert.equal((rule.actions.items[0] as CompiledAction).plugin, "io.madeopen.comms-rules");
    assert.equal(rule.mode, "queued");
    assert.equal(rule.enabled, true);
  });

  test("an office arrival, which runs once for each follow-up", () => {
    assert.deepEqual(usesVariables(compiled(officeRule).actions.items[0] as CompiledAction), ["followUp"]);
  });
});

const full = `
id: full-rule
name: All there is
description: Every field once.
enabled: false
triggers:
  - event: comms.*
    filter: event.channel == "sms" && size(event.body) > 3
  - cron: "0 8 * * 1-5"
    timezone: Europe/Berlin
  - webhook: door-bell
conditions:
  all:
    - cel: event.channel != "voice"
    - any:
        - operator: contact.HasTag
          params: {tag: "{{ event.tag }}", contactId: null}
          timeout: 5s
        - not:
            cel: now.getHours("Europe/Berlin") >= 22 || run.id == ""
actions:
  - operator: comms.sendSms
    id: first
    params:
      to: "{{ event.from }}"
      body: 'Hi {{ event.name }}, "{{ {"a": {"b": "}}"}}.a.b }}" \\{{ no }}'
    retry: {attempts: 5, backoff: 2s, factor: 3, maxBackoff: 1m}
    timeout: 45s
    continueOnError: true
  - parallel:
      - operator: free.Act
        id: left
        params: {n: "{{ steps.first.n }}"}
        retry: 3
      - sequence:
          - operator: free.Act
            id: right
          - operator: free.Act
            params: {of: "{{ steps.right }}", list: [1, {x: "{{ followUp.id }}"}]}
  - operator: free.Act
    params: {all: "{{ [steps.left, steps.right] }}"}
mode: parallel
max: 7
throttle: {per: 1h, count: 3, key: event.from}
`;

describe("what a rule becomes", () => {
  test("all there is", () => {
    const rule = compiled(full);
    assert.equal(rule.id, "full-rule");
    assert.equal(rule.enabled, false);
    assert.deepEqual(
      rule.triggers.map((trigger) => trigger.kind),
      ["event", "cron", "webhook"],
    );
    assert.deepEqual(rule.triggers[1], { kind: "cron", cron: "0 8 * * 1-5", timezone: "Europe/Berlin" });
    assert.deepEqual((rule.triggers[0] as CompiledTrigger & { kind: "event" }).filter?.equalities, [
      { path: ["channel"], values: ["sms"] },
    ]);
    const [first, block, last] = rule.actions.items as [CompiledAction, ActionParallel, CompiledAction];
    assert.deepEqual(first.retry, { attempts: 5, backoffMs: 2000, factor: 3, maxBackoffMs: 60_000 });
    assert.equal(first.timeoutMs, 45_000);
    assert.equal(first.continueOnError, true);
    assert.equal(first.key, "first");
    assert.equal((block.items[0] as CompiledAction).retry.attempts, 3);
    const inner = (block.items[1] as ActionParallel).items[1] as CompiledAction;
    assert.equal(inner.key, "2.2.2");
    assert.deepEqual(inner.variables, ["followUp"]);
    assert.equal(last.key, "3");
    assert.deepEqual(
      { ...rule.throttle, key: rule.throttle?.key?.source },
      { perMs: 3_600_000, count: 3, key: "event.from" },
    );
    assert.equal(rule.max, 7);
    assert.deepEqual(
      rule.prefilters.map((filter) => filter.source),
      ['event.channel != "voice"'],
    );
  });

  test("its print compiles to an equal rule, with an equal print", () => {
    for (const source of [full, vipRule, officeRule, withFilter("event.a == '}}' && event.b > 3")]) {
      const rule = compiled(source);
      const again = compiled(printRule(rule));
      assert.deepEqual(canonicalRule(again), canonicalRule(rule));
      assert.equal(printRule(again), printRule(rule));
    }
  });

  test("prefilters are only those that look at the event alone and stand in front", () => {
    const count = (conditions: string): number =>
      compiled(`name: x\ntrigger: {event: a.b}\nconditions: ${conditions}\nactions: [{operator: free.Act}]`).prefilters
        .length;
    assert.equal(count("[{cel: event.a}, {cel: event.b}, {operator: free.Form}, {cel: event.c}]"), 2);
    assert.equal(count("[{cel: now.getHours() > 3}, {cel: event.b}]"), 0);
    assert.equal(count("{cel: event.a}"), 1);
    assert.equal(count("{any: [{cel: event.a}]}"), 0);
  });
});

function rule(lines: string): string {
  const head = /^triggers?:/m.test(lines) ? "" : "trigger: {event: a.b}\n";
  const tail = /^actions:/m.test(lines) ? "" : "\nactions: [{operator: free.Act}]";
  return `name: x\n${head}${lines}${tail}`;
}

describe("faults, each with its code and place", () => {
  const table: [string, string, string, RegExp, number, number][] = [
    ["an unknown field", rule("triger: 1"), "shape", /Did you mean `trigger`/, 3, 1],
    ["no trigger", "name: x\nactions: [{operator: free.Act}]", "shape", /`trigger` is missing/, 1, 1],
    ["both triggers", rule("trigger: {event: a.b}\ntriggers: [{event: a.b}]"), "shape", /not both/, 1, 1],
    [
      "a trigger of two kinds",
      rule("trigger: {event: a.b, cron: '* * * * *'}"),
      "shape",
      /exactly one of `event`/,
      2,
      10,
    ],
    ["a filter without event", rule("trigger: {webhook: w, filter: 'true'}"), "shape", /also needs `event`/, 2, 10],
    ["no actions", "name: x\ntrigger: {event: a.b}", "shape", /`actions` is missing/, 1, 1],
    [
      "a condition of two kinds",
      rule("conditions: [{cel: 'true', operator: free.Form}]"),
      "shape",
      /exactly one of `operator`, `cel`/,
      3,
      14,
    ],
    ["an action without operator", rule("actions: [{params: {}}]"), "shape", /exactly one of `operator`/, 3, 11],
    ["a wrong mode", rule("mode: serial"), "shape", /one of `single`/, 3, 7],
    ["max without its mode", rule("mode: single\nmax: 3"), "shape", /`max` goes with/, 4, 1],
    ["a list for a rule", "- a\n- b", "shape", /must be an object/, 1, 1],
    ["a domain alone", rule("trigger: {event: comms}"), "trigger", /write `comms\.\*`/, 2, 18],
    ["a pattern for all", rule("trigger: {event: '*'}"), "trigger", /every event/, 2, 18],
    ["six fields of cron", rule("trigger: {cron: '* * * * * *'}"), "trigger", /five fields/, 2, 17],
    ["cron out of range", rule("trigger: {cron: '61 * * * *'}"), "trigger", /no cron expression/, 2, 17],
    ["a day that never comes", rule("trigger: {cron: '0 0 30 2 *'}"), "trigger", /no day/, 2, 17],
    ["an unknown time zone", rule("trigger: {cron: '* * * * *', timezone: Mars/Base}"), "trigger", /time zone/, 2, 40],
    [
      "a filter that is a text",
      rule("trigger: {event: a.b, filter: event.a + 'x'}"),
      "expression",
      /true or false/,
      2,
      31,
    ],
    ["steps in a filter", rule("trigger: {event: a.b, filter: steps.a.b}"), "expression", /No action has run/, 2, 31],
    ["run in a filter", rule("trigger: {event: a.b, filter: run.id == 'x'}"), "expression", /no run yet/, 2, 31],
    [
      "a variable in a condition",
      rule("conditions: [{cel: followUp.id == 'x'}]"),
      "expression",
      /params of actions only/,
      3,
      20,
    ],
    [
      "a syntax error in a block",
      rule("trigger:\n  event: a.b\n  filter: |\n    event.a == 1 &&\n      event.b = 2"),
      "expression",
      /`==`/,
      6,
      15,
    ],
    [
      "an unknown condition",
      rule("conditions: [{operator: comms.misedCalls}]"),
      "operator_unknown",
      /`comms\.missedCalls`/,
      3,
      25,
    ],
    [
      "an action as a condition",
      rule("conditions: [{operator: comms.sendSms}]"),
      "operator_unknown",
      /It is an action/,
      3,
      25,
    ],
    [
      "an operator of a plugin that is not active",
      rule("actions: [{operator: smart-home.SetLightingScene}]"),
      "operator_unknown",
      /`acme\.smart-home` offers it and is not active: `backplane activate acme\.smart-home`/,
      3,
      22,
    ],
    [
      "an operator of a bundled plugin that is not installed",
      rule("actions: [{operator: places.Arrived}]"),
      "operator_unknown",
      /`io\.example\.places` offers it and is not installed: `backplane install io\.example\.places --grant all --activate`/,
      3,
      22,
    ],
    [
      "an operator that is nearly one of such a plugin",
      rule("actions: [{operator: places.Arived}]"),
      "operator_unknown",
      /`io\.example\.places` offers `places\.Arrived` and is not installed: `backplane install/,
      3,
      22,
    ],
    [
      "a mistyped one of such a plugin",
      rule("actions: [{operator: smarthome.SetLightingScene}]"),
      "operator_unknown",
      /offers `smart-home/,
      3,
      22,
    ],
    [
      "a missing param",
      rule("actions: [{operator: comms.sendSms, params: {to: x}}]"),
      "params",
      /`body` is missing/,
      3,
      45,
    ],
    [
      "an unknown param",
      rule("actions: [{operator: comms.sendSms, params: {to: x, body: y, bodi: z}}]"),
      "params",
      /Did you mean `body`/,
      3,
      62,
    ],
    [
      "a param of the wrong type",
      rule("actions: [{operator: comms.sendSms, params: {to: 5, body: y}}]"),
      "params",
      /a text, not a number/,
      3,
      50,
    ],
    [
      "a template of the wrong type",
      rule("actions: [{operator: comms.sendSms, params: {to: '{{ 1 + 1 }}', body: y}}]"),
      "params",
      /must be a text, but the expression gives a whole number/,
      3,
      50,
    ],
    [
      "a text where a number is asked",
      rule("conditions: [{operator: comms.missedCalls, params: {count: 'n: {{ event.n }}'}}]"),
      "params",
      /a whole number, but/,
      3,
      60,
    ],
    [
      "a missing step",
      rule("actions: [{operator: free.Act, params: {a: 'x {{ steps.nobody.id }}'}}]"),
      "template",
      /No action has the id `nobody`/,
      3,
      56,
    ],
    [
      "a later step",
      rule("actions:\n  - {operator: free.Act, params: {a: '{{ steps.b }}'}}\n  - {operator: free.Act, id: b}"),
      "template",
      /does not run before/,
      4,
      48,
    ],
    [
      "a step of the branch beside",
      rule(
        "actions:\n  - parallel:\n    - {operator: free.Act, id: a}\n    - {operator: free.Act, params: {a: '{{ steps.a }}'}}",
      ),
      "template",
      /does not run before/,
      6,
      50,
    ],
    [
      "an unknown root",
      rule("actions: [{operator: free.Act, params: {a: '{{ evnt.a }}'}}]"),
      "template",
      /Did you mean `event`/,
      3,
      48,
    ],
    [
      "a variable nobody contributes",
      rule("actions: [{operator: free.Act, params: {a: '{{ scene.a }}'}}]"),
      "template",
      /`acme\.smart-home` offers `scene`/,
      3,
      48,
    ],
    [
      "a field a variable lacks",
      rule("actions: [{operator: free.Act, params: {a: '{{ followUp.contctId }}'}}]"),
      "template",
      /Did you mean `contactId`/,
      3,
      57,
    ],
    [
      "two variables",
      rule("actions: [{operator: free.Act, params: {a: '{{ followUp.id }}{{ device.id }}'}}]"),
      "template",
      /it may name one/,
      3,
      32,
    ],
    [
      "a template without end",
      rule("actions: [{operator: free.Act, params: {a: 'x {{ event.a'}}]"),
      "template",
      /has no `}}`/,
      3,
      47,
    ],
    ["an empty template", rule("actions: [{operator: free.Act, params: {a: '{{ }}'}}]"), "template", /empty/, 3, 47],
    [
      "a template in a name",
      rule("actions: [{operator: free.Act, params: {'{{ event.a }}': 1}}]"),
      "template",
      /Names of fields/,
      3,
      41,
    ],
    [
      "an id twice",
      rule("actions: [{operator: free.Act, id: a}, {operator: free.Act, id: a}]"),
      "step_id",
      /own/,
      3,
      65,
    ],
    ["a throttle that is too short", rule("throttle: {per: 10ms}"), "duration", /between 1s/, 3, 17],
    [
      "a backoff beyond its most",
      rule("actions: [{operator: free.Act, retry: {attempts: 2, backoff: 10s, maxBackoff: 1s}}]"),
      "duration",
      /shorter/,
      3,
      79,
    ],
    [
      "nine levels of conditions",
      rule(`conditions: [${"{not: ".repeat(8)}{cel: 'true'}${"}".repeat(8)}]`),
      "limit",
      /at most 8/,
      3,
      62,
    ],
    [
      "blocks in blocks in blocks",
      rule(`actions: [${"{parallel: [".repeat(5)}{operator: free.Act}${"]}".repeat(5)}]`),
      "limit",
      /at most 3 times/,
      3,
      59,
    ],
    [
      "51 actions",
      rule(
        `actions: [{parallel: [${"{operator: free.Act},".repeat(20)}]},{parallel: [${"{operator: free.Act},".repeat(20)}]},{parallel: [${"{operator: free.Act},".repeat(11)}]}]`,
      ),
      "limit",
      /at most 50 actions/,
      3,
      10,
    ],
  ];
  for (const [what, source, code, message, line, column] of table)
    test(what, () => {
      const found = faultsOf(source);
      const fault = found.find((candidate) => candidate.code === code && message.test(candidate.message));
      assert.ok(fault !== undefined, JSON.stringify(found, null, 1));
      assert.deepEqual([fault.line, fault.column], [line, column], fault.message);
    });

  test("all of a rule's faults at once, in the order of the source", () => {
    const found = faultsOf(`name: x
trigger: {event: comms, filter: evnt.a}
conditions: [{operator: nobody.Knows}]
actions: [{operator: comms.sendSms, params: {to: "{{ steps.x }}"}}]`);
    assert.deepEqual(
      found.map(({ code, line }) => [code, line]),
      [
        ["trigger", 2],
        ["expression", 2],
        ["operator_unknown", 3],
        ["params", 4],
        ["template", 4],
      ],
    );
    assert.equal(found[4]!.path, "actions[0].params.to");
  });

  test("what a schema chooses by an unknown value is left to the run", () => {
    const schema = {
      type: "object",
      oneOf: [
        { properties: { kind: { const: "a" }, a: { type: "string" } }, required: ["kind", "a"] },
        { properties: { kind: { const: "b" }, b: { type: "string" } }, required: ["kind", "b"] },
      ],
    };
    const entry = { plugin: "p", parameters: schema, permissions: [], idempotent: false };
    const catalog = { ...testCatalog, actions: new Map([["choose.It", entry]]) };
    const source = (params: string): string =>
      `name: x\ntrigger: {event: a.b}\nactions: [{operator: choose.It, params: ${params}}]`;
    assert.deepEqual(faultsOf(source("{kind: '{{ event.k }}', a: x}"), catalog), []);
    assert.match(faultsOf(source("{kind: c, a: x}"), catalog)[0]!.message, /exactly one/);
  });

  test("a plugin's schema that cannot be used hides nothing else", () => {
    const entry = { plugin: "p", parameters: { $ref: "http://x.y/z" }, permissions: [], idempotent: false };
    const catalog = { ...testCatalog, actions: new Map([["odd.It", entry]]) };
    assert.deepEqual(
      faultsOf("name: x\ntrigger: {event: a.b}\nactions: [{operator: odd.It, params: {a: 1}}]", catalog),
      [],
    );
  });
});

test("a variable cannot take the place of a name of the language", () => {
  const catalog = { ...testCatalog, variables: new Map([["event", { plugin: "evil" }]]) };
  const action = compiled(vipRule, catalog).actions.items[0] as CompiledAction;
  assert.deepEqual(action.variables, []);
});

test("the published schema is fresh, and says yes to the examples", async () => {
  assert.ok(await isRuleSchemaFresh(), "run: node tools/gen-rule-schema.ts");
  const ajv = new Ajv2020({ strict: false });
  assert.ok(ajv.validateSchema(ruleSchema), ajv.errorsText());
  const validate = ajv.compile(ruleSchema);
  for (const source of [vipRule, officeRule, full])
    assert.ok(validate(parseYaml(source)), ajv.errorsText(validate.errors));
});

describe("hostile input", () => {
  const scalar = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom(
      "{{ event.a }}",
      "{{",
      "}}",
      "{{ {{ }} }}",
      "{{ steps.a }}",
      "event.a == 1",
      "a.b",
      "a.*",
      "1h",
      "\\{{",
      "{{ '}}' }}",
    ),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
  );
  const words =
    "name id trigger triggers event filter cron webhook timezone conditions operator params cel all any not actions parallel sequence retry attempts backoff timeout continueOnError mode max throttle per count key __proto__ constructor free.Act".split(
      " ",
    );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "medium" },
      scalar,
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(fc.constantFrom(...words), tie("value"), { maxKeys: 6 }),
    ),
  }));
  const params = fc.dictionary(
    fc.constantFrom("a", "b", "tag"),
    fc.oneof(
      { arbitrary: fc.constantFrom("x", "{{ event.a }}", "a {{ event.b }} \\{{", "{{ 1 + 1 }}"), weight: 8 },
      scalar,
      value,
    ),
    { maxKeys: 3 },
  );
  const condition = fc.oneof(
    fc.record({ cel: fc.constantFrom("event.a == 1", "event.b", "now > 1", "event.c in ['x']") }),
    fc.record({ operator: fc.constantFrom("free.Form", "contact.HasTag"), params }),
    fc.record({ not: fc.record({ cel: fc.constantFrom("event.a", "x") }) }),
  );
  const action = fc.record(
    {
      operator: fc.constantFrom("free.Act", "free.Act", "free.Act", "comms.sendSms"),
      params,
      id: fc.constantFrom("a", "b", "c"),
    },
    { requiredKeys: ["operator"] },
  );
  const near = fc.record(
    {
      name: fc.string({ minLength: 1 }),
      trigger: fc.record(
        { event: fc.constantFrom("a.b", "a.*"), filter: fc.constantFrom("event.a == 1", "event.b", "x") },
        { requiredKeys: ["event"] },
      ),
      conditions: fc.oneof(
        fc.array(condition, { maxLength: 3 }),
        fc.record({ any: fc.array(condition, { minLength: 1 }) }),
      ),
      actions: fc.array(fc.oneof(action, fc.record({ parallel: fc.array(action, { minLength: 1, maxLength: 3 }) })), {
        minLength: 1,
        maxLength: 4,
      }),
      throttle: fc.record(
        { per: fc.constantFrom("1h", "90s"), key: fc.constantFrom("event.a", "x") },
        { requiredKeys: ["per"] },
      ),
      mode: fc.constantFrom("single", "queued", "parallel"),
      enabled: fc.boolean(),
    },
    { requiredKeys: ["name", "trigger", "actions"] },
  );
  const wild = fc.dictionary(fc.constantFrom(...words), value, { maxKeys: 6 });

  test("always faults or a rule, whose print is stable: 1,000 random documents", () => {
    let rules = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          wild.map((item) => JSON.stringify(item)),
          { arbitrary: near.map((item) => JSON.stringify(item)), weight: 4 },
        ),
        (source) => {
          const result = compileRule(source, testCatalog);
          assert.equal(result.rule === undefined, result.faults.length > 0, source);
          for (const fault of result.faults) {
            assert.ok(fault.line >= 1 && fault.column >= 1 && fault.path !== "", JSON.stringify(fault));
            assert.doesNotMatch(fault.message, /undefined|\[object|NaN/);
          }
          if (result.rule === undefined) return;
          rules += 1;
          const print = printRule(result.rule);
          const again = compileRule(print, testCatalog);
          assert.deepEqual(again.faults, [], print);
          assert.equal(printRule(again.rule!), print);
        },
      ),
      { numRuns: 1_000, seed: 5 },
    );
    assert.ok(rules > 20, `only ${rules} were rules`);
  });

  test("values that are no text are refused", () => {
    for (const source of [undefined, null, 5, {}, []])
      assert.equal(compileRule(source as never, testCatalog).faults.length, 1);
  });

  test("hundreds of faults are cut", () => {
    const actions = Array.from({ length: 50 }, () => "{operator: x.y, params: {a: '{{ b }} {{ c }} {{ d }}'}}").join(
      ",",
    );
    assert.equal(faultsOf(`name: x\ntrigger: {event: a.b}\nactions: [${actions}]`).length, 100);
  });
});
