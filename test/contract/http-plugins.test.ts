/** CONTRACT, "HTTP": packages, installations and their life, calls of functions, and how each failure is answered. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { probe } from "../kit/probe-plugin.ts";
import { type Keys, packSource, startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

let hub: TestHub;
let acme: Keys;
const required = probe().manifest["permissions"] as string[];
before(async () => {
  hub = await startTestHub();
  acme = await hub.organization("acme");
});
after(() => hub[Symbol.asyncDispose]());

const api = (method: string, path: string, body?: unknown): Promise<TestAnswer> =>
  hub.request(method, path, { token: acme.adminKey, ...(body === undefined ? {} : { body }) });
const call = (plugin: string, name: string, parameters: unknown = {}, more: object = {}): Promise<TestAnswer> =>
  hub.request("POST", `/api/plugins/${encodeURIComponent(plugin)}`, {
    token: acme.memberKey,
    body: { function: name, parameters, ...more },
  });
const publish = async (source: Parameters<typeof packSource>[0]): Promise<TestAnswer> =>
  hub.request("POST", "/api/packages", {
    token: acme.memberKey,
    body: await packSource(source),
    headers: { "content-type": "application/gzip" },
  });

function assertFailure(answer: TestAnswer, status: number, code: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
  assert.equal(answer.body.code, code);
  assert.equal(answer.body.success, false);
  assert.equal(answer.body.error.code, code);
}

/** An execution that failed is on record under the id the caller got. */
async function assertRecorded(answer: TestAnswer, code: string): Promise<void> {
  const { body } = await api("GET", `/api/executions/${answer.body.executionId}`);
  assert.equal(body.status, "failed");
  assert.equal(body.error.code, code);
}

test("publishing: 201 with digest, manifest and every permission in words; again the same: 201; other content: 409", async () => {
  const first = await publish(probe());
  assert.equal(first.status, 201, first.text);
  assert.equal(first.body.id, "acme.probe");
  assert.equal(first.body.version, "1.0.0");
  assert.match(first.body.digest, /^sha256[:-]/);
  assert.equal(first.body.manifest.name, "Probe");
  assert.equal(first.body.permissions.length, 6);
  for (const { permission, required, sentence, risk } of first.body.permissions) {
    assert.equal(required, permission !== "network:inbound");
    assert.ok(sentence.length > 10 && ["low", "medium", "high"].includes(risk));
  }
  assert.equal((await publish(probe())).status, 201);
  const other = await publish({ ...probe(), code: probe().code.replace("as asked", "otherwise") });
  assert.equal(other.status, 409, other.text);
  assert.equal(other.body.code, "package_exists");
});

test("a manifest with faults: 400 that names them all", async () => {
  const bad = await api("POST", "/api/packages", Buffer.from("x"));
  assert.equal(bad.status, 415);
  await assert.rejects(
    packSource({
      manifest: { id: "acme.bad", permissions: ["network:outbound:*", "fly:moon"] },
      code: "export default {}",
    }),
    (error: { errors: { message: string }[] }) => error.errors.length === 2,
  );
});

test("installing: 201 pending_config, nothing granted, everything pending; twice: 409; unknown: 404; a version that is none: 404", async () => {
  const installed = await api("POST", "/api/plugins", { id: "acme.probe" });
  assert.equal(installed.status, 201, installed.text);
  const { installedAt, updatedAt, digest, ...rest } = installed.body;
  assert.match(digest, /^sha256/);
  for (const time of [installedAt, updatedAt]) assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.deepEqual(rest, {
    id: "acme.probe",
    name: "Probe",
    version: "1.0.0",
    type: "domain",
    catalog: "acme",
    runtime: "isolate",
    status: "pending_config",
    statusReason: null,
    health: "unknown",
    healthReason: null,
    grants: [],
    pendingPermissions: [...required, "network:inbound"],
    config: {},
  });
  assert.equal((await api("POST", "/api/plugins", { id: "acme.probe" })).body.code, "already_installed");
  assert.equal((await api("POST", "/api/plugins", { id: "acme.nothing" })).status, 404);
  assert.equal((await api("POST", "/api/plugins", { id: "acme.probe2", version: "9.9.9" })).status, 404);
});

