import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { compilePluginSchema, pluginSchemaFaults } from "./compile-schema.ts";
import { schemaCaps } from "./schema-guard.ts";
import { knownKeywords, refusedKeywords } from "./schema-keywords.ts";
import { valueCaps } from "./value-caps.ts";

type Schema = Record<string, unknown>;

const validate = (schema: Schema, value: unknown): Record<string, string> =>
  Object.fromEntries(
    compilePluginSchema(schema)
      .validate(value)
      .map(({ path, message }) => [path, message]),
  );

describe("compilePluginSchema", () => {
  const person: Schema = {
    type: "object",
    properties: {
      name: { type: "string", minLength: 1 },
      age: { type: "integer", minimum: 0 },
      born: { type: "string", format: "date" },
      plan: { enum: ["free", "paid"] },
      address: { $ref: "#/$defs/address" },
      tags: { type: "array", items: { type: "string" }, uniqueItems: true },
      token: { type: "string", format: "secret", hosts: [] },
    },
    required: ["name"],
    additionalProperties: false,
    $defs: { address: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
  };

  const cases: [title: string, value: unknown, path: string, sentence: RegExp][] = [
    ["what is missing, at its own path", {}, "name", /`name` is missing; add it/],
    ["what is missing deeper", { name: "x", address: {} }, "address.city", /missing/],
    ["a wrong type in plain words", { name: 5 }, "name", /must be a text, not a number/],
    ["a misspelt field", { name: "x", agee: 1 }, "agee", /Did you mean `age`/],
    ["an unknown field with the known ones", { name: "x", zzzzzz: 1 }, "zzzzzz", /Known here: `name`/],
    ["a near miss of an enum", { name: "x", plan: "Free" }, "plan", /Did you mean `free`/],
    ["a date that is none", { name: "x", born: "2026-02-30" }, "born", /such as `2026-01-31`/],
    ["an equal item", { name: "x", tags: ["a", "a"] }, "tags", /only once/],
    ["an item by its index", { name: "x", tags: ["a", 1] }, "tags[1]", /a text/],
    ["no object", "x", "$", /must be an object, not a text/],
  ];
  for (const [title, value, path, sentence] of cases) {
    test(`names ${title}`, () => assert.match(validate(person, value)[path] ?? `nothing at ${path}`, sentence));
  }

  test("finds nothing in a valid value and leaves it as it was", () => {
    const value = {
      name: "x",
      age: 3,
      born: "2026-01-31",
      plan: "paid",
      address: { city: "y" },
      tags: ["a", "b"],
      token: "t",
    };
    const before = structuredClone(value);
    assert.deepEqual(validate(person, value), {});
    assert.deepEqual(value, before);
  });

  test("never repeats a value, which may be a secret", () => {
    const schema = {
      type: "object",
      properties: { token: { type: "string", format: "secret", pattern: "^xoxb-", minLength: 40, enum: ["a"] } },
    };
    const text = JSON.stringify(compilePluginSchema(schema).validate({ token: "hunter2hunter2" }));
    assert.ok(!text.includes("hunter2"), text);
  });

  test("partial leaves out what is missing and keeps what is wrong", () => {
    const { validate } = compilePluginSchema(person);
    assert.deepEqual(validate({}, { partial: true }), []);
    assert.equal(validate({ age: -1 }, { partial: true }).length, 1);
  });

  test("unseen fields are looked for and not looked at", () => {
    const schema = {
      type: "object",
      properties: {
        keys: { type: "array", items: { type: "string", pattern: "^k" } },
        token: { type: "string", minLength: 20 },
      },
      required: ["token"],
    };
    const { validate } = compilePluginSchema(schema);
    const unseen = new Set(["token", "keys.*"]);
    assert.deepEqual(validate({ token: "********", keys: ["********"] }, { unseen }), []);
    assert.equal(validate({}, { unseen }).length, 1);
  });

  test("tells two patterns of one schema apart", () => {
    const schema = {
      type: "object",
      properties: { a: { type: "string", pattern: "^a$" }, b: { type: "string", pattern: "^b$" } },
    };
    assert.deepEqual(validate(schema, { a: "a", b: "b" }), {});
    assert.deepEqual(Object.keys(validate(schema, { a: "b", b: "a" })), ["a", "b"]);
  });

  test("takes inherited names for what they are: not there", () => {
    const schema = { type: "object", properties: { toString: { type: "string" } }, required: ["valueOf"] };
    assert.deepEqual(Object.keys(validate(schema, {})), ["valueOf"]);
    assert.deepEqual(validate(schema, { toString: "x", valueOf: 1 }), {});
  });

  test("gives the same compiled schema for equal text, whoever brings it", () => {
    assert.equal(
      compilePluginSchema({ type: "object", title: "same" }),
      compilePluginSchema({ type: "object", title: "same" }),
    );
  });

  test("refuses at compile time what the guard refuses", () => {
    assert.throws(() => compilePluginSchema({ $ref: "https://vendor.com/schema.json" }), { code: "invalid_input" });
  });
});

test("every keyword that ajv acts on is known to the guard or refused by it", () => {
  const { RULES } = new Ajv2020({ strict: false });
  const unknown = Object.keys(RULES.all).filter(
    (keyword) => !knownKeywords.has(keyword) && !Object.hasOwn(refusedKeywords, keyword),
  );
  assert.deepEqual(unknown, []);
});

describe("schemas of a plugin", () => {
  const doubled = (levels: number): Schema => ({
    $ref: "#/$defs/d0",
    $defs: Object.fromEntries([
      ...Array.from({ length: levels }, (_, i) => [
        `d${i}`,
        { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
      ]),
      [`d${levels}`, { type: "string" }],
    ]),
  });
  const nested = (depth: number): Schema => {
    let schema: Schema = {};
    for (let i = 0; i < depth; i++) schema = { not: schema };
    return schema;
  };
  const named = (count: number, schema: unknown): Schema =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, schema]));

  const refused: [title: string, schema: Schema, sentence: RegExp][] = [
    ["1.7 KB of doubled references", doubled(26), /write out to more than/],
    ["references that lead back to themselves", { $ref: "#" }, /never end/],
    [
      "a ring of references",
      { $defs: { a: { anyOf: [{ $ref: "#/$defs/b" }] }, b: { allOf: [{ $ref: "#/$defs/a" }] } }, $ref: "#/$defs/a" },
      /never end/,
    ],
    ["a remote reference", { $ref: "https://vendor.com/x.json" }, /leads out of/],
    ["a relative reference", { $ref: "other.json#/x" }, /leads out of/],
    ["a reference to nothing", { $ref: "#/$defs/none" }, /leads to no schema/],
    [
      "a reference to something that is no schema",
      { $ref: "#/properties/a/default", properties: { a: { default: { type: "string" } } } },
      /leads to no schema/,
    ],
    ["a reference through a prototype", { $ref: "#/$defs/toString", $defs: {} }, /leads to no schema/],
    ["a dynamic reference", { $dynamicRef: "#x" }, /not allowed/],
    [
      "an address inside",
      { properties: { a: { $id: "https://json-schema.org/draft/2020-12/schema" } } },
      /only the root/,
    ],
    ["$async, which would make every value valid", { $async: true, type: "string" }, /synchronous/],
    ["$data", { properties: { a: { minimum: { $data: "1/b" } } } }, /must be a number|a number/],
    ["dependencies, whose schemas nobody counts", { dependencies: { a: { type: "string" } } }, /dependentSchemas/],
    ["another draft", { $schema: "http://json-schema.org/draft-04/schema#" }, /2020-12/],
    ["too many subschemas", { properties: named(schemaCaps.subschemas + 1, {}) }, /at most 500 subschemas/],
    ["too many bytes", { description: "x".repeat(schemaCaps.bytes) }, /bytes/],
    ["too deep a nesting", nested(100), /levels deep/],
    ["nesting that would overflow a stack", nested(50_000), /levels deep/],
    ["a prototype's name", { properties: JSON.parse('{"__proto__": {}}') as Schema }, /may not use the name/],
    ["a name with control characters", { properties: { "a\nb": {} } }, /control characters/],
    ["a long pattern", { type: "string", pattern: "a".repeat(600) }, /at most 512/],
    [
      "too many patterns",
      { patternProperties: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`^a${i}`, {}])) },
      /at most 32 patterns/,
    ],
    [
      "a pattern that repeats repetitions",
      { type: "string", pattern: "((a{100}){100}){100}" },
      /pattern cannot be used/,
    ],
    ["a pattern that looks ahead", { type: "string", pattern: "^(?=a)b" }, /look-ahead/],
    ["a pattern that refers back", { type: "string", pattern: "(a)\\1" }, /references to groups/],
    ["required beside a field", { properties: { a: { type: "string", required: true } } }, /list of names/],
    ["items as a list", { type: "array", items: [{}] }, /prefixItems/],
    ["a misspelt type", { type: "strnig" }, /Did you mean `string`/],
    ["a misspelt format", { type: "string", format: "datetime" }, /Did you mean `date-time`/],
    ["a misspelt keyword", { type: "string", maxLenght: 5 }, /Did you mean `maxLength`/],
    ["a number for a schema", { properties: { a: 5 } }, /must be an object, or true or false/],
    ["an empty enum", { enum: [] }, /cannot be used|enum/],
  ];
  for (const [title, schema, sentence] of refused) {
    test(`are refused with ${title}`, () => {
      const start = performance.now();
      const faults = pluginSchemaFaults(schema);
      assert.match(faults.map((fault) => fault.message).join("\n"), sentence);
      assert.ok(performance.now() - start < 1000, "refusing is cheap");
    });
  }

  for (const schema of [undefined, null, 5, "x", [], true]) {
    test(`are refused when they are ${JSON.stringify(schema) ?? "undefined"}`, () =>
      assert.equal(pluginSchemaFaults(schema).length, 1));
  }

  test("may refer to themselves where a value has an end", () => {
    const tree: Schema = {
      $defs: {
        node: {
          type: "object",
          properties: { children: { type: "array", items: { $ref: "#/$defs/node" } } },
          additionalProperties: false,
        },
      },
      $ref: "#/$defs/node",
    };
    assert.deepEqual(pluginSchemaFaults(tree), []);
    assert.deepEqual(validate(tree, { children: [{ children: [] }] }), {});
    assert.match(JSON.stringify(validate(tree, { children: [{ x: 1 }] })), /not a known field/);
  });

  test("that visit a value exponentially often stop at their budget", () => {
    const schema: Schema = {
      $defs: {
        t: { allOf: [{ properties: { a: { $ref: "#/$defs/t" } } }, { properties: { a: { $ref: "#/$defs/t" } } }] },
      },
      $ref: "#/$defs/t",
    };
    assert.deepEqual(pluginSchemaFaults(schema), []);
    let value: unknown = {};
    for (let i = 0; i < 60; i++) value = { a: value };
    const start = performance.now();
    assert.match(validate(schema, value)["$"]!, /too costly/);
    assert.ok(performance.now() - start < 2000);
    assert.deepEqual(validate(schema, { a: { a: {} } }), {}, "and the next validation has a full budget");
  });

  test("with patterns stop at their budget on long texts", () => {
    const schema: Schema = { type: "array", items: { type: "string", pattern: "^(([a-z])+.)+[A-Z]([a-z])+$" } };
    const start = performance.now();
    validate(
      schema,
      Array.from({ length: 200 }, () => "a".repeat(4000)),
    );
    assert.ok(performance.now() - start < 3000);
  });

  test("cannot put code into the validator by names, values or texts", () => {
    const attack = `"]; globalThis.pwned = 1; //\` $${"{"}globalThis.pwned = 1} \\u2028 */ '`;
    const schema: Schema = {
      type: "object",
      title: attack,
      $comment: attack,
      properties: { [attack]: { const: attack, description: attack } },
      patternProperties: { "^[`$\"'{}\\\\]+$": { enum: [attack] } },
      required: [attack],
      dependentRequired: { [attack]: [attack] },
      [attack]: attack,
    };
    assert.deepEqual(pluginSchemaFaults(schema), []);
    assert.deepEqual(validate(schema, { [attack]: attack }), {});
    validate(schema, {});
    validate(schema, { [attack]: 1, "`": 2 });
    assert.equal((globalThis as Record<string, unknown>)["pwned"], undefined);
  });

  test("meet values with caps of their own", () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    assert.match(validate({ type: "array" }, deep)["$"]!, /levels deep/);
    assert.match(validate({ type: "string" }, "x".repeat(valueCaps.bytes + 1))["$"]!, /bytes/);
    assert.match(validate({}, JSON.parse('{"__proto__": 1}'))["$"]!, /__proto__/);
    assert.match(validate({ type: "array" }, new Array(2 ** 32 - 1))["$"]!, /bytes/);
  });

  test("cannot make a check that collects all errors fill the memory", () => {
    const schema: Schema = { type: "array", items: { allOf: Array.from({ length: 400 }, () => ({ type: "string" })) } };
    const { validate } = compilePluginSchema(schema);
    const value = new Array(30_000).fill(1);
    assert.match(validate(value, { partial: true })[0]!.message, /too large/);
    assert.equal(validate(value).length, 1);
  });

  test("of the largest size allowed compile and answer within a second or two", () => {
    for (const schema of [
      { type: "object", properties: named(490, { type: "string" }), additionalProperties: false },
      {
        oneOf: Array.from({ length: 240 }, (_, i) => ({ properties: { [`k${i}`]: { type: "string" } } })),
        unevaluatedProperties: false,
      },
    ]) {
      const start = performance.now();
      assert.deepEqual(pluginSchemaFaults(schema), []);
      validate(schema, named(2000, 1));
      assert.ok(performance.now() - start < 5000);
    }
  });

  test("and values of any kind never make validation throw", () => {
    const leaf = fc.constantFrom<Schema>(
      { type: "string" },
      { type: "integer", minimum: 1 },
      { enum: ["a", 1, null] },
      { pattern: "^a" },
      { format: "date" },
      {},
      { not: {} },
    );
    const schema = fc.letrec<{ s: Schema }>((tie) => ({
      s: fc.oneof(
        { maxDepth: 3 },
        leaf,
        fc.record({
          properties: fc.dictionary(fc.string({ maxLength: 4 }), tie("s"), { maxKeys: 3, noNullPrototype: true }),
          required: fc.array(fc.string({ maxLength: 3 }), { maxLength: 2 }),
        }),
        fc.record({ anyOf: fc.array(tie("s"), { minLength: 1, maxLength: 3 }) }),
        fc.record({ items: tie("s"), uniqueItems: fc.boolean() }),
        fc.record({ contains: tie("s"), additionalProperties: tie("s") }),
      ),
    })).s;
    fc.assert(
      fc.property(schema, fc.jsonValue({ maxDepth: 4 }), (supplied, value) => {
        if (pluginSchemaFaults(supplied).length > 0) return;
        for (const fault of compilePluginSchema(supplied).validate(value)) assert.match(fault.message, /[.!?]$/);
      }),
      { numRuns: 300 },
    );
  });
});
