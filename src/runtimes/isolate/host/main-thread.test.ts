import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { mainThread } from "./main-thread.ts";

test("a thread that runs, one that waits and one that was stopped are told apart", async (t) => {
  if (!existsSync("/proc/self/stat")) {
    t.skip("needs /proc");
    return;
  }
  assert.equal(mainThread(process.pid)?.state, "running");
  const child = spawn("sleep", ["30"]);
  const seen = async (state: string): Promise<void> => {
    const until = performance.now() + 5000;
    while (mainThread(child.pid!)?.state !== state) {
      assert.ok(performance.now() < until, `never ${state}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await seen("waiting");
  child.kill("SIGSTOP");
  await seen("stopped");
  child.kill("SIGKILL");
  assert.equal(mainThread(2 ** 30), undefined);
});
