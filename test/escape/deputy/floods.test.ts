/** One organisation makes the hub work as hard as it can; another one's plugin and the hub's memory must hardly notice. Every load is bounded and ends by itself. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startRawServer, type TestServer } from "../../../src/egress/test-server.ts";
import { startTestHub, type TestHub, until } from "../../kit/start-test-hub.ts";
import { act, assertClean, installPuppet } from "./act.ts";
import { puppet } from "./puppet.ts";

let hub: TestHub;
let silent: TestServer;
const flood = "flood";
const calm = "calm";
const id = "evil.flood";
const megabyte = 1024 * 1024;

/** Calls of the innocent organisation while `load` runs: milliseconds, sorted. */
async function latencies(load: Promise<unknown>): Promise<number[]> {
  let over = false;
  const ended = load.finally(() => {
    over = true;
  });
  ended.catch(() => {});
  const taken: number[] = [];
  while (!over && taken.length < 400) {
    const started = performance.now();
    const answer = await hub.call(calm, "good.calm", "look");
    assert.equal(answer.status, 200, answer.text);
    taken.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  await ended;
  return taken.sort((a, b) => a - b);
}

/** Generous, because other work shares the machine's two cores; a queue behind a flood takes many seconds. */
function assertServed(taken: number[], what: string): void {
  const at = (part: number): number => taken[Math.min(taken.length - 1, Math.floor(taken.length * part))] ?? 0;
  console.log(
    `${what}: ${taken.length} calls, p50 ${at(0.5).toFixed(1)} ms, p95 ${at(0.95).toFixed(1)} ms, max ${at(1).toFixed(1)} ms`,
  );
  assert.ok(taken.length >= 3, what);
  assert.ok(at(0.5) < 500, `${what}: p50 ${at(0.5)} ms`);
  assert.ok(at(0.95) < 2_000, `${what}: p95 ${at(0.95)} ms`);
}

describe("floods", { timeout: 90_000 }, () => {
  before(async () => {
    silent = await startRawServer(() => {});
    hub = await startTestHub({ egressOverride: JSON.stringify({ "silent.vendor.com": silent.origin }) });
    await hub.organization(flood);
    await hub.organization(calm);
    const permissions = [
      "event:publish:storm.*",
      "event:subscribe:storm.*",
      "network:outbound:silent.vendor.com",
      "network:inbound",
      "data:write:floods",
    ];
    const resources = { timeoutMs: 6_000, cpuMs: 4_000, memoryMb: 256, concurrency: 32 };
    await installPuppet(hub, flood, puppet({ id, permissions, resources }, ["storm.*"]));
    await installPuppet(hub, calm, puppet({ id: "good.calm" }));
    await hub.call(calm, "good.calm", "look");
  });
  after(async () => {
    await hub.close({ drainMs: 0 });
    await silent[Symbol.asyncDispose]();
  });

  it("records with NUL, half characters and terminal codes are kept, and poison no neighbour's record", async () => {
    const odd = "nul\u0000 half \ud800 red\u001b[31m bell\u0007 line\r\nforged: entry";
    const [failed, given, fine] = await Promise.all([
      hub.call(flood, id, "fail", { message: odd, name: odd }),
      hub.call(flood, id, "giveBack", { value: { [odd]: odd } }),
      hub.call(calm, "good.calm", "look"),
      act(hub, flood, id, "use", { path: "logger.info", args: [odd, { [odd]: odd }] }),
    ]);
    assert.equal(failed.status, 502);
    assert.equal(given.status, 200);
    assert.equal(fine.status, 200);
    for (const [org, { body }] of [
      [flood, failed],
      [flood, given],
      [calm, fine],
    ] as const) {
      const kept = await hub.request("GET", `/api/executions/${body.executionId}`, { org });
      assert.match(String(kept.body.status), /succeeded|failed/);
      assertClean(kept.text);
    }
    await until(async () => (await hub.request("GET", `/api/plugins/${id}/logs`, { org: flood })).body.logs.length > 0);
  });

  it("a giant result is left out of the record of its call, and the record stays", async () => {
    const answer = await hub.call(flood, id, "giveBack", { value: { $text: 3 * megabyte } });
    assert.equal(answer.status, 200);
    const kept = await hub.request("GET", `/api/executions/${answer.body.executionId}`, { org: flood });
    assert.equal(kept.body.result.omitted, true);
    assert.ok(kept.text.length < 4_000);
  });

  it("a storm of events that multiplies ends, and others are served meanwhile", async () => {
    await hub.request("POST", "/api/events", {
      org: flood,
      body: { type: "storm.first", data: { fan: 3, pad: "x".repeat(1_000) } },
    });
    const taken = await latencies(new Promise((resolve) => setTimeout(resolve, 4_000)));
    assertServed(taken, "event storm");
    await hub.request("POST", `/api/plugins/${id}/deactivate`, { org: flood });
    await hub.request("POST", `/api/plugins/${id}/activate`, { org: flood });
    await hub.request("PUT", `/api/plugins/${id}/grants`, {
      org: flood,
      body: {
        grants: ["event:publish:storm.*", "network:outbound:silent.vendor.com", "network:inbound", "data:write:floods"],
      },
    });
  });

  it("hundreds of queued executions of one organisation do not stand before another's", async () => {
    const load = Promise.all([
      ...Array.from({ length: 150 }, () => hub.call(flood, id, "spin", { ms: 30 }, { mode: "async" })),
      new Promise((resolve) => setTimeout(resolve, 3_000)),
    ]);
    const taken = await latencies(load);
    const started = performance.now();
    const { body } = await hub.call(calm, "good.calm", "look", {}, { mode: "async" });
    await until(
      async () =>
        (await hub.request("GET", `/api/executions/${body.executionId}`, { org: calm })).body.status === "succeeded",
      10_000,
    );
    assert.ok(performance.now() - started < 5_000);
    assertServed(taken, "queued executions");
  });

  it("floods of log lines, progress, hashes of megabytes and webhooks leave others their answers", async () => {
    const many = (path: string, args: unknown[], times: number, lanes = 16) =>
      hub.call(flood, id, "many", { path, args, times, lanes });
    const load = Promise.all([
      many("logger.info", ["x".repeat(4_000), { pad: "y".repeat(4_000) }], 20_000),
      many("execution.progress", [{ n: "z".repeat(3_000) }], 20_000),
      many("crypto.digest", ["SHA-512", { $fill: 2 * megabyte }], 60),
      hub.call(flood, id, "pbkdf2", { iterations: 600_000, times: 24 }),
      hub.call(flood, id, "rsa", { modulusLength: 4096, times: 12 }),
      ...Array.from({ length: 100 }, () =>
        hub.request("POST", `/webhooks/${flood}/${id}`, {
          token: null,
          body: { answer: { accept: [{ id: Math.random() }] } },
        }),
      ),
    ]);
    assertServed(await latencies(load), "abilities and webhooks");
  });

  it("arguments and requests of megabytes that nobody answers do not fill the hub's memory", async () => {
    const before = process.memoryUsage().rss;
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 20);
    // Refused ones are tried again and again, so that what the guest may send in one go is not the only bound at work.
    const args = ["https://silent.vendor.com/", { method: "POST", body: { $text: megabyte } }];
    const load = hub.call(flood, id, "many", { path: "http.fetch", args, times: 1_500, lanes: 120 });
    const taken = await latencies(load);
    clearInterval(watch);
    const answer = await load;
    console.log(`unanswered: ${answer.status} ${JSON.stringify(answer.body.result ?? answer.body.code)}`);
    console.log(`memory: ${Math.round((peak - before) / megabyte)} MB more at the peak`);
    assert.ok(peak - before < 500 * megabyte, `${Math.round((peak - before) / megabyte)} MB`);
    assertServed(taken, "unanswered requests");
  });
});
