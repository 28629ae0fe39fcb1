import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Environment } from "@marcbachmann/cel-js";
import fc from "fast-check";
import type { EvaluationFailure } from "../types.ts";
import { type CompiledExpression, compileExpression } from "./compile.ts";
import { dyn, nowType, ruleType } from "./environment.ts";
import type { CelScope } from "./expression.ts";
import { createCelParser } from "./parse.ts";
import type { CelType } from "./types.ts";
import { toJson } from "./values.ts";

const parse = createCelParser();
const environment = {
  roots: new Map([
    ["event", { type: "map" as const }],
    ["now", nowType],
    ["rule", ruleType],
    ["anything", dyn],
  ]),
  absent: new Map([["steps", "No action has run yet."]]),
};

function compile(source: string, wanted?: CelType): CompiledExpression {
  return compileExpression(source, { parse, environment, ...(wanted === undefined ? {} : { wanted }) });
}

const event = {
  name: "Ada",
  count: 3,
  ratio: 0.5,
  open: true,
  none: null,
  tags: ["vip", "friend"],
  from: { id: "c-1", "odd name": 1 },
  items: [
    { n: 1, ok: true },
    { n: 2, ok: false },
    { n: 3, ok: true },
  ],
  at: "2026-01-31T09:30:00Z",
};
const scope: CelScope = { event, now: new Date("2026-01-31T10:30:00Z"), rule: { id: "r-1", name: "R" }, anything: 1 };

function value(source: string, given: CelScope = scope): unknown {
  const { expression, faults } = compile(source);
  assert.deepEqual(faults, [], source);
  const result = expression!.evaluate(given);
  assert.ok(result.ok, `${source}: ${JSON.stringify(result.failure)}`);
  return toJson(result.value);
}

function failure(source: string, given: CelScope = scope): EvaluationFailure {
  const { expression, faults } = compile(source);
  assert.deepEqual(faults, [], source);
  const result = expression!.evaluate(given);
  assert.ok(!result.ok, `${source} gives ${JSON.stringify(result.ok ? toJson(result.value) : 0)}`);
  return result.failure;
}

describe("what expressions give", () => {
  const table: [string, unknown][] = [
    ["1 + 2 * 3", 7],
    ["7 / 2", 3],
    ["-7 / 2", -3],
    ["7 % 3", 1],
    ["7.0 / 2.0", 3.5],
    ["event.count + 1", 4],
    ["event.count / 2", 1.5],
    ["event.count == 3", true],
    ["event.count == 3.0", true],
    ["event.count != 4", true],
    ["event.count >= 3 && event.count < 4.5", true],
    ["event.count in [1, 2, 3]", true],
    ["'vip' in event.tags", true],
    ["'id' in event.from", true],
    ["\"x\" + event.name + 'y'", "xAday"],
    ["event.from.id", "c-1"],
    ['event.from["odd name"]', 1],
    ["event.tags[1]", "friend"],
    ["event.items[1].n", 2],
    ["event.none == null", true],
    ["event == event", true],
    ["event.tags == ['vip', 'friend']", true],
    ["event.from == {'odd name': 1, 'id': 'c-1'}", true],
    ["has(event.name)", true],
    ["has(event.nobody)", false],
    ["has(event.nobody.name)", false],
    ["has(event.from.id)", true],
    ["event.?nobody.orValue('x')", "x"],
    ["event.?nobody.?name.orValue('x')", "x"],
    ["event.?name.orValue('x')", "Ada"],
    ["event.?none.?name.orValue('x')", "x"],
    ["event.?nobody", null],
    ["event.?nobody.hasValue()", false],
    ["event.tags[?5].orValue('none')", "none"],
    ["true ? 1 : 2", 1],
    ["has(event.x) ? event.x : null", null],
    ["false && event.nobody == 1", false],
    ["event.nobody == 1 && false", false],
    ["event.nobody == 1 || true", true],
    ["event.items.all(i, i.n > 0)", true],
    ["event.items.exists(i, i.nobody == 1 || i.n == 3)", true],
    ["event.items.exists_one(i, i.n == 2)", true],
    ["event.items.filter(i, i.ok).map(i, i.n)", [1, 3]],
    ["event.items.map(i, i.ok, i.n * 10)", [10, 30]],
    ["event.items.map(i, event.tags.map(t, t + string(i.n)))[2][0]", "vip3"],
    ["event.from.exists(k, k == 'id')", true],
    ["[1, 2] + [3]", [1, 2, 3]],
    ["size('a😀b')", 3],
    ["event.tags.size() + size(event.from)", 4],
    ["'Ada Lovelace'.startsWith('Ada') && 'x.png'.endsWith('.png') && 'abc'.contains('b')", true],
    ["'a-b-c'.split('-').join('+')", "a+b+c"],
    ["'abcdef'.substring(2, 4) + 'abc'.substring(1)", "cdbc"],
    ["' a '.trim() + 'B'.lowerAscii() + 'c'.upperAscii() + 'ÄB'.lowerAscii()", "abCÄb"],
    ["'a.b.c'.replace('.', '$&')", "a$&b$&c"],
    ["'abcabc'.indexOf('c') + 'abcabc'.lastIndexOf('c') + 'abcabc'.indexOf('c', 3)", 12],
    ["'+49 30 1234'.matches('^\\\\+49[ 0-9]+$')", true],
    ["'xay'.matches('a')", true],
    ["int('42') + int(2.9) + int(event.count)", 47],
    ["double('1.5') * 2.0", 3],
    ["string(1) + string(true) + string(1.5)", "1true1.5"],
    ["bool('true')", true],
    ["now - timestamp(event.at) == duration('1h')", true],
    ["now - timestamp(event.at) < duration('90m')", true],
    ["now + duration('24h')", "2026-02-01T10:30:00.000Z"],
    ["duration('90m')", "5400s"],
    ["duration('90m').getHours()", 1],
    ["now.getHours()", 10],
    ["now.getHours('Europe/Berlin')", 11],
    ["now.getDayOfWeek()", 6],
    ["now.getDayOfYear()", 30],
    ["now.getMonth() + now.getDate() + now.getDayOfMonth()", 61],
    ["now.getMinutes('+05:45')", 15],
    ["timestamp('2026-03-29T01:30:00Z').getHours('Europe/Berlin')", 3],
    ["{'a': 1, 'b': [true, null]}", { a: 1, b: [true, null] }],
    ["9007199254740993", "9007199254740993"],
    ["rule.name + rule.id", "Rr-1"],
    ["!(event.open) || event.ratio < 1", true],
    ["// why\n event.open", true],
  ];
  for (const [source, wanted] of table)
    test(`${source} → ${JSON.stringify(wanted)}`, () => assert.deepEqual(value(source), wanted));
});

