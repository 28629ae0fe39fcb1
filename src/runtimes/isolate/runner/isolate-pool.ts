/**
 * Keeps a few blank isolates with the prelude ready, so that a plugin starts in a fraction of a millisecond. Making one
 * blocks this thread for about a millisecond, so one is made per turn and only when nothing else waits.
 */
import type { Engine, EngineIsolate } from "./engine.ts";

export interface IsolatePoolOptions {
  engine: Engine;
  memoryMb: number;
  size: number;
  onCatastrophe(isolate: EngineIsolate | undefined, message: string): void;
}

export class IsolatePool {
  readonly #options: IsolatePoolOptions;
  #memoryMb: number;
  #ready: EngineIsolate[] = [];
  #refill: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: IsolatePoolOptions) {
    this.#options = options;
    this.#memoryMb = options.memoryMb;
    this.#schedule(0);
  }

  get size(): number {
    return this.#ready.length;
  }

  /** A blank isolate with this heap limit: from the pool when it keeps that size, else made now. */
  take(memoryMb: number): EngineIsolate {
    if (memoryMb !== this.#memoryMb) {
      // What is asked for now will be asked for again: the pool follows.
      this.#memoryMb = memoryMb;
      for (const isolate of this.#ready.splice(0)) isolate.dispose();
    }
    const isolate = this.#ready.shift() ?? this.#create(memoryMb);
    this.#schedule(20);
    return isolate;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#refill);
    for (const isolate of this.#ready.splice(0)) isolate.dispose();
  }

  #create(memoryMb: number): EngineIsolate {
    let made: EngineIsolate | undefined;
    made = this.#options.engine.create({
      memoryMb,
      onCatastrophe: (message) => this.#options.onCatastrophe(made, message),
    });
    return made;
  }

  #schedule(ms: number): void {
    if (this.#closed || this.#refill !== undefined || this.#ready.length >= this.#options.size) return;
    this.#refill = setTimeout(() => {
      this.#refill = undefined;
      if (this.#closed || this.#ready.length >= this.#options.size) return;
      this.#ready.push(this.#create(this.#memoryMb));
      this.#schedule(1);
    }, ms);
  }
}
