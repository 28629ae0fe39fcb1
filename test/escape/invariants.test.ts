/** docs/sandbox-invariants.md and the attacks name each other, both ways. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { errorTable } from "../../src/errors/table.ts";
import { escapeFolder, loadAttacks } from "./attack.ts";

const doc = readFileSync(join(escapeFolder, "../../docs/sandbox-invariants.md"), "utf8");
const sections = new Map(
  [...doc.matchAll(/^### (INV-\d\d) .*\n([\s\S]*?)(?=^##|(?![\s\S]))/gm)].map((match) => [match[1]!, match[2]!]),
);
const attacks = loadAttacks();
const namedIn = (text: string): string[] =>
  [...text.matchAll(/`([a-z0-9]+(?:-[a-z0-9]+)+)`/g)].map((match) => match[1]!);
const hubTests = readdirSync(join(escapeFolder, "hub")).filter((name) => name.endsWith(".test.ts"));

it("every attack names an invariant of the document, which names the attack", () => {
  for (const attack of attacks) {
    const section = sections.get(attack.invariant);
    assert.ok(section !== undefined, `${attack.id} names ${attack.invariant}, which does not exist`);
    assert.ok(namedIn(section).includes(attack.id), `${attack.invariant} does not list ${attack.id}`);
  }
});

it("every invariant has an attack, and names none that does not exist", () => {
  const known = new Map(attacks.map((attack) => [attack.id, attack.invariant]));
  assert.ok(sections.size >= 20, "the document's sections were not found");
  for (const [invariant, text] of sections) {
    const files = [...text.matchAll(/`test\/escape\/hub\/([\w-]+\.test\.ts)`/g)].map((match) => match[1]!);
    for (const file of files) assert.ok(hubTests.includes(file), `${invariant} names ${file}, which does not exist`);
    const ids = namedIn(text);
    assert.ok(ids.length + files.length > 0, `${invariant} has no attack`);
    for (const id of ids) assert.equal(known.get(id), invariant, `${invariant} lists ${id}`);
  }
});

it("every test against the hub itself is named by an invariant", () => {
  for (const file of hubTests) assert.ok(doc.includes(`test/escape/hub/${file}`), `${file} is named by no invariant`);
});

it("every expected outcome is an error code, or completes, or any_failure", () => {
  for (const attack of attacks) {
    assert.ok(attack.expect.length > 0, `${attack.id} expects nothing`);
    for (const outcome of attack.expect) {
      assert.ok(
        outcome === "completes" || outcome === "any_failure" || Object.hasOwn(errorTable, outcome),
        `${attack.id} expects ${outcome}`,
      );
    }
  }
});

it("there are at least eighty attacks", () => {
  assert.ok(attacks.length >= 80);
});
