/** PostgreSQL: a pool for statements, one reconnecting session that listens, one session per held lock. */
import { createHash } from "node:crypto";
import pg from "pg";
import { backoffMs } from "../base/backoff.ts";
import { BackplaneError } from "../errors/error.ts";
import { type DriverClient, ListenerTable, resyncPayload, type StoreDriver } from "./driver.ts";
import { pgTypes } from "./pg-types.ts";
import { runOutsideTransactionScope } from "./transaction-scope.ts";

export interface PostgresDriverOptions {
  databaseUrl: string;
  poolSize: number;
  statementTimeoutMs: number;
  onFault(error: unknown): void;
}

/** How long to wait for a connection: of the server, or of the pool when all are taken. */
const connectMs = 10_000;
const idleInTransactionMs = 60_000;

export async function openPostgresDriver(options: PostgresDriverOptions): Promise<StoreDriver> {
  const driver = new PostgresDriver(options);
  try {
    (await driver.connect()).release();
    return driver;
  } catch (error) {
    await driver.close();
    throw error;
  }
}

class PostgresDriver implements StoreDriver {
  readonly name = "postgres";
  #options: PostgresDriverOptions;
  #pool: pg.Pool;
  #listeners: ListenerTable;
  #listenClient: Promise<pg.Client> | undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #failures = 0;
  #lockClients = new Set<pg.Client>();
  #closed = false;

  constructor(options: PostgresDriverOptions) {
    this.#options = options;
    this.#listeners = new ListenerTable(options.onFault);
    this.#pool = new pg.Pool({
      ...this.#config(),
      max: options.poolSize,
      connectionTimeoutMillis: connectMs,
      statement_timeout: options.statementTimeoutMs,
      // The server's own deadline fires first; this one is for a server that no longer speaks.
      query_timeout: options.statementTimeoutMs + 5000,
      idle_in_transaction_session_timeout: idleInTransactionMs,
    });
    // An idle connection that breaks: the pool has dropped it already.
    this.#pool.on("error", () => {});
  }

  async connect(): Promise<DriverClient> {
    if (this.#closed) throw new BackplaneError("shutting_down");
    const client = await this.#pool.connect();
    let broken = false;
    const onError = (): void => {
      broken = true;
    };
    client.on("error", onError);
    return {
      processID: (client as { processID?: number }).processID,
      query: (config) => client.query(config),
      release: (discard) => {
        client.off("error", onError);
        client.release(discard === true || broken);
      },
    };
  }

  async withoutDeadline<T>(work: () => Promise<T>): Promise<T> {
    // A pool of its own with one connection: `query_timeout` cannot be lifted for a single statement.
    const pool = this.#pool;
    this.#pool = new pg.Pool({ ...this.#config(), max: 1, connectionTimeoutMillis: connectMs });
    this.#pool.on("error", () => {});
    const own = this.#pool;
    try {
      return await work();
    } finally {
      this.#pool = pool;
      await own.end();
    }
  }

  async listen(channel: string, onPayload: (payload: string) => void): Promise<Disposable> {
    const entry = this.#listeners.add(channel, onPayload);
    try {
      const client = await this.#listening();
      if (entry.first) await client.query(`listen "${channel}"`);
    } catch (error) {
      entry.remove();
      throw error;
    }
    return { [Symbol.dispose]: entry.remove };
  }

  async tryWithLock<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
    if (this.#closed) throw new BackplaneError("shutting_down");
    const client = new pg.Client({ ...this.#config(), connectionTimeoutMillis: connectMs });
    client.on("error", () => {});
    this.#lockClients.add(client);
    try {
      await client.connect();
      const { rows } = await client.query<{ held: boolean }>("select pg_try_advisory_lock($1::bigint) as held", [
        lockKey(name),
      ]);
      return rows[0]?.held ? await work() : undefined;
    } finally {
      this.#lockClients.delete(client);
      await client.end().catch(() => {});
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#reconnect);
    const listening = await this.#listenClient?.catch(() => undefined);
    await Promise.allSettled([
      this.#pool.end(),
      listening?.end(),
      ...[...this.#lockClients].map((client) => client.end()),
    ]);
  }

  #config(): pg.ClientConfig {
    return {
      connectionString: this.#options.databaseUrl,
      types: pgTypes,
      application_name: "backplane",
      keepAlive: true,
    };
  }

  #listening(): Promise<pg.Client> {
    this.#listenClient ??= runOutsideTransactionScope(() => this.#startListening());
    return this.#listenClient;
  }

  async #startListening(): Promise<pg.Client> {
    const client = new pg.Client({ ...this.#config(), connectionTimeoutMillis: connectMs });
    let lost = false;
    const onLost = (): void => {
      if (lost) return;
      lost = true;
      this.#listenClient = undefined;
      this.#scheduleReconnect();
    };
    client.on("error", onLost);
    client.on("end", onLost);
    client.on("notification", ({ channel, payload }) => this.#listeners.emit(channel, payload ?? ""));
    try {
      await client.connect();
      for (const channel of this.#listeners.channels) await client.query(`listen "${channel}"`);
      if (this.#failures > 0)
        for (const channel of this.#listeners.channels) this.#listeners.emit(channel, resyncPayload);
      this.#failures = 0;
      return client;
    } catch (error) {
      onLost();
      throw error;
    }
  }

  #scheduleReconnect(): void {
    if (this.#closed || this.#listeners.channels.length === 0) return;
    this.#failures += 1;
    clearTimeout(this.#reconnect);
    this.#reconnect = setTimeout(
      () => void this.#listening().catch(() => {}),
      backoffMs(this.#failures, { baseMs: 100, capMs: 5000 }),
    );
    this.#reconnect.unref();
  }
}

/** The 64-bit key of a named lock, as the text of a signed bigint. */
function lockKey(name: string): string {
  return createHash("sha256").update(name).digest().readBigInt64BE(0).toString();
}
