/** Whether an instance has shown that its entries are short enough for the runner's main thread. */

/** Entries in a row of which at most one in a hundred may be slow before the main thread is lent. */
const proofEntries = 200;
const slowEntryMs = 1;
const shortMessageMs = 0.1;

export class InlineProof {
  #entries = 0;
  #slow = 0;

  get given(): boolean {
    return this.#entries >= proofEntries;
  }

  /** Counts towards the proof; too many slow ones and it begins again. */
  note(cpuMs: number, messages: number): void {
    this.#entries += 1;
    // A full entry may take as long as many short messages do.
    if (cpuMs < slowEntryMs + messages * shortMessageMs) return;
    this.#slow += 1;
    if (this.#slow > this.#entries / 100 + 2) {
      this.#slow = 0;
      this.#entries = 0;
    }
  }
}
