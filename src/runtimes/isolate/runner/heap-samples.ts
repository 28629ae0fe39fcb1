/** Asks an isolate now and then how large its heap is. */
import type { EngineIsolate } from "./engine.ts";

const everyMs = 100;

export class HeapSamples {
  readonly #isolate: EngineIsolate;
  readonly #onSample: (bytes: number) => void;
  #lastAt = 0;

  constructor(isolate: EngineIsolate, onSample: (bytes: number) => void) {
    this.#isolate = isolate;
    this.#onSample = onSample;
  }

  /** Between two entries. `inline`: on this thread, else on the pool. */
  take(inline: boolean): void {
    const now = performance.now();
    if (now - this.#lastAt < everyMs) return;
    this.#lastAt = now;
    if (!inline) {
      this.#isolate.heapBytes().then(this.#onSample, () => {});
      return;
    }
    try {
      this.#onSample(this.#isolate.heapBytesNow());
    } catch {
      // It ended meanwhile.
    }
  }
}