test("activation is gated: 409 that names the missing grants", async () => {
  const blocked = await api("POST", "/api/plugins/acme.probe/activate");
  assert.equal(blocked.status, 409);
  assert.equal(blocked.body.code, "activation_blocked");
  assert.equal(blocked.body.errors.length, 5);
  assert.match(blocked.body.detail, /data:read:marks/);
  assertFailure(await call("acme.probe", "echo"), 409, "plugin_not_active");
});

test("grants: unknown ones, wider ones and those not asked for are 400; what is granted leaves pendingPermissions", async () => {
  for (const grants of [["data:read:other"], ["event:publish:*"], ["nonsense"], "everything", [7]])
    assert.equal((await api("PUT", "/api/plugins/acme.probe/grants", { grants })).status, 400, JSON.stringify(grants));
  const granted = await api("PUT", "/api/plugins/acme.probe/grants", { grants: required });
  assert.equal(granted.status, 200, granted.text);
  assert.deepEqual(granted.body.pendingPermissions, ["network:inbound"]);
});

test("config is checked against the schema, secrets come back masked, and a mask sent back keeps the value", async () => {
  const wrong = await api("PUT", "/api/plugins/acme.probe/config", { greeting: "x", colour: "red", token: "no" });
  assert.equal(wrong.status, 400);
  assert.equal(wrong.body.code, "invalid_config");
  assert.deepEqual(wrong.body.errors.map(({ path }: { path: string }) => path.replace(/^\$\.?/, "")).sort(), [
    "colour",
    "greeting",
    "token",
  ]);
  const set = await api("PUT", "/api/plugins/acme.probe/config", { greeting: "Hello", token: "tok-canary" });
  assert.deepEqual(set.body.config, { greeting: "Hello", token: "********" });
  const kept = await api("PUT", "/api/plugins/acme.probe/config", { greeting: "Hi", token: "********" });
  assert.deepEqual(kept.body.config, { greeting: "Hi", token: "********" });
  for (const path of ["/api/plugins/acme.probe", "/api/plugins", "/api/audit", "/api/events"])
    assert.ok(!(await api("GET", path)).text.includes("tok-canary"), path);
});

test("activation: 200 active, again: 200; then a function answers with result and executionId", async () => {
  const active = await api("POST", "/api/plugins/acme.probe/activate");
  assert.equal(active.status, 200, active.text);
  assert.equal(active.body.status, "active");
  assert.equal((await api("POST", "/api/plugins/acme.probe/activate")).status, 200);
  const answer = await call("acme.probe", "echo", { a: [1, "ü"] }, { sessionId: "s-1" });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body.success, true);
  assert.deepEqual(answer.body.result.parameters, { a: [1, "ü"] });
  assert.equal(answer.body.result.organization, "acme");
  assert.equal(answer.body.result.sessionId, "s-1");
  assert.equal(answer.body.result.config.greeting, "Hi");
  assert.ok(!answer.text.includes("tok-canary"));
  const nothing = await call("acme.probe", "nothing");
  assert.deepEqual([nothing.status, nothing.body.result], [200, null]);
});

test("the execution's record has what the contract names", async () => {
  const { body } = await call("acme.probe", "sleep", { ms: 5 });
  const { body: record } = await api("GET", `/api/executions/${body.executionId}`);
  assert.equal(record.plugin, "acme.probe");
  assert.equal(record.contribution, "sleep");
  assert.equal(record.status, "succeeded");
  assert.deepEqual(record.result, { ms: 5 });
  assert.match(record.traceId, /^[0-9a-f]{32}$/);
  assert.ok(record.wallMs >= 4 && record.cpuMs >= 0 && record.startedAt <= record.endedAt);
  const logs = await until(async () => {
    const found = await api("GET", `/api/plugins/acme.probe/logs?execution=${body.executionId}`);
    return found.body.logs.length > 0 && found.body.logs;
  });
  assert.equal(logs[0].message, "slept 5");
  assert.equal(logs[0].level, "info");
});

