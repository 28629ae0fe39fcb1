/** Looks at all runners some times a second: whether they live, what memory they hold, what of them rests. */
import type { HostedInstance } from "./hosted-instance.ts";
import { evictIdle } from "./idle-instances.ts";
import { callsOn } from "./placements.ts";
import type { RunnerFleet } from "./runner-fleet.ts";
import { checkHealth, watchEveryMs } from "./runner-health.ts";
import type { RunnerLink } from "./runner-link.ts";
import { checkMemory, noteMemory } from "./runner-memory.ts";

export interface RunnerWatchOptions {
  fleet: RunnerFleet;
  /** By key. */
  hosted: Map<string, HostedInstance>;
  idleInstanceMs: number;
  residentLimitBytes: number;
  memoryBudgetBytes: number;
  wedgedMs: number;
}

/** Looks after which also what does nothing is looked at: about a second. */
const allEvery = 20;

export class RunnerWatch {
  readonly #options: RunnerWatchOptions;
  readonly #timer: NodeJS.Timeout;
  #lastLook = performance.now();
  #looks = 0;

  /** Looks until it is closed; keeps no process alive. */
  constructor(options: RunnerWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), watchEveryMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    const lateMs = now - this.#lastLook - watchEveryMs;
    this.#lastLook = now;
    this.#looks += 1;
    for (const link of this.#options.fleet.links) if (link.isReady) this.#lookAt(link, now, lateMs);
    if (this.#looks % allEvery === 0) this.#evict(now);
  }

  #lookAt(link: RunnerLink, now: number, lateMs: number): void {
    const { wedgedMs, residentLimitBytes } = this.#options;
    const calls = callsOn(link);
    // The hub itself stood still: what runners said meanwhile has not been read yet.
    if (lateMs > watchEveryMs * 3) link.lastHeard = now;
    if (calls > 0 && !link.leaving) {
      link.lastUsed = now;
      checkHealth(link, { now, lateMs, wedgedMs });
    }
    // Short calls are seldom under way at a look, but what they loaded stays.
    const loaded = link.lastInstance !== link.lastInstanceMeasured;
    link.lastInstanceMeasured = link.lastInstance;
    const all = this.#looks % allEvery === 0;
    if (calls > 0 || loaded || link.leaving || all) checkMemory(link, now, residentLimitBytes);
    if (all) noteMemory(link);
  }

  #evict(now: number): void {
    const { fleet, hosted, idleInstanceMs, memoryBudgetBytes } = this.#options;
    let resident = 0;
    for (const link of fleet.links) resident += link.resident;
    evictIdle(hosted, { now, idleInstanceMs, overBudget: resident > memoryBudgetBytes });
    fleet.evictIdle(now);
  }
}
