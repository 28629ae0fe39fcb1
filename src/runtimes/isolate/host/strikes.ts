/**
 * Counts what an instance did to its runner. A runner lost through it weighs more than an isolate given up. Past the first
 * mark it runs alone; past the second it is not run any more. Old strikes fade.
 */

export interface StrikeOptions {
  /** @default 5 */
  quarantineAt?: number;
  /** @default 15 */
  disableAt?: number;
  /** @default 3600000 */
  fadeMs?: number;
}

export const StrikeWeight = { isolateLost: 1, runnerLost: 5 } as const;

export type Standing = "good" | "alone" | "disabled";

export class Strikes {
  readonly #options: Required<StrikeOptions>;
  #entries: { at: number; weight: number }[] = [];

  constructor(options: StrikeOptions = {}) {
    this.#options = { quarantineAt: 5, disableAt: 15, fadeMs: 3_600_000, ...options };
  }

  add(weight: number, now = performance.now()): Standing {
    this.#entries.push({ at: now, weight });
    if (this.#entries.length > 100) this.#entries.shift();
    return this.standing(now);
  }

  standing(now = performance.now()): Standing {
    let sum = 0;
    for (const entry of this.#entries) if (now - entry.at < this.#options.fadeMs) sum += entry.weight;
    if (sum >= this.#options.disableAt) return "disabled";
    return sum >= this.#options.quarantineAt ? "alone" : "good";
  }
}