test("executions are listed by plugin, status and trace, newest first, page by page", async () => {
  const ids: string[] = [];
  for (let n = 0; n < 3; n += 1) ids.unshift((await call("acme.probe", "echo", { n })).body.executionId);
  const { body } = await api("GET", "/api/executions?plugin=acme.probe&status=succeeded&limit=2");
  assert.deepEqual(
    body.executions.map(({ id }: { id: string }) => id),
    ids.slice(0, 2),
  );
  const next = await api("GET", `/api/executions?plugin=acme.probe&status=succeeded&limit=2&cursor=${body.nextCursor}`);
  assert.equal(next.body.executions[0].id, ids[2]);
  assert.equal((await api("GET", "/api/executions?plugin=no.such")).body.executions.length, 0);
  assert.equal((await api("GET", "/api/executions?status=lost")).status, 400);
});

test("failures: the status says whose fault, the problem has success, error and the execution's id", async () => {
  const thrown = await call("acme.probe", "fail", { message: "tok-canary is not in here" });
  assertFailure(thrown, 502, "plugin_error");
  assert.match(thrown.body.error.message, /is not in here/);
  await assertRecorded(thrown, "plugin_error");
  const record = await api("GET", `/api/executions/${thrown.body.executionId}`);
  assert.match(record.body.error.stack, /index\.ts:\d+/);

  const spun = await call("acme.probe", "spin");
  assertFailure(spun, 502, "cpu_exceeded");
  await assertRecorded(spun, "cpu_exceeded");

  await hub.install("acme", probe({ id: "acme.brief", resources: { timeoutMs: 400 } }));
  const hung = await call("acme.brief", "hang");
  assertFailure(hung, 504, "deadline_exceeded");
  await assertRecorded(hung, "deadline_exceeded");

  const odd = await call("acme.probe", "badResult");
  assertFailure(odd, 502, "result_invalid");
  await assertRecorded(odd, "result_invalid");

  for (const [parameters, paths] of [
    [{}, ["who"]],
    [{ who: 1, n: 1.5, x: 1 }, ["n", "who", "x"]],
  ] as const) {
    const bad = await call("acme.probe", "strict", parameters);
    assertFailure(bad, 400, "invalid_parameters");
    assert.deepEqual(bad.body.errors.map(({ path }: { path: string }) => path.replace(/^\$\.?/, "")).sort(), paths);
  }
  assertFailure(await call("acme.probe", "strict", { who: "x" }), 502, "handler_missing");
  assertFailure(await call("acme.probe", "unheardOf"), 404, "function_not_found");
  assertFailure(await call("acme.nothing", "echo"), 404, "not_found");
  assert.equal((await call("acme.probe", "echo", {}, { mode: "later" })).status, 400);
});

test("a plugin that was killed for its CPU answers again", async () => {
  assert.equal((await call("acme.probe", "echo")).status, 200);
});

test("async: 202 with the execution's id, which ends by itself", async () => {
  const accepted = await call("acme.probe", "sleep", { ms: 50 }, { mode: "async" });
  assert.equal(accepted.status, 202, accepted.text);
  assert.deepEqual(Object.keys(accepted.body), ["executionId"]);
  const ended = await until(async () => {
    const { body } = await api("GET", `/api/executions/${accepted.body.executionId}`);
    return body.status === "succeeded" && body;
  });
  assert.deepEqual(ended.result, { ms: 50 });
  assertFailure(await call("acme.probe", "strict", {}, { mode: "async" }), 400, "invalid_parameters");
});

test("cancelling what has ended: 409; what never was: 404", async () => {
  const { body } = await call("acme.probe", "echo");
  assert.equal((await api("POST", `/api/executions/${body.executionId}/cancel`)).body.code, "conflict");
  assert.equal((await api("POST", "/api/executions/none/cancel")).status, 404);
});

test("a member may not change installations, a viewer may not call", async () => {
  assert.equal(
    (await hub.request("POST", "/api/plugins/acme.probe/deactivate", { token: acme.memberKey })).status,
    403,
  );
  assert.equal(
    (await hub.request("POST", "/api/plugins/acme.probe", { token: acme.viewerKey, body: { function: "echo" } }))
      .status,
    403,
  );
  assert.equal((await hub.request("GET", "/api/plugins/acme.probe", { token: acme.viewerKey })).status, 200);
});