describe("what cannot be evaluated says why, and where", () => {
  const table: [string, EvaluationFailure["code"], RegExp, number][] = [
    ["event.nobody", "missing", /`event\.nobody` is not there/, 7],
    ["event.name == 'Ada' && event.nobody == 1", "missing", /event\.nobody/, 30],
    ["event.none.name", "missing", /event\.none\.name/, 12],
    ["event.name.first", "type", /a text has no fields/, 12],
    ["event.tags[9]", "missing", /not there/, 11],
    ["event.name + 1", "type", /`\+` does not work on a text and a whole number/, 12],
    ["event.name && true", "type", /must be true or false, not a text/, 1],
    ["event.count.map(x, x)", "type", /goes through a list/, 13],
    ["event.items.map(i, i.nobody)", "missing", /i\.nobody/, 22],
    ["1 / (anything == 1 ? 0 : 1)", "argument", /Division by zero/, 3],
    ["9223372036854775807 + 1", "argument", /too large/, 21],
    ["timestamp(event.name)", "argument", /no time/, 1],
    ["now.getHours(event.name)", "argument", /no such time zone/, 5],
    ["int(event.name)", "argument", /no whole number/, 1],
    ["event.name.substring(9)", "argument", /outside/, 12],
    ["event.name.matches(event.name + '(')", "argument", /regular expression/, 12],
    ["event.?nobody == 1", "missing", /orValue/, 15],
  ];
  for (const [source, code, message, column] of table)
    test(source, () => {
      const found = failure(source);
      assert.equal(found.code, code, found.message);
      assert.match(found.message, message);
      assert.equal(found.column, column);
    });

  test("a root without a value is missing", () => {
    assert.equal(failure("event.x", { now: new Date() }).code, "missing");
  });
});

