/** Wake-ups of the delivery workers: which consumers have new work, told to every node once the transaction has committed. */
import type { Db, Store, Tx } from "../store/store.ts";
import type { ConsumerKey } from "./consumers.ts";

export const deliveriesChannel = "bus_deliveries";

/** Past this many consumers the workers are told to look for themselves. */
const namedAtMost = 40;

export async function wakeConsumers(store: Store, executor: Db | Tx, consumers: readonly ConsumerKey[]): Promise<void> {
  if (consumers.length === 0) return;
  const names = new Set(consumers.map((c) => JSON.stringify([c.organization, c.consumer])));
  const payload = `[${[...names].join(",")}]`;
  await store.notify(
    executor,
    deliveriesChannel,
    names.size > namedAtMost || Buffer.byteLength(payload) > 6000 ? "*" : payload,
  );
}

/** The consumers a wake-up names, or `undefined` for "any". */
export function parseWake(payload: string): ConsumerKey[] | undefined {
  if (payload === "*") return undefined;
  try {
    return (JSON.parse(payload) as [string, string][]).map(([organization, consumer]) => ({ organization, consumer }));
  } catch {
    return undefined;
  }
}
