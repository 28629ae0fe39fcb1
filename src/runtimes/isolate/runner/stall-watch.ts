/**
 * Worker thread of a runner. Ends the process when its main thread stands still while there is work, and when the hub is
 * gone: neither can be done by a thread that hangs. Says which instance was being entered on the main thread, on fd 4.
 */
import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { StallSlot } from "./stall-slots.ts";
import type { StallWatchData } from "./start-stall-watch.ts";

const { slots, stallMs, parent } = workerData as StallWatchData;
const periodMs = 20;

/** An entry on the main thread may take 40 ms; one that used so much CPU will not end by itself. */
const inlineCpuMs = 100;
/** A thread that waits for ever, as the engine makes it do when memory runs out, uses none. */
const parkedMs = 500;

let seen = Atomics.load(slots, StallSlot.beats);
let still = 0;
let cpuBefore = cpuMs();
let lastLook = performance.now();

for (;;) {
  const active = Atomics.load(slots, StallSlot.active) === 1;
  if (active) Atomics.wait(slots, StallSlot.never, 0, periodMs);
  else Atomics.wait(slots, StallSlot.active, 0, 1000);
  if (process.ppid !== parent) end("the hub is gone");
  const now = performance.now();
  // When this thread itself was late, the whole machine was: that proves nothing about the main thread.
  const onTime = now - lastLook < periodMs * 3;
  lastLook = now;
  const beats = Atomics.load(slots, StallSlot.beats);
  if (!active || beats !== seen) {
    still = 0;
    cpuBefore = cpuMs();
  } else if (onTime) {
    still += periodMs;
    judge();
  }
  seen = beats;
}

/** A thread that only waits for its turn on a crowded machine uses little CPU: it is not the one that hangs. */
function judge(): void {
  if (still < 100) return;
  const used = cpuMs() - cpuBefore;
  const threads = 1 + Atomics.load(slots, StallSlot.entries);
  const inline = Atomics.load(slots, StallSlot.inlineInstance);
  const hangs = inline === 0 ? used >= stallMs * threads * 0.7 : used >= inlineCpuMs * threads;
  const parked = still >= parkedMs && used < 20;
  if (hangs || parked || still >= stallMs * 5) end(`the main thread stood still for ${still} ms`, inline);
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function end(reason: string, instance = 0): never {
  try {
    writeSync(4, `${JSON.stringify({ reason, instance })}\n`);
  } catch {
    // Nobody reads any more.
  }
  process.kill(process.pid, "SIGKILL");
  throw new Error("ended");
}
