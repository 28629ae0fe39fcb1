/** Databases for tests on a PostgreSQL server, copied from one that has the schema: a third of the time that migrations take. */
import { createHash } from "node:crypto";
import pg from "pg";
import { migrations } from "./migrations/index.ts";
import { openStore } from "./open-store.ts";

/** Key of the advisory lock under which templates are made; any constant that nobody else uses. */
const lockKey = 7_400_002;
const prefix = "bp_template_";

/** Makes the database `name` with the schema of now and nothing in it. */
export async function createFromTemplate(server: string, name: string): Promise<void> {
  const template = await templateOn(server);
  await onServer(server, (client) => client.query(`create database ${name} template ${template}`));
}

export async function dropDatabase(server: string, name: string): Promise<void> {
  await onServer(server, (client) => client.query(`drop database if exists ${name} with (force)`));
}

export function databaseUrl(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

const templates = new Map<string, Promise<string>>();

function templateOn(server: string): Promise<string> {
  const known = templates.get(server) ?? makeTemplate(server);
  templates.set(server, known);
  return known;
}

async function makeTemplate(server: string): Promise<string> {
  const key = createHash("sha256").update(JSON.stringify(migrations)).digest("hex").slice(0, 24);
  const template = `${prefix}${key}`;
  await onServer(server, async (client) => {
    // Test files start together; the lock ends with the connection.
    await client.query(`select pg_advisory_lock(${lockKey})`);
    const { rows } = await client.query("select 1 from pg_database where datname = $1", [template]);
    if (rows.length > 0) return;
    const draft = `${template}_draft`;
    await client.query(`drop database if exists ${draft} with (force)`);
    await client.query(`create database ${draft}`);
    const store = await openStore({ databaseUrl: databaseUrl(server, draft) });
    await store.close();
    await client.query(`alter database ${draft} rename to ${template}`);
    await client.query(`comment on database ${template} is '${Date.now()}'`);
    await dropOldTemplates(client, template);
  });
  return template;
}

/** Templates of earlier schemas; one that was made within a day may belong to another checkout. */
async function dropOldTemplates(client: pg.Client, current: string): Promise<void> {
  const { rows } = await client.query<{ name: string; made: string | null }>(
    "select datname as name, shobj_description(oid, 'pg_database') as made from pg_database where datname like $1",
    [`${prefix}%`],
  );
  for (const { name, made } of rows)
    if (name !== current && Date.now() - Number(made) > 86_400_000)
      await client.query(`drop database if exists ${name} with (force)`);
}

async function onServer<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
