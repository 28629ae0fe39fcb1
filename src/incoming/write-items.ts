/** Writes the entities of items in the caller's transaction. */
import type { BatchCounts, Entities, EntityChange, EntityWrite } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Tx } from "../store/store.ts";
import type { SyncedItem } from "./read-batch.ts";
import { RefusedItems } from "./refusals.ts";

export interface ItemWriter {
  tx: Tx;
  entities: Pick<Entities, "writeBatch" | "refusals">;
  write: EntityWrite;
}

/** What `writeBatch` takes at once. */
const maxChanges = 1000;

/** Error: `result_invalid`, as `RefusedItems`, with the items that the data model refuses; the transaction is not to be committed then. */
export async function writeItems(
  { tx, entities, write }: ItemWriter,
  items: readonly SyncedItem[],
): Promise<BatchCounts> {
  const counts: BatchCounts = { created: 0, updated: 0, deleted: 0, unchanged: 0 };
  const unread = items.flatMap((item) => (item.refused === undefined ? [] : [[item, item.refused] as const]));
  if (unread.length > 0) throw new RefusedItems(write.plugin, new Map(unread));
  const changes: EntityChange[] = [];
  const owners: SyncedItem[] = [];
  for (const item of items)
    for (const change of item.changes) {
      changes.push(change);
      owners.push(item);
    }
  for (let at = 0; at < changes.length; at += maxChanges) {
    const slice = changes.slice(at, at + maxChanges);
    const written = await entities.writeBatch(tx, write, slice).catch((error: unknown): never => {
      throw refusedBy(error, { write, owners: owners.slice(at), refusals: () => entities.refusals(write, slice) });
    });
    for (const name of Object.keys(counts) as (keyof BatchCounts)[]) counts[name] += written[name];
  }
  return counts;
}

interface Refusing {
  write: EntityWrite;
  owners: readonly SyncedItem[];
  refusals(): ReadonlyMap<number, string>;
}

function refusedBy(error: unknown, { write, owners, refusals }: Refusing): unknown {
  if (!(error instanceof BackplaneError) || error.code !== "invalid_input" || !error.errors?.length) return error;
  const refused = new Map<SyncedItem, string>();
  for (const [index, reason] of refusals()) if (!refused.has(owners[index]!)) refused.set(owners[index]!, reason);
  for (const { path, message } of error.errors) {
    const [, index, field = ""] = /^changes\.(\d+)(?:\.(.*))?$/.exec(path) ?? [];
    const owner = index === undefined ? undefined : owners[Number(index)];
    if (owner && !refused.has(owner)) refused.set(owner, `${field} ${message}`.trim());
  }
  if (refused.size > 0) return new RefusedItems(write.plugin, refused, error);
  const reason = error.errors.map(({ path, message }) => `${path} ${message}`).join("; ");
  return new BackplaneError("result_invalid", { plugin: write.plugin, reason }, { cause: error });
}
