/** Ability calls of one instance that wait for their answer, and whose they are. */

export class PendingAbilities {
  readonly #max: number;
  /** Ability call → call. */
  readonly #owners = new Map<number, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** False when there are more than an honest guest can ask for. */
  add(ability: number, call: number): boolean {
    if (this.#owners.size >= this.#max) return false;
    this.#owners.set(ability, call);
    return true;
  }

  /** False when this call waits for no such answer. */
  settle(ability: number, call: number): boolean {
    return this.#owners.get(ability) === call && this.#owners.delete(ability);
  }

  /** The call is over: nobody waits for its answers. */
  dropOf(call: number): void {
    if (this.#owners.size === 0) return;
    for (const [ability, owner] of this.#owners) if (owner === call) this.#owners.delete(ability);
  }
}
