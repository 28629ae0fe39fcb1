/** Two organisations with the same plugin, the same ids, the same entities and events at the same time: none ever sees the other's. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { probe } from "../kit/probe-plugin.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

let hub: TestHub;
const tenants: Keys[] = [];
const names = ["acme", "globex"] as const;
before(async () => {
  hub = await startTestHub();
  for (const name of names) {
    tenants.push(await hub.organization(name));
    await hub.install(name, probe(), { greeting: `only-${name}`, token: `tok-${name}` });
  }
});
after(() => hub[Symbol.asyncDispose]());

type Step = { who: 0 | 1 } & (
  | { do: "call"; n: number }
  | { do: "upsert"; n: number }
  | { do: "event"; n: number }
  | { do: "webhook"; n: number }
  | { do: "fail"; n: number }
);

const call = (who: Keys, name: string, parameters: unknown): Promise<TestAnswer> =>
  hub.request("POST", "/api/plugins/acme.probe", { token: who.memberKey, body: { function: name, parameters } });
/** Marks what a tenant made; it must show nowhere else. */
const stamp = (who: Keys, n: number): string => `only-${who.id}-${n}`;

async function take(step: Step): Promise<void> {
  const who = tenants[step.who]!;
  const text = stamp(who, step.n);
  switch (step.do) {
    case "call": {
      const { body, status, text: answer } = await call(who, "echo", { text });
      assert.equal(status, 200, answer);
      assert.equal(body.result.organization, who.id);
      assert.equal(body.result.config.greeting, `only-${who.id}`);
      break;
    }
    case "upsert":
      assert.equal((await call(who, "upsert", { entity: "marks", items: { id: `same-${step.n}`, text } })).status, 200);
      break;
    case "event":
      assert.equal(
        (
          await hub.request("POST", "/api/events", {
            token: who.memberKey,
            body: { type: "order.placed", id: `same-${step.n}`, data: { text } },
          })
        ).status,
        202,
      );
      break;
    case "webhook":
      assert.equal(
        (
          await hub.request("POST", `/webhooks/${who.id}/acme.probe?mode=accept`, {
            token: null,
            body: [{ id: `same-${step.n}`, text }],
          })
        ).status,
        200,
      );
      break;
    case "fail":
      assert.equal((await call(who, "fail", { message: text })).status, 502);
      break;
  }
}

const readable = [
  "/api/plugins",
  "/api/plugins/acme.probe",
  "/api/plugins/acme.probe/logs",
  "/api/plugins/acme.probe/history",
  "/api/plugins/acme.probe/consent",
  "/api/executions",
  "/api/events",
  "/api/consumers",
  "/api/entities",
  "/api/entities/marks",
  "/api/dead-letters",
  "/api/messages",
  "/api/packages",
  "/api/audit",
  "/api/rules",
  "/api/rules/operators",
  "/api/rules/replays",
  "/api/rules/runs",
];

test("whatever two tenants do with equal names, each reads only its own", async () => {
  const step = fc.record({
    who: fc.constantFrom<0 | 1>(0, 1),
    do: fc.constantFrom("call", "upsert", "event", "webhook", "fail"),
    n: fc.integer({ min: 0, max: 5 }),
  }) as fc.Arbitrary<Step>;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 25 }), async (steps) => {
      await Promise.all(steps.map(take));
    }),
    { numRuns: 8 },
  );
  await until(async () =>
    (
      await Promise.all(tenants.map(({ viewerKey }) => hub.request("GET", "/api/consumers", { token: viewerKey })))
    ).every(({ body }) => body.consumers.every(({ pending }: { pending: number }) => pending === 0)),
  );
  for (const [at, who] of tenants.entries()) {
    const other = tenants[1 - at]!;
    for (const path of readable) {
      const { status, text } = await hub.request("GET", `${path}${path.split("/").length === 3 ? "?limit=200" : ""}`, {
        token: who.adminKey,
      });
      assert.equal(status, 200, `${path} ${text}`);
      assert.ok(
        !text.includes(`only-${other.id}`) && !text.includes(`tok-`),
        `${who.id} reads of ${other.id} at ${path}`,
      );
    }
    const { body } = await call(who, "query", { entity: "marks", filter: {} });
    for (const row of body.result) if (row.text) assert.ok(row.text.startsWith(`only-${who.id}`));
    for (let n = 0; n < 6; n += 1) {
      const { body: one } = await call(who, "get", { entity: "marks", id: `same-${n}` });
      if (one.result) assert.equal(one.result.text, stamp(who, n));
    }
  }
});

test("ids of the other tenant lead nowhere: executions, dead letters, keys, cursors", async () => {
  const [acme, globex] = tenants as [Keys, Keys];
  const { body } = await call(acme, "echo", {});
  for (const [method, path] of [
    ["GET", ""],
    ["POST", "/cancel"],
  ] as const)
    assert.equal(
      (await hub.request(method, `/api/executions/${body.executionId}${path}`, { token: globex.adminKey })).status,
      404,
    );
  const keys = await hub.request("GET", "/api/organizations/acme/api-keys", { token: acme.adminKey });
  assert.equal(
    (
      await hub.request("DELETE", `/api/organizations/globex/api-keys/${keys.body.apiKeys[0].id}`, {
        token: globex.adminKey,
      })
    ).status,
    404,
  );
  assert.equal((await hub.request("GET", "/api/plugins", { token: acme.viewerKey })).status, 200);
  const page = await hub.request("GET", "/api/executions?limit=1", { token: acme.viewerKey });
  const foreign = await hub.request("GET", `/api/executions?limit=200&cursor=${page.body.nextCursor}`, {
    token: globex.viewerKey,
  });
  assert.ok(!foreign.text.includes("only-acme"));
  const event = (
    await hub.request("POST", "/api/events", {
      token: acme.memberKey,
      body: { type: "secret.made", data: "only-acme", id: "acme-event" },
    })
  ).body.id;
  await until(
    async () =>
      (await hub.request("GET", "/api/events?type=secret.*", { token: acme.viewerKey })).body.events.length === 1,
  );
  assert.equal(
    (await hub.request("GET", `/api/events?after=${event}`, { token: globex.viewerKey })).body.code,
    "invalid_cursor",
  );
});

test("a package published by one is not installable by the other", async () => {
  const [acme, globex] = tenants as [Keys, Keys];
  assert.equal(
    (await hub.publish("acme", { manifest: { id: "acme.private" }, code: "export default {};" })).status,
    201,
  );
  assert.equal((await hub.request("GET", "/api/packages/acme.private", { token: acme.viewerKey })).status, 200);
  assert.equal((await hub.request("GET", "/api/packages/acme.private", { token: globex.viewerKey })).status, 404);
  assert.equal(
    (await hub.request("POST", "/api/plugins", { token: globex.adminKey, body: { id: "acme.private" } })).status,
    404,
  );
});

test("one tenant's plugin that is stopped, burnt out and gone leaves the other's alone", async () => {
  const [acme, globex] = tenants as [Keys, Keys];
  const spinning = Promise.all([1, 2, 3].map(() => call(acme, "spin", {})));
  for (let n = 0; n < 5; n += 1) assert.equal((await call(globex, "echo", {})).status, 200);
  await spinning;
  assert.equal((await hub.request("DELETE", "/api/plugins/acme.probe", { token: acme.adminKey })).status, 204);
  const { body } = await call(globex, "query", { entity: "marks", filter: {} });
  assert.ok(Array.isArray(body.result));
  assert.equal((await hub.request("POST", "/webhooks/globex/acme.probe", { token: null, body: "x" })).status, 200);
});
