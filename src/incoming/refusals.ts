/**
 * Items that the data model refuses, set aside one by one, so that what is beside them is stored. Which are too many is for
 * the caller to say, and so is what becomes of those that were set aside.
 */
import { DeadLetter } from "../bus/delivery.ts";
import { BackplaneError } from "../errors/error.ts";
import type { SyncedItem } from "./read-batch.ts";

/** An item that was set aside, for people. */
export interface Refusal {
  /** Null when the item has none that could be kept. */
  id: string | null;
  type: string;
  /** At most 300 characters, of the fields' names and what is wrong with them. */
  reason: string;
}

const maxReason = 300;
/** Each sets at least one item aside, and one look finds all but those that only the stored rows refuse. */
const maxRounds = 200;

/** `result_invalid`, naming the first of them. */
export class RefusedItems extends BackplaneError {
  readonly items: ReadonlyMap<SyncedItem, string>;

  constructor(plugin: string, items: ReadonlyMap<SyncedItem, string>, cause?: unknown) {
    super("result_invalid", { plugin, reason: sentenceOf(refusalsOf(items)) }, { cause });
    this.items = items;
  }
}

/** Runs `store`, again without those that it refuses, until it refuses none. Errors: those of `store` but `RefusedItems`. */
export async function storeWithoutRefused<T>(
  items: readonly SyncedItem[],
  store: (kept: readonly SyncedItem[], refused: ReadonlyMap<SyncedItem, string>) => Promise<T>,
): Promise<{ stored: T; refused: Refusal[] }> {
  const refused = new Map<SyncedItem, string>();
  for (const item of items) if (item.refused !== undefined) refused.set(item, item.refused);
  for (let round = 1; ; round += 1) {
    try {
      const stored = await store(
        items.filter((item) => !refused.has(item)),
        refused,
      );
      return { stored, refused: refusalsOf(refused) };
    } catch (error) {
      if (!(error instanceof RefusedItems) || round >= maxRounds) throw error;
      for (const [item, reason] of error.items) refused.set(item, reason);
    }
  }
}

export function refusalsOf(items: ReadonlyMap<SyncedItem, string>): Refusal[] {
  return [...items].map(([{ id, type }, reason]) => ({
    id: id === "" ? null : id,
    type,
    reason: reason.slice(0, maxReason),
  }));
}

/** What becomes of a pushed item when all but these was stored: it would be refused again, so it is a dead letter at once. */
export function setAside(refusals: readonly Refusal[]): DeadLetter {
  const many = refusals.length === 1 ? "one item was" : `${refusals.length} items were`;
  return new DeadLetter("result_invalid", `${many} refused, and the rest is stored: ${sentenceOf(refusals)}`);
}

/** The first five. */
export function sentenceOf(refusals: readonly Refusal[]): string {
  const named = refusals
    .slice(0, 5)
    .map(({ id, reason }) => `item '${(id ?? "without an id").slice(0, 100)}': ${reason}`);
  return named.join("; ");
}
