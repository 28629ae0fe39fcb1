/**
 * Estimates what entries on the thread pool cost. The engine knows only how long a thread was inside an isolate; on a
 * crowded machine a thread inside may still wait for a core. So time inside is weighed with what the pool really got.
 */

export class CpuMeter {
  #share = 1;
  #lastProcess = process.cpuUsage();
  #lastThread = process.threadCpuUsage();

  /** Part of the time inside isolates that was spent on a core lately, 0.05–1. */
  get share(): number {
    return this.#share;
  }

  /** CPU of the whole process since its start, microseconds. */
  get totalMicros(): number {
    return this.#lastProcess.user + this.#lastProcess.system;
  }

  /** CPU of all threads but this one since the start, ms. */
  get poolMs(): number {
    const { user, system } = this.#lastProcess;
    return (user + system - this.#lastThread.user - this.#lastThread.system) / 1000;
  }

  /** Resident memory of the process at the last sample. */
  residentBytes = process.memoryUsage.rss();

  /** `insideMs`: time spent inside all isolates on pool threads since the last sample. */
  sample(insideMs: number): void {
    this.residentBytes = process.memoryUsage.rss();
    const whole = process.cpuUsage();
    const thread = process.threadCpuUsage();
    const spent = whole.user + whole.system - this.#lastProcess.user - this.#lastProcess.system;
    const own = thread.user + thread.system - this.#lastThread.user - this.#lastThread.system;
    this.#lastProcess = whole;
    this.#lastThread = thread;
    if (insideMs < 1) return;
    const now = Math.min(1, Math.max(0.05, (spent - own) / 1000 / insideMs));
    this.#share += (now - this.#share) * 0.5;
  }
}
