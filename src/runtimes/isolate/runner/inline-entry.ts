/** An entry on the runner's own thread, with what it cost. */
import type { EngineIsolate } from "./engine.ts";
import type { Batch } from "./inbox.ts";

export interface InlineEntry {
  /** What the guest sends; undefined when the slice ran out or the isolate ended. */
  text: string | undefined;
  failure: unknown;
  cpuMs: number;
}

/** What an entry on the main thread may take. */
const inlineSliceMs = 40;
const tickMs = 5;

export function enterInline(isolate: EngineIsolate, batch: Batch): InlineEntry {
  const startedAt = performance.now();
  const before = process.threadCpuUsage();
  let text: string | undefined;
  let failure: unknown;
  try {
    text = isolate.enterInline(batch, inlineSliceMs);
  } catch (error) {
    failure = error;
  }
  const { user, system } = process.threadCpuUsage(before);
  // Many kernels count a thread's CPU in ticks of some milliseconds: below that the clock is the better measure.
  const elapsed = performance.now() - startedAt;
  const cpuMs = elapsed < tickMs ? elapsed : Math.min(elapsed, Math.max(tickMs, (user + system) / 1000));
  return { text, failure, cpuMs };
}
