/** Rules from the outside: saved, set off, run, tried dry, replayed. The engine's own corners are in rule-runs.test.ts and rules-hostile.test.ts. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { officeRule, vipRule } from "../../src/rules/language/rules.fixture.ts";
import { documentOperators, ruleOperators } from "../kit/rule-operators.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

let hub: TestHub;
let acme: Keys;
before(async () => {
  hub = await startTestHub();
  acme = await hub.organization("acme");
  await hub.install("acme", ruleOperators(), { shown: "s3cret-value-of-acme" });
  await hub.install("acme", documentOperators());
});
after(() => hub[Symbol.asyncDispose]());

const ask = (method: string, path: string, body?: unknown, token = acme.adminKey): Promise<TestAnswer> =>
  hub.request(method, path, { token, ...(body === undefined ? {} : { body }) });
const save = async (source: string): Promise<TestAnswer> => {
  const answer = await ask("POST", "/api/rules", { source });
  assert.equal(answer.status, 201, answer.text);
  return answer;
};
const publish = async (type: string, data: unknown, more: object = {}): Promise<string> =>
  (await ask("POST", "/api/events", { type, data, ...more })).body.id;
// biome-ignore lint/suspicious/noExplicitAny: runs have many shapes, and tests assert what they find.
const ended = (rule: string, count = 1): Promise<any[]> =>
  until(async () => {
    const { body } = await ask("GET", `/api/rules/${rule}/runs`);
    const runs = body.runs as { status: string }[];
    return runs.length >= count && runs.every(({ status }) => status !== "queued" && status !== "running") && runs;
  });
const detail = async (id: string) => (await ask("GET", `/api/rules/runs/${id}`)).body;
const notes = async (organization = "acme"): Promise<{ text: string; externalId: string; rule?: string }[]> => {
  const rows = await hub.hub.store.db
    .selectFrom("entities")
    .select(["data", "external_id"])
    .where("organization_id", "=", organization)
    .where("type", "=", "notes")
    .execute();
  return rows.map((row) => ({ ...(row.data as { text: string }), externalId: String(row.external_id) }));
};

test("the document's first example: a VIP's missed call leads to an email, somebody else's does not", async () => {
  const { body: rule } = await save(vipRule);
  assert.equal(rule.id, "vip-missed-call-follow-up");
  assert.deepEqual([rule.state, rule.version, rule.triggers], ["enabled", 1, [{ event: "comms.CallMissed" }]]);
  const met = await publish("comms.CallMissed", { fromContactId: "c-vip", callId: "k1" });
  const other = await publish("comms.CallMissed", { fromContactId: "c-other", callId: "k2" });
  const runs = await ended(rule.id, 2);
  const of = (event: string) => runs.find(({ eventId }) => eventId === event);
  assert.deepEqual([of(met).status, of(met).stepsDone, of(met).reason], ["succeeded", 1, null]);
  assert.deepEqual([of(other).status, of(other).reason], ["skipped", "conditions_not_met"]);
  const trace = await detail(of(met).id);
  assert.deepEqual(trace.trace.conditions.items[0].params, { contactId: "c-vip", count: 3 });
  assert.equal(trace.steps[0].params.to, "c-vip");
  assert.equal(trace.event.id, met);
  assert.deepEqual((await detail(of(other).id)).trace.stoppedAt, "conditions[0]");
  assert.ok((await notes()).some(({ text }) => text === "email to c-vip: Sorry we missed you"));
});

test("the document's second example: arriving at work sends one text for each open follow-up", async () => {
  const { body: rule } = await save(officeRule);
  await publish("location.PlaceArrived", { placeType: "work", placeId: "p" });
  const [run] = await ended(rule.id);
  assert.equal(run.status, "succeeded");
  const { steps } = await detail(run.id);
  assert.deepEqual(
    steps.map((step: { step: string; status: string }) => [step.step, step.status]),
    [
      ["1:0", "succeeded"],
      ["1:1", "succeeded"],
      ["1:2", "succeeded"],
    ],
  );
  const sent = (await notes()).filter(({ text }) => text.startsWith("sms to "));
  assert.deepEqual(
    sent.map(({ text, externalId }) => [text, externalId]).sort(),
    [0, 1, 2].map((n) => [`sms to c${n + 1}`, `${run.id}:1:${n}`]),
  );
});

test("faults come with line and column, from saving and from validating alike", async () => {
  const source = `name: Wrong
trigger:
  event: shop.opened
actions:
  - operator: test.nothing
    params: {}
  - operator: test.note
    params:
      txet: "{{ event.a + }}"
`;
  const checked = await ask("POST", "/api/rules/validate", { source }, acme.memberKey);
  assert.deepEqual([checked.status, checked.body.valid], [200, false]);
  const places = checked.body.faults.map((fault: { line: number; path: string }) => [fault.line, fault.path]);
  assert.ok(
    places.some(([line, path]: [number, string]) => line === 5 && path.startsWith("actions[0]")),
    JSON.stringify(places),
  );
  assert.ok(
    places.some(([line]: [number]) => line === 9),
    JSON.stringify(places),
  );
  const refused = await ask("POST", "/api/rules", { source });
  assert.deepEqual([refused.status, refused.body.code], [400, "invalid_rule"]);
  assert.equal(refused.body.errors.length, checked.body.faults.length);
  const asYaml = await hub.request("POST", "/api/rules/validate", {
    token: acme.adminKey,
    body: "name: Right\ntrigger: {event: shop.opened}\nactions: [{operator: test.giant}]\n",
    headers: { "content-type": "application/yaml" },
  });
  assert.deepEqual(asYaml.body, { valid: true, faults: [], id: "right", name: "Right" });
});

test("versions: a change makes one, the same source none, a stale `ifVersion` is a conflict, and restoring is a new one", async () => {
  const source = (text: string): string =>
    `id: versioned\nname: Versioned\ntrigger: {event: versions.made}\nactions:\n  - operator: test.note\n    params: {text: "${text}"}\n`;
  await save(source("one"));
  assert.equal((await ask("POST", "/api/rules", { source: source("one") })).body.code, "conflict");
  const put = (body: object) => ask("PUT", "/api/rules/versioned", body);
  assert.equal((await put({ source: source("two"), ifVersion: 1, reason: "better words" })).body.version, 2);
  assert.equal((await put({ source: source("two") })).body.version, 2);
  assert.deepEqual((await put({ source: source("three"), ifVersion: 1 })).body.code, "conflict");
  const { body } = await ask("GET", "/api/rules/versioned/versions");
  assert.deepEqual(
    body.versions.map(({ version, reason, actor }: Record<string, unknown>) => [
      version,
      reason,
      String(actor).slice(0, 4),
    ]),
    [
      [2, "better words", "key:"],
      [1, null, "key:"],
    ],
  );
  const { changes } = (await ask("GET", "/api/rules/versioned/versions/1/diff?to=2")).body;
  assert.deepEqual((await ask("GET", "/api/rules/versioned/versions/2/diff")).body.changes, []);
  assert.deepEqual(
    changes.map(({ path, before: was, after: is }: Record<string, unknown>) => [path, was, is]),
    [["actions[0].params.text", "one", "two"]],
  );
  const restored = await ask("POST", "/api/rules/versioned/versions/1/restore");
  assert.deepEqual([restored.body.version, restored.body.source], [3, source("one")]);
  assert.equal((await ask("POST", "/api/rules/versioned/versions/9/restore")).status, 404);
  const audited = (await ask("GET", "/api/audit?limit=20")).body.entries.filter(
    ({ target }: { target: string }) => target === "versioned",
  );
  assert.deepEqual(
    audited.map(({ action }: { action: string }) => action),
    ["rule.updated", "rule.updated", "rule.created"],
  );
});

test("applying files is all or nothing, and the second time changes nothing", async () => {
  const file = (name: string, action = "test.note"): object => ({
    file: `rules/${name}.yaml`,
    source: `name: ${name}\ntrigger: {event: apply.done}\nactions: [{operator: ${action}, params: {text: x}}]\n`,
  });
  const bad = await ask("POST", "/api/rules/apply", { files: [file("First"), file("Second", "test.nothing")] });
  assert.equal(bad.body.code, "invalid_rule");
  assert.match(bad.body.errors[0].path, /rules\/Second\.yaml/);
  assert.ok(bad.body.errors[0].line >= 1);
  assert.equal((await ask("GET", "/api/rules/first")).status, 404);
  const outcomes = async () =>
    (await ask("POST", "/api/rules/apply", { files: [file("First"), file("Second")] })).body.applied.map(
      ({ id, outcome }: { id: string; outcome: string }) => `${id} ${outcome}`,
    );
  assert.deepEqual(await outcomes(), ["first created", "second created"]);
  assert.deepEqual(await outcomes(), ["first unchanged", "second unchanged"]);
  for (const id of ["first", "second"]) assert.equal((await ask("DELETE", `/api/rules/${id}`)).status, 204);
});

test("a disabled rule is not set off, an enabled one is; a person may run both", async () => {
  const { body: rule } = await save(
    `id: switched\nname: Switched\ntrigger: {event: switch.flipped}\nactions: [{operator: test.note, params: {text: "{{ event.n }}"}}]\n`,
  );
  assert.equal((await ask("POST", "/api/rules/switched/disable")).body.state, "disabled");
  await publish("switch.flipped", { n: 1 });
  const manual = await ask("POST", "/api/rules/switched/run", { event: { data: { n: "by hand" } } }, acme.memberKey);
  assert.equal(manual.status, 202, manual.text);
  await ended(rule.id);
  assert.equal((await ask("POST", "/api/rules/switched/enable")).body.state, "enabled");
  const second = await publish("switch.flipped", { n: 2 });
  const runs = await ended(rule.id, 2);
  assert.deepEqual(
    runs.map(({ trigger, eventId }) => [trigger, eventId]),
    [
      ["event", second],
      ["manual", null],
    ],
  );
  assert.deepEqual(
    (await notes())
      .filter(({ rule: of }) => of === "switched")
      .map(({ text }) => text)
      .sort(),
    ["2", "by hand"],
  );
});

test("a hook has an address of its own, takes any body, and the same idempotency key once", async () => {
  const { body: rule } = await save(
    `id: hooked\nname: Hooked\nmode: parallel\ntrigger: {webhook: door}\nactions: [{operator: test.note, params: {text: "rang {{ event.bell }}"}}]\n`,
  );
  const [{ name, path }] = rule.hooks;
  assert.equal(name, "door");
  assert.match(path, /^\/hooks\/acme\/[\w-]{32}$/);
  const ring = (headers: Record<string, string> = {}, at = path): Promise<TestAnswer> =>
    hub.request("POST", at, { token: null, body: { bell: "front" }, headers });
  const first = await ring({ "idempotency-key": "k" });
  assert.equal(first.status, 202, first.text);
  assert.deepEqual((await ring({ "idempotency-key": "k" })).body, first.body);
  const other = await ring();
  assert.notEqual(other.body.run, first.body.run);
  assert.equal((await ended("hooked", 2)).length, 2);
  assert.equal((await detail(first.body.run)).steps[0].params.text, "rang front");
  assert.equal((await ring({}, `/hooks/acme/${"x".repeat(32)}`)).status, 404);
  assert.deepEqual((await ask("GET", "/api/rules/hooked", undefined, acme.viewerKey)).body.hooks, []);
  assert.deepEqual((await ask("GET", "/api/rules/hooked")).body.hooks[0].path, path);
});

test("a rule whose operator is gone is broken and says why, keeps its versions, and works again when it is back", async () => {
  const extra = {
    manifest: { id: "acme.extra", type: "operator", contributes: { actions: [{ id: "extra.nod", idempotent: true }] } },
    code: `import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({ actions: { "extra.nod": { execute: () => "nodded" } } });`,
  };
  await hub.install("acme", extra);
  const { body: rule } = await save(
    "id: fragile\nname: Fragile\ntrigger: {event: fragile.touched}\nactions: [{operator: extra.nod}]\n",
  );
  assert.equal((await ask("DELETE", "/api/plugins/acme.extra")).status, 204);
  const broken = (await ask("GET", "/api/rules/fragile")).body;
  assert.equal(broken.state, "broken");
  assert.match(broken.stateReason, /extra\.nod/);
  assert.equal((await ask("POST", "/api/rules/fragile/run", {})).body.code, "rule_broken");
  assert.deepEqual(
    (await ask("GET", "/api/rules?state=broken")).body.rules.map(({ id }: { id: string }) => id),
    ["fragile"],
  );
  await publish("fragile.touched", {});
  assert.equal((await ask("POST", "/api/plugins", { id: "acme.extra", grants: "all", config: {} })).status, 201);
  assert.match((await ask("GET", "/api/rules/fragile")).body.stateReason, /acme\.extra.*not active/);
  // Paused, not gone: the rule is set off, and its run waits for the plugin.
  const event = await publish("fragile.touched", {});
  await until(async () => (await ask("GET", "/api/rules/fragile/runs")).body.runs.length === 1);
  assert.equal((await ask("POST", "/api/plugins/acme.extra/activate")).status, 200);
  assert.equal((await ask("GET", "/api/rules/fragile")).body.state, "enabled");
  const [run] = await ended(rule.id);
  assert.deepEqual([run.status, run.eventId], ["succeeded", event]);
});

test("the catalog names conditions, actions and variables with their plugin and schema", async () => {
  assert.equal((await ask("GET", "/api/rules/nobody/runs")).status, 404);
  const first = (await ask("GET", "/api/rules/operators?limit=1")).body;
  const second = (await ask("GET", `/api/rules/operators?limit=1&cursor=${first.nextCursor}`)).body;
  assert.notDeepEqual(first.operators, second.operators);
  const { body } = await ask("GET", "/api/rules/operators", undefined, acme.viewerKey);
  const of = (id: string) => body.operators.find((operator: { id: string }) => operator.id === id);
  assert.deepEqual(
    [of("test.note").kind, of("test.note").plugin, of("test.note").idempotent, of("test.note").schema.required],
    ["action", "acme.operators", true, ["text"]],
  );
  assert.equal(of("followUp").kind, "variable");
  assert.equal(of("comms.missedCalls").kind, "condition");
});

test("a dry run asks conditions, shows actions, and does nothing", async () => {
  const source = `name: Dry
trigger: {event: dry.up, filter: event.n > 1}
conditions:
  - operator: test.equals
    params: {a: "{{ event.n }}", b: 2}
actions:
  - id: first
    operator: test.note
    params: {text: "n is {{ event.n }}"}
  - operator: test.note
    params: {text: "{{ steps.first.noted }}"}
  - operator: comms.sendSms
    params: {to: "{{ followUp.contactId }}", body: "Hi"}
`;
  const before = (await notes()).length;
  const dry = (n: number) =>
    ask("POST", "/api/rules/dry-run", { source, event: { type: "dry.up", data: { n } } }, acme.memberKey);
  const met = (await dry(2)).body;
  assert.deepEqual([met.trigger, met.outcome, met.wouldRun], [0, "met", true]);
  assert.deepEqual(
    met.actions.map(({ step, params, unresolved }: Record<string, unknown>) => [step, params ?? unresolved]),
    [
      ["first", { text: "n is 2" }],
      ["2", "depends on the results of earlier actions"],
      ["3:0", { to: "c1", body: "Hi" }],
      ["3:1", { to: "c2", body: "Hi" }],
      ["3:2", { to: "c3", body: "Hi" }],
    ],
  );
  const not = (await dry(3)).body;
  assert.deepEqual([not.trigger, not.outcome, not.wouldRun, not.stoppedAt], [0, "not_met", false, "conditions[0]"]);
  assert.deepEqual([(await dry(1)).body.trigger, (await dry(1)).body.wouldRun], [null, false]);
  const byHand = await ask("POST", "/api/rules/dry-run", { source, event: { data: { n: 2 } } }, acme.memberKey);
  assert.deepEqual([byHand.body.trigger, byHand.body.wouldRun], [null, true], "as a person's run would");
  assert.equal((await ask("POST", "/api/rules/dry-run", { source: "name: x" })).body.valid, false);
  assert.equal((await notes()).length, before);
});

test("replay: a draft over past events beside the live rule, with the difference, and without effects", async () => {
  const source = (limit: number, words = "over"): string =>
    `id: replayed\nname: Replayed\ntrigger: {event: "meter.*"}\nconditions:\n  - cel: event.value > ${limit}.0\n  - operator: test.equals\n    params: {a: "{{ event.kind }}", b: power}\nactions:\n  - operator: test.note\n    params: {text: "${words} {{ event.value }}"}\n`;
  for (let value = 1; value <= 20; value += 1)
    await publish(value % 2 === 0 ? "meter.even" : "meter.odd", {
      value: value + 0.5,
      kind: value > 18 ? "gas" : "power",
    });
  await publish("other.thing", { value: 100, kind: "power" });
  await save(source(10));
  const before = (await notes()).length;
  const started = await ask("POST", "/api/rules/replay", { source: source(5), days: 1 }, acme.memberKey);
  assert.equal(started.status, 202, started.text);
  const done = async (id: string) =>
    await until(async () => {
      const { body } = await ask("GET", `/api/rules/replays/${id}`);
      return body.endedAt !== null && body;
    });
  const { status, result, rule, error } = await done(started.body.id);
  assert.deepEqual([status, rule, error], ["succeeded", "replayed", null]);
  assert.deepEqual(result.draft, { events: 20, matched: 16, notMet: 2, throttled: 0, failed: 0, wouldRun: 14 });
  assert.deepEqual(result.live, { events: 20, matched: 11, notMet: 2, throttled: 0, failed: 0, wouldRun: 9 });
  assert.deepEqual(result.difference, { onlyDraft: 5, onlyLive: 0, changed: 0, same: 9 });
  const only = (await ask("GET", `/api/rules/replays/${started.body.id}/decisions?change=only_draft&limit=3`)).body;
  assert.equal(only.decisions.length, 3);
  assert.deepEqual([only.decisions[0].draft, only.decisions[0].live], ["would_run", "no_match"]);
  assert.equal(only.decisions[0].detail.draft.actions[0].params.text, "over 5.5");
  const rest = (
    await ask(
      "GET",
      `/api/rules/replays/${started.body.id}/decisions?change=only_draft&limit=3&cursor=${only.nextCursor}`,
    )
  ).body;
  assert.deepEqual([rest.decisions.length, rest.nextCursor], [2, null]);

  const reworded = await ask("POST", "/api/rules/replay", { source: source(10, "above"), days: 1 });
  assert.deepEqual((await done(reworded.body.id)).result.difference, {
    onlyDraft: 0,
    onlyLive: 0,
    changed: 9,
    same: 0,
  });
  const narrowed = await ask("POST", "/api/rules/replay", { rule: "replayed", days: 1, type: "meter.even" });
  assert.equal((await done(narrowed.body.id)).result.draft.events, 10);
  assert.equal((await notes()).length, before);
  assert.equal((await ask("GET", "/api/rules/replayed/runs")).body.runs.length, 0);
  assert.equal((await ask("POST", `/api/rules/replays/${started.body.id}/cancel`)).body.code, "conflict");
  assert.equal((await ask("POST", "/api/rules/replay", { source: "name: x" })).body.code, "invalid_rule");
});

test("roles: viewers read, members run and try, admins change", async () => {
  const source = "name: Roles\ntrigger: {event: roles.x}\nactions: [{operator: test.giant}]\n";
  assert.equal((await ask("POST", "/api/rules", { source }, acme.memberKey)).status, 403);
  assert.equal((await ask("DELETE", "/api/rules/switched", undefined, acme.memberKey)).status, 403);
  assert.equal((await ask("POST", "/api/rules/switched/run", {}, acme.viewerKey)).status, 403);
  assert.equal((await ask("POST", "/api/rules/replay", { source }, acme.viewerKey)).status, 403);
  assert.equal((await ask("GET", "/api/rules", undefined, acme.viewerKey)).status, 200);
  for (const id of ["runs", "validate", "operators"])
    assert.equal(
      (await ask("POST", "/api/rules", { source: `id: ${id}\n${source}` })).body.code,
      "invalid_rule",
      `${id} is a path, not a rule`,
    );
});
