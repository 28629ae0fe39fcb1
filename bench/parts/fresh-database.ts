/** A database of a benchmark's own on a real server, dropped at its end. */
import pg from "pg";

export async function freshDatabase(server: string, opened: AsyncDisposableStack): Promise<string> {
  const name = `backplane_bench_${process.pid}_${Math.random().toString(36).slice(2)}`;
  await onServer(server, `create database ${name}`);
  opened.defer(() => onServer(server, `drop database if exists ${name} with (force)`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}
