import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import { test } from "node:test";
import type { CliIo } from "./cli.ts";
import { CliFailure } from "./failure.ts";
import { configFrom, typedValue, unset } from "./typed-config.ts";

const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
const io = (stdin = ""): CliIo => ({
  env: {},
  cwd: "/nowhere",
  stdin: Readable.from([stdin]),
  stdout: sink,
  stderr: sink,
  signal: new AbortController().signal,
});

test("a value becomes what the schema says it is", () => {
  const cases: [string, object | undefined, unknown][] = [
    ["12", { type: "string" }, "12"],
    ["true", { type: "string" }, "true"],
    ["12", { type: "integer" }, 12],
    ["1.5", { type: "number" }, 1.5],
    ["off", { type: "boolean" }, false],
    ['{"a":1}', { type: "object" }, { a: 1 }],
    ["a,b", { type: "array" }, ["a", "b"]],
    ["[1,2]", { type: "array" }, [1, 2]],
    ["", { type: "array" }, []],
    ["null", { type: ["string", "null"] }, null],
    ["x", { type: ["string", "null"] }, "x"],
    ["7", { enum: [7, 8] }, 7],
    ["plain", undefined, "plain"],
    ["3", undefined, 3],
  ];
  for (const [text, schema, expected] of cases)
    assert.deepEqual(typedValue(text, schema as never, "k"), expected, `${text} as ${JSON.stringify(schema)}`);
});

test("a value that the schema cannot hold is a wrong use that names the key", () => {
  for (const [text, type] of [
    ["", "number"],
    ["1.5", "integer"],
    ["maybe", "boolean"],
    ["[1", "array"],
    ["x", "object"],
    ["Infinity", "number"],
  ] as const) {
    assert.throws(
      () => typedValue(text, { type }, "retries"),
      (error: unknown) => error instanceof CliFailure && error.exitCode === 2 && error.message.includes("'retries'"),
      `${text} as ${type}`,
    );
  }
});

test("dots lead into objects, unless the schema has a field of just that name", async () => {
  const schema = {
    properties: { "a.b": { type: "string" }, deep: { type: "object", properties: { n: { type: "integer" } } } },
  };
  const config = await configFrom(["a.b=1", "deep.n=2", "free.x=y"], {
    schema,
    current: { deep: { keep: true } },
    io: io(),
  });
  assert.deepEqual(config, { "a.b": "1", deep: { keep: true, n: 2 }, free: { x: "y" } });
  assert.deepEqual(unset(config, ["deep.n", "a.b", "absent"], schema), { deep: { keep: true }, free: { x: "y" } });
});

test("a value may hold equal signs, and standard input loses its last line break only", async () => {
  const schema = { properties: { url: { type: "string" }, key: { type: "string" } } };
  assert.deepEqual(
    await configFrom(["url=https://x/?a=b", "key=-"], { schema, current: {}, io: io("line 1\nline 2\n") }),
    { url: "https://x/?a=b", key: "line 1\nline 2" },
  );
});

test("names that would reach a prototype are refused", async () => {
  for (const word of ["__proto__=1", "a.constructor.b=1", "=x", "novalue"])
    await assert.rejects(configFrom([word], { schema: undefined, current: {}, io: io() }), CliFailure, word);
});
