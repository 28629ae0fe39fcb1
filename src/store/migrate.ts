/** Brings the schema up to date: missing migrations run once, in order, in one transaction, under a lock over all hubs. */
import { BackplaneError } from "../errors/error.ts";
import type { StoreDriver } from "./driver.ts";
import { type Migration, migrations } from "./migrations/index.ts";

/** Key of the advisory lock; any constant that nobody else uses. */
const lockKey = 7_400_001;

/** Gives the ids that ran now. Error: `invalid_settings` when the schema is newer than this hub. */
export async function migrate(driver: StoreDriver, all: readonly Migration[] = migrations): Promise<number[]> {
  return await driver.withoutDeadline(async () => {
    const client = await driver.connect();
    let discard = true;
    try {
      await client.query({ text: "begin" });
      await client.query({ text: `select pg_advisory_xact_lock(${lockKey})` });
      await client.query({
        text: "create table if not exists schema_migrations (id int primary key, name text not null, applied_at timestamptz not null default now())",
      });
      const { rows } = await client.query({ text: "select id from schema_migrations" });
      const applied = new Set(rows.map((row: { id: number }) => row.id));
      assertKnown(applied, all);
      const missing = all.filter((migration) => !applied.has(migration.id)).sort((a, b) => a.id - b.id);
      for (const migration of missing) {
        await client.query({ text: migration.sql });
        await client.query({
          text: "insert into schema_migrations (id, name) values ($1, $2)",
          values: [migration.id, migration.name],
        });
      }
      await client.query({ text: "commit" });
      discard = false;
      return missing.map((migration) => migration.id);
    } catch (error) {
      await client.query({ text: "rollback" }).then(
        () => {
          discard = false;
        },
        () => {},
      );
      throw error;
    } finally {
      client.release(discard);
    }
  });
}

function assertKnown(applied: ReadonlySet<number>, all: readonly Migration[]): void {
  const known = new Set(all.map((migration) => migration.id));
  const unknown = [...applied].filter((id) => !known.has(id));
  if (unknown.length > 0) {
    throw new BackplaneError("invalid_settings", {
      reason: `the database was migrated by a newer Backplane (migration ${unknown.join(", ")}); start that version`,
    });
  }
}
