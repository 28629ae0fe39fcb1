import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeBase64, encodeBase64, atob as guestAtob, btoa as guestBtoa } from "./base64.ts";
import { TextDecoder as GuestDecoder, TextEncoder as GuestEncoder } from "./text-encoding.ts";

const seed = Number(process.env["FUZZ_SEED"] ?? 20260102);
const outcome = <T>(make: () => T): T | "error" => {
  try {
    return make();
  } catch {
    return "error";
  }
};
/** Bytes around the edges of UTF-8, where decoders go wrong. */
const bytes = fc.array(
  fc.oneof(
    fc.constantFrom(
      0x41,
      0x7f,
      0x80,
      0xbf,
      0xc0,
      0xc2,
      0xdf,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
      0xff,
      0xa0,
      0x9f,
      0x90,
      0x8f,
      0xbb,
    ),
    fc.nat(255),
  ),
  { maxLength: 24 },
);

test("text encodes to the engine's own bytes, lone surrogates included", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(fc.constantFrom("a", "é", "\ud800", "\udc00", "😀", "\uffff")).map((list) => list.join("")),
  );
  fc.assert(
    fc.property(text, (value) => {
      assert.deepEqual(new GuestEncoder().encode(value), new TextEncoder().encode(value));
      const [ours, theirs] = [new Uint8Array(7), new Uint8Array(7)];
      assert.deepEqual(new GuestEncoder().encodeInto(value, ours), new TextEncoder().encodeInto(value, theirs));
      assert.deepEqual(ours, theirs);
    }),
    { seed, numRuns: 3000 },
  );
  assert.equal(new GuestEncoder().encode("é".repeat(50_000)).length, 100_000);
});

for (const label of ["utf-8", "utf-16le"]) {
  test(`bytes decode as the engine decodes ${label}, whole, fatal and in pieces`, () => {
    fc.assert(
      fc.property(bytes, fc.boolean(), fc.boolean(), fc.nat(24), (list, fatal, ignoreBOM, split) => {
        const data = new Uint8Array(list);
        assert.equal(
          outcome(() => new GuestDecoder(label, { fatal, ignoreBOM }).decode(data)),
          outcome(() => new TextDecoder(label, { fatal, ignoreBOM }).decode(data)),
        );
        const inPieces = (decoder: {
          decode(input?: Uint8Array, options?: { stream?: boolean }): string;
        }): string | "error" =>
          outcome(
            () =>
              decoder.decode(data.subarray(0, split), { stream: true }) +
              decoder.decode(data.subarray(split), { stream: true }) +
              decoder.decode(),
          );
        assert.equal(
          inPieces(new GuestDecoder(label, { fatal, ignoreBOM })),
          inPieces(new TextDecoder(label, { fatal, ignoreBOM })),
        );
      }),
      { seed, numRuns: 5000 },
    );
  });
}

test("a decoder can be used again after an error and after its end", () => {
  const decoder = new GuestDecoder("utf-8", { fatal: true });
  assert.throws(() => decoder.decode(new Uint8Array([0xff])), TypeError);
  assert.equal(decoder.decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x41])), "A");
  assert.equal(decoder.decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x42])), "B");
  assert.throws(() => new GuestDecoder("shift_jis"), RangeError);
});

test("latin1 means windows-1252", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.equal(new GuestDecoder("latin1").decode(all), new TextDecoder("windows-1252").decode(all));
});

test("base64 goes both ways and refuses what is not base64", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (data) => {
      assert.equal(encodeBase64(data), Buffer.from(data).toString("base64"));
      assert.equal(encodeBase64(data, { url: true, omitPadding: true }), Buffer.from(data).toString("base64url"));
      assert.deepEqual(decodeBase64(encodeBase64(data)), new Uint8Array(data));
    }),
    { seed },
  );
  for (const text of [
    "YQ",
    "YQ==",
    " Y Q = = ",
    "YWI=",
    "YWJj",
    "Y",
    "YQ=",
    "YQ===",
    "Y=Q=",
    "YQ==YQ==",
    "Y!Q=",
    "",
    "YR==",
    "é",
  ]) {
    assert.equal(
      outcome(() => guestAtob(text)),
      outcome(() => atob(text)),
      text,
    );
  }
  assert.equal(guestBtoa("\xffA"), btoa("\xffA"));
  assert.throws(() => guestBtoa("€"), { name: "InvalidCharacterError", code: 5 });
});
