import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createRedactor } from "./redactor.ts";

const VALUE = 'hunter2/ö "q"&<a>+b=';
const redactor = createRedactor([{ field: "token", value: VALUE }]);

test("a value is found raw and in the encodings a server or a log may put it in", () => {
  const json = JSON.stringify(VALUE).slice(1, -1);
  const spellings = [
    VALUE,
    json,
    json.replaceAll("/", "\\/"),
    json.replace("ö", "\\u00f6"),
    JSON.stringify(json).slice(1, -1),
    encodeURIComponent(VALUE),
    encodeURIComponent(VALUE).toLowerCase(),
    new URLSearchParams({ k: VALUE }).toString().slice(2),
    Buffer.from(VALUE).toString("base64"),
    Buffer.from(VALUE).toString("base64url"),
    Buffer.from(VALUE).toString("hex"),
    VALUE.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;"),
  ];
  for (const spelling of spellings) {
    assert.match(redactor.text(`before ${spelling} after`), /^before \[redacted:token\]=* after$/, spelling);
    assert.equal(
      Buffer.from(redactor.bytes(Buffer.from(`é${spelling}é`)))
        .toString()
        .includes(spelling),
      false,
    );
  }
});

test("base64 of a value within other text is found at every alignment", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 9 }), fc.string({ maxLength: 9 }), (before, after) => {
      const encoded = Buffer.from(before + VALUE + after).toString("base64");
      assert.match(redactor.text(encoded), /\[redacted:token\]/);
    }),
  );
});

test("for any value, none of its plain, JSON or form spellings is left", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 6, maxLength: 40 }), fc.string(), (value, noise) => {
      fc.pre(Buffer.byteLength(value) >= 4 && !"[redacted:f]".includes(value));
      const own = createRedactor([{ field: "f", value }]);
      const text = `${noise}|${value}|${JSON.stringify(value)}|${encodeURIComponent(value)}|${Buffer.from(value).toString("base64")}`;
      const clean = own.text(text);
      assert.equal(clean.includes(value), false);
      assert.equal(clean.includes(encodeURIComponent(value)), false);
      const bytes = Buffer.from(own.bytes(Buffer.from(text)));
      assert.equal(bytes.includes(value), false);
    }),
  );
});

test("replacement texts are put in literally, and structured values keep their shape", () => {
  const own = createRedactor([{ field: "$&", value: "hunter2" }]);
  assert.equal(own.text("x hunter2"), "x [redacted:$&]");
  assert.deepEqual(own.value({ a: ["hunter2", 1, null], hunter2: true }), {
    a: ["[redacted:$&]", 1, null],
    "[redacted:$&]": true,
  });
});

test("very short values are left alone, and untouched bytes come back as they are", () => {
  assert.equal(createRedactor([{ field: "pin", value: "abc" }]).text("abc"), "abc");
  const bytes = Buffer.from("nothing here");
  assert.equal(redactor.bytes(bytes), bytes);
});

test("a value that contains another goes as a whole", () => {
  const own = createRedactor([
    { field: "short", value: "secret" },
    { field: "long", value: "my-secret-key" },
  ]);
  assert.equal(own.text("my-secret-key secret"), "[redacted:long] [redacted:short]");
});

test("many secrets are found in one pass as few are by a search for each", () => {
  const secrets = Array.from({ length: 40 }, (_, n) => ({
    field: `f${n}`,
    value: `access-sandbox-${n}/é"${n * 7919}`,
  }));
  const all = createRedactor(secrets);
  for (const { field, value } of secrets) {
    const one = createRedactor([{ field, value }]);
    for (const text of [
      value,
      JSON.stringify({ value }),
      encodeURIComponent(value),
      Buffer.from(value).toString("base64"),
      "",
    ]) {
      const bytes = Buffer.from(`account ${text} access-sandbox-`);
      assert.deepEqual(Buffer.from(all.bytes(bytes)).toString(), Buffer.from(one.bytes(bytes)).toString());
    }
  }
  const clean = Buffer.from("nothing access-sandbox- of them".repeat(100));
  assert.equal(all.bytes(clean), clean);
});
