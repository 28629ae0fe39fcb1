/** The Store over a driver: Kysely, transactions with retry, notifications, locks; errors of a lost database or a full disk get our codes. */
import { AsyncLocalStorage } from "node:async_hooks";
import { Kysely, PostgresDialect, type PostgresPool, sql } from "kysely";
import type { QueryConfig } from "pg";
import { backoffMs } from "../base/backoff.ts";
import { sleep } from "../base/deferred.ts";
import { BackplaneError } from "../errors/error.ts";
import { isRetryable, mapDatabaseError } from "./database-errors.ts";
import type { DriverClient, StoreDriver } from "./driver.ts";
import { createBatchCommit, createGroupCommit } from "./group-commit.ts";
import type { Database } from "./schema.ts";
import { StatementNames } from "./statement-names.ts";
import type { Store, Tx } from "./store.ts";
import { assertOutsideTransaction, runInTransactionScope, runOutsideTransactionScope } from "./transaction-scope.ts";

const maxRetries = 5;
const maxPayloadBytes = 7000;

export function createStore(driver: StoreDriver): Store {
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: guardedPool(driver) }) });

  /** What a transaction has announced already: announcing it again changes nothing, and costs a statement. */
  const announced = new WeakMap<object, Map<string, [channel: string, payload: string]>>();
  // What listeners do belongs to none of the callers that wake them.
  const inOwnContext = AsyncLocalStorage.snapshot();

  async function transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    assertOutsideTransaction("transaction");
    return begin((tx) => runInTransactionScope(() => work(tx)));
  }

  async function begin<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        let committed: Tx | undefined;
        const result = await db.transaction().execute((tx) => {
          committed = tx;
          return work(tx);
        });
        for (const [channel, payload] of announced.get(committed!)?.values() ?? [])
          inOwnContext(() => driver.emit?.(channel, payload));
        return result;
      } catch (error) {
        if (!isRetryable(error) || attempt > maxRetries) throw mapDatabaseError(error);
        await sleep(backoffMs(attempt, { baseMs: 5, capMs: 200 }));
      }
    }
  }

  // One connection commits one after the other; a server's connections commit side by side. What shares statements gains more from waiting.
  const atOnce = driver.name === "pglite" ? { works: 1, items: 1 } : { works: 4, items: 2 };
  const groupCommit = createGroupCommit({ transaction: begin, atOnce: atOnce.works });

  return {
    driver: driver.name,
    db,
    transaction,
    async groupCommit(work) {
      assertOutsideTransaction("groupCommit");
      return await groupCommit((tx) => runInTransactionScope(() => work(tx)));
    },
    batchCommit(storeAll, { sizeOf, oneStatement = false } = {}) {
      type Items = Parameters<typeof storeAll>[1];
      const commit = createBatchCommit({
        atOnce: atOnce.items,
        ...(sizeOf ? { sizeOf } : {}),
        ...(oneStatement
          ? { transaction: (work) => work(db as Tx), storeAll }
          : {
              transaction: begin,
              storeAll: (tx: Tx, items: Items) => runInTransactionScope(() => storeAll(tx, items)),
            }),
      });
      return async (item) => {
        assertOutsideTransaction("batchCommit");
        return await commit(item);
      };
    },
    async notify(executor, channel, payload) {
      if (Buffer.byteLength(payload) > maxPayloadBytes) {
        throw new BackplaneError("payload_too_large", { size: Buffer.byteLength(payload), limit: maxPayloadBytes });
      }
      if (executor !== db) {
        const known = announced.get(executor) ?? new Map();
        announced.set(executor, known);
        const message = `${channel}\n${payload}`;
        if (known.has(message)) return;
        known.set(message, [channel, payload]);
      }
      if (!driver.emit || executor === db)
        await sql`select pg_notify(${assertChannel(channel)}, ${payload})`.execute(executor);
    },
    async listen(channel, listener) {
      assertOutsideTransaction("listen");
      return await mapped(() => runOutsideTransactionScope(() => driver.listen(assertChannel(channel), listener)));
    },
    async tryWithLock(name, work) {
      assertOutsideTransaction("tryWithLock");
      return await driver.tryWithLock(name, work);
    },
    async ping() {
      await sql`select 1`.execute(db);
    },
    async close() {
      // Not `db.destroy()`: it does nothing when no statement ever ran.
      await driver.close();
    },
  };
}

/** What Kysely calls a pool. Every statement passes here: names for repeated ones, our codes for errors. */
function guardedPool(driver: StoreDriver): PostgresPool {
  const names = new StatementNames();
  return {
    options: {},
    async connect() {
      // A statement on `store.db` inside a transaction waits for the connection that its own caller holds.
      assertOutsideTransaction("a statement outside the transaction");
      const client = await mapped(() => driver.connect());
      return guardedClient(client, names);
    },
    end: () => driver.close(),
  } as unknown as PostgresPool;
}

function guardedClient(client: DriverClient, names: StatementNames): object {
  // Statements of one transaction started at once run one after the other.
  let last: Promise<unknown> | undefined;
  return {
    processID: client.processID,
    async query(text: string, values: unknown[]) {
      const config: QueryConfig = { text, values: values.map(withoutNul) };
      const name = names.nameOf(text);
      if (name !== undefined) config.name = name;
      const before = last;
      const run = mapped(async () => {
        if (before) await before.catch(() => {});
        return await client.query(config);
      });
      last = run;
      try {
        return await run;
      } finally {
        if (last === run) last = undefined;
      }
    },
    release: (discard?: boolean) => client.release(discard),
  };
}

/** PostgreSQL's text holds no NUL; what an outsider sends must not turn into a database error. */
function withoutNul(value: unknown): unknown {
  return typeof value === "string" && value.includes("\0") ? value.replaceAll("\0", "\ufffd") : value;
}

async function mapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw mapDatabaseError(error);
  }
}

function assertChannel(channel: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(channel)) throw new TypeError(`Not a channel name: ${channel}`);
  return channel;
}