describe("what is checked before it runs", () => {
  const table: [string, RegExp, number][] = [
    ["evnt.name == 1", /Did you mean `event`/, 0],
    ["nobody", /Known here: `event`, `now`/, 0],
    ["steps.x", /No action has run yet/, 0],
    ["rule.nam", /no field `nam`.*`name`/, 5],
    ["event.name.startWith('a')", /Did you mean `startsWith`/, 11],
    ["sizeof(event)", /no function `sizeof`/, 0],
    ["startsWith(event.name, 'a')", /value\.startsWith/, 0],
    ["event.name.string()", /Write `string\(…\)`/, 11],
    ["1 + 'a'", /does not work on a whole number and a text/, 2],
    ["1 == 'a'", /never equal/, 2],
    ["'a' in 'abc'", /contains/, 4],
    ["now > 1", /does not work on a time and a whole number/, 4],
    ["1 && true", /must be true or false/, 0],
    ["size(1)", /takes/, 0],
    ["event.name.matches('(a')", /regular expression/, 19],
    ["event.name.matches('a(?=b)')", /look-ahead/, 19],
    ["event.items.map(1, 2)", /iteration variable/, 16],
    ["event.items.map(i)", /no method|takes a name/, 12],
    ["has(event)", /has/, 0],
    ["'a'.b", /no fields/, 4],
    ["[1]['a']", /A list takes a whole number/, 4],
    ["{'a': 1, 'a': 2}", /twice/, 9],
    ["{1: 2}", /are texts/, 1],
    ["b'abc'", /Bytes/, 0],
    ["1u", /without `u`/, 0],
    ["99999999999999999999", /too large/, 0],
    ["event.a = 1", /`==`/, 8],
    ["event.a &", /&&/, 8],
    ["event.a ==", /ends too early/, 10],
    ["", /empty/, 0],
    ["if", /reserved/, 0],
    ["event.a.map(a, a.map(b, b.map(c, c.map(d, d))))", /at most 3 times/, 35],
    [`event.a == "${"x".repeat(5000)}"`, /at most 4000 characters/, 4000],
    ["[".repeat(100), /nested/, 40],
    [`${"!".repeat(3_000)}true`, /too large|nested/, -1],
    [`1${" + 1".repeat(600)}`, /too large/, -1],
  ];
  for (const [source, message, offset] of table)
    test(source.slice(0, 60), () => {
      const { expression, faults } = compile(source);
      assert.equal(expression, undefined);
      assert.match(faults[0]!.message, message);
      if (offset >= 0) assert.equal(faults[0]!.offset, offset);
    });

  test("a filter must be true or false", () => {
    assert.match(compile("event.name + 'x'", "bool").faults[0]!.message, /must be true or false, but this is a text/);
    assert.deepEqual(compile("event.open", "bool").faults, []);
  });

  test("tells all faults of an expression", () => {
    assert.equal(compile("evnt.a == 1 && nw > 3 && event.b.foo()").faults.length, 3);
  });

  test("a rule's patterns are counted", () => {
    const patterns = { left: 2 };
    const many = "'a'.matches('a') || 'a'.matches('b') || 'a'.matches('c')";
    assert.match(compileExpression(many, { parse, environment, patterns }).faults[0]!.message, /regular expressions/);
  });
});

describe("what it asks of the event by equality", () => {
  const table: [string, [string, unknown[]][], boolean][] = [
    ["event.a == 'x'", [["a", ["x"]]], true],
    ["'x' == event.a.b", [["a.b", ["x"]]], true],
    ["event['a'].b == 3", [["a.b", [3]]], true],
    ["event.a == -1.5", [["a", [-1.5]]], true],
    [
      "event.a in ['x', 'y'] && event.b == null",
      [
        ["a", ["x", "y"]],
        ["b", [null]],
      ],
      true,
    ],
    [
      "event.a == 'x' && event.b > 3 && (event.c == true && event.d == 1)",
      [
        ["a", ["x"]],
        ["c", [true]],
        ["d", [1]],
      ],
      false,
    ],
    ["event.a == 'x' || event.b == 'y'", [], false],
    ["!(event.a == 'x')", [], false],
    ["event.a != 'x'", [], false],
    ["event.a == 9007199254740993", [], false],
    ["event.a in []", [], false],
    ["event.?a == 'x'", [], false],
    ["event.a == event.b", [], false],
    ["event.l[0] == 'x'", [], false],
    ["event.l.exists(event, event.a == 'x')", [], false],
  ];
  for (const [source, wanted, complete] of table)
    test(source, () => {
      const { expression } = compile(source);
      assert.deepEqual(
        expression!.equalities.map(({ path, values }) => [path.join("."), values]),
        wanted,
      );
      assert.equal(expression!.onlyEqualities, complete);
    });
});

