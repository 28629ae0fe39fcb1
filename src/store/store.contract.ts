/** What every driver of the store must do; run by pglite.test.ts and postgres.test.ts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "kysely";
import { json } from "./json.ts";
import type { TestStore, TestStoreOptions } from "./test-store.ts";

export interface ContractDriver {
  name: string;
  open(options?: TestStoreOptions): Promise<TestStore>;
}

export function storeContract(driver: ContractDriver): void {
  describe(`store contract on ${driver.name}`, () => {
    it("gives bigint as number, timestamptz as Date, jsonb parsed and bytea as bytes", async () => {
      await using store = await driver.open();
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
  });
}
