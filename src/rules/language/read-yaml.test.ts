import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { ruleLimits } from "./limits.ts";
import { readYaml } from "./read-yaml.ts";

const styles = `name: x
plain: a.b == "c"
folded: >-
  a.b == "c"
    && d.e
  zz
literal: |
  one
    two {{ x }}
double: "a\\n\\tb \\u00e9 \\U0001F600 end {{ y }}"
single: 'it''s {{ z }}'
over lines: a b
  c {{ q }}
flow: {a: [1, "x {{ w }}"]}
`;

test("a character of a text is found in the source, whatever the style", () => {
  const yaml = readYaml(styles, ruleLimits);
  assert.deepEqual(yaml.faults, []);
  const value = yaml.value as Record<string, string>;
  const lines = styles.split("\n");
  for (const [name, needle] of [
    ["plain", "c"],
    ["folded", "d.e"],
    ["folded", "zz"],
    ["literal", "x"],
    ["double", "y"],
    ["double", "end"],
    ["single", "z"],
    ["over lines", "q"],
  ] as const) {
    const { line, column } = yaml.locateIn([name], value[name]!.indexOf(needle));
    assert.equal(lines[line - 1]!.slice(column - 1, column - 1 + needle.length), needle, name);
  }
});

test("every visible character of every text stands where it is said to: 2,000 random documents", () => {
  const text = fc.array(fc.constantFrom(..."ab'\"\\:#{}- \n\t,é😀&*!|>%@`".split(""), "{{ x }}", "  ", "word word"), {
    maxLength: 40,
  });
  const styled = fc.constantFrom("PLAIN", "QUOTE_SINGLE", "QUOTE_DOUBLE", "BLOCK_LITERAL", "BLOCK_FOLDED");
  fc.assert(
    fc.property(text, styled, fc.constantFrom(0, 40), (parts, defaultStringType, lineWidth) => {
      const source = stringify(
        { a: [{ b: parts.join("") }] },
        { defaultStringType, defaultKeyType: "PLAIN", lineWidth },
      );
      const yaml = readYaml(source, ruleLimits);
      assert.deepEqual(yaml.faults, []);
      // Blanks alone do not survive every style.
      const wanted = (yaml.value as { a: [{ b: string }] }).a[0].b;
      const lines = source.split("\n");
      for (let i = 0; i < wanted.length; i++) {
        const character = wanted[i]!;
        if (/\s/.test(character) || (character >= "\ud800" && character <= "\udfff")) continue;
        const { line, column } = yaml.locateIn(["a", 0, "b"], i);
        const found = lines[line - 1]![column - 1];
        assert.ok(
          found === character || found === "\\",
          `${JSON.stringify(source)} ${i}: ${character} is not ${found}`,
        );
      }
    }),
    { numRuns: 2_000, seed: 42 },
  );
});

describe("what is refused, with its place", () => {
  const table: [string, string, RegExp, number, number][] = [
    ["an anchor", "a: &x 1", /Anchors.*`&x`/, 1, 7],
    ["an alias", "a: 1\nb: *x", /Aliases/, 2, 4],
    ["a bomb of aliases", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", /Anchors/, 1, 7],
    ["a tag of its own", "a: !!js/function x", /Tags/, 1, 18],
    ["a local tag", "a: !thing {b: 1}", /Tags/, 1, 11],
    ["a merge key", "<<: {a: 1}", /`<<` is not allowed/, 1, 1],
    ["a name twice", "a: 1\nb: 2\na: 3", /`a` is there twice/, 3, 1],
    ["__proto__", "__proto__: 1", /not allowed/, 1, 1],
    ["a second document", "a: 1\n---\nb: 2", /One rule a document/, 2, 1],
    ["YAML 1.1", "%YAML 1.1\n---\na: yes", /Only YAML 1.2/, 1, 1],
    ["a number no double holds", "a: 123456789012345678901234567890", /too large/, 1, 4],
    ["infinity", "a: .inf", /too large/, 1, 4],
    ["a tab", "a:\n\tb: 1", /spaces, not tabs/, 2, 1],
    ["nothing", "", /empty/, 1, 1],
    ["comments alone", "# a\n# b", /empty/, 1, 1],
    ["half a character", "a: \ud800", /half a character/, 1, 1],
    ["NUL", "a: \u0000", /NUL/, 1, 1],
    ["a list for a name", "? [a]\n: 1", /plain texts/, 1, 3],
    ["a quote without end", 'a: "b', /missing/, 1, 6],
    ["80 KB", `a: ${"x".repeat(80_000)}`, /65536 characters/, 1, 1],
    ["deep brackets", `a: ${"[".repeat(60_000)}`, /levels deep/, 1, 100],
    ["deep dashes", "- ".repeat(30_000), /levels deep/, 1, 193],
    ["deep indentation", Array.from({ length: 300 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"), /levels deep/, 26, 26],
    ["many lines", "#\n".repeat(30_000), /5000 lines/, 1, 1],
    ["many errors", `[${",".repeat(60_000)}]`, /5000 lines/, 1, 1],
    ["many tags", "! ".repeat(30_000), /5000 lines/, 1, 1],
    ["many values", `a: [${"1,".repeat(4_999)}1, 2]`, /5000 (lines|values)/, 1, 1],
  ];
  for (const [what, source, message, line, column] of table)
    test(what, () => {
      const { faults, value } = readYaml(source, ruleLimits);
      assert.equal(value, undefined);
      assert.match(faults[0]!.message, message);
      if (what !== "deep brackets" && what !== "deep dashes" && what !== "many values")
        assert.deepEqual([faults[0]!.line, faults[0]!.column], [line, column]);
    });

  test("yes, no and dates are texts, as YAML 1.2 has it", () => {
    assert.deepEqual(readYaml("a: [yes, no, 2026-01-31, 0x10, true, ~]", ruleLimits).value, {
      a: ["yes", "no", "2026-01-31", 16, true, null],
    });
  });
});

test("any text is read or refused, without an exception", () => {
  const words = fc.constantFrom(
    ..."a: - ? [ ] { } , : \n \t & * ! | > ' \" # % --- ... << \\ 1 ~ é".split(" "),
    "\n  ",
    "\n    - ",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.array(words, { maxLength: 60 }).map((all) => all.join(" ")),
      ),
      (source) => {
        const yaml = readYaml(source, ruleLimits);
        assert.equal(yaml.value === undefined, yaml.faults.length > 0);
        const lines = source.split("\n").length;
        for (const { line, column } of yaml.faults) assert.ok(line >= 1 && line <= lines && column >= 1);
      },
    ),
    { numRuns: 3_000, seed: 11 },
  );
});
