import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { test } from "node:test";
import { resultOf, startTestRuntime, testCall, testInstance } from "./isolate-fixtures.ts";
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
