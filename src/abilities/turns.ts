/**
 * Work that costs the hub much, whichever plugin asks: a few pieces at once for each installation and for the whole hub, the
 * rest in line. One installation has at most `perKey` places in the common line, so nobody waits for another's flood.
 */
import { BackplaneError } from "../errors/error.ts";

export interface TurnsOptions {
  perKey: number;
  /** @default no bound */
  total?: number;
}

/** Runs `work` when it is its turn. Error: `cancelled` when `signal` aborts before that. */
export type TakeTurns = <T>(key: string, signal: AbortSignal, work: () => Promise<T>) => Promise<T>;

export function createTurns({ perKey, total = Number.POSITIVE_INFINITY }: TurnsOptions): TakeTurns {
  const keys = new Map<string, Line>();
  const all = new Line(total);
  return async (key, signal, work) => {
    const own = keys.get(key) ?? new Line(perKey);
    keys.set(key, own);
    await own.enter();
    try {
      await all.enter();
      try {
        if (signal.aborted) throw new BackplaneError("cancelled");
        return await work();
      } finally {
        all.leave();
      }
    } finally {
      own.leave();
      if (own.idle) keys.delete(key);
    }
  };
}

class Line {
  readonly #places: number;
  #taken = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#places = places;
  }

  get idle(): boolean {
    return this.#taken === 0;
  }

  async enter(): Promise<void> {
    if (this.#taken < this.#places) {
      this.#taken += 1;
      return;
    }
    // The place is handed over, never free in between.
    await new Promise<void>((enter) => this.#waiting.push(enter));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#taken -= 1;
  }
}
