/**
 * A stream as the caller sees it: chunks wait here, and the guest gets credit for as many as the caller is done with, which it
 * says by asking for the next.
 */
import type { RuntimeOutcome, RuntimeStream } from "../../runtime.ts";

/** Chunks the guest may be ahead of the reader, when the call does not say. */
export const streamWindow = 16;

export interface IsolateStreamOptions {
  window: number;
  onCredit(chunks: number): void;
  /** The reader left before the end. */
  onAbandon(): void;
}

export class IsolateStream implements RuntimeStream {
  readonly outcome: Promise<RuntimeOutcome>;
  readonly #options: IsolateStreamOptions;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #wake: (() => void) | undefined;
  #taken = 0;
  #end!: (outcome: RuntimeOutcome) => void;

  constructor(options: IsolateStreamOptions) {
    this.#options = options;
    this.outcome = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** False when the guest sent more than it had credit for. */
  push(chunk: Uint8Array): boolean {
    if (this.#ended) return true;
    if (this.#chunks.length >= this.#options.window * 2) return false;
    this.#chunks.push(chunk);
    this.#wake?.();
    return true;
  }

  end(outcome: RuntimeOutcome): void {
    this.#ended = true;
    this.#end(outcome);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          yield chunk;
          this.#taken += 1;
          if (this.#taken >= this.#options.window / 2) {
            this.#options.onCredit(this.#taken);
            this.#taken = 0;
          }
          continue;
        }
        if (this.#ended) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      if (!this.#ended) this.#options.onAbandon();
    }
  }
}
