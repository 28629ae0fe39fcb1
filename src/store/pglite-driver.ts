/**
 * The embedded database: one PGlite worker, one connection, shared in turn. A transaction holds the connection, so
 * statements outside it wait. A worker that was lost (deadline, crash) is replaced at the next use.
 */
import { statfs } from "node:fs/promises";
import pg, { type QueryConfig, type QueryResult } from "pg";
import { BackplaneError } from "../errors/error.ts";
import { prepareDatabaseFolder } from "./database-folder.ts";
import { type DriverClient, ListenerTable, type PgClient, resyncPayload, type StoreDriver } from "./driver.ts";
import { type FolderLock, lockFolder } from "./folder-lock.ts";
import { pgTypes } from "./pg-types.ts";
import { PgliteSocket, type PgliteSocketOptions } from "./pglite-socket.ts";
import { runOutsideTransactionScope } from "./transaction-scope.ts";

export interface PgliteDriverOptions {
  /** The hub's data folder; the database lives in its `db`. Without one the database lives in memory. */
  dataDir?: string | undefined;
  /** Every commit waits until the disk has it. */
  syncToDisk?: boolean | undefined;
  /** In memory: start from this image. */
  image?: Uint8Array | undefined;
  wasm?: WebAssembly.Module | undefined;
  /** @default a new thread each time */
  startWorker?: PgliteSocketOptions["startWorker"];
  /** Longest time a statement may take. */
  statementTimeoutMs: number;
  /** Longest time a transaction may hold the connection without a statement. @default 60000 */
  idleInTransactionMs?: number | undefined;
  onFault(error: unknown): void;
}

export interface PgliteDriver extends StoreDriver {
  /** The database folder as one block of bytes: test stores start from it. */
  image(): Promise<Uint8Array>;
}

const retryMs = 1000;
/** Two segments of the write-ahead log. */
const neededMb = 32;

interface Session {
  socket: PgliteSocket;
  client: PgClient;
}

/** One holder of the connection, until it releases it or is idle for too long: PostgreSQL's `idle_in_transaction_session_timeout`, which PGlite lacks. */
class Turn implements DriverClient {
  readonly processID = 1;
  #session: Session;
  #pass: (() => void) | undefined;
  #idleMs: number;
  #idle: NodeJS.Timeout | undefined;

  constructor(session: Session, pass: () => void, idleMs: number) {
    this.#session = session;
    this.#pass = pass;
    this.#idleMs = idleMs;
  }

  async query(config: QueryConfig): Promise<QueryResult> {
    if (!this.#pass || !this.#session.socket.writable) throw new BackplaneError("database_unavailable");
    clearTimeout(this.#idle);
    try {
      return await this.#session.client.query(config);
    } finally {
      if (!this.#released()) this.#idle = setTimeout(() => void this.#expire(), this.#idleMs);
    }
  }

  release(discard?: boolean): void {
    const pass = this.#pass;
    if (!pass) return;
    this.#pass = undefined;
    clearTimeout(this.#idle);
    if (discard) this.#session.socket.destroy();
    pass();
  }

  #released(): boolean {
    return this.#pass === undefined;
  }

  async #expire(): Promise<void> {
    const pass = this.#pass;
    if (!pass) return;
    this.#pass = undefined;
    // Outside a transaction this is a harmless warning.
    await this.#session.client.query("rollback").catch(() => this.#session.socket.destroy());
    pass();
  }
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
  #failure: { at: number; error: unknown } | undefined;
  #deadline = true;
  #closed = false;

  constructor(options: PgliteDriverOptions, folder: string | undefined, lock: FolderLock | undefined) {
    this.#options = options;
    this.#folder = folder;
    this.#lock = lock;
    this.#listeners = new ListenerTable(options.onFault);
  }

  async connect(): Promise<DriverClient> {
    const release = await this.#takeTurn();
    try {
      return new Turn(await this.#open(), release, this.#options.idleInTransactionMs ?? 60_000);
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

  emit(channel: string, payload: string): void {
    this.#listeners.emit(channel, payload);
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
    if (this.#session?.socket.writable) return this.#session;
    await this.#session?.socket.ended;
    if (this.#session && this.#folder === undefined) throw new BackplaneError("database_unavailable");
    // A start takes a second of work: while it fails, callers share one attempt a second.
    if (this.#failure && performance.now() - this.#failure.at < retryMs) throw this.#failure.error;
    try {
      const session = await runOutsideTransactionScope(() => this.#start());
      this.#failure = undefined;
      return session;
    } catch (error) {
      this.#failure = { at: performance.now(), error: await this.#startError(error) };
      this.#options.onFault(error);
      throw this.#failure.error;
    }
  }

  /** The engine does not say why it failed to start; a full disk, where it cannot replay its log, is the likely cause that helps to know. */
  async #startError(error: unknown): Promise<unknown> {
    if (this.#folder === undefined) return error;
    const disk = await statfs(this.#folder).catch(() => undefined);
    const freeMb = disk ? Math.floor((disk.bavail * disk.bsize) / 2 ** 20) : Number.POSITIVE_INFINITY;
    if (freeMb < neededMb)
      return new BackplaneError(
        "storage_full",
        { reason: `the disk of ${this.#folder} has ${freeMb} MB free, the database needs ${neededMb} MB to start` },
        { cause: error },
      );
    return new BackplaneError("database_unavailable", {}, { cause: error });
  }

  async #start(): Promise<Session> {
    const { image, wasm, startWorker, statementTimeoutMs } = this.#options;
    const socket = new PgliteSocket({
      data: {
        ...(this.#folder !== undefined && { folder: this.#folder, syncToDisk: this.#options.syncToDisk ?? true }),
        ...(image && { image }),
        ...(wasm && { wasm }),
      },
      startWorker,
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
    const session = { socket, client };
    // What is lost shows in `socket.writable`; without a listener the event would end the process.
    client.on("error", () => {});
    client.on("notification", ({ channel, payload }) => this.#listeners.emit(channel, payload ?? ""));
    await client.connect();
    const reopened = this.#session !== undefined;
    this.#session = session;
    for (const channel of this.#listeners.channels) {
      await client.query(`listen "${channel}"`);
      if (reopened) this.#listeners.emit(channel, resyncPayload);
    }
    return session;
  }
}
