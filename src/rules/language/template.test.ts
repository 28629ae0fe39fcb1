import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { compiled, testEvent } from "./rules.fixture.ts";
import { splitTemplate, type TemplatePart } from "./split-template.ts";
import { renderParams } from "./template.ts";
import type { CompiledAction, Evaluated, RuleScope } from "./types.ts";

const event = testEvent("a.b", {
  name: "Ada",
  count: 3,
  none: null,
  list: [1, { a: 2 }],
  big: Array.from({ length: 10_000 }, () => "x".repeat(40)),
});
const scope: RuleScope = {
  event,
  now: new Date("2026-01-31T09:30:00Z"),
  rule: { id: "r-1", name: "Rule" },
  run: { id: "run-1", startedAt: new Date("2026-01-31T09:29:00Z") },
  steps: { first: { id: "m-1" } },
  variables: { followUp: { contactId: "c-9" } },
};

function render(params: unknown, given: RuleScope = scope): Evaluated<Record<string, unknown>> {
  const source = {
    name: "x",
    trigger: { event: "a.b" },
    actions: [
      { operator: "free.Act", id: "first" },
      { operator: "free.Act", params },
    ],
  };
  return renderParams((compiled(JSON.stringify(source)).actions.items[1] as CompiledAction).params, given);
}

describe("what a template becomes", () => {
  const table: [string, unknown][] = [
    ["plain", "plain"],
    ["{{ event.name }}", "Ada"],
    [" {{ event.count }}\n", 3],
    ["{{ event.list }}", [1, { a: 2 }]],
    ["{{ event.none }}", null],
    ["{{ 1 + 1 }}", 2],
    ["{{ event.count > 2 }}", true],
    ["{{ now }}", "2026-01-31T09:30:00.000Z"],
    ["{{ now - run.startedAt }}", "60s"],
    ["{{ steps.first.id }}", "m-1"],
    ["{{ followUp.contactId }}", "c-9"],
    ["{{ rule.id }}/{{ run.id }}", "r-1/run-1"],
    ["{{ event.meta.type }} at {{ event.meta.time }}", "a.b at 2026-01-31T09:30:00.000Z"],
    ["{{ event.meta.subject }}", null],
    ["Hi {{ event.name }}, {{ event.count }}!", "Hi Ada, 3!"],
    ["<{{ event.none }}>", "<>"],
    ["<{{ event.?nobody }}>", "<>"],
    ["all: {{ event.list }}", 'all: [1,{"a":2}]'],
    ["\\{{ event.name }}", "{{ event.name }}"],
    ["\\{{ {{ event.name }} }}", "{{ Ada }}"],
    ['{{ {"a": {"b": "}}"}}.a.b }}', "}}"],
    ["{{ '}}' }}{{ \"}}\" }}", "}}}}"],
    ["{{ r'\\d' + '''}}''' }}", "\\d}}"],
    ["{{ 9007199254740993 }}", "9007199254740993"],
    ["}} alone", "}} alone"],
    ["{ {event.name} }", "{ {event.name} }"],
    ["{{event.name}}", "Ada"],
  ];
  for (const [template, wanted] of table)
    test(JSON.stringify(template), () => {
      const result = render({ a: [{ b: template }] });
      assert.ok(result.ok, JSON.stringify(result.failure));
      assert.deepEqual(result.value, { a: [{ b: wanted }] });
    });

  test("what is no text stays as it is, and is a copy", () => {
    const first = render({ a: [1, true, null, { b: 2 }] });
    (first.value!["a"] as unknown[]).push("changed");
    assert.deepEqual(render({ a: [1, true, null, { b: 2 }] }).value, { a: [1, true, null, { b: 2 }] });
  });

  test("data that is no object is event.data", () => {
    assert.deepEqual(render({ a: "{{ event.data[1] }}" }, { ...scope, event: testEvent("a.b", [1, 2]) }).value, {
      a: 2,
    });
  });

  test("the envelope cannot be forged by data", () => {
    const forged = testEvent("a.b", { meta: { type: "z.z" } });
    assert.deepEqual(render({ a: "{{ event.meta.type }}" }, { ...scope, event: forged }).value, { a: "a.b" });
  });
});

describe("what fails says where in the source", () => {
  test("a missing field", () => {
    const { failure } = render({ a: "Hi {{ event.nobody }}" });
    assert.equal(failure?.code, "missing");
    assert.equal(failure?.path, "actions[1].params.a");
    assert.equal(failure?.line, 1);
  });

  test("params that get too large", () => {
    const part = "{{ event.big.join('') }}";
    assert.equal(render({ a: part }).failure?.code, "size");
    const half = "{{ event.big.map(x, x.substring(0, 20)).join('') }}";
    assert.ok(render({ a: half, b: half }).ok);
    assert.equal(render({ a: half, b: half, c: half }).failure?.code, "size");
    assert.equal(render({ a: "{{ event.big.map(x, event.big) }}" }).failure?.code, "size");
  });
});

function shape({ parts }: { parts: TemplatePart[] }): string[] {
  return parts.map((part) => ("text" in part ? `text ${part.text}` : `cel ${part.expression}`));
}

test("the expressions of one action share a budget", () => {
  const costly = "{{ event.big.all(x, x != 'y') }}";
  assert.ok(render({ a: costly }).ok);
  assert.equal(
    render(Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`a${i}`, costly]))).failure?.code,
    "cost",
  );
});

test("splitting loses nothing: 5,000 random texts", () => {
  const piece = fc.constantFrom("{{", "}}", "{", "}", "'", '"', "\\", "a", " ", "event.a", "r'", "'''", "\n", "\\{{");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const text = pieces.join("");
      const { parts, unclosed } = splitTemplate(text);
      if (unclosed !== undefined) return assert.ok(text.startsWith("{{", unclosed));
      const again = parts.map((p) => ("text" in p ? p.text.replaceAll("{{", "\\{{") : `{{${p.expression}}}`)).join("");
      assert.deepEqual(shape(splitTemplate(again)), shape({ parts }));
      if (!text.includes("\\{{")) assert.equal(again, text);
      for (const part of parts) if ("expression" in part) assert.ok(text.startsWith(part.expression, part.offset));
    }),
    { numRuns: 5_000, seed: 3 },
  );
});