test("an upgrade runs at once with the old grants; what it adds is pending until granted", async () => {
  const next = probe({ version: "1.1.0", permissions: [...required, "storage:write"] });
  assert.equal((await publish(next)).status, 201);
  const upgraded = await api("POST", "/api/plugins/acme.probe/upgrade", { version: "1.1.0" });
  assert.equal(upgraded.status, 200, upgraded.text);
  assert.equal(upgraded.body.status, "active");
  assert.equal(upgraded.body.version, "1.1.0");
  assert.deepEqual(upgraded.body.pendingPermissions, ["storage:write", "network:inbound"]);
  assert.ok(!upgraded.body.grants.includes("storage:write"));
  assert.deepEqual(upgraded.body.config, { greeting: "Hi", token: "********" });
  const answer = await call("acme.probe", "abilities");
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body.result.storage, false, "an ability that is not granted is absent");
  const consent = await api("GET", "/api/plugins/acme.probe/consent");
  assert.deepEqual(
    consent.body.permissions
      .filter(({ isNew }: { isNew: boolean }) => isNew)
      .map(({ permission }: { permission: string }) => permission),
    ["storage:write"],
  );
  const granted = await api("PUT", "/api/plugins/acme.probe/grants", { grants: "all" });
  assert.deepEqual(granted.body.pendingPermissions, []);
  assert.equal((await call("acme.probe", "abilities")).body.result.storage, true);
  assert.equal((await api("POST", "/api/plugins/acme.probe/upgrade", { version: "7.0.0" })).status, 404);
  assert.equal((await api("POST", "/api/plugins/acme.probe/upgrade", {})).status, 400);
});

test("an upgrade keeps a set secret whose schema has a pattern, and one that needs other config waits with the reason", async () => {
  assert.equal(
    (
      await publish(
        probe({
          version: "1.2.0",
          configSchema: {
            type: "object",
            properties: {
              greeting: { type: "string" },
              token: { type: "string", format: "secret", pattern: "^tok-", hosts: ["api.vendor.com"] },
              region: { type: "string" },
            },
            required: ["region", "token"],
          },
        }),
      )
    ).status,
    201,
  );
  const upgraded = await api("POST", "/api/plugins/acme.probe/upgrade", { version: "1.2.0" });
  assert.equal(upgraded.body.status, "pending_config");
  assert.match(upgraded.body.statusReason, /region/);
  assert.doesNotMatch(upgraded.body.statusReason, /token/);
  const blocked = await api("POST", "/api/plugins/acme.probe/activate");
  assert.deepEqual(
    blocked.body.errors.map(({ path }: { path: string }) => path),
    ["config.$.region"].map((path) => (blocked.body.errors[0].path === "config.region" ? "config.region" : path)),
  );
  const configured = await api("PUT", "/api/plugins/acme.probe/config", { region: "eu", token: "********" });
  assert.deepEqual(
    [configured.status, configured.body.status, configured.body.statusReason],
    [200, "pending_config", null],
  );
  assert.equal((await api("POST", "/api/plugins/acme.probe/activate")).body.status, "active");
});

test("deactivate: calls are 409; activate: they answer at once", async () => {
  for (let n = 0; n < 5; n += 1) {
    assert.equal((await api("POST", "/api/plugins/acme.probe/deactivate")).body.status, "disabled");
    assertFailure(await call("acme.probe", "echo"), 409, "plugin_not_active");
    assert.equal((await api("POST", "/api/plugins/acme.probe/activate")).body.status, "active");
    assert.equal((await call("acme.probe", "echo")).status, 200);
  }
});

test("a quarantine answers 409 with its reason and is ended by activation", async () => {
  await hub.hub.lifecycle.quarantine("acme" as never, "acme.probe" as never, "it broke its walls");
  const record = await api("GET", "/api/plugins/acme.probe");
  assert.deepEqual(
    [record.body.status, record.body.statusReason, record.body.health],
    ["quarantined", "it broke its walls", "unhealthy"],
  );
  const refused = await call("acme.probe", "echo");
  assertFailure(refused, 409, "plugin_quarantined");
  assert.match(refused.body.detail, /it broke its walls/);
  assert.equal((await api("POST", "/api/plugins/acme.probe/activate")).body.status, "active");
  assert.equal((await call("acme.probe", "echo")).status, 200);
});

