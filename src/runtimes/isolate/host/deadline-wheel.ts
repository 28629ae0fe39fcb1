/** Deadlines of many calls on one timer: put into slots of a few milliseconds, looked at together. */

export interface Expiring {
  /** Epoch ms. */
  readonly expiresAt: number;
  expire(): void;
}

const slotMs = 8;

export class DeadlineWheel {
  readonly #slots = new Map<number, Set<Expiring>>();
  #timer: NodeJS.Timeout | undefined;
  #next = 0;

  add(item: Expiring): void {
    const slot = slotOf(item);
    let items = this.#slots.get(slot);
    if (items === undefined) {
      items = new Set();
      this.#slots.set(slot, items);
    }
    items.add(item);
    if (this.#timer === undefined) {
      this.#next = Math.floor(Date.now() / slotMs);
      this.#timer = setInterval(this.#turn, slotMs);
    }
    if (slot < this.#next) this.#next = slot;
  }

  delete(item: Expiring): void {
    const slot = slotOf(item);
    const items = this.#slots.get(slot);
    if (items?.delete(item) && items.size === 0) this.#slots.delete(slot);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#slots.clear();
  }

  readonly #turn = (): void => {
    const now = Math.floor(Date.now() / slotMs);
    if (this.#slots.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    // After a long pause of the process, looking at the slots in use is cheaper than at each one passed.
    const passed =
      now - this.#next > this.#slots.size
        ? [...this.#slots.keys()].filter((slot) => slot < now)
        : range(this.#next, now);
    this.#next = now;
    for (const slot of passed) {
      const items = this.#slots.get(slot);
      if (items === undefined) continue;
      this.#slots.delete(slot);
      for (const item of items) item.expire();
    }
  };
}

/** The slot whose end is at or after the deadline. */
function slotOf(item: Expiring): number {
  return Math.floor(item.expiresAt / slotMs);
}

function range(from: number, to: number): number[] {
  const slots: number[] = [];
  for (let slot = from; slot < to; slot++) slots.push(slot);
  return slots;
}
