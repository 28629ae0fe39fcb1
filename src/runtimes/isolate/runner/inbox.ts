/** Messages that wait for an instance's next entry, in the form in which the pump takes them. */

export type Batch = (number | string)[];

/** Messages one entry takes at most, whatever they cost. */
const maxBatch = 128;
/** What an entry should cost at most; batches shrink to it, so that a culprit is not hidden among many. */
const entryGoalMs = 10;
/** Kind, id, a number, two texts. */
export const valuesPerMessage = 5;

export class Inbox {
  #values: Batch = [];
  #messageCostMs = 1;

  get isEmpty(): boolean {
    return this.#values.length === 0;
  }

  add(kind: number, id: number, aux: number, a: string, b: string): void {
    this.#values.push(kind, id, aux, a, b);
  }

  /** What the next entry takes. `alone`: one message only. */
  take(alone: boolean): Batch {
    const most = alone ? 1 : Math.min(maxBatch, Math.floor(entryGoalMs / this.#messageCostMs));
    const size = Math.max(1, most) * valuesPerMessage;
    const batch = this.#values.length <= size ? this.#values : this.#values.slice(0, size);
    this.#values = batch === this.#values ? [] : this.#values.slice(size);
    return batch;
  }

  /** An entry with so many messages cost so much. */
  noteCost(cpuMs: number, messages: number): void {
    this.#messageCostMs += (Math.max(0.02, cpuMs / messages) - this.#messageCostMs) * 0.2;
  }

  clear(): void {
    this.#values = [];
  }
}

export function messagesIn(batch: Batch): number {
  return batch.length / valuesPerMessage;
}
