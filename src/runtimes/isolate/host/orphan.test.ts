import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const script = `
import { startTestRuntime, testCall, testInstance } from ${JSON.stringify(fileURLToPath(new URL("./isolate-fixtures.ts", import.meta.url)))};
const harness = startTestRuntime({ standby: true });
const instance = testInstance({ limits: { cpuMs: 60000 }, definition: "{ functions: { fine() { return 1; }, stuck() { Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1); } } }" });
await harness.runtime.call(instance, testCall("fine"));
void harness.runtime.call(instance, testCall("stuck"));
setTimeout(() => console.log(JSON.stringify(harness.runtime.status().runners.map((runner) => runner.pid))), 500);
setInterval(() => {}, 1000);
`;

test("when the hub is killed, its runners end, also one that is stuck", { timeout: 30_000 }, async () => {
  const hub = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise<string>((resolve) =>
    hub.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString())),
  );
  const pids = JSON.parse(line) as number[];
  assert.ok(pids.length >= 2);
  for (const pid of pids) assert.ok(existsSync(`/proc/${pid}`));
  hub.kill("SIGKILL");
  const end = performance.now() + 4000;
  while (pids.some(isAlive)) {
    assert.ok(performance.now() < end, "runners outlived their hub");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z");
  } catch {
    return false;
  }
}
