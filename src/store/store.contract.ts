/** What every driver of the store must do; run by pglite.test.ts and postgres.test.ts. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { sql } from "kysely";
import { sleep } from "../base/deferred.ts";
import { BackplaneError } from "../errors/error.ts";
import { isUniqueViolation } from "./database-errors.ts";
import { json, jsonRows } from "./json.ts";
import type { TestStore, TestStoreOptions } from "./test-store.ts";
import { assertOutsideTransaction, insideTransaction } from "./transaction-scope.ts";

export interface ContractDriver {
  name: string;
  open(options?: TestStoreOptions): Promise<TestStore>;
  /** Why the suite cannot run here. */
  skip?: string | undefined;
}

const code = (expected: string) => (error: unknown) => error instanceof BackplaneError && error.code === expected;

const organization = (store: TestStore, id: string) =>
  store.db.insertInto("organizations").values({ id, name: id }).execute();

const names = async (store: TestStore): Promise<string[]> =>
  (await store.db.selectFrom("organizations").select("id").orderBy("id").execute()).map((row) => row.id);

export function storeContract(driver: ContractDriver): void {
  const proves = (title: string, work: (store: TestStore, t: TestContext) => Promise<void>): void => {
    it(title, async (t) => {
      if (driver.skip) return t.skip(driver.skip);
      await using store = await driver.open();
      await work(store, t);
    });
  };

  describe(`store contract on ${driver.name}`, () => {
    proves("gives bigint as number, timestamptz as Date, jsonb parsed and bytea as bytes", async (store) => {
      const at = new Date("2026-01-02T03:04:05.678Z");
      const { rows } = await sql<
        Record<string, unknown>
      >`select 9007199254740991::bigint as big, count(*) as n, sum(5::bigint) as total,
        ${at}::timestamptz as at, ${json([1, { a: null }])} as doc, ${Buffer.from([0, 255])}::bytea as bytes, array[1, 2]::bigint[] as bigs,
        null::text as nothing from (values (1)) as one`.execute(store.db);
      assert.deepEqual(rows, [
        {
          big: 9007199254740991,
          n: 1,
          total: 5,
          at,
          doc: [1, { a: null }],
          bytes: Buffer.from([0, 255]),
          bigs: [1, 2],
          nothing: null,
        },
      ]);
    });

    proves(
      "keeps any JSON value; the NUL characters and lone surrogates that SQL refuses become U+FFFD",
      async (store) => {
        const text = "\\u0000 \\\\u0000 \\ud800 \u2028 \ud83d\ude00";
        const value = { text: `a\0b\ud800c\udc00${text}`, list: [true, null, 1.5e300], "": {} };
        await store.db
          .insertInto("settings")
          .values({ key: "k\0", value: json(value) })
          .execute();
        const row = await store.db
          .selectFrom("settings")
          .select(["key", "value"])
          .where("key", "=", "k\0")
          .executeTakeFirstOrThrow();
        assert.deepEqual(row, { key: "k\ufffd", value: { ...value, text: `a\ufffdb\ufffdc\ufffd${text}` } });
      },
    );

    proves("refuses JSON nested a hundred thousand deep as invalid_json and goes on", async (store) => {
      let value: unknown = 1;
      for (let n = 0; n < 100_000; n += 1) value = [value];
      await assert.rejects(async () => {
        await store.db
          .insertInto("settings")
          .values({ key: "deep", value: json(value) })
          .execute();
      }, code("invalid_json"));
      await store.ping();
    });

    proves("inserts many rows from one parameter", async (store) => {
      const rows = Array.from({ length: 1000 }, (_, n) => ({ id: `org-${n}`, name: `Name ${n}` }));
      await sql`insert into organizations (id, name) select * from ${jsonRows(rows, { id: "text", name: "text" })}`.execute(
        store.db,
      );
      const { n } = await store.db
        .selectFrom("organizations")
        .select((eb) => eb.fn.countAll<number>().as("n"))
        .executeTakeFirstOrThrow();
      assert.equal(n, 1000);
    });

    proves(
      "runs a statement more often than it takes to prepare it, with other parameters each time",
      async (store) => {
        for (let n = 0; n < 10; n += 1) {
          const { rows } = await sql<{ n: number }>`select ${n}::int as n`.execute(store.db);
          assert.deepEqual(rows, [{ n }]);
        }
      },
    );

    proves("commits a transaction whole and rolls a thrown one back whole", async (store) => {
      const answer = await store.transaction(async (tx) => {
        await tx.insertInto("organizations").values({ id: "a", name: "A" }).execute();
        await tx.insertInto("organizations").values({ id: "b", name: "B" }).execute();
        return 7;
      });
      assert.equal(answer, 7);
      await assert.rejects(
        store.transaction(async (tx) => {
          await tx.insertInto("organizations").values({ id: "c", name: "C" }).execute();
          throw new Error("no");
        }),
        /no/,
      );
      assert.deepEqual(await names(store), ["a", "b"]);
    });

    proves("commits what waits together as one, and what throws by itself", async (store) => {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 30 }, (_, n) =>
          store.groupCommit(async (tx) => {
            await tx
              .insertInto("organizations")
              .values({ id: `o${n}`, name: "O" })
              .execute();
            if (n === 17) throw new Error("no");
            const { rows } = await sql<{ id: string }>`select txid_current()::text as id`.execute(tx);
            return rows[0]!.id;
          }),
        ),
      );
      assert.deepEqual(
        outcomes.flatMap(({ status }, n) => (status === "rejected" ? [n] : [])),
        [17],
      );
      const kept = await store.db.selectFrom("organizations").select("id").execute();
      assert.deepEqual([kept.length, kept.some(({ id }) => id === "o17")], [29, false]);
      const together = await Promise.all(
        Array.from({ length: 30 }, () =>
          store.groupCommit(async (tx) => {
            const { rows } = await sql<{ id: string }>`select txid_current()::text as id`.execute(tx);
            return rows[0]!.id;
          }),
        ),
      );
      assert.ok(new Set(together).size < 10, `${new Set(together).size} transactions`);
    });

    proves("keeps a group's members from statements outside it", async (store) => {
      await assert.rejects(
        store.groupCommit(() => store.db.selectFrom("organizations").selectAll().execute()),
        { code: "wall_crossed_in_transaction" },
      );
    });

    proves("lets a statement outside wait for the transaction or see only what is committed", async (store) => {
      const seen: string[][] = [];
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      const inside = store.transaction(async (tx) => {
        await tx.insertInto("organizations").values({ id: "a", name: "A" }).execute();
        begin();
        await sleep(50);
        await tx.insertInto("organizations").values({ id: "b", name: "B" }).execute();
      });
      await begun;
      seen.push(await names(store));
      await inside;
      assert.ok(seen[0]!.length === 0 || seen[0]!.length === 2, `saw half a transaction: ${seen[0]}`);
    });

    proves("runs statements of one transaction started at once one after the other", async (store) => {
      await store.transaction(async (tx) => {
        await Promise.all(
          ["a", "b", "c"].map((id) => tx.insertInto("organizations").values({ id, name: id }).execute()),
        );
      });
      assert.deepEqual(await names(store), ["a", "b", "c"]);
    });

    proves("lets 100 transactions add to one row and loses none", async (store) => {
      await store.db
        .insertInto("settings")
        .values({ key: "n", value: json(0) })
        .execute();
      await Promise.all(
        Array.from({ length: 100 }, () =>
          store.transaction(async (tx) => {
            const row = await tx
              .selectFrom("settings")
              .select("value")
              .where("key", "=", "n")
              .forUpdate()
              .executeTakeFirstOrThrow();
            await tx
              .updateTable("settings")
              .set({ value: json(Number(row.value) + 1) })
              .where("key", "=", "n")
              .execute();
          }),
        ),
      );
      const row = await store.db.selectFrom("settings").select("value").executeTakeFirstOrThrow();
      assert.equal(row.value, 100);
    });

    proves("repeats a transaction that failed to serialise, up to five times", async (store) => {
      let runs = 0;
      await store.transaction(async (tx) => {
        runs += 1;
        await tx.insertInto("organizations").values({ id: "a", name: "A" }).execute();
        if (runs <= 5) await sql`do $$ begin raise exception 'again' using errcode = '40001'; end $$`.execute(tx);
      });
      assert.equal(runs, 6);
      assert.deepEqual(await names(store), ["a"]);
      let failures = 0;
      await assert.rejects(
        store.transaction(async (tx) => {
          failures += 1;
          await sql`do $$ begin raise exception 'never' using errcode = '40P01'; end $$`.execute(tx);
        }),
        /never/,
      );
      assert.equal(failures, 6);
    });

    proves("leaves constraint errors to the caller, and the store usable", async (store) => {
      await organization(store, "a");
      await assert.rejects(organization(store, "a"), isUniqueViolation);
      await assert.rejects(
        store.transaction(async (tx) => {
          await tx.insertInto("organizations").values({ id: "b", name: "B" }).execute();
          await tx.insertInto("organizations").values({ id: "a", name: "A" }).execute();
        }),
        isUniqueViolation,
      );
      await assert.rejects(sql`select nothing from nowhere`.execute(store.db), /nowhere/);
      assert.deepEqual(await names(store), ["a"]);
    });

    proves("refuses to commit a transaction whose failed statement was swallowed", async (store) => {
      await organization(store, "a");
      await assert.rejects(
        store.transaction(async (tx) => {
          await tx.insertInto("organizations").values({ id: "b", name: "B" }).execute();
          await tx
            .insertInto("organizations")
            .values({ id: "a", name: "A" })
            .execute()
            .catch(() => {});
        }),
      );
      assert.deepEqual(await names(store), ["a"]);
    });

    proves("knows whether code runs inside a transaction, through awaits and out again", async (store) => {
      assert.equal(insideTransaction(), false);
      let late: Promise<boolean> | undefined;
      await store.transaction(async (tx) => {
        await sql`select 1`.execute(tx);
        await sleep(1);
        assert.equal(insideTransaction(), true);
        assert.throws(() => assertOutsideTransaction("invoke"), code("wall_crossed_in_transaction"));
        late = sleep(30).then(() => insideTransaction());
      });
      assert.equal(insideTransaction(), false);
      assert.equal(await late, false, "what outlives the transaction is outside");
    });

    proves(
      "refuses store.db, a nested transaction, listen and tryWithLock inside a transaction, instead of waiting forever",
      async (store) => {
        await store.transaction(async () => {
          const refused = code("wall_crossed_in_transaction");
          await assert.rejects(names(store), refused);
          await assert.rejects(
            store.transaction(async () => {}),
            refused,
          );
          await assert.rejects(
            store.listen("c", () => {}),
            refused,
          );
          await assert.rejects(
            store.tryWithLock("l", async () => {}),
            refused,
          );
        });
        await store.ping();
      },
    );

    it("notifies after commit, never after rollback, and stops when disposed", async (t) => {
      if (driver.skip) return t.skip(driver.skip);
      const faults: unknown[] = [];
      await using store = await driver.open({ onFault: (error) => faults.push(error) });
      const heard: string[] = [];
      const listening = await store.listen("things", (payload) => heard.push(payload));
      await store.listen("things", () => {
        throw new Error("a listener that throws harms no other");
      });
      await store.transaction(async (tx) => {
        await store.notify(tx, "things", "committed");
        await sleep(30);
        assert.deepEqual(heard, []);
      });
      await assert.rejects(
        store.transaction(async (tx) => {
          await store.notify(tx, "things", "rolled back");
          throw new Error("no");
        }),
      );
      await store.notify(store.db, "things", "plain");
      await store.notify(store.db, "others", "elsewhere");
      await until(() => heard.length === 2);
      assert.deepEqual(heard, ["committed", "plain"]);
      assert.equal(faults.length, 2, "faults of listeners are reported");
      listening[Symbol.dispose]();
      await store.notify(store.db, "things", "unheard");
      await sleep(50);
      assert.equal(heard.length, 2);
      await assert.rejects(store.notify(store.db, "things", "x".repeat(7001)), code("payload_too_large"));
    });

    proves("gives a named lock to one at a time, and frees it when the work throws", async (store) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const { promise: taken, resolve: take } = Promise.withResolvers<void>();
      const first = store.tryWithLock("cleaning", async () => {
        take();
        await promise;
        await store.ping();
        return 1;
      });
      await taken;
      assert.equal(await store.tryWithLock("cleaning", async () => 2), undefined);
      assert.equal(await store.tryWithLock("other", async () => 3), 3);
      resolve();
      assert.equal(await first, 1);
      await assert.rejects(
        store.tryWithLock("cleaning", async () => {
          throw new Error("broke");
        }),
        /broke/,
      );
      assert.equal(await store.tryWithLock("cleaning", async () => 4), 4);
    });

    it("ends a statement past its deadline with database_unavailable", async (t) => {
      if (driver.skip) return t.skip(driver.skip);
      await using store = await driver.open({ statementTimeoutMs: 400 });
      const began = performance.now();
      await assert.rejects(
        sql`select count(*) from generate_series(1, 100000000000) as n`.execute(store.db),
        code("database_unavailable"),
      );
      assert.ok(performance.now() - began < 3000);
    });

    proves("answers a closed store with an error, at once", async (store) => {
      await store.close();
      await assert.rejects(store.ping(), code("shutting_down"));
      await assert.rejects(
        store.transaction(async () => {}),
        code("shutting_down"),
      );
      await store.close();
    });
  });
}

/** Waits up to 5 s for `done`. */
export async function until(done: () => boolean): Promise<void> {
  for (let n = 0; n < 500 && !done(); n += 1) await sleep(10);
  assert.ok(done(), "did not happen within 5 s");
}
