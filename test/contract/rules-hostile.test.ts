/** Operators that lie, hang, throw, hand over giants or try what a condition may not; and organisations that must not meet over rules. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ruleOperators } from "../kit/rule-operators.ts";
import {
  type Keys,
  type PluginSource,
  startTestHub,
  type TestAnswer,
  type TestHub,
  until,
} from "../kit/start-test-hub.ts";

let hub: TestHub;
const tenants: Record<string, Keys> = {};
before(async () => {
  hub = await startTestHub();
  for (const id of ["acme", "globex"]) {
    tenants[id] = await hub.organization(id);
    await hub.install(id, ruleOperators(), { shown: `s3cret-value-of-${id}` });
  }
});
after(() => hub[Symbol.asyncDispose]());

const ask = (org: string, method: string, path: string, body?: unknown): Promise<TestAnswer> =>
  hub.request(method, path, { token: tenants[org]!.adminKey, ...(body === undefined ? {} : { body }) });

/** Saves a rule, sets it off, and gives its run once it has ended. */
// biome-ignore lint/suspicious/noExplicitAny: runs have many shapes, and tests assert what they find.
async function runOf(id: string, rest: string, data: unknown = {}, org = "acme"): Promise<any> {
  const saved = await ask(org, "POST", "/api/rules", {
    source: `id: ${id}\nname: ${id}\ntrigger: {event: ${id}.go}\n${rest}`,
  });
  assert.equal(saved.status, 201, saved.text);
  await ask(org, "POST", "/api/events", { type: `${id}.go`, data });
  const run = await until(async () => {
    const { runs } = (await ask(org, "GET", `/api/rules/${id}/runs`)).body;
    return runs[0]?.endedAt ? runs[0] : undefined;
  }, 30_000);
  return (await ask(org, "GET", `/api/rules/runs/${run.id}`)).body;
}

const note = "actions: [{operator: test.note, params: {text: acted}}]";

test("a condition that throws, never answers, or lies ends the run as failed, and nothing is done", async () => {
  for (const [operator, more, code] of [
    ["test.throws", "", "plugin_error"],
    ["test.never", ", timeout: 300ms", "deadline_exceeded"],
    ["test.lies", "", "result_invalid"],
  ] as const) {
    const run = await runOf(
      operator.toLowerCase().replace(".", "-"),
      `conditions: [{operator: ${operator}${more}}]\n${note}`,
    );
    assert.deepEqual([run.status, run.reason], ["failed", code], JSON.stringify(run));
    assert.deepEqual(run.steps, []);
    assert.ok(JSON.stringify(run.trace).length < 20_000);
  }
});

test("a condition that writes or emits is refused: it only looks", async () => {
  for (const operator of ["test.writes", "test.emits"]) {
    const run = await runOf(`c-${operator.slice(5)}`, `conditions: [{operator: ${operator}}]\n${note}`);
    assert.deepEqual([run.status, run.steps.length], ["failed", 0], JSON.stringify(run));
  }
  const { body } = await ask("acme", "GET", "/api/events?type=test.sneaky");
  assert.deepEqual(body.events, []);
});

test("an action that never ends is stopped at its timeout; a giant result is not kept; a list of too many values is refused", async () => {
  const never = await runOf("a-never", "actions: [{operator: test.never, timeout: 300ms}]");
  assert.deepEqual([never.status, never.reason], ["failed", "deadline_exceeded"]);
  const giant = await runOf(
    "a-giant",
    `actions:\n  - {id: g, operator: test.giant}\n  - {operator: test.note, params: {text: "{{ steps.g == null }}"}}`,
  );
  assert.deepEqual([giant.status, giant.steps[0].result, giant.steps[1].params.text], ["succeeded", null, true]);
  for (const variable of ["tooMany", "broken"]) {
    const run = await runOf(
      `v-${variable.toLowerCase()}`,
      `actions: [{operator: test.note, params: {text: "{{ ${variable} }}"}}]`,
    );
    assert.deepEqual([run.status, run.reason], ["failed", "result_invalid"]);
  }
});

test("params that only the run knows are checked against the operator's schema, and what is wrong is told", async () => {
  const run = await runOf(
    "typed",
    `actions: [{operator: test.failUntil, params: {name: n, times: "{{ event.times }}"}, retry: 5}]`,
    { times: "often" },
  );
  assert.deepEqual([run.status, run.reason], ["failed", "invalid_parameters"]);
  assert.match(run.error.message, /times/);
});

test("what traces show has no secrets of the plugin, no fields that look like credentials, and a bounded size", async () => {
  const run = await runOf(
    "telling",
    `actions:\n  - {id: t, operator: test.tellSecret}\n  - {operator: test.note, params: {text: "{{ steps.t.said }}"}}\n  - {operator: test.note, params: {text: "{{ event.long }}"}}`,
    { password: "hunter22", apiKey: "k-123456", long: "y".repeat(50_000), nested: { accessToken: "t-123456" } },
  );
  const text = JSON.stringify(run);
  assert.equal(run.status, "succeeded", text);
  for (const secret of ["s3cret-value-of-acme", "hunter22", "k-123456", "t-123456"])
    assert.ok(!text.includes(secret), `${secret} shows`);
  assert.match(run.steps[0].result.said, /redacted/);
  assert.ok(text.length < 60_000, `${text.length} characters`);
});

