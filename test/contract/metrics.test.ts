/** What `/metrics` shows is what happened; and whose address a request counts for behind a proxy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestHub, type TestHub, until } from "../kit/start-test-hub.ts";

const value = async (hub: TestHub, line: string): Promise<number | undefined> => {
  const { text } = await hub.request("GET", "/metrics");
  const found = text.split("\n").find((row) => row.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length));
};

test("requests, events, deliveries, installations and the store are counted as they are", async () => {
  await using hub = await startTestHub();
  await hub.organization("acme");
  await hub.install("acme", {
    manifest: {
      id: "acme.metered",
      permissions: ["event:subscribe:order.*"],
      contributes: { subscriptions: ["order.*"] },
    },
    code: `import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({ subscriptions: { "order.*": async () => {} } });`,
  });
  const body = { type: "order.created", data: {}, id: "once" };
  for (let i = 0; i < 2; i++) await hub.request("POST", "/api/events", { org: "acme", body });
  await hub.request("GET", "/nowhere/1");
  assert.equal(await value(hub, 'backplane_events_published_total{outcome="duplicate"}'), 1);
  assert.ok((await value(hub, 'backplane_events_published_total{outcome="accepted"}'))! >= 1);
  await until(async () => (await value(hub, 'backplane_deliveries_total{kind="event",outcome="done"}')) === 1);
  assert.equal(await value(hub, "backplane_delivery_delay_seconds_count"), 1);
  assert.equal(await value(hub, "backplane_deliveries_pending"), 0);
  assert.equal(await value(hub, "backplane_dead_letters"), 0);
  assert.equal(await value(hub, 'backplane_installations{status="active"}'), 1);
  assert.equal(await value(hub, 'backplane_installations{status="quarantined"}'), 0);
  assert.equal(await value(hub, "backplane_store_up"), 1);
  const activations = 'method="POST",route="/api/plugins/:id/activate"';
  assert.equal(await value(hub, `backplane_http_requests_total{${activations},status="200"}`), 1);
  assert.equal(await value(hub, `backplane_http_request_duration_seconds_count{${activations}}`), 1);
  assert.equal(await value(hub, 'backplane_http_requests_total{method="GET",route="(none)",status="404"}'), 1);
});

test("strangers share the proxy's allowance unless the hub is told to believe the proxy", async () => {
  for (const [trustProxy, expected] of [
    [undefined, 429],
    [1, 401],
  ] as const) {
    await using hub = await startTestHub({ requestsPerSecond: 1, ...(trustProxy ? { trustProxy } : {}) });
    const ask = async (client: string): Promise<number> =>
      (await hub.request("GET", "/api/plugins", { token: null, headers: { "x-forwarded-for": client } })).status;
    for (let i = 0; i < 10; i++) assert.equal(await ask("203.0.113.1"), 401);
    assert.equal(await ask("203.0.113.1"), 429);
    assert.equal(await ask("203.0.113.2"), expected);
  }
});
