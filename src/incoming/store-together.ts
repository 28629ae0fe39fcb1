/**
 * Stores the changes of pushed items, each as `storeChanges` would by itself, and those that are ready at the same moment by
 * a few statements, whoever they belong to. An item that fails fails alone: then each is stored by itself.
 */
import type { EventLog } from "../bus/event-log.ts";
import type { Entities, EntityWrite } from "../entities/entities.ts";
import type { Store, Tx } from "../store/store.ts";
import { eventsOf, resolveReferences, rowName, storeChanges } from "./incoming.ts";
import type { ReadChanges, SyncedItem } from "./read-batch.ts";

/** What became of one pushed item. */
export interface Pushed {
  write: EntityWrite & { execution: string };
  items: readonly SyncedItem[];
  events: ReadChanges["events"];
  /** Of the plugin's answer, in characters or so. */
  size: number;
}

export interface StoreTogetherOptions {
  store: Store;
  entities: Pick<Entities, "writeBatch" | "writeEach" | "refusals">;
  eventLog: EventLog;
}

/** What `writeEach` takes at once. */
const maxChanges = 1000;

/** Errors of what it gives: as of `storeChanges`. */
export function createStoreTogether({ store, ...parts }: StoreTogetherOptions): (pushed: Pushed) => Promise<void> {
  return store.batchCommit<Pushed, void>(
    async (tx, all) => {
      const shared = all.length === 1 ? [] : all.filter(mayShare);
      for (const pushed of all)
        if (!shared.includes(pushed)) await storeChanges({ tx, ...parts, write: pushed.write }, pushed);
      if (shared.length > 0) await storeShared(tx, parts, shared);
      return undefined;
    },
    { sizeOf: ({ size }) => size },
  );
}

const mayShare = ({ items }: Pushed): boolean =>
  items.every(({ refused }) => refused === undefined) && changesOf(items) <= maxChanges;

const changesOf = (items: readonly SyncedItem[]): number => items.reduce((sum, { changes }) => sum + changes.length, 0);

async function storeShared(
  tx: Tx,
  { entities, eventLog }: Omit<StoreTogetherOptions, "store">,
  shared: readonly Pushed[],
): Promise<void> {
  const ofWriter = ({ write }: Pushed): string => `${write.organization}\n${write.plugin}\n${write.eventDepth}`;
  for (const ofOne of Map.groupBy(shared, ofWriter).values()) {
    const write = { ...ofOne[0]!.write, execution: null, traceparent: "" };
    const ids = new Map<string, string>();
    for (const round of roundsOf(ofOne)) {
      const changes = round.flatMap(({ items, write: cause }) =>
        items.flatMap((item) => item.changes.map((change) => ({ ...change, cause }))),
      );
      if (changes.length === 0) continue;
      for (const { row } of await entities.writeEach(tx, write, changes))
        if (row && row.source !== null && row.external_id !== null)
          ids.set(rowName(row.type, row.source, row.external_id), row.id);
    }
    const events = ofOne.flatMap((pushed) => pushed.events);
    await resolveReferences(tx, write.organization, events, ids);
  }
  const published = shared.flatMap(({ write, events }) => eventsOf(write, events));
  if (published.length > 0) await eventLog.publishAll(tx, published);
}

/** Items that name the same row come one after the other: each is a change of its own, with its own event. */
function roundsOf(all: readonly Pushed[]): Pushed[][] {
  const rounds: { pushed: Pushed[]; changes: number }[] = [];
  const nextRound = new Map<string, number>();
  for (const pushed of all) {
    const names = namesOf(pushed);
    const count = changesOf(pushed.items);
    let n = Math.max(0, ...names.map((name) => nextRound.get(name) ?? 0));
    while (rounds[n] && rounds[n]!.changes + count > maxChanges) n += 1;
    rounds[n] ??= { pushed: [], changes: 0 };
    rounds[n]!.pushed.push(pushed);
    rounds[n]!.changes += count;
    for (const name of names) nextRound.set(name, n + 1);
  }
  return rounds.map(({ pushed }) => pushed);
}

/** Of the rows that it changes. One that is named by its id here and by its external id there makes the statement fail, and each is stored by itself. */
function namesOf({ write, items }: Pushed): string[] {
  return items.flatMap(({ changes }) =>
    changes.flatMap(({ type, id, source = write.plugin, externalId }) => [
      ...(externalId === undefined ? [] : [rowName(type, source, externalId)]),
      ...(id === undefined ? [] : [`${type}\n${id}`]),
    ]),
  );
}
