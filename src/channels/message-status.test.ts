/** States join like a maximum: the order and number of reports do not matter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type MessageStatus, messageStatuses, parseMessageStatus, raiseStatus } from "./message-status.ts";

const status = fc.constantFrom<MessageStatus>(...messageStatuses);

test("any order of the same reports, with repetitions, ends in the same state", () => {
  fc.assert(
    fc.property(fc.array(status, { minLength: 1 }), fc.integer(), (reports, turn) => {
      const end = reports.reduce(raiseStatus);
      const turned = [...reports.slice(turn % reports.length), ...reports, ...reports].reverse();
      assert.equal(turned.reduce(raiseStatus), end);
    }),
    { seed: 3 },
  );
});

test("what was delivered is not taken back by a late failure, and a failure not by a late `sent`", () => {
  assert.equal(raiseStatus("delivered", "failed"), "delivered");
  assert.equal(raiseStatus("failed", "sent"), "failed");
  assert.equal(raiseStatus("failed", "delivered"), "delivered");
});

test("words of services: their case does not matter, and what is none says nothing", () => {
  assert.equal(parseMessageStatus("DELIVERED"), "delivered");
  assert.equal(parseMessageStatus("accepted"), "sent");
  assert.equal(parseMessageStatus("canceled"), "failed");
  for (const odd of ["constructor", "__proto__", "", 5, null, {}, ["read"], "x".repeat(1000)])
    assert.equal(parseMessageStatus(odd), undefined, String(odd));
});
