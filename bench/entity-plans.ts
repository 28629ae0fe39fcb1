/**
 * Measures the query shapes of docs/data-model.md on many rows and prints them as a table: `node bench/entity-plans.ts [rows] [--plans]`.
 * On PostgreSQL at TEST_DATABASE_URL, else on the embedded database. Loading a million rows takes a few minutes.
 */
import { sql } from "kysely";
import { asOrganizationId } from "../src/base/brands.ts";
import { pageStatement } from "../src/entities/page-statement.ts";
import { queryShapes, seedEntities } from "../src/entities/plans.fixture.ts";
import { openTestStore } from "../src/store/test-store.ts";
import { median } from "./statistics.ts";

const organization = asOrganizationId("acme");
const rows = Number(process.argv[2] ?? 1_000_000);
const driver = process.env["TEST_DATABASE_URL"] ? "postgres" : "pglite";
await using store = await openTestStore({ driver } as { driver: "postgres" });
const from = performance.now();
await seedEntities(store, organization, rows);
console.log(`${rows} rows on ${driver}, loaded in ${Math.round((performance.now() - from) / 1000)} s\n`);
console.log("| query | index | ms |\n| --- | --- | --- |");
for (const { name, type, filter, options } of queryShapes) {
  const { statement } = pageStatement(organization, type, filter, { limit: 50, ...options });
  const ms: number[] = [];
  for (let round = 0; round < 7; round++) {
    const start = performance.now();
    await statement.execute(store.db);
    ms.push(performance.now() - start);
  }
  const plan = await sql<{ "QUERY PLAN": string }>`explain ${statement}`.execute(store.db);
  const text = plan.rows.map((row) => row["QUERY PLAN"]).join("\n");
  const used = [
    ...text.matchAll(/(?:Index Scan|Scan Backward|Bitmap Index Scan)(?: Backward)? (?:using|on) (entities_\w+)/g),
  ];
  const index = used.map(([, found]) => `\`${found}\``).join(", ") || "none";
  console.log(`| ${name} | ${index} | ${median(ms).toFixed(1)} |`);
  if (process.argv.includes("--plans")) console.log(text);
}
