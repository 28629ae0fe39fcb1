import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { sql } from "kysely";
import { openTestStore } from "./test-store.ts";

test("schema.ts names every table and column of the migrated database, and none besides", async () => {
  await using store = await openTestStore();
  const { rows } = await sql<{
    table_name: string;
    column_name: string;
  }>`select table_name, column_name from information_schema.columns
    where table_schema = 'public' and table_name <> 'schema_migrations'`.execute(store.db);
  const folder = new URL("./schema/", import.meta.url);
  const sources = await Promise.all((await readdir(folder)).map((name) => readFile(new URL(name, folder), "utf8")));
  const body = sources.map((source) => source.slice(source.indexOf("export interface "))).join("\n");
  const declared = [...body.matchAll(/^ {2}(\w+): \{([^}]*)\};/gm)].flatMap(([, table, columns]) =>
    [...columns!.matchAll(/(\w+): /g)].map(([, column]) => `${table}.${column}`),
  );
  assert.deepEqual(declared.sort(), rows.map((row) => `${row.table_name}.${row.column_name}`).sort());
});
