/** The port of the relational store: one SQL dialect on two drivers (PGlite in a worker, PostgreSQL). */
import type { Kysely, Transaction } from "kysely";
import type { Database } from "./schema.ts";

export type Db = Kysely<Database>;
export type Tx = Transaction<Database>;

export interface Store {
  readonly driver: "pglite" | "postgres";
  /** Statements outside a transaction. Errors of a lost database surface as `database_unavailable`, of a full disk as `storage_full`. */
  readonly db: Db;
  /** Runs `work` in one transaction; serialisation failures and deadlocks are retried up to 5 times, so `work` must be repeatable. Inside `work` only `tx` may be used: `db`, `transaction`, `listen` and `tryWithLock` throw `wall_crossed_in_transaction`. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * As `transaction`, in one that is shared with whatever else waits to be committed at that moment: for small writes that
   * nothing but their caller depends on, many times cheaper under load. When one of them throws, each runs again by itself.
   */
  groupCommit<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Gives a function that stores one item together with all others of its kind that wait at that moment: one call of
   * `storeAll` in one transaction, which gives one result an item in their order, or nothing. When it throws, each item is
   * stored by itself.
   */
  batchCommit<Item, Result = undefined>(
    storeAll: (tx: Tx, items: readonly Item[]) => Promise<readonly Result[] | undefined>,
    options?: {
      /** Bytes or characters, about: keeps large items from adding up. @default 0 */
      sizeOf?(item: Item): number;
      /** `storeAll` is one statement, which commits by itself, and is harmless when it comes twice. @default false */
      oneStatement?: boolean;
    },
  ): (item: Item) => Promise<Result>;
  /** Wakes listeners of `channel` on every node once `tx` (or the statement) has committed. Payload ≤ 7,000 bytes. */
  notify(executor: Db | Tx, channel: string, payload: string): Promise<void>;
  /**
   * Hears every `notify` of every hub, its own among them. An empty payload means that the connection was lost for a
   * while and notifications may be missing: read again what the channel announces.
   */
  listen(channel: string, listener: (payload: string) => void): Promise<Disposable>;
  /** Runs `work` while this hub holds the named lock over all nodes; `undefined` when another holds it. The lock goes with the connection. */
  tryWithLock<T>(name: string, work: () => Promise<T>): Promise<T | undefined>;
  /** Error: `database_unavailable`. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
