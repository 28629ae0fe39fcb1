import assert from "node:assert/strict";
import { test } from "node:test";
import { diffRules } from "./diff-rules.ts";
import { compiled, vipRule } from "./rules.fixture.ts";

const vip = compiled(vipRule);

test("order, comments, quotes and written-out defaults are no change", () => {
  const other = `
# another comment
actions:
  - params: {subject: Sorry we missed you, to: '{{event.fromContactId}}', body: "We noticed we've missed your last few calls. Please reply to this email or call us back at your convenience."}
    operator: comms.sendEmail
    timeout: 30s
    retry: 1
conditions:
  all:
    - {operator: comms.missedCalls, params: {count: 3, contactId: "{{ event.fromContactId }}"}, timeout: 10s}
    - {operator: contact.HasTag, params: {tag: vip}}
triggers: [{event: comms.CallMissed}]
enabled: true
mode: queued
name: VIP Missed Call Follow-up
`;
  assert.deepEqual(diffRules(vip, compiled(other)), []);
});

test("tells each change by its place, before and after", () => {
  const other = vipRule
    .replace("count: 3", "count: 5")
    .replace('tag: "vip"', 'tag: "{{ event.tag }}"')
    .replace("event: comms.CallMissed", "event: comms.CallMissed\n  filter: event.missed")
    .replace("conditions:\n", "mode: single\nconditions:\n");
  assert.deepEqual(diffRules(vip, compiled(other)), [
    { path: "triggers[0].filter", kind: "changed", before: null, after: "event.missed" },
    { path: "conditions[0].params.count", kind: "changed", before: 3, after: 5 },
    { path: "conditions[1].params.tag", kind: "changed", before: "vip", after: "{{ event.tag }}" },
    { path: "mode", kind: "changed", before: "queued", after: "single" },
    { path: "max", kind: "changed", before: 100, after: 1 },
  ]);
});

test("an action put in front is one addition, and taken away one removal", () => {
  const more = compiled(vipRule.replace("actions:\n", "actions:\n  - operator: free.Act\n    params: {odd name: 1}\n"));
  const there = diffRules(vip, more);
  assert.deepEqual(
    there.map(({ path, kind }) => [path, kind]),
    [["actions[0]", "added"]],
  );
  assert.deepEqual(
    diffRules(more, vip).map(({ path, kind }) => [path, kind]),
    [["actions[0]", "removed"]],
  );
});

test("braces as they are and braces of a template differ", () => {
  const plain = compiled(vipRule.replace('"vip"', '"\\\\{{ event.tag }}"'));
  const template = compiled(vipRule.replace('"vip"', '"{{ event.tag }}"'));
  assert.equal(diffRules(plain, template).length, 1);
});