test("sources and events of all kinds are answered, never with a 500", async () => {
  for (const source of [
    "",
    "a: [",
    "\u0000",
    "name: x\n".repeat(20_000),
    "&a [*a, *a]",
    "x: !!js/function 1",
    "[]",
    "name: {}",
  ]) {
    const { status, body } = await ask("acme", "POST", "/api/rules/validate", { source });
    assert.deepEqual(
      [status, body.valid],
      [200, false],
      `${source.slice(0, 20)} ${JSON.stringify(body).slice(0, 300)}`,
    );
    assert.equal((await ask("acme", "POST", "/api/rules", { source })).status, 400);
  }
  for (const body of [1, "x", [], { source: 1 }, { source: "x", more: 1 }, null])
    assert.equal((await ask("acme", "POST", "/api/rules", body)).status, 400, JSON.stringify(body));
  const raw = await hub.request("POST", "/api/rules", {
    token: tenants["acme"]!.adminKey,
    body: new Uint8Array([0xff, 0xfe, 0xfd]),
    headers: { "content-type": "application/yaml" },
  });
  assert.equal(raw.status, 400);
  for (const path of ["/api/rules/%00", "/api/rules/runs/nothing", "/api/rules/x/versions/99999999999/restore"])
    assert.ok([400, 404, 405].includes((await ask("acme", "GET", path)).status), path);
  const deep = JSON.parse(`${'{"a":'.repeat(200)}1${"}".repeat(200)}`);
  const dry = await ask("acme", "POST", "/api/rules/dry-run", {
    source: "name: d\ntrigger: {event: d.d}\nactions: [{operator: test.giant}]",
    event: { type: "d.d", data: deep },
  });
  assert.equal(dry.status, 200, dry.text);
  const hook = await hub.request("POST", `/hooks/acme/${"é".repeat(20)}`, { token: null, body: "x" });
  assert.equal(hook.status, 404);
});

test("two organisations with the same rules: each has its own runs, catalog, versions, replays and hooks", async () => {
  const source = `id: shared\nname: Shared\nmode: parallel\ntriggers: [{event: shared.go}, {webhook: door}]\n${note}`;
  const hooks: Record<string, string> = {};
  for (const org of ["acme", "globex"])
    hooks[org] = (await ask(org, "POST", "/api/rules", { source })).body.hooks[0].path;
  assert.notEqual(hooks["acme"]!.split("/")[3], hooks["globex"]!.split("/")[3]);
  await ask("acme", "POST", "/api/events", { type: "shared.go", id: "same", data: { of: "only-acme" } });
  const run = await until(
    async () => (await ask("acme", "GET", "/api/rules/shared/runs?status=succeeded")).body.runs[0],
  );
  const replay = (await ask("acme", "POST", "/api/rules/replay", { rule: "shared", days: 1 })).body.id;
  await until(async () => (await ask("acme", "GET", `/api/rules/replays/${replay}`)).body.endedAt !== null);
  assert.deepEqual((await ask("globex", "GET", "/api/rules/shared/runs")).body.runs, []);
  assert.deepEqual((await ask("globex", "GET", "/api/rules/replays")).body.replays, []);
  for (const [method, path] of [
    ["GET", `/api/rules/runs/${run.id}`],
    ["POST", `/api/rules/runs/${run.id}/cancel`],
    ["GET", `/api/rules/replays/${replay}`],
    ["GET", `/api/rules/replays/${replay}/decisions`],
    ["POST", `/api/rules/replays/${replay}/cancel`],
    ["GET", "/api/rules/telling"],
    ["GET", "/api/rules/telling/versions"],
    ["POST", "/api/rules/telling/versions/1/restore"],
    ["POST", "/api/rules/telling/disable"],
    ["DELETE", "/api/rules/telling"],
  ] as const)
    assert.equal(
      (await ask("globex", method, path, method === "POST" ? {} : undefined)).status,
      404,
      `${method} ${path}`,
    );
  const crossed = hooks["acme"]!.replace("/acme/", "/globex/");
  assert.equal((await hub.request("POST", crossed, { token: null, body: {} })).status, 404);
  const manual = await ask("globex", "POST", "/api/rules/shared/run", { eventId: "same" });
  assert.equal(manual.status, 404, "the other's event");
  assert.equal((await ask("globex", "POST", "/api/rules/dry-run", { rule: "shared", eventId: "same" })).status, 404);
  const foreign = (await ask("acme", "GET", "/api/rules?limit=1")).body.nextCursor;
  assert.ok(!(await ask("globex", "GET", `/api/rules?cursor=${foreign}`)).text.includes("telling"));
  assert.ok(!(await ask("globex", "GET", "/api/rules/runs?limit=200")).text.includes("only-acme"));
});

