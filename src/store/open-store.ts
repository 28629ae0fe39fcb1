/** Opens the store: PostgreSQL when there is a database URL, the embedded database otherwise. Migrations have run when it resolves. */
import { createStore } from "./create-store.ts";
import { mapDatabaseError } from "./database-errors.ts";
import type { StoreDriver } from "./driver.ts";
import { startEmbeddedVacuum } from "./embedded-vacuum.ts";
import { migrate } from "./migrate.ts";
import { openPgliteDriver } from "./pglite-driver.ts";
import { openPostgresDriver } from "./postgres-driver.ts";
import type { Store } from "./store.ts";

export interface StoreLog {
  warn(details: object, message: string): void;
}

export interface OpenStoreOptions {
  /** PostgreSQL; without it the embedded database is used. */
  databaseUrl?: string | undefined;
  /** The hub's data folder. Without it (and without `databaseUrl`) the database lives in memory and is lost at close. */
  dataDir?: string | undefined;
  log?: StoreLog | undefined;
  /** Connections of the PostgreSQL pool. @default 10 */
  poolSize?: number | undefined;
  /** Embedded: every commit waits until the disk has it, so that it survives a loss of power, not only of the process. @default true */
  syncToDisk?: boolean | undefined;
  /** Longest time of one statement. @default 30000 */
  statementTimeoutMs?: number | undefined;
}

/** Errors: `database_unavailable`, `data_folder_locked`, `storage_full`, `invalid_settings`. */
export async function openStore(options: OpenStoreOptions = {}): Promise<Store> {
  try {
    const driver = await openDriver(options);
    try {
      await migrate(driver);
    } catch (error) {
      await driver.close();
      throw error;
    }
    const store = createStore(driver);
    return store.driver === "pglite" ? lookedAfter(store, options.log) : store;
  } catch (error) {
    throw mapDatabaseError(error);
  }
}

function lookedAfter(store: Store, log: StoreLog | undefined): Store {
  const vacuum = startEmbeddedVacuum({
    store,
    onFault: (error) => log?.warn({ err: error }, "a table of the embedded database could not be vacuumed"),
  });
  const { close } = store;
  return Object.assign(store, {
    async close() {
      await vacuum[Symbol.asyncDispose]();
      await close();
    },
  });
}

async function openDriver(options: OpenStoreOptions): Promise<StoreDriver> {
  const { databaseUrl, dataDir, log, poolSize = 10, statementTimeoutMs = 30_000, syncToDisk } = options;
  const onFault = (error: unknown): void => log?.warn({ err: error }, "store: a background fault");
  return databaseUrl === undefined
    ? await openPgliteDriver({ dataDir, syncToDisk, statementTimeoutMs, onFault })
    : await openPostgresDriver({ databaseUrl, poolSize, statementTimeoutMs, onFault });
}
