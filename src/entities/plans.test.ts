/** Every query shape that the docs promise to be fast is answered by an index, on both databases; bench/entity-plans.ts measures a million rows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { asOrganizationId } from "../base/brands.ts";
import { openTestStore } from "../store/test-store.ts";
import { pageStatement } from "./page-statement.ts";
import { queryShapes, seedEntities } from "./plans.fixture.ts";

const organization = asOrganizationId("acme");

for (const driver of ["pglite", "postgres"] as const)
  test(`no documented query reads the whole table: ${driver}`, {
    skip: driver === "postgres" && !process.env["TEST_DATABASE_URL"],
  }, async () => {
    await using store = await openTestStore({ driver } as { driver: "pglite" });
    await seedEntities(store, organization, 12_000);
    for (const { name, type, filter, options } of queryShapes) {
      const { statement } = pageStatement(organization, type, filter, { limit: 20, ...options });
      const rows = (await statement.execute(store.db)).rows.length;
      assert.ok(rows > 0, `${name}: the seed has such rows`);
      const plan = (await sql<{ "QUERY PLAN": string }>`explain ${statement}`.execute(store.db)).rows
        .map((row) => row["QUERY PLAN"])
        .join("\n");
      // By the primary key would be all rows of the type.
      assert.doesNotMatch(plan, /Seq Scan|entities_pkey/, `${name}\n${plan}`);
      assert.match(plan, /Index Scan (using|on|Backward using) (entities_\w+)/, `${name}\n${plan}`);
    }
  });
