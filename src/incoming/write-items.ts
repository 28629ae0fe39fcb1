/** Writes the entities of items in the caller's transaction. */
import type { BatchCounts, Entities, EntityChange, EntityWrite } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Tx } from "../store/store.ts";
import type { SyncedItem } from "./read-batch.ts";

export interface ItemWriter {
  tx: Tx;
  entities: Pick<Entities, "writeBatch">;
  write: EntityWrite;
}

/** What `writeBatch` takes at once. */
const maxChanges = 1000;

/** Error: `result_invalid` naming the item whose entity the data model refuses. */
export async function writeItems(
  { tx, entities, write }: ItemWriter,
  items: readonly SyncedItem[],
): Promise<BatchCounts> {
  const counts: BatchCounts = { created: 0, updated: 0, deleted: 0, unchanged: 0 };
  const changes: EntityChange[] = [];
  const owners: SyncedItem[] = [];
  for (const item of items)
    for (const change of item.changes) {
      changes.push(change);
      owners.push(item);
    }
  for (let at = 0; at < changes.length; at += maxChanges) {
    const written = await entities
      .writeBatch(tx, write, changes.slice(at, at + maxChanges))
      .catch((error: unknown): never => {
        throw namingItems(error, write.plugin, owners.slice(at));
      });
    for (const name of Object.keys(counts) as (keyof BatchCounts)[]) counts[name] += written[name];
  }
  return counts;
}

function namingItems(error: unknown, plugin: string, owners: readonly SyncedItem[]): unknown {
  if (!(error instanceof BackplaneError) || error.code !== "invalid_input" || !error.errors?.length) return error;
  const reasons = error.errors.slice(0, 5).map(({ path, message }) => {
    const [, index, field = ""] = /^changes\.(\d+)(?:\.(.*))?$/.exec(path) ?? [];
    const owner = index === undefined ? undefined : owners[Number(index)];
    return `${owner ? `item '${owner.id.slice(0, 100)}': ` : ""}${field || path} ${message}`;
  });
  return new BackplaneError("result_invalid", { plugin, reason: reasons.join("; ") }, { cause: error });
}
