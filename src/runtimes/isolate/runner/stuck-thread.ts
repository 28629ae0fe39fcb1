/** A thread that is still inside an isolate after that was disposed of: how long it may take to notice. */
import type { CpuMeter } from "./cpu-meter.ts";
import type { EntryQueue } from "./entry-queue.ts";

/** How long an interrupted isolate may take to stop before the process is given up, and how much CPU each thread may use. */
const stuckAfterMs = 200;
const stuckCpuMs = 150;
/** The same, however little CPU the machine gave us. */
const stuckAnywayMs = 3000;

export class StuckThread {
  readonly #meter: CpuMeter;
  readonly #since = performance.now();
  readonly #poolMs: number;
  #told = false;

  constructor(meter: CpuMeter) {
    this.#meter = meter;
    this.#poolMs = meter.poolMs;
  }

  /** True once: the thread will not come back. */
  isStuck(now: number, { active, full }: EntryQueue): boolean {
    const since = now - this.#since;
    const cpuMs = this.#meter.poolMs - this.#poolMs;
    // Nobody else gets anywhere while all threads are held.
    const pace = full ? 0.5 : 1;
    const overdue = since > stuckAfterMs * pace && cpuMs > stuckCpuMs * pace * Math.max(1, active);
    if (this.#told || (!overdue && since <= stuckAnywayMs)) return false;
    this.#told = true;
    return true;
  }
}
