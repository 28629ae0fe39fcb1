/** The calls of one instance that have not ended, what they have cost, and which of them were cancelled. */
import type { FaultLabel } from "../bridge/labels.ts";
import { Inbound } from "../guest/message-kind.ts";
import { type Batch, valuesPerMessage } from "./inbox.ts";

export interface LiveCall {
  readonly id: number;
  /** CPU it may use, ms. */
  readonly budgetMs: number;
  cpuMs: number;
  peakBytes: number;
  /** Cancelled: it has until then to end by itself. 0: it was not. */
  cancelBy: number;
  readonly stream: boolean;
  readonly idempotent: boolean;
}

export class LiveCalls {
  readonly #calls = new Map<number, LiveCall>();
  #unrepeatable = 0;
  #cancelled = 0;
  #heapBytes = 0;

  get size(): number {
    return this.#calls.size;
  }

  /** Some of them were cancelled. */
  get someCancelled(): boolean {
    return this.#cancelled > 0;
  }

  /** Each may be made again, and none was cancelled: nothing is lost when all of them are. */
  get expendable(): boolean {
    return this.#unrepeatable === 0 && this.#cancelled === 0;
  }

  get(id: number): LiveCall | undefined {
    return this.#calls.get(id);
  }

  has(id: number): boolean {
    return this.#calls.has(id);
  }

  all(): LiveCall[] {
    return [...this.#calls.values()];
  }

  begin(id: number, call: Pick<LiveCall, "budgetMs" | "stream" | "idempotent">): void {
    if (!call.idempotent) this.#unrepeatable += 1;
    this.#calls.set(id, { ...call, id, cpuMs: 0, peakBytes: this.#heapBytes, cancelBy: 0 });
  }

  /** False when there is nothing to cancel. `by`: on the clock of `performance.now`. */
  cancel(id: number, by: number): boolean {
    const call = this.#calls.get(id);
    if (call === undefined || call.cancelBy !== 0) return false;
    call.cancelBy = by;
    this.#cancelled += 1;
    return true;
  }

  /** The call is over. Returns the most its heap was. */
  end(call: LiveCall): number {
    this.#calls.delete(call.id);
    if (call.cancelBy !== 0) this.#cancelled -= 1;
    if (!call.idempotent) this.#unrepeatable -= 1;
    return Math.max(call.peakBytes, this.#heapBytes);
  }

  /** Those a batch is about: a timer may be anybody's. */
  namedIn(batch: Batch): LiveCall[] {
    const found = new Set<LiveCall>();
    for (let at = 0; at < batch.length; at += valuesPerMessage) {
      const call = this.#calls.get(batch[at + 1] as number);
      if (call !== undefined) found.add(call);
      else if (batch[at] === Inbound.timers) for (const live of this.#calls.values()) found.add(live);
    }
    return [...found];
  }

  /** Cancelled ones whose time is over. */
  overdue(now: number): LiveCall[] {
    if (this.#cancelled === 0) return [];
    return this.all().filter((call) => isOverdue(call, now));
  }

  noteHeap(bytes: number): void {
    this.#heapBytes = bytes;
    for (const call of this.#calls.values()) call.peakBytes = Math.max(call.peakBytes, bytes);
  }
}

export function isOverdue(call: LiveCall, now: number): boolean {
  return call.cancelBy !== 0 && now >= call.cancelBy;
}

/** Calls that a fault names, with what they cost. */
export function blame(calls: readonly LiveCall[]): Pick<FaultLabel, "calls" | "cpuMicros" | "urgent"> {
  const named = calls.slice(0, 200);
  return {
    calls: named.map((call) => call.id),
    cpuMicros: named.map((call) => Math.round(call.cpuMs * 1000)),
    urgent: false,
  };
}
