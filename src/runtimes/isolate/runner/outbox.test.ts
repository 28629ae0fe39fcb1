import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type OutboxRecord, readOutbox } from "./outbox.ts";

const write = (record: OutboxRecord): string =>
  `${record.kind} ${record.id} ${record.aux} ${record.name.length} ${record.body.length}\n${record.name}${record.body}`;

test("records come out as they went in, whatever their text contains", () => {
  const record = fc.record(
    {
      kind: fc.constantFrom("R", "E", "A", "M", "C", "T"),
      id: fc.nat(0xffffffff),
      aux: fc.nat(0xffffffff),
      name: fc.string({ maxLength: 100 }),
      body: fc.string({ unit: "binary", maxLength: 500 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.array(record, { maxLength: 10 }), (records) => {
      const seen: OutboxRecord[] = [];
      assert.equal(
        readOutbox(records.map(write).join(""), (one) => seen.push(one)),
        true,
      );
      assert.deepEqual(seen, records);
    }),
  );
});

test("text that is not made of records is refused, never read past its end", () => {
  for (const bad of [
    "R",
    "R 1",
    "R 1 2 0 5\nabc",
    "R 1 2 0 99999999999\n",
    "R -1 0 0 0\n",
    "R 1 0 101 0\n",
    "R 1 0 0 0 \n",
    "R1 0 0 0\n",
    "R  0 0 0\n",
    `R ${" ".repeat(70)}\n`,
  ]) {
    assert.equal(
      readOutbox(bad, () => {}),
      false,
      JSON.stringify(bad),
    );
  }
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      let length = 0;
      readOutbox(text, (record) => {
        length += record.name.length + record.body.length;
      });
      assert.ok(length <= text.length);
    }),
  );
});
