import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { installed, problem, runForTest, startFakeHub } from "./test-cli.ts";

test("help lists every verb of the contract and succeeds", async () => {
  const { code, out } = await runForTest(["--help"]);
  assert.equal(code, 0);
  const verbs = [
    "start",
    "doctor",
    "validate",
    "create-plugin",
    "test",
    "dev",
    "pack",
    "publish",
    "install",
    "plugins",
    "configure",
    "activate",
    "deactivate",
    "uninstall",
    "upgrade",
    "grants",
    "invoke",
    "events",
    "messages",
    "logs",
    "executions",
    "dead-letters",
  ];
  for (const verb of verbs) assert.match(out, new RegExp(`^  ${verb}\\b`, "m"), verb);
  for (const verb of verbs) {
    const help = await runForTest(
      verb === "events" || verb === "dead-letters" ? [verb, "list", "--help"] : [verb, "--help"],
    );
    assert.equal(help.code, 0);
    assert.match(help.out, /Examples:\n {2}/, `${verb} shows examples`);
  }
});

test("a wrong use of the command exits with 2 and writes nothing to standard output", async () => {
  for (const args of [
    ["frobnicate"],
    ["invoke"],
    ["plugins", "--nope"],
    ["logs", "x", "--limit", "0"],
    ["create-plugin", "x", "--type", "spaceship"],
    ["events"],
  ]) {
    const { code, out } = await runForTest(args);
    assert.equal(code, 2, args.join(" "));
    assert.equal(out, "", args.join(" "));
  }
});

test("without a hub the sentence says how to start one, and the exit code is 1", async () => {
  const { code, err, out } = await runForTest(["plugins"], { env: { BACKPLANE_URL: "http://127.0.0.1:9" } });
  assert.equal(code, 1);
  assert.equal(out, "");
  assert.match(err, /^backplane: No hub answers at http:\/\/127\.0\.0\.1:9.*\n {2}Check BACKPLANE_URL/);
  assert.doesNotMatch(err, /\n\s+at /);
});

test("a stack is written only with BACKPLANE_DEBUG=1", async () => {
  const { err } = await runForTest(["plugins"], { env: { BACKPLANE_URL: "http://127.0.0.1:9", BACKPLANE_DEBUG: "1" } });
  assert.match(err, /\n\s+at /);
});

test("a refusal of the hub becomes its sentence, its fields and what helps; with --json one document", async () => {
  await using hub = await startFakeHub({
    "POST /api/plugins/acme%2Fgreeter": problem(
      400,
      "invalid_parameters",
      "The parameters of 'hello' do not match their schema; `errors` names each field.",
      {
        errors: [{ path: "who", message: "`who` is missing; add it." }],
        executionId: "e1",
      },
    ),
    "POST /api/plugins/x/activate": problem(
      409,
      "activation_blocked",
      "Plugin 'x' cannot be activated: config `greeting`.",
    ),
  });
  const plain = await runForTest(["invoke", "acme/greeter", "hello"], { env: hub.env });
  assert.equal(plain.code, 1);
  assert.equal(
    plain.err,
    "backplane: The parameters of 'hello' do not match their schema.\n  who: `who` is missing; add it.\n",
  );
  const machine = await runForTest(["invoke", "acme/greeter", "hello", "--json"], { env: hub.env });
  assert.equal(machine.code, 1);
  const { error } = machine.json<{ error: Record<string, unknown> }>();
  assert.equal(error["code"], "invalid_parameters");
  assert.equal(error["executionId"], "e1");
  assert.deepEqual(error["errors"], [{ field: "who", message: "`who` is missing; add it." }]);
  const blocked = await runForTest(["activate", "x"], { env: hub.env });
  assert.match(blocked.err, /backplane configure x key=value/, "the help names the plugin");
});

test("invoke sends the parameters, and prints the result alone or with --json the whole answer", async () => {
  await using hub = await startFakeHub({
    "POST /api/plugins/g": { body: { success: true, result: { text: "Hi" }, executionId: "e1" } },
  });
  const plain = await runForTest(["invoke", "g", "hello", '{"who":"Ada"}', "--session", "s1"], { env: hub.env });
  assert.equal(plain.code, 0);
  assert.deepEqual(plain.json(), { text: "Hi" });
  assert.deepEqual(hub.requests[0]?.json, { function: "hello", parameters: { who: "Ada" }, sessionId: "s1" });
  const all = await runForTest(["invoke", "g", "hello", "-", "--async", "--json"], {
    env: hub.env,
    stdin: '{"who":"Bo"}',
  });
  assert.equal(all.json()["executionId"], "e1");
  assert.deepEqual(hub.requests[1]?.json, { function: "hello", parameters: { who: "Bo" }, mode: "async" });
  const wrong = await runForTest(["invoke", "g", "hello", "{who}"], { env: hub.env });
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /not valid JSON.*\n.*single quotes/);
  assert.equal(hub.requests.length, 2, "nothing was sent");
});

