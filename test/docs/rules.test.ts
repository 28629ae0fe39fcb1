/** The page on rules: its examples compile, and its tables have all functions and limits there are. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { functions, macros, methods } from "../../src/rules/language/cel/functions.ts";
import { compileRule } from "../../src/rules/language/compile-rule.ts";
import { ruleLimits } from "../../src/rules/language/limits.ts";
import { ruleSchema } from "../../src/rules/language/rule-schema.ts";
import { testCatalog } from "../../src/rules/language/rules.fixture.ts";
import { bare, codeSpans, markedTable, readPage, root } from "./markdown.ts";

const page = readPage("docs/rules.md", readFileSync(join(root, "docs/rules.md"), "utf8"));

test("every rule on the page compiles", () => {
  const rules = page.blocks.filter(({ language, marks }) => language === "yaml" && marks[0] === "rule");
  assert.ok(rules.length >= 3);
  for (const { text, line } of rules)
    assert.deepEqual(compileRule(text, testCatalog).faults, [], `docs/rules.md:${line}`);
});

test("the table of functions has every one", () => {
  const shown = markedTable(page, "functions").map(([call = ""]) => bare(call).replace(/^x\./, "").replace(/\(.*/, ""));
  const wanted = new Set([...functions.keys(), ...methods.keys(), ...macros]);
  assert.deepEqual(shown.toSorted(), [...wanted].toSorted());
});

test("the table of limits has every one, with its value", () => {
  const shown = markedTable(page, "rule-limits").map(([, value]) => Number(value));
  assert.deepEqual(shown.toSorted(), Object.values(ruleLimits).toSorted());
});

test("every field of a rule is named", () => {
  const { trigger, condition, action } = ruleSchema.$defs;
  const spans = new Set(codeSpans(page).flatMap((span) => span.match(/\$?\w+/g) ?? []));
  const fields = [ruleSchema, trigger, condition, action].flatMap(({ properties }) => Object.keys(properties));
  assert.deepEqual(
    fields.filter((field) => !spans.has(field)),
    [],
  );
});