test("every transition is on record with who made it and why, and as an event", async () => {
  const { body } = await api("GET", "/api/plugins/acme.probe/history?limit=3");
  assert.deepEqual(
    body.transitions.map(({ action, from, to }: Record<string, string>) => [action, from, to]),
    [
      ["activated", "quarantined", "active"],
      ["quarantined", "active", "quarantined"],
      ["activated", "disabled", "active"],
    ],
  );
  assert.equal(body.transitions[1].reason, "it broke its walls");
  assert.match(body.transitions[0].actor, /^key:/);
  const more = await api("GET", `/api/plugins/acme.probe/history?limit=1&cursor=${body.nextCursor}`);
  assert.equal(more.body.transitions[0].action, "deactivated");
  const types = await until(async () => {
    const found = (await api("GET", "/api/events?type=plugin.*&limit=200")).body.events.map(
      ({ type }: { type: string }) => type,
    );
    return found.includes("plugin.quarantined") && found;
  });
  for (const type of [
    "plugin.installed",
    "plugin.configured",
    "plugin.activated",
    "plugin.deactivated",
    "plugin.upgraded",
  ])
    assert.ok(types.includes(type), type);
  assert.equal((await api("GET", "/api/audit/verify")).body.valid, true);
});

test("an id with a slash is one path segment, percent-encoded", async () => {
  assert.equal(
    (
      await publish({
        manifest: { id: "mlebotics/echo", contributes: { functions: [{ name: "echo", description: "x" }] } },
        code: `export default { functions: { echo: (p) => p } };`,
      })
    ).status,
    201,
  );
  assert.equal((await api("POST", "/api/plugins", { id: "mlebotics/echo", grants: "all" })).status, 201);
  const path = "/api/plugins/mlebotics%2Fecho";
  assert.equal((await api("POST", `${path}/activate`)).body.status, "active");
  assert.deepEqual((await call("mlebotics/echo", "echo", { x: 1 })).body.result, { x: 1 });
  for (const rest of ["", "/consent", "/logs", "/history"])
    assert.equal((await api("GET", path + rest)).status, 200, rest);
  assert.equal((await api("DELETE", path)).status, 204);
});

test("dependencies: installing without one is 409, uninstalling one that is needed is 409", async () => {
  const needy = (range: string): Parameters<typeof packSource>[0] => ({
    manifest: {
      id: "acme.needy",
      version: range === "^1.0.0" ? "1.0.0" : "2.0.0",
      dependencies: { "acme.probe": range },
    },
    code: "export default {};",
  });
  assert.equal((await publish(needy("^9.0.0"))).status, 201);
  assert.equal(
    (await api("POST", "/api/plugins", { id: "acme.needy", version: "2.0.0" })).body.code,
    "dependency_missing",
  );
  assert.equal((await publish(needy("^1.0.0"))).status, 201);
  assert.equal((await api("POST", "/api/plugins", { id: "acme.needy", version: "1.0.0" })).status, 201);
  assert.equal((await api("DELETE", "/api/plugins/acme.probe")).body.code, "dependency_in_use");
  assert.equal(
    (await api("POST", "/api/plugins/acme.needy/upgrade", { version: "2.0.0" })).body.code,
    "dependency_missing",
  );
  assert.equal((await api("DELETE", "/api/plugins/acme.needy")).status, 204);
});

test("uninstall: 204, gone, and installable anew without its former config or grants", async () => {
  const gone = await api("DELETE", "/api/plugins/acme.probe");
  assert.deepEqual([gone.status, gone.text], [204, ""]);
  for (const [method, path] of [
    ["GET", ""],
    ["DELETE", ""],
    ["POST", "/activate"],
    ["POST", "/deactivate"],
    ["GET", "/logs"],
    ["GET", "/consent"],
  ] as const)
    assert.equal((await api(method, `/api/plugins/acme.probe${path}`)).status, 404, path);
  const again = await api("POST", "/api/plugins", { id: "acme.probe", version: "1.0.0" });
  assert.deepEqual([again.body.config, again.body.grants, again.body.version], [{}, [], "1.0.0"]);
  assert.equal((await api("POST", "/api/plugins/acme.probe/deactivate")).body.code, "invalid_transition");
});
