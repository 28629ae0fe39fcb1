/** Timers of one instance. They live here, not in the isolate; all that are due at once wake it with one message. */

export interface GuestTimersOptions {
  max: number;
  onDue(timers: number[]): void;
}

export class GuestTimers {
  readonly #options: GuestTimersOptions;
  readonly #due = new Map<number, number>();
  #handle: NodeJS.Timeout | undefined;
  #nextDue = Number.POSITIVE_INFINITY;

  constructor(options: GuestTimersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#due.size;
  }

  /** False when there are more than an honest guest can set. */
  set(timer: number, ms: number): boolean {
    if (this.#due.size >= this.#options.max) return false;
    const due = performance.now() + ms;
    this.#due.set(timer, due);
    if (due < this.#nextDue) this.#arm(due);
    return true;
  }

  clear(timer: number): void {
    this.#due.delete(timer);
    if (this.#due.size === 0) this.close();
  }

  close(): void {
    clearTimeout(this.#handle);
    this.#handle = undefined;
    this.#nextDue = Number.POSITIVE_INFINITY;
    this.#due.clear();
  }

  #arm(due: number): void {
    clearTimeout(this.#handle);
    this.#nextDue = due;
    this.#handle = setTimeout(this.#fire, Math.max(1, Math.ceil(due - performance.now())));
  }

  readonly #fire = (): void => {
    this.#handle = undefined;
    const now = performance.now() + 0.5;
    const ready: [number, number][] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const [timer, due] of this.#due) {
      if (due <= now) ready.push([due, timer]);
      else if (due < next) next = due;
    }
    this.#nextDue = Number.POSITIVE_INFINITY;
    for (const [, timer] of ready) this.#due.delete(timer);
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next);
    if (ready.length > 0) {
      ready.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      this.#options.onDue(ready.map(([, timer]) => timer));
    }
  };
}
