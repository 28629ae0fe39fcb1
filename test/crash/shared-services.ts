/** A database and a stream of a test's own on the services that the environment names; both are dropped at the end. */
import { randomBytes } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import pg from "pg";

export interface SharedService extends AsyncDisposable {
  env: Record<string, string>;
}

export async function sharedDatabase(): Promise<SharedService> {
  const admin = process.env["TEST_DATABASE_URL"]!;
  const name = `bp_crash_${randomBytes(6).toString("hex")}`;
  await statement(admin, `create database ${name}`);
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return {
    env: { DATABASE_URL: url.href, BACKPLANE_MASTER_KEY: randomBytes(32).toString("base64") },
    async [Symbol.asyncDispose]() {
      await statement(admin, `drop database if exists ${name} with (force)`);
    },
  };
}

export async function sharedNats(): Promise<SharedService> {
  const url = process.env["TEST_NATS_URL"]!;
  const stream = `bp_crash_${randomBytes(6).toString("hex")}`;
  return {
    env: { NATS_URL: url, BACKPLANE_NATS_STREAM: stream },
    async [Symbol.asyncDispose]() {
      const connection = await connect({ servers: url });
      try {
        await (await jetstreamManager(connection)).streams.delete(stream).catch(() => false);
      } finally {
        await connection.close();
      }
    },
  };
}

/** One statement over a connection of its own. */
export async function statement(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
