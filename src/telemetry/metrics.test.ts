import assert from "node:assert/strict";
import { test } from "node:test";
import { BackplaneError } from "../errors/error.ts";
import { createMetrics, outcomeLabel } from "./metrics.ts";
import { withSpan } from "./span.ts";
import { newTrace } from "./trace.ts";

test("metrics render as Prometheus text, and gauges are read at the scrape", async () => {
  const metrics = createMetrics({ defaults: false });
  metrics.egressRequests.inc({ outcome: outcomeLabel(204) });
  metrics.egressRequests.inc({ outcome: outcomeLabel("egress_denied") });
  metrics.executionDuration.observe({ kind: "function" }, 0.003);
  let runners = 0;
  using _ = metrics.onScrape(() => metrics.runners.set({ role: "working" }, ++runners));
  metrics.onScrape(() => {
    throw new Error("database is gone");
  });
  const text = await metrics.render();
  assert.match(text, /backplane_egress_requests_total\{outcome="2xx"\} 1/);
  assert.match(text, /backplane_egress_requests_total\{outcome="egress_denied"\} 1/);
  assert.match(text, /backplane_execution_duration_seconds_bucket\{le="0.005",kind="function"\} 1/);
  assert.match(text, /backplane_runners\{role="working"\} 1/);
  assert.match(metrics.contentType, /^text\/plain/);
  for (const [, name] of text.matchAll(/^# TYPE (\S+)/gm)) assert.match(name!, /^backplane_/);
});

test("two hubs in one process have metrics of their own", async () => {
  const [a, b] = [createMetrics(), createMetrics()];
  a.storeUp.set(1);
  assert.match(await a.render(), /backplane_store_up 1/);
  assert.match(await b.render(), /backplane_store_up 0/);
});

test("a span passes the result through and the error on, with or without a tracer", async () => {
  assert.equal(await withSpan("x", newTrace(), { a: 1 }, async () => 7), 7);
  await assert.rejects(
    withSpan("x", newTrace(), {}, async () => {
      throw new BackplaneError("cancelled");
    }),
    BackplaneError,
  );
});
