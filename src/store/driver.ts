/** What a database driver gives the store. The two drivers differ in nothing else. */
import type { ClientBase, QueryConfig, QueryResult } from "pg";

export interface DriverClient {
  query(config: QueryConfig): Promise<QueryResult>;
  /** `true` throws the connection away. */
  release(discard?: boolean): void;
  readonly processID?: number | undefined;
}

export interface StoreDriver {
  readonly name: "pglite" | "postgres";
  connect(): Promise<DriverClient>;
  /** Runs `work` without a statement deadline: for migrations. */
  withoutDeadline<T>(work: () => Promise<T>): Promise<T>;
  /** Calls `onPayload` for every notification of `channel` until disposed. */
  listen(channel: string, onPayload: (payload: string) => void): Promise<Disposable>;
  /** Of a database that one process has to itself: tells its listeners without a statement. */
  emit?(channel: string, payload: string): void;
  tryWithLock<T>(name: string, work: () => Promise<T>): Promise<T | undefined>;
  close(): Promise<void>;
}

/** What listeners get after the connection was lost and found again: notifications in between are lost, so read again. */
export const resyncPayload = "";

export type PgClient = ClientBase & { processID?: number };

/** Listeners by channel; used by both drivers. A throwing listener does not keep the others from their message. */
export class ListenerTable {
  #byChannel = new Map<string, Set<(payload: string) => void>>();
  #onFault: (error: unknown) => void;

  constructor(onFault: (error: unknown) => void) {
    this.#onFault = onFault;
  }

  get channels(): string[] {
    return [...this.#byChannel.keys()];
  }

  /** Adds a listener; `first` tells whether the channel had none. */
  add(channel: string, listener: (payload: string) => void): { first: boolean; remove(): void } {
    const set = this.#byChannel.get(channel) ?? new Set();
    const first = set.size === 0;
    // One entry a call, even when the same function listens twice.
    const entry = (payload: string): void => listener(payload);
    set.add(entry);
    this.#byChannel.set(channel, set);
    return { first, remove: () => void (set.delete(entry) && set.size === 0 && this.#byChannel.delete(channel)) };
  }

  emit(channel: string, payload: string): void {
    for (const listener of [...(this.#byChannel.get(channel) ?? [])]) {
      try {
        listener(payload);
      } catch (error) {
        this.#onFault(error);
      }
    }
  }
}
