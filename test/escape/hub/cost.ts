/** What a piece of work costs the hub: CPU of its main thread, memory, and how long its event loop stood still. */
import assert from "node:assert/strict";
import { LoopMonitor } from "../machine.ts";

export interface CostCaps {
  /** Main-thread CPU, ms. @default 1000 */
  cpuMs?: number;
  /** Growth of resident memory, MB. @default 200 */
  memoryMb?: number;
}

/** Runs synchronous work and fails when it costs more than the caps. */
export function assertCheap<T>(title: string, work: () => T, { cpuMs = 1000, memoryMb = 200 }: CostCaps = {}): T {
  const memory = process.memoryUsage().rss;
  const before = process.threadCpuUsage();
  const result = work();
  const used = process.threadCpuUsage(before);
  const spent = (used.user + used.system) / 1000;
  assert.ok(spent <= cpuMs, `${title}: ${Math.round(spent)} ms of CPU, ${cpuMs} are allowed`);
  const grown = (process.memoryUsage().rss - memory) / 1048576;
  assert.ok(grown <= memoryMb, `${title}: ${Math.round(grown)} MB more memory, ${memoryMb} are allowed`);
  return result;
}

/** Runs work that belongs into a worker and fails when it held the event loop, or took too long. */
export async function assertAside<T>(
  title: string,
  work: () => Promise<T>,
  caps: { loopMs?: number; wallMs?: number } = {},
): Promise<T> {
  const { loopMs = 200, wallMs = 20_000 } = caps;
  const monitor = new LoopMonitor().start();
  const started = performance.now();
  try {
    return await work();
  } finally {
    await new Promise((resolve) => setTimeout(resolve, 10));
    monitor.stop();
    const wall = performance.now() - started;
    assert.ok(
      monitor.worstCpuMs <= loopMs,
      `${title}: the event loop was held for ${Math.round(monitor.worstCpuMs)} ms`,
    );
    assert.ok(wall <= wallMs, `${title}: it took ${Math.round(wall)} ms`);
  }
}
