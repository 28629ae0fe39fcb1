import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { childSpan, continueTrace, formatTraceparent, newTrace, parseTraceparent } from "./trace.ts";

const ids = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"] as const;
const valid = `00-${ids[0]}-${ids[1]}-01`;

test("a traceparent is read as the sender's span and written back the same", () => {
  assert.deepEqual(parseTraceparent(valid), { traceId: ids[0], spanId: ids[1], sampled: true });
  assert.equal(formatTraceparent(parseTraceparent(valid)!), valid);
  assert.equal(parseTraceparent(valid.replace(/01$/, "00"))?.sampled, false);
  assert.equal(parseTraceparent(valid.replace(/01$/, "ff"))?.sampled, true);
  assert.equal(parseTraceparent(`cc${valid.slice(2)}-what-the-future-brings`)?.traceId, ids[0]);
});

test("headers that the standard says to ignore are ignored", () => {
  const bad = [
    "",
    "junk",
    valid.toUpperCase(),
    `${valid}-more`,
    `ff${valid.slice(2)}`,
    `00-${"0".repeat(32)}-${ids[1]}-01`,
    `00-${ids[0]}-${"0".repeat(16)}-01`,
    valid.slice(0, -1),
    `00-${ids[0]}${ids[1]}-01`,
    `cc${valid.slice(2)}.x`,
    `${valid}\r\nx: y`,
    "a".repeat(10_000),
  ];
  for (const header of [...bad, null, undefined]) assert.equal(parseTraceparent(header), undefined, String(header));
  fc.assert(fc.property(fc.string(), (text) => parseTraceparent(text) === undefined));
});

test("children keep the trace and name their parent; without a header a new trace begins", () => {
  const root = newTrace();
  const child = childSpan(root);
  assert.deepEqual([child.traceId, child.parent], [root.traceId, root.spanId]);
  assert.notEqual(child.spanId, root.spanId);
  assert.deepEqual([continueTrace(valid).traceId, continueTrace(valid).parent], [ids[0], ids[1]]);
  assert.equal(continueTrace("junk").parent, undefined);
  assert.ok(parseTraceparent(formatTraceparent(newTrace())));
});
