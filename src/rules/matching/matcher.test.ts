import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { matchesEventPattern } from "../../manifest/event-pattern.ts";
import { evaluateFilter } from "../language/evaluate.ts";
import { compiled, testEvent, withFilter } from "../language/rules.fixture.ts";
import type { CompiledRule, RuleEvent } from "../language/types.ts";
import { createMatcher } from "./matcher.ts";

function ids(matches: { id: string }[]): string[] {
  return matches.map(({ id }) => id);
}

function ruleFor(triggers: object[], more: object = {}): CompiledRule {
  return compiled(JSON.stringify({ name: "x", triggers, actions: [{ operator: "free.Act" }], ...more }));
}

describe("createMatcher", () => {
  test("by type and by domain, in the order of adding", () => {
    const matcher = createMatcher([
      ["domain", ruleFor([{ event: "comms.*" }])],
      ["type", ruleFor([{ event: "comms.call.Missed" }])],
      ["inner", ruleFor([{ event: "comms.call.*" }])],
      ["other", ruleFor([{ event: "location.*" }])],
      ["cron", ruleFor([{ cron: "* * * * *" }])],
      ["off", ruleFor([{ event: "comms.*" }], { enabled: false })],
    ]);
    assert.deepEqual(ids(matcher.match(testEvent("comms.call.Missed", {}))), ["domain", "type", "inner"]);
    assert.deepEqual(ids(matcher.match(testEvent("comms.call", {}))), ["domain"]);
    assert.deepEqual(ids(matcher.match(testEvent("commsx.call", {}))), []);
    assert.equal(matcher.size, 6);
  });

  test("a rule matches once, by its first trigger that does", () => {
    const matcher = createMatcher([
      ["r", ruleFor([{ event: "a.c" }, { event: "a.*", filter: "event.n == 1" }, { event: "a.b" }])],
    ]);
    assert.deepEqual(
      matcher.match(testEvent("a.b", { n: 1 })).map(({ id, trigger }) => [id, trigger]),
      [["r", 1]],
    );
    assert.equal(matcher.match(testEvent("a.b", { n: 2 }))[0]!.trigger, 2);
  });

  test("filters that fail do not match", () => {
    const matcher = createMatcher([["r", compiled(withFilter("event.n > 3"))]]);
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", {}))), []);
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", null))), []);
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", { n: 4 }))), ["r"]);
  });

  test("conditions in front that look at the event alone are part of the match", () => {
    const rule = ruleFor([{ event: "a.b" }], { conditions: [{ cel: "event.n == 1" }, { operator: "free.Form" }] });
    const matcher = createMatcher([["r", rule]]);
    assert.deepEqual(ids(matcher.match(testEvent("a.b", { n: 2 }))), []);
    assert.deepEqual(ids(matcher.match(testEvent("a.b", { n: 1 }))), ["r"]);
  });

  test("filters see now and the rule's id", () => {
    const matcher = createMatcher([["r-7", compiled(withFilter("rule.id == 'r-7' && now.getHours() == 5"))]]);
    assert.equal(matcher.match(testEvent("test.Happened", {}), new Date("2026-01-31T05:00:00Z")).length, 1);
    assert.equal(matcher.match(testEvent("test.Happened", {}), new Date("2026-01-31T06:00:00Z")).length, 0);
  });

  test("adding again replaces, removing leaves nothing behind", () => {
    const matcher = createMatcher();
    matcher.add("r", compiled(withFilter("event.a == 1")));
    matcher.add("r", compiled(withFilter("event.a == 2")));
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", { a: 1 }))), []);
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", { a: 2 }))), ["r"]);
    matcher.remove("r");
    matcher.remove("nobody");
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", { a: 2 }))), []);
    assert.equal(matcher.size, 0);
  });

  test("an event meets only rules whose value it has: filters of the others are not evaluated", () => {
    let evaluated = 0;
    const counted = (filter: string): CompiledRule => {
      const rule = compiled(withFilter(filter));
      const [trigger] = rule.triggers;
      assert.ok(trigger?.kind === "event" && trigger.filter !== undefined);
      const { filter: expression } = trigger;
      const evaluate: typeof expression.evaluate = (scope, budget) => {
        evaluated += 1;
        return expression.evaluate(scope, budget);
      };
      return { ...rule, triggers: [{ ...trigger, filter: { ...expression, evaluate } }] };
    };
    const matcher = createMatcher();
    for (let i = 0; i < 300; i++)
      matcher.add(`r-${i}`, counted(`event.kind == "sms" && event.to == "c-${i}" && event.n > 0`));
    for (let i = 0; i < 300; i++)
      matcher.add(`in-${i}`, counted(`event.to in ["d-${i}", "e-${i}"] && event.kind != "voice"`));
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", { kind: "sms", to: "c-17", n: 1 }))), ["r-17"]);
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", { kind: "sms", to: "e-3", n: 1 }))), ["in-3"]);
    assert.ok(evaluated <= 6, `${evaluated} filters were evaluated`);
  });

  test("filters of one event share a budget, and a matcher says when it is used up", () => {
    const overruns: string[] = [];
    const matcher = createMatcher([], { onOverrun: ({ id }) => overruns.push(id) });
    for (let i = 0; i < 50; i++)
      matcher.add(
        `r-${i}`,
        compiled(withFilter(`event.n == ${i} || event.big.all(x, event.big.all(y, x != y + 0.5))`)),
      );
    matcher.add("last", compiled(withFilter("event.n > 0")));
    const big = Array.from({ length: 10_000 }, (_, i) => i);
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", { n: 3, big }))), ["r-3"]);
    assert.deepEqual(overruns, ["e-1"]);
    assert.deepEqual(ids(matcher.match(testEvent("test.Happened", { n: 3, big: [] }))).length, 51);
    assert.equal(overruns.length, 1);
  });

  test("equals trying each rule, through adding, replacing and removing: 500 random histories", () => {
    const field = fc.constantFrom("event.a", "event.b", "event.o.a", "event['b']", "event.meta.subject");
    const literal = fc.constantFrom("1", "2", "1.0", "'x'", "'1'", "true", "null", "-1");
    const part = fc.oneof(
      fc.tuple(field, literal).map(([f, l]) => `${f} == ${l}`),
      fc.tuple(literal, field).map(([l, f]) => `${l} == ${f}`),
      fc.tuple(field, fc.array(literal, { minLength: 1, maxLength: 3 })).map(([f, l]) => `${f} in [${l.join(", ")}]`),
      fc.tuple(field, literal).map(([f, l]) => `${f} != ${l}`),
      fc.constantFrom(
        "event.a > 1",
        "event.meta.source == 'x'",
        "event.meta.type in ['a.b', 'a.b.c']",
        "has(event.b)",
        "event.flag",
        "!(event.a == 1)",
        "event.a == 1 || event.b == 2",
      ),
    );
    const filter = fc
      .array(part, { minLength: 1, maxLength: 3 })
      .map((parts) => parts.map((p) => `(${p})`).join(" && "));
    const pattern = fc.constantFrom("a.b", "a.*", "a.b.*", "a.b.c", "z.*");
    const trigger = fc.record({ event: pattern, filter }, { requiredKeys: ["event"] });
    const step = fc.record({
      id: fc.constantFrom("1", "2", "3", "4", "5"),
      remove: fc.constantFrom(false, false, false, true),
      triggers: fc.array(trigger, { minLength: 1, maxLength: 3 }),
      conditions: fc.array(
        filter.map((cel) => ({ cel })),
        { maxLength: 2 },
      ),
    });
    const anyValue = fc.constantFrom<unknown>(1, 2, -1, "x", "1", true, false, null, [1], { a: 1 });
    const data = fc.oneof(
      fc.record(
        { a: anyValue, b: anyValue, o: fc.oneof(fc.record({ a: anyValue }), anyValue), flag: anyValue },
        { requiredKeys: [] },
      ),
      anyValue,
    );
    const now = new Date(0);
    const naive = (rules: Map<string, CompiledRule>, event: RuleEvent): [string, number][] =>
      [...rules].flatMap(([id, rule]): [string, number][] => {
        const scope = { event, now, rule: { id, name: rule.name } };
        const found = rule.triggers.findIndex(
          (given) =>
            given.kind === "event" &&
            matchesEventPattern(given.pattern, event.type) &&
            (given.filter === undefined || evaluateFilter(given.filter, scope)) &&
            rule.prefilters.every((expression) => evaluateFilter(expression, scope)),
        );
        return found === -1 ? [] : [[id, found]];
      });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), fc.array(data, { minLength: 1, maxLength: 4 }), (steps, datas) => {
        const matcher = createMatcher();
        const rules = new Map<string, CompiledRule>();
        for (const { id, remove, triggers, conditions } of steps) {
          rules.delete(id);
          if (remove) matcher.remove(id);
          else {
            const source = { name: "x", triggers, conditions, actions: [{ operator: "free.Act" }] };
            const rule = compiled(JSON.stringify(source));
            rules.set(id, rule);
            matcher.add(id, rule);
          }
        }
        assert.equal(matcher.size, rules.size);
        for (const value of datas)
          for (const type of ["a.b", "a.b.c", "z.y"]) {
            const event = testEvent(type, value, { source: "x" });
            const found = matcher.match(event, now).map(({ id, trigger }) => [id, trigger]);
            assert.deepEqual(found, naive(rules, event), JSON.stringify({ steps, value, type }));
          }
      }),
      { numRuns: 500, seed: 21 },
    );
  });
});
