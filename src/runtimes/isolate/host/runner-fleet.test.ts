import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { test } from "node:test";
import { codeOf, resultOf, startTestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";
import { wallsAround } from "./runner-command.ts";

const definition = "{ functions: { fine() { return 1; } } }";

test("many groups that start at once never share a runner", async () => {
  await using harness = startTestRuntime({ standby: true, maxRunners: 8 });
  const instances = Array.from({ length: 6 }, (_, i) => testInstance({ definition, organization: `org-${i}` }));
  const outcomes = await Promise.all(
    instances.map((instance) =>
      harness.runtime.call(instance, testCall("fine", [], { deadline: Date.now() + 30_000 })),
    ),
  );
  assert.deepEqual(outcomes.map(resultOf), Array(6).fill(1));
  const working = harness.runtime.status().runners.filter((runner) => runner.role === "working");
  assert.deepEqual(
    working.map((runner) => runner.group).sort(),
    instances.map((instance) => instance.isolationGroup),
  );
  assert.deepEqual(
    working.map((runner) => runner.instances),
    Array(6).fill(1),
  );
});

test("a runner has no environment, and every wall that is said to be up is", async () => {
  await using harness = startTestRuntime();
  resultOf(
    await harness.runtime.call(testInstance({ definition }), testCall("fine", [], { deadline: Date.now() + 30_000 })),
  );
  const { runners, walls } = harness.runtime.status();
  const pid = runners[0]!.pid;
  const active = (name: string): boolean => walls.find((wall) => wall.name === name)?.active === true;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  assert.equal(readFileSync(`/proc/${pid}/environ`, "latin1"), "");
  if (active("own user")) assert.match(status, /NoNewPrivs:\t1/);
  if (active("own user") && process.getuid?.() === 0)
    assert.match(status, /Uid:\t65534\t65534\t65534\t65534[\s\S]*CapEff:\t0+\n/);
  if (active("no network")) assert.doesNotMatch(readFileSync(`/proc/${pid}/net/dev`, "utf8"), /eth|ens|enp/);
  if (active("process limits")) assert.match(readFileSync(`/proc/${pid}/limits`, "utf8"), /Max core file size +0/);
  assert.ok(active("separate process") && active("permission model"));
  assert.equal(active("lower priority"), getPriority(pid) > getPriority());
});

test("lower priority is claimed for runners that have it, denied for those that have not, and not spoken of without runners", () => {
  const wall = (pids: number[]) => wallsAround([], pids).find(({ name }) => name === "lower priority")?.active;
  assert.equal(wall([]), undefined);
  assert.equal(wall([process.pid]), false);
});

test("more groups than runners are served one after another, and there is never a runner too many", async () => {
  await using harness = startTestRuntime({ standby: true, maxRunners: 2 });
  let most = 0;
  const watch = setInterval(() => {
    const working = harness.runtime.status().runners.filter((runner) => runner.group !== null);
    most = Math.max(most, working.length);
  }, 5);
  const instances = Array.from({ length: 7 }, (_, i) => testInstance({ definition, organization: `many-${i}` }));
  const outcomes = await Promise.all(
    instances.map(async (instance, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 150));
      return harness.runtime.call(instance, testCall("fine", [], { deadline: Date.now() + 30_000 }));
    }),
  );
  clearInterval(watch);
  const served = outcomes.filter((outcome) => outcome.ok).length;
  assert.deepEqual(
    outcomes.filter((outcome) => !outcome.ok).filter((outcome) => codeOf(outcome) !== "runtime_unavailable"),
    [],
  );
  assert.ok(served >= 4, `${served} of 7 were served`);
  assert.equal(most, 2);
});

test("a group that finds all runners at work is told so, and served when one is free", async () => {
  await using harness = startTestRuntime({ standby: true, maxRunners: 1 });
  const busy = testInstance({
    definition: "{ functions: { wait: (ms) => new Promise((done) => setTimeout(done, ms, 'done')) } }",
    organization: "busy",
  });
  const other = testInstance({ definition, organization: "other" });
  const deadline = Date.now() + 30_000;
  const waiting = harness.runtime.call(busy, testCall("wait", [8000], { deadline, cpuMs: 1000 }));
  while (!harness.runtime.status().runners.some((runner) => runner.instances > 0)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(codeOf(await harness.runtime.call(other, testCall("fine", [], { deadline }))), "runtime_unavailable");
  assert.equal(resultOf(await waiting), "done");
  assert.equal(resultOf(await harness.runtime.call(other, testCall("fine", [], { deadline }))), 1);
});

test("a runner full of idle isolates lets the oldest go; nobody is blamed for what all hold together", async () => {
  await using harness = startTestRuntime({ residentLimitMb: 420 });
  const before = "const big = new Array(1_000_000).fill(1.5);";
  for (let i = 0; i < 50; i++) {
    const instance = testInstance({ definition: "{ functions: { fine: () => big.length } }", before });
    const outcome = await harness.runtime.call(instance, testCall("fine", [], { deadline: Date.now() + 20_000 }));
    assert.equal(resultOf(outcome), 1_000_000, `installation ${i}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const status = harness.runtime.status();
  assert.deepEqual(harness.faults, []);
  assert.equal(status.runnersLost, 0);
  assert.ok(status.instances < 50, `${status.instances} isolates are still there`);
});