describe("attacks on the hub's time and memory", () => {
  const big = Array.from({ length: 10_000 }, (_, i) => i);
  const hostile = {
    big,
    words: big.map(String),
    objects: big.map((n) => ({ n, l: [n] })),
    text: "a".repeat(200_000),
    mid: "ab".repeat(500),
  };
  const given = { event: hostile, now: new Date() };
  const costly = [
    "event.big.all(x, event.big.all(y, event.big.all(z, z >= 0)))",
    "event.big.exists(x, event.big.exists(y, y.nobody == 1))",
    "event.big.all(x, event.objects == event.objects.map(y, y))",
    "event.big.all(x, !(-1 in event.big))",
    "event.words.map(x, event.words.join(','))",
    "event.big.all(x, event.text.size() > 0)",
    "event.text.matches('(a|a)*b')",
    "event.mid.matches('(ab?){1,200}c')",
    "event.words.all(x, 'abc'.matches(x + '(a{1,100}){1,9}') || true)",
    "event.text.contains(event.text.substring(0, 50000) + 'b' + event.text.substring(0, 50000))",
    "event.big.all(x, now.getHours('Europe/Berlin') >= 0)",
    "event.big.map(x, event.text + event.text)",
    "event.big.map(x, event.big + event.big)",
    "event.text.replace('a', 'bbbbbbbbbb')",
    "event.text.replace('', 'b')",
    "event.text.split('')",
  ];
  for (const source of costly)
    test(source, () =>
      assert.ok(["cost", "size"].includes(failure(source, given).code), failure(source, given).message),
    );

  test("a small value that would be large as JSON has no JSON", () => {
    const { expression } = compile("event.big.map(x, event.big)");
    const result = expression!.evaluate(given);
    assert.ok(result.ok);
    assert.throws(() => toJson(result.value), { code: "size" });
  });

  test("a value nested ten thousand deep ends in a failure", () => {
    const nest = (): object => {
      let inner: object = {};
      for (let i = 0; i < 10_000; i++) inner = { a: inner };
      return inner;
    };
    assert.equal(failure("event.a == event.b", { event: { a: nest(), b: nest() } }).code, "cost");
  });

  test("names of prototypes are fields like others", () => {
    assert.equal(value("has(event.constructor) || has(event.toString) || has(event.__proto__)"), false);
    assert.equal(failure("event['__proto__']").code, "missing");
    assert.equal(value("'constructor' in event"), false);
    assert.match(compile("{'__proto__': 1}").faults[0]!.message, /not allowed/);
    assert.equal(failure("{event.name.replace('Ada', '__proto__'): 1}").code, "type");
  });
});

/** Random expressions of the part of CEL that cel-js and we read alike. */
const { expression: anyExpression } = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom("1", "2", "0", "1.5", "'a'", "'abc'", "true", "false", "null", "x", "y", "z", "[1, 2]", "['a']"),
    fc
      .tuple(
        fc.constantFrom("+", "-", "*", "==", "!=", "<", ">=", "&&", "||", "in"),
        tie("expression"),
        tie("expression"),
      )
      .map(([op, a, b]) => `(${a} ${op} ${b})`),
    tie("expression").map((a) => `!${a}`),
    tie("expression").map((a) => `size(${a})`),
    tie("expression").map((a) => `string(${a})`),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `${a}.contains(${b})`),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `${a}.startsWith(${b})`),
    fc.tuple(tie("expression"), tie("expression"), tie("expression")).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `${a}.filter(i, ${b})`),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `${a}.exists(i, i == ${b})`),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `${a}.all(i, i == ${b})`),
  ),
}));

test("what cel-js answers, we answer: 5,000 random expressions", () => {
  const reference = new Environment({ homogeneousAggregateLiterals: false })
    .registerVariable("x", "dyn")
    .registerVariable("y", "dyn")
    .registerVariable("z", "dyn");
  const own = {
    roots: new Map([
      ["x", dyn],
      ["y", dyn],
      ["z", dyn],
    ]),
    absent: new Map<string, string>(),
  };
  const given = { x: 3, y: "abc", z: [1, 2, 3] };
  let compared = 0;
  fc.assert(
    fc.property(anyExpression, (source) => {
      let wanted: unknown;
      try {
        wanted = toJson(reference.evaluate(source, given));
      } catch {
        return;
      }
      const { expression, faults } = compileExpression(source, { parse, environment: own });
      // What is never equal and what mixes types is refused earlier here.
      if (expression === undefined) return assert.ok(faults.length > 0);
      const result = expression.evaluate(given);
      if (!result.ok) assert.equal(result.failure.code, "type", `${source}: ${result.failure.message}`);
      else assert.deepEqual(toJson(result.value), wanted, source);
      compared += 1;
    }),
    { numRuns: 5_000, seed: 20260131 },
  );
  assert.ok(compared > 500, `only ${compared} were evaluated by both`);
});

test("any text gives faults within it or an expression, and evaluating never throws", () => {
  const words = fc.constantFrom(
    ..."event.name event.nobody now rule ( ) [ ] { } . ?. , : ? == != < && || ! - + * / % in 'a' \"b\" r'c' 1 2.5 null true has( .map( .filter( .all( .matches( size( \\ // \n u b' ''' `".split(
      " ",
    ),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.array(words, { maxLength: 25 }).map((a) => a.join(" ")),
        fc.array(words, { maxLength: 15 }).map((a) => a.join("")),
      ),
      (source) => {
        const { expression, faults } = compile(source);
        assert.equal(expression === undefined, faults.length > 0);
        for (const fault of faults) {
          assert.ok(fault.offset >= 0 && fault.offset <= source.length, `${source}: ${fault.offset}`);
          assert.ok(fault.message.length > 5 && !/undefined|\[object/.test(fault.message), fault.message);
        }
        expression?.evaluate(scope);
      },
    ),
    { numRuns: 3_000, seed: 7 },
  );
});
