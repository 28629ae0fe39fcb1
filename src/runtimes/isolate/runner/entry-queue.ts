/** Lets only so many isolates be entered at once, first come first served: the engine's thread pool has few threads. */

export interface EntryJob {
  /** It wants the main thread instead of the pool. */
  readonly inline: boolean;
  /** Runs an entry on this thread. */
  runInline(): void;
  /** Starts the entry; `done` gives the slot back, once. */
  startEntry(done: () => void): void;
}

const inlineTurnMs = 5;

export class EntryQueue {
  readonly #max: number;
  #waiting: EntryJob[] = [];
  #active = 0;
  #scheduled = false;
  #inline: EntryJob[] = [];
  #inlineScheduled = false;

  readonly #onWork: () => void;

  /** `onWork` is told whenever something was added. */
  constructor(max: number, onWork: () => void = () => {}) {
    this.#max = max;
    this.#onWork = onWork;
  }

  get active(): number {
    return this.#active;
  }

  /** No thread is free. */
  get full(): boolean {
    return this.#active >= this.#max;
  }

  get waiting(): number {
    return this.#waiting.length + this.#inline.length;
  }

  /** The entry starts at the end of this turn at the earliest, so that messages of one read share it. */
  add(job: EntryJob): void {
    this.#onWork();
    if (job.inline) {
      this.#inline.push(job);
      if (!this.#inlineScheduled) {
        this.#inlineScheduled = true;
        process.nextTick(this.#runInline);
      }
      return;
    }
    this.#waiting.push(job);
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(this.#start);
    }
  }

  /** Frames and timers get their turn after a few milliseconds, however many jobs wait. */
  readonly #runInline = (): void => {
    this.#inlineScheduled = false;
    const jobs = this.#inline;
    this.#inline = [];
    const until = performance.now() + inlineTurnMs;
    for (let i = 0; i < jobs.length; i++) {
      jobs[i]!.runInline();
      if (i + 1 < jobs.length && performance.now() > until) {
        this.#inline.unshift(...jobs.slice(i + 1));
        break;
      }
    }
    if (this.#inline.length > 0 && !this.#inlineScheduled) {
      this.#inlineScheduled = true;
      setImmediate(this.#runInline);
    }
  };

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
