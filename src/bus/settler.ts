/**
 * Group commit of settlements: what ends while a batch is being written joins the next one. Retries while the database is
 * away; an item whose lease lapses meanwhile is not ours to settle any more and comes again (at least once).
 */
import { backoffMs } from "../base/backoff.ts";
import { sleep } from "../base/deferred.ts";
import type { Store } from "../store/store.ts";
import type { BusLog } from "./bus-log.ts";
import { type Settlement, settleDeliveries } from "./delivery-sql.ts";

export interface Settler {
  push(settlements: readonly Settlement[]): void;
  /** Resolves when everything pushed so far is written, or was given up after `giveUpMs` of a lost database. */
  flush(): Promise<void>;
}

export interface SettlerOptions {
  store: Store;
  owner: string;
  log: BusLog;
  /** A lease's length: after that long without a database, settling is pointless. */
  giveUpMs: number;
  /** `held` are the ids that were still ours. */
  onSettled(settlements: readonly Settlement[], held: ReadonlySet<number>): void;
}

const batchSize = 1000;

export function createSettler({ store, owner, log, giveUpMs, onSettled }: SettlerOptions): Settler {
  let waiting: Settlement[] = [];
  let writing: Promise<void> | undefined;

  async function write(): Promise<void> {
    // One turn of the event loop gathers what ends together.
    await new Promise((resolve) => setImmediate(resolve));
    while (waiting.length > 0) {
      const batch = waiting.slice(0, batchSize);
      waiting = waiting.slice(batchSize);
      onSettled(batch, await settle(batch));
    }
    writing = undefined;
  }

  async function settle(batch: readonly Settlement[]): Promise<ReadonlySet<number>> {
    const since = performance.now();
    for (let failures = 1; ; failures += 1) {
      try {
        return await settleDeliveries(store, owner, batch);
      } catch (error) {
        log.error({ err: error, items: batch.length }, "deliveries could not be settled; trying again");
        if (performance.now() - since > giveUpMs) return new Set();
        await sleep(backoffMs(failures, { baseMs: 100, capMs: 2000 }));
      }
    }
  }

  return {
    push(settlements) {
      waiting.push(...settlements);
      writing ??= write();
    },
    async flush() {
      while (writing) await writing;
    },
  };
}
