/**
 * Takes turns between organisations, and within one between its consumers, so that an organisation with a thousand busy
 * consumers gets no more turns than one with a single consumer. Holds only what is ready for a turn.
 */
export class FairRing<T extends { readonly organization: string }> {
  // Maps and sets keep the order of insertion: deleting and adding again moves to the end of the ring.
  readonly #organizations = new Map<string, Set<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get organizations(): number {
    return this.#organizations.size;
  }

  add(item: T): void {
    let items = this.#organizations.get(item.organization);
    if (!items) {
      items = new Set();
      this.#organizations.set(item.organization, items);
    }
    if (items.has(item)) return;
    items.add(item);
    this.#size += 1;
  }

  delete(item: T): void {
    const items = this.#organizations.get(item.organization);
    if (!items?.delete(item)) return;
    this.#size -= 1;
    if (items.size === 0) this.#organizations.delete(item.organization);
  }

  /** Removes and gives the next in turn of an organisation that `may` take one. */
  take(may: (organization: string) => boolean = () => true): T | undefined {
    for (const [organization, items] of this.#organizations) {
      if (!may(organization)) continue;
      const item = items.values().next().value!;
      items.delete(item);
      this.#size -= 1;
      this.#organizations.delete(organization);
      if (items.size > 0) this.#organizations.set(organization, items);
      return item;
    }
    return undefined;
  }
}