test("the hub admin's token goes with an organisation, an API key without one unless it is named", async () => {
  await using hub = await startFakeHub({ "GET /api/plugins": { body: { plugins: [], nextCursor: null } } });
  await runForTest(["plugins"], { env: hub.env });
  await runForTest(["plugins"], { env: { ...hub.env, BACKPLANE_ORG: "acme" } });
  await runForTest(["plugins"], { env: { ...hub.env, BACKPLANE_TOKEN: "bp_key" } });
  assert.deepEqual(
    hub.requests.map(({ headers }) => [headers.authorization, headers["x-organization-id"]]),
    [
      ["Bearer bpa_test", "demo"],
      ["Bearer bpa_test", "acme"],
      ["Bearer bp_key", undefined],
    ],
  );
});

test("plugins reads every page, and a control character of a plugin never reaches the terminal", async () => {
  await using hub = await startFakeHub({
    "GET /api/plugins": ({ query }) =>
      query.get("cursor") === null
        ? { body: { plugins: [installed({ id: "a", statusReason: "\u001b[2Jgone\u0007" })], nextCursor: "c1" } }
        : { body: { plugins: [installed({ id: "b" })], nextCursor: null } },
  });
  const { out } = await runForTest(["plugins"], { env: hub.env });
  assert.match(out, /^a .*\\u001b\[2Jgone\\u0007$/m);
  assert.match(out, /^b /m);
  assert.deepEqual(out.match(/\p{Cc}/gu)?.filter((character) => character !== "\n") ?? [], []);
  const { plugins } = (await runForTest(["plugins", "--json"], { env: hub.env })).json<{ plugins: unknown[] }>();
  assert.equal(plugins.length, 2);
});

test("configure types values by the schema, keeps the rest, and sends masks back as they are", async () => {
  const configSchema = {
    type: "object",
    properties: { retries: { type: "integer" }, on: { type: "boolean" }, token: { type: "string", format: "secret" } },
  };
  await using hub = await startFakeHub({
    "GET /api/plugins/g": { body: installed({ config: { token: "********", keep: "me", retries: 1 } }) },
    "GET /api/packages/g": { body: { manifest: { configSchema } } },
    "PUT /api/plugins/g/config": ({ json }) => ({ body: installed({ config: json }) }),
  });
  const { code } = await runForTest(["configure", "g", "retries=3", "on=yes"], { env: hub.env });
  assert.equal(code, 0);
  assert.deepEqual(hub.requests.at(-1)?.json, { token: "********", keep: "me", retries: 3, on: true });
  await runForTest(["configure", "g", "--unset", "keep", "token=@@x"], { env: hub.env });
  assert.deepEqual(hub.requests.at(-1)?.json, { token: "@x", retries: 1 });
  const wrong = await runForTest(["configure", "g", "retries=many"], { env: hub.env });
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /'retries' takes a whole number, not 'many'/);
  const shown = await runForTest(["configure", "g"], { env: hub.env });
  assert.match(shown.out, /^token +secret +"\*{8}"/m);
});

test("grants replaces, adds and revokes; install grants nothing unless told", async () => {
  await using hub = await startFakeHub({
    "GET /api/plugins/g": { body: installed({ grants: ["storage:read", "network:inbound"] }) },
    "PUT /api/plugins/g/grants": ({ json }) => ({
      body: installed({ grants: json.grants === "all" ? ["x"] : json.grants }),
    }),
    "GET /api/packages/g": {
      body: {
        manifest: {},
        permissions: [{ permission: "storage:read", required: true, sentence: "Read its files.", risk: "low" }],
      },
    },
    "POST /api/plugins": {
      status: 201,
      body: installed({ status: "pending_config", pendingPermissions: ["storage:read"] }),
    },
  });
  await runForTest(["grants", "g", "--grant", "all"], { env: hub.env });
  assert.deepEqual(hub.requests.at(-1)?.json, { grants: "all" });
  await runForTest(["grants", "g", "--add", "storage:write", "--revoke", "network:inbound"], { env: hub.env });
  assert.deepEqual(hub.requests.at(-1)?.json, { grants: ["storage:read", "storage:write"] });
  await runForTest(["grants", "g", "--grant", "none"], { env: hub.env });
  assert.deepEqual(hub.requests.at(-1)?.json, { grants: [] });
  const { out } = await runForTest(["install", "g"], { env: hub.env });
  assert.deepEqual(hub.requests.at(-1)?.json, { id: "g" });
  assert.match(out, /· Read its files\. \[storage:read\] low risk/);
  assert.match(out, /approve with: backplane grants/);
});

