import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { inputFaults, inputSentence } from "./input-faults.ts";

const schema = z.strictObject({
  name: z.string().min(1).max(5),
  count: z.number().int().min(1).max(9),
  kind: z.enum(["sms", "mail"]).optional(),
  at: z.iso.datetime().optional(),
  url: z.url().optional(),
  list: z
    .array(z.strictObject({ id: z.string() }))
    .max(1)
    .optional(),
  either: z.union([z.string(), z.array(z.string())]).optional(),
  own: z.string().regex(/^a/, "must begin with `a`").optional(),
  form: z
    .string()
    .regex(/^[a-z]+$/)
    .optional(),
  on: z.boolean().optional(),
  record: z.record(z.string(), z.number()).optional(),
});

const told = (input: unknown): string[] => {
  const { error } = schema.safeParse(input, { error: inputSentence });
  return inputFaults(error!).map(({ path, message }) => `${path}: ${message}`);
};

const good = { name: "ada", count: 1 };

test("a fault tells the path, what was expected and what was given", () => {
  for (const [input, ...sentences] of [
    [7, "$: must be an object, not a number"],
    [{}, "name: is missing: it must be a text", "count: is missing: it must be a number"],
    [{ ...good, name: 3 }, "name: must be a text, not a number"],
    [{ ...good, name: null }, "name: must be a text, not null"],
    [{ ...good, name: "" }, "name: must not be empty"],
    [{ ...good, name: "abcdef" }, "name: must have at most 5 characters, not 6"],
    [{ ...good, count: "1" }, "count: must be a number, not a text"],
    [{ ...good, count: 1.5 }, "count: must be a whole number, not 1.5"],
    [{ ...good, count: 10 }, "count: must be at most 9, not 10"],
    [{ ...good, count: 0 }, "count: must be at least 1, not 0"],
    [{ ...good, kind: "fax" }, "kind: must be one of `sms`, `mail`, not `fax`"],
    [{ ...good, at: "soon" }, "at: must be a time such as 2026-01-31T12:00:00Z"],
    [{ ...good, url: "x" }, "url: must be an address such as https://example.com/path"],
    [{ ...good, list: [{ id: 1 }] }, "list.0.id: must be a text, not a number"],
    [{ ...good, list: [{ id: "a" }, { id: "b" }] }, "list: must have at most 1 item, not 2"],
    [{ ...good, either: 5 }, "either: must be a text or a list, not a number"],
    [{ ...good, own: "b" }, "own: must begin with `a`"],
    [{ ...good, form: "A" }, "form: must be a text that matches /^[a-z]+$/"],
    [{ ...good, on: "yes" }, "on: must be true or false, not a text"],
    [{ ...good, record: { a: "x" } }, "record.a: must be a number, not a text"],
    [
      { ...good, list: [{ id: "a", more: 1 }], extra: 1 },
      "list.0.more: is not a known field",
      "extra: is not a known field",
    ],
  ] as const)
    assert.deepEqual(told(input).toSorted(), [...sentences].toSorted(), JSON.stringify(input));
});

test("no sentence is the validator's own, and none quotes a long or hidden value", () => {
  const shapes = [
    null,
    1,
    "x".repeat(10_000),
    [],
    {},
    true,
    { name: {}, count: [] },
    { name: ["s3cret"], count: "s3cret" },
  ];
  for (const input of [
    ...shapes,
    ...shapes.map((value) => ({ ...good, kind: value, list: value, either: value, on: value })),
  ])
    for (const sentence of told(input)) {
      assert.doesNotMatch(sentence, /Invalid|expected|received|s3cret|Too (small|big)|undefined|NaN/i, sentence);
      assert.ok(sentence.length < 300, sentence);
    }
});

test("paths begin with the root where it is asked for, and only so many are told", () => {
  const { error } = schema.safeParse({}, { error: inputSentence });
  assert.deepEqual(
    inputFaults(error!, { root: "$", most: 1 }).map(({ path }) => path),
    ["$.name"],
  );
});
