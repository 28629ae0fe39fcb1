/** Schemas, patterns and manifests that a plugin supplies, built to cost the hub time or memory. INV-24. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compilePluginSchema, pluginSchemaFaults } from "../../../src/manifest/compile-schema.ts";
import { parseManifest } from "../../../src/manifest/parse-manifest.ts";
import { assertCheap } from "./cost.ts";

type Schema = Record<string, unknown>;

const doubled = (levels: number, keyword: string): Schema => {
  const $defs: Schema = { d0: { type: "string" } };
  for (let i = 1; i <= levels; i += 1) {
    const ref = { $ref: `#/$defs/d${i - 1}` };
    $defs[`d${i}`] = keyword === "properties" ? { properties: { a: ref, b: ref } } : { [keyword]: [ref, ref] };
  }
  return { $defs, $ref: `#/$defs/d${levels}` };
};

const nested = (depth: number): Schema => {
  let schema: Schema = { type: "string" };
  for (let i = 0; i < depth; i += 1) schema = { properties: { a: schema } };
  return schema;
};

const refused: Record<string, unknown> = {
  "doubled references under allOf": doubled(30, "allOf"),
  "doubled references under anyOf": doubled(30, "anyOf"),
  "doubled references under oneOf": doubled(60, "oneOf"),
  "doubled references under properties": doubled(40, "properties"),
  "a reference to itself": { $ref: "#" },
  "references in a ring": { $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" },
  "a ring through allOf": { $defs: { a: { allOf: [{ $ref: "#/$defs/a" }] } }, $ref: "#/$defs/a" },
  "a remote reference": { $ref: "https://example.com/schema.json" },
  "a reference to a file": { $ref: "file:///etc/passwd" },
  "a reference to the meta-schema": { $ref: "https://json-schema.org/draft/2020-12/schema" },
  "a reference through a prototype": { $ref: "#/constructor/prototype" },
  "an id inside, which moves references": { properties: { a: { $id: "https://example.com/", $ref: "#" } } },
  "a dynamic reference": { $dynamicAnchor: "x", properties: { a: { $dynamicRef: "#x" } } },
  depth: nested(5000),
  "a hundred thousand properties": {
    properties: Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`p${i}`, {}])),
  },
  "a giant enum": { enum: Array.from({ length: 200_000 }, (_, i) => i) },
  "a giant description": { description: "x".repeat(5_000_000) },
  "a name that pollutes": JSON.parse('{"properties":{"__proto__":{"type":"string"}}}'),
  "a repetition of repetitions": { pattern: "((((a{1,100}){1,100}){1,100}){1,100}){1,100}" },
  "a look-behind": { pattern: "(?<=(a+)+)b" },
  "a back reference": { pattern: "(a*)*\\1$" },
  "a pattern of a megabyte": { pattern: "a?".repeat(500_000) },
  "ten thousand patterns": {
    patternProperties: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`^p${i}.*$`, {}])),
  },
  "an expression for ajv's code": { $data: "1/a", const: { $data: "/x" }, $async: true, $ref: 7 },
  "no object": "schema",
};

describe("hostile schemas", () => {
  for (const [title, schema] of Object.entries(refused)) {
    it(`refuses ${title}, cheaply`, () => {
      const faults = assertCheap(title, () => pluginSchemaFaults(schema));
      assert.ok(faults.length > 0, "it was accepted");
      assert.ok(JSON.stringify(faults).length < 64 * 1024, "the faults themselves are huge");
    });
  }

  it("checks catastrophic texts against catastrophic patterns in linear time", () => {
    for (const pattern of [
      "^(a+)+$",
      "^(a|aa)+$",
      "(x+x+)+y",
      "^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+$",
    ]) {
      const compiled = compilePluginSchema({ type: "string", pattern });
      assertCheap(pattern, () => compiled.validate(`${"a".repeat(20_000)}!`));
    }
  });

  it("checks catastrophic texts against every named format cheaply", () => {
    const formats = [
      "email",
      "uri",
      "uri-reference",
      "uri-template",
      "hostname",
      "ipv4",
      "ipv6",
      "date-time",
      "duration",
      "uuid",
      "regex",
      "json-pointer",
      "byte",
      "time",
      "idn-email",
      "iri",
      "url",
    ];
    for (const format of formats) {
      if (pluginSchemaFaults({ type: "string", format }).length > 0) continue;
      const compiled = compilePluginSchema({ type: "string", format });
      for (const text of [
        "a".repeat(500_000),
        `${"a@".repeat(100_000)}!`,
        "1:".repeat(1020),
        `${"a.".repeat(1000)}@`,
        "((a*)*)*".repeat(60),
        "{".repeat(2000),
        "%".repeat(2000),
      ]) {
        assertCheap(`${format} on ${text.slice(0, 10)}…`, () => compiled.validate(text), { cpuMs: 300 });
      }
    }
  });

  it("checks a value that visits a recursive schema exponentially often at bounded cost", () => {
    const compiled = compilePluginSchema({
      $defs: {
        t: {
          anyOf: [
            { properties: { a: { $ref: "#/$defs/t" } }, required: ["x"] },
            { properties: { a: { $ref: "#/$defs/t" } }, required: ["y"] },
          ],
        },
      },
      $ref: "#/$defs/t",
    });
    let value: Schema = {};
    for (let i = 0; i < 55; i += 1) value = { a: value };
    const faults = assertCheap("recursive anyOf", () => compiled.validate(value), { cpuMs: 3000, memoryMb: 300 });
    assert.ok(faults.length > 0);
  });

  it("checks uniqueItems, deep values and huge values at bounded cost", () => {
    const unique = compilePluginSchema({ type: "array", uniqueItems: true });
    assertCheap("uniqueItems", () => unique.validate(Array.from({ length: 40_000 }, (_, i) => ({ i, pad: [i] }))), {
      cpuMs: 1500,
    });
    let deep: unknown = 1;
    for (let i = 0; i < 50_000; i += 1) deep = [deep];
    assert.ok(assertCheap("deep value", () => unique.validate(deep)).length > 0);
    const shape = compilePluginSchema({
      type: "array",
      items: { type: "object", properties: { a: { type: "string" } }, required: ["a", "b", "c"] },
    });
    assertCheap("many errors", () => shape.validate(Array.from({ length: 100_000 }, () => ({}))), { cpuMs: 1500 });
  });

  it("takes names of the object prototype in values as plain names", () => {
    const compiled = compilePluginSchema({ type: "object", additionalProperties: { type: "number" } });
    assert.ok(compiled.validate(JSON.parse('{"constructor":"x"}')).length > 0);
    assert.ok(compiled.validate(JSON.parse('{"__proto__":{"polluted":1}}')).length > 0);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  });
});

const manifest = (more: object): string =>
  JSON.stringify({ id: "acme.evil", name: "E", version: "1.0.0", type: "domain", ...more });

describe("hostile manifests", () => {
  const texts: Record<string, string> = {
    "no JSON": "{",
    "a deep array": "[".repeat(200_000),
    "a deep object": `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`,
    "ten megabytes": manifest({ description: "x".repeat(10_000_000) }),
    "a name that pollutes": `{"id":"acme.evil","name":"E","version":"1.0.0","__proto__":{"permissions":["*"]},"constructor":{"prototype":{"x":1}}}`,
    "names given twice": '{"id":"acme.good","id":"acme.evil","name":"E","version":"1.0.0"}',
    "a hundred thousand permissions": manifest({
      permissions: Array.from({ length: 100_000 }, (_, i) => `data:read:e${i}`),
    }),
    "an id with a look-alike letter": manifest({ id: "\u0430cme.greeter" }),
    "an id that climbs": manifest({ id: "../../etc/passwd" }),
    "an entrypoint that climbs": manifest({ entrypoint: "../../../etc/passwd" }),
    "a version of a megabyte": manifest({ version: `1.0.0-${"a.".repeat(500_000)}b` }),
    "a version range that explodes": manifest({
      dependencies: { "acme.x": `${">=1.0.0 ".repeat(20_000)}<2 || `.repeat(5) },
    }),
    "a schema of doubled references": manifest({ configSchema: doubled(30, "allOf") }),
    "a catastrophic pattern in a parameter": manifest({
      contributes: {
        functions: [{ name: "f", description: "d", parameters: { type: "string", pattern: "(a*)*\\1" } }],
      },
    }),
    "resources beyond all numbers": manifest({
      resources: { memoryMb: 1e308, cpuMs: -1, timeoutMs: Number.MAX_VALUE, concurrency: 0.5 },
    }),
    "every permission at once": manifest({
      permissions: [
        "*",
        "network:outbound:*",
        "network:outbound:localhost",
        "network:outbound:127.0.0.1",
        "network:outbound:0x7f000001",
        "network:outbound:[::1]",
        "network:outbound:co.uk",
        "network:outbound:example.com:22",
        "network:outbound:user@example.com",
        "network:outbound:ex\u00e4mple.com\u0000",
        "data:read:*",
        "event:publish:*",
        "plugin:call:*",
        "DATA:READ:x",
      ],
    }),
  };
  for (const [title, text] of Object.entries(texts)) {
    it(`refuses ${title}, cheaply`, () => {
      const { manifest: read, faults } = assertCheap(title, () => parseManifest(text), { cpuMs: 1500 });
      assert.equal(read, undefined, "it was accepted");
      assert.ok(faults.length > 0);
      assert.ok(JSON.stringify(faults).length < 128 * 1024, "the faults themselves are huge");
      assert.equal(({} as { permissions?: unknown }).permissions, undefined);
    });
  }

  it("names each of the permissions that are too wide or malformed", () => {
    const wide = JSON.parse(texts["every permission at once"]!) as { permissions: string[] };
    const { faults } = parseManifest(wide);
    for (const [i, permission] of wide.permissions.entries()) {
      assert.ok(
        faults.some((fault) => fault.path.includes(`[${i}]`) || fault.path.endsWith(`.${i}`)),
        `${JSON.stringify(permission)} passed`,
      );
    }
  });
});
