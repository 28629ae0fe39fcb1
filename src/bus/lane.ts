/**
 * One consumer as a worker sees it: runs of claimed items that wait for a slot, how many run, and whether the database
 * has more. A lane says how much to claim; fair-ring.ts says whose turn it is.
 */
import type { ClaimedRow } from "./delivery-sql.ts";

export interface Item extends ClaimedRow {
  /** Local clock (`performance.now()`) after which the lease may be gone. */
  leaseUntil: number;
  abort: AbortController;
  running: boolean;
}

/** Items of one key, in order; only the head ever runs. */
export interface Run {
  key: string;
  items: Item[];
}

/** Work a lane keeps claimed ahead, in time: long enough to hide a claim, short enough to leave work to other nodes. */
const aheadMs = 300;
const mostAhead = 400;

export class Lane {
  readonly organization: string;
  readonly consumer: string;
  readonly concurrency: number;
  runs: Run[] = [];
  /** Items claimed and not yet settled. */
  held = 0;
  running = 0;
  claiming = false;
  /** Rows remain that only become claimable when something of this lane settles. */
  leftover = false;
  /** Where the scan by keys goes on, when the backlog's oldest rows are all blocked. */
  afterKey = "";
  timer: NodeJS.Timeout | undefined;
  timerAt = Number.POSITIVE_INFINITY;
  #meanMs: number | undefined;

  constructor(organization: string, consumer: string, concurrency: number) {
    this.organization = organization;
    this.consumer = consumer;
    this.concurrency = concurrency;
  }

  get runnable(): boolean {
    return this.runs.length > 0 && this.running < this.concurrency;
  }

  get idle(): boolean {
    return this.held === 0 && this.timer === undefined;
  }

  /** Items worth having at once, after how fast they go. Before anything is known: one for each slot. */
  get appetite(): number {
    if (this.#meanMs === undefined) return this.concurrency;
    return Math.min(
      mostAhead,
      Math.max(this.concurrency, Math.floor((this.concurrency * aheadMs) / Math.max(this.#meanMs, 0.5))),
    );
  }

  /** Items of one key worth taking together: they go one after the other. */
  get runLength(): number {
    return this.#meanMs === undefined
      ? 4
      : Math.min(64, Math.max(1, Math.floor(aheadMs / Math.max(this.#meanMs, 0.5))));
  }

  observe(ms: number): void {
    this.#meanMs = this.#meanMs === undefined ? ms : this.#meanMs * 0.9 + ms * 0.1;
  }

  /** Sorts claimed items into runs. */
  admit(items: readonly Item[]): void {
    const runs = new Map<string, Run>();
    for (const item of items) {
      const run = runs.get(item.key);
      if (run) run.items.push(item);
      else runs.set(item.key, { key: item.key, items: [item] });
    }
    this.runs.push(...runs.values());
    this.held += items.length;
  }
}
