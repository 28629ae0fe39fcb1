/**
 * How much of answers the hub holds at once, over all partitions. Past the bound whoever holds more than an equal share is
 * refused, so that a few who gather slow, large answers do not take the others' small ones; past twice the bound everybody is.
 */
import { BackplaneError } from "../errors/error.ts";

/** What one exchange holds; disposed of with it. */
export interface Held extends Disposable {
  /** Error: `egress_failed`. */
  add(host: string, bytes: number): void;
}

export class AnswerMemory {
  readonly #maxBytes: number;
  readonly #partitions = new Map<string, { bytes: number; exchanges: number }>();
  #total = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#total;
  }

  open(partition: string): Held {
    const own = this.#partitions.get(partition) ?? { bytes: 0, exchanges: 0 };
    this.#partitions.set(partition, own);
    own.exchanges += 1;
    let held = 0;
    return {
      add: (host, bytes) => {
        const share = this.#maxBytes / this.#partitions.size;
        const total = this.#total + bytes;
        if (total > 2 * this.#maxBytes || (total > this.#maxBytes && own.bytes + bytes > share))
          throw new BackplaneError("egress_failed", {
            host,
            reason: "the hub holds as much of answers as it can; try again shortly, or ask for less at once",
          });
        held += bytes;
        own.bytes += bytes;
        this.#total += bytes;
      },
      [Symbol.dispose]: () => {
        own.bytes -= held;
        this.#total -= held;
        own.exchanges -= 1;
        if (own.exchanges === 0) this.#partitions.delete(partition);
      },
    };
  }
}
