/** Lets only so many isolates be entered at once, first come first served: the engine's thread pool has few threads. */

export interface EntryJob {
  /** Starts the entry; `done` gives the slot back, once. */
  startEntry(done: () => void): void;
}

export class EntryQueue {
  readonly #max: number;
  #waiting: EntryJob[] = [];
  #active = 0;
  #scheduled = false;

  readonly #onWork: () => void;

  /** `onWork` is told whenever something was added. */
  constructor(max: number, onWork: () => void = () => {}) {
    this.#max = max;
    this.#onWork = onWork;
  }

  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** The entry starts at the end of this turn at the earliest, so that messages of one read share it. */
  add(job: EntryJob): void {
    this.#waiting.push(job);
    this.#onWork();
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(this.#start);
    }
  }

  readonly #start = (): void => {
    this.#scheduled = false;
    while (this.#active < this.#max) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#active += 1;
      let given = false;
      job.startEntry(() => {
        if (given) return;
        given = true;
        this.#active -= 1;
        if (this.#waiting.length > 0 && !this.#scheduled) {
          this.#scheduled = true;
          process.nextTick(this.#start);
        }
      });
    }
  };
}
