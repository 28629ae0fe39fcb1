/**
 * The embedded database: one PGlite worker, one connection, shared in turn. A transaction holds the connection, so
 * statements outside it wait. A worker that was lost (deadline, crash) is replaced at the next use.
 */
import pg from "pg";
import { BackplaneError } from "../errors/error.ts";
import { prepareDatabaseFolder } from "./database-folder.ts";
import { type DriverClient, ListenerTable, type PgClient, type StoreDriver } from "./driver.ts";
import { type FolderLock, lockFolder } from "./folder-lock.ts";
import { pgTypes } from "./pg-types.ts";
import { PgliteSocket } from "./pglite-socket.ts";
import { runOutsideTransactionScope } from "./transaction-scope.ts";

export interface PgliteDriverOptions {
  /** The hub's data folder; the database lives in its `db`. Without one the database lives in memory. */
  dataDir?: string | undefined;
  /** In memory: start from this image. */
  image?: Uint8Array | undefined;
  wasm?: WebAssembly.Module | undefined;
  /** Longest time a statement may take. */
  statementTimeoutMs: number;
  onFault(error: unknown): void;
}

export interface PgliteDriver extends StoreDriver {
  /** The database folder as one block of bytes: test stores start from it. */
  image(): Promise<Uint8Array>;
}

interface Session {
  socket: PgliteSocket;
  client: PgClient;
  lost: boolean;
}

export async function openPgliteDriver(options: PgliteDriverOptions): Promise<PgliteDriver> {
  const lock = options.dataDir === undefined ? undefined : await lockFolder(options.dataDir);
  try {
    const folder = options.dataDir === undefined ? undefined : await prepareDatabaseFolder(options.dataDir);
    const driver = new EmbeddedDriver(options, folder, lock);
    await (await driver.connect()).release();
    return driver;
  } catch (error) {
    await lock?.release();
    throw error;
  }
}

class EmbeddedDriver implements PgliteDriver {
  readonly name = "pglite";
  #options: PgliteDriverOptions;
  #folder: string | undefined;
  #lock: FolderLock | undefined;
  #listeners: ListenerTable;
  #locks = new Set<string>();
  #session: Session | undefined;
  #turn: Promise<void> = Promise.resolve();
  #deadline = true;
  #closed = false;
  /** An in-memory database cannot be reopened: what it held is gone. */
  #gone = false;

  constructor(options: PgliteDriverOptions, folder: string | undefined, lock: FolderLock | undefined) {
    this.#options = options;
    this.#folder = folder;
    this.#lock = lock;
    this.#listeners = new ListenerTable(options.onFault);
  }

  async connect(): Promise<DriverClient> {
    const release = await this.#takeTurn();
    try {
      const session = await this.#open();
      return {
        processID: 1,
        query: (config) => session.client.query(config),
        release: (discard) => {
          if (discard) session.socket.destroy();
          release();
        },
      };
    } catch (error) {
      release();
      throw error;
    }
  }

  async withoutDeadline<T>(work: () => Promise<T>): Promise<T> {
    this.#deadline = false;
    try {
      return await work();
    } finally {
      this.#deadline = true;
    }
  }

  async listen(channel: string, onPayload: (payload: string) => void): Promise<Disposable> {
    const entry = this.#listeners.add(channel, onPayload);
    try {
      const client = await this.connect();
      try {
        await client.query({ text: `listen "${channel}"` });
      } finally {
        client.release();
      }
    } catch (error) {
      entry.remove();
      throw error;
    }
    return { [Symbol.dispose]: entry.remove };
  }

  async tryWithLock<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
    if (this.#locks.has(name)) return undefined;
    this.#locks.add(name);
    try {
      return await work();
    } finally {
      this.#locks.delete(name);
    }
  }

  async image(): Promise<Uint8Array> {
    const release = await this.#takeTurn();
    try {
      const session = await this.#open();
      await session.client.query("checkpoint");
      const answer = await session.socket.request("image");
      if (!(answer instanceof Uint8Array)) throw new Error("The database worker gave no image");
      return answer;
    } finally {
      release();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const release = await this.#takeTurn();
    this.#closed = true;
    try {
      await this.#session?.socket.close();
    } finally {
      release();
      await this.#lock?.release();
    }
  }

  async #takeTurn(): Promise<() => void> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    return resolve;
  }

  async #open(): Promise<Session> {
    if (this.#closed) throw new BackplaneError("shutting_down");
    if (this.#session && !this.#session.lost) return this.#session;
    if (this.#gone) throw new BackplaneError("database_unavailable");
    return await runOutsideTransactionScope(() => this.#start());
  }

  async #start(): Promise<Session> {
    const { image, wasm, statementTimeoutMs } = this.#options;
    const socket = new PgliteSocket({
      data: {
        ...(this.#folder !== undefined && { folder: this.#folder }),
        ...(image && { image }),
        ...(wasm && { wasm }),
      },
      deadlineMs: () => (this.#deadline ? statementTimeoutMs : Number.POSITIVE_INFINITY),
    });
    const client: PgClient = new pg.Client({
      stream: () => socket as never,
      types: pgTypes,
      user: "postgres",
      database: "postgres",
      host: "worker",
      ssl: false,
    } as pg.ClientConfig);
    const session = { socket, client, lost: false };
    client.on("error", () => {
      session.lost = true;
    });
    client.on("end", () => {
      session.lost = true;
      if (this.#folder === undefined) this.#gone = true;
    });
    client.on("notification", ({ channel, payload }) => this.#listeners.emit(channel, payload ?? ""));
    await client.connect();
    for (const channel of this.#listeners.channels) await client.query(`listen "${channel}"`);
    this.#session = session;
    return session;
  }
}