test("start prints where it listens and where the token is, and ends when told", async () => {
  const stop = new AbortController();
  let closed = 0;
  const seen: unknown[] = [];
  const running = runForTest(["start", "--port", "0"], {
    env: { HOST: "127.0.0.1" },
    cwd: "/srv",
    signal: stop.signal,
    dependencies: {
      async startHub(env) {
        seen.push(env["PORT"], env["HOST"]);
        setTimeout(() => stop.abort(), 10);
        return {
          url: "http://127.0.0.1:7400",
          adminTokenFile: "/srv/.backplane/admin-token",
          close: async () => {
            closed += 1;
          },
        };
      },
    },
  });
  const { code, out } = await running;
  assert.equal(code, 0);
  assert.deepEqual(seen, ["0", "127.0.0.1"]);
  assert.match(out, /^Backplane listening on http:\/\/127\.0\.0\.1:7400\nAdmin token: \.backplane\/admin-token\n/);
  assert.equal(closed, 1);
});

test("doctor fails when a finding is a problem, and shows a test setting in red", async () => {
  const finding = (state: string, detail: string): object => ({
    area: "setting",
    name: "egress override",
    state,
    detail,
  });
  await using hub = await startFakeHub({
    "GET /api/doctor": {
      body: {
        version: "1",
        node: "24",
        ok: true,
        findings: [finding("warning", "TEST SETTING: requests go to this machine")],
      },
    },
  });
  const warned = await runForTest(["doctor"], { env: { ...hub.env, FORCE_COLOR: "1" } });
  assert.equal(warned.code, 0);
  assert.ok(warned.out.includes("\u001b[31mTEST SETTING"));
  await using ill = await startFakeHub({
    "GET /api/doctor": { body: { version: "1", node: "24", ok: false, findings: [finding("problem", "broken")] } },
  });
  const failed = await runForTest(["doctor", "--json"], { env: ill.env });
  assert.equal(failed.code, 1);
  assert.equal(failed.json()["ok"], false);
});

test("validate names file, line and field of every fault", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "cli-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeFile(
    join(dir, "plugin.json"),
    '{\n  "id": "a", "name": "A",\n  "version": "1",\n  "entrypoint": "./index.ts",\n  "permissions": ["netwrok:inbound"]\n}\n',
  );
  await writeFile(join(dir, "index.ts"), 'import fs from "node:fs";\nexport default { fs };\n');
  const { code, err } = await runForTest(["validate", "."], { cwd: dir });
  assert.equal(code, 1);
  assert.match(err, /^backplane: There are 3 faults\.\n/);
  assert.match(err, /^ {2}plugin\.json:3:14 version: /m);
  assert.match(err, /^ {2}plugin\.json:5:19 permissions\[0\]: .*Did you mean `network:inbound`/m);
  assert.match(err, /^ {2}index\.ts:1(:\d+)?: .*node:fs/m);
  const { error } = (await runForTest(["validate", ".", "--json"], { cwd: dir })).json<{
    error: { errors: object[] };
  }>();
  assert.deepEqual(Object.keys(error.errors[0] ?? {}).sort(), ["column", "field", "file", "line", "message"]);
});

test("dead-letters retries one or many, and wants to know which", async () => {
  await using hub = await startFakeHub({
    "POST /api/dead-letters/retry": { status: 202, body: { retried: 4 } },
    "POST /api/dead-letters/7/retry": { status: 202, body: { id: "7" } },
  });
  assert.equal((await runForTest(["dead-letters", "retry"], { env: hub.env })).code, 2);
  assert.match(
    (await runForTest(["dead-letters", "retry", "--code", "egress_failed"], { env: hub.env })).out,
    /^4 are tried again/,
  );
  assert.deepEqual(hub.requests.at(-1)?.json, { code: "egress_failed" });
  assert.equal((await runForTest(["dead-letters", "retry", "7", "--json"], { env: hub.env })).json()["id"], "7");
});

test("what has a list shows it where nothing else is asked for", async () => {
  for (const [verb, plural] of [
    ["messages", "messages"],
    ["rules", "rules"],
    ["dead-letters", "deadLetters"],
  ] as const) {
    await using hub = await startFakeHub({ [`GET /api/${verb}`]: { body: { [plural]: [], nextCursor: null } } });
    assert.equal((await runForTest([verb, "--json"], { env: hub.env })).code, 0, verb);
  }
});