test("an organisation that goes takes its rules along", async () => {
  const gone = await hub.organization("gone");
  await hub.install("gone", ruleOperators());
  tenants["gone"] = gone;
  await runOf("leaving", note, {}, "gone");
  assert.equal((await ask("gone", "DELETE", "/api/plugins/acme.operators")).status, 204);
  await hub.hub.access.removeOrganization({ id: "gone", actor: "hub_admin" });
  for (const table of ["rules", "rule_versions", "rule_runs", "rule_run_steps", "rule_sets"] as const) {
    const rows = await hub.hub.store.db
      .selectFrom(table)
      .select("organization_id")
      .where("organization_id", "=", "gone")
      .execute();
    assert.deepEqual(rows, [], table);
  }
});

test("a plugin that waits for its turn to take another's operator is told no, when that one is paused and when it upgrades itself", async () => {
  tenants["ids"] = await hub.organization("ids");
  const rival = (version: string, actions: string[]): PluginSource => ({
    manifest: { id: "evil.rival", version, contributes: { actions: actions.map((id) => ({ id })) } },
    code: `import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({ actions: { ${actions.map((id) => `"${id}": { execute: () => "stolen" }`).join(", ")} } });`,
  });
  // Installed first, and without the id: a later version of it asks for what another holds by then.
  await hub.install("ids", rival("1.0.0", ["rival.own"]));
  await hub.install("ids", ruleOperators());
  const source = `id: mine\nname: Mine\ntrigger: {event: mine.go}\n${note}`;
  assert.equal((await ask("ids", "POST", "/api/rules", { source })).status, 201);
  assert.equal((await hub.publish("ids", rival("2.0.0", ["rival.own", "test.note"]))).status, 201);
  const upgraded = await ask("ids", "POST", "/api/plugins/evil.rival/upgrade", { version: "2.0.0" });
  assert.equal(upgraded.status, 200, upgraded.text);
  const holders = async (): Promise<unknown[]> => {
    const { operators } = (await ask("ids", "GET", "/api/rules/operators")).body;
    return operators.flatMap(({ id, plugin, active, heldBy }: Record<string, unknown>) =>
      id === "test.note" ? [[plugin, active, heldBy]] : [],
    );
  };
  const held = [
    ["acme.operators", true, null],
    ["evil.rival", false, "acme.operators"],
  ];
  assert.deepEqual(await holders(), held);
  assert.equal((await ask("ids", "POST", "/api/plugins/acme.operators/deactivate")).status, 200);
  held[0]![1] = false;
  assert.deepEqual(await holders(), held);
  const { body: valid } = await ask("ids", "POST", "/api/rules/validate", { source: source.replace("mine", "other") });
  assert.match(valid.faults[0].message, /acme\.operators/);
  await ask("ids", "POST", "/api/events", { type: "mine.go", data: {} });
  await until(async () => (await ask("ids", "GET", "/api/rules/mine/runs")).body.runs.length === 1);
  assert.equal((await ask("ids", "POST", "/api/plugins/acme.operators/activate")).status, 200);
  const run = await until(async () => {
    const [first] = (await ask("ids", "GET", "/api/rules/mine/runs")).body.runs;
    return first.endedAt ? (await ask("ids", "GET", `/api/rules/runs/${first.id}`)).body : undefined;
  }, 30_000);
  assert.equal(run.status, "succeeded");
  assert.notEqual(run.steps[0].result, "stolen");
  const told = await until(async () => {
    const { logs } = (await ask("ids", "GET", "/api/plugins/evil.rival/logs")).body;
    return logs.find(({ message }: { message: string }) => message.includes("test.note"));
  });
  assert.match(told.message, /action 'test\.note': plugin 'acme\.operators' has offered that id for longer/);
  assert.equal((await ask("ids", "DELETE", "/api/plugins/acme.operators")).status, 204);
  assert.deepEqual(await holders(), [["evil.rival", true, null]]);
});

test("whoever has the address of a hook cannot fill the hub with it", async () => {
  const source = `id: flooded\nname: Flooded\ntrigger: {webhook: door}\n${note}`;
  const { path } = (await ask("acme", "POST", "/api/rules", { source })).body.hooks[0];
  const statuses = new Map<number, number>();
  for (let n = 0; n < 60 && !statuses.has(429); n++) {
    const ring = () =>
      hub.request("POST", path, { token: null, body: "{}", headers: { "idempotency-key": "the same again" } });
    for (const { status } of await Promise.all(Array.from({ length: 50 }, ring)))
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  assert.ok(statuses.get(202)! >= 500, JSON.stringify([...statuses]));
  assert.deepEqual([...statuses.keys()], [202, 429]);
});
