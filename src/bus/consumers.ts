/**
 * Who gets which events: one row per consumer and pattern. Rows change inside the caller's transaction, and the sequencer
 * reads them in the transaction that stamps, so an event accepted after a change never misses it and no cache can be stale.
 */
import { sql } from "kysely";
import { BackplaneError } from "../errors/error.ts";
import type { Db, Store, Tx } from "../store/store.ts";
import { isEventPattern, isStorableText } from "./event-record.ts";
import { wakeConsumers } from "./wake.ts";

export interface ConsumerInput {
  organization: string;
  /** Name within the organisation, e.g. `plugin:acme.greeter:order.*`. Its prefix picks the handler. */
  consumer: string;
  plugin: string;
  /** An exact event type, or a prefix that ends in `.*`. */
  pattern: string;
  active?: boolean;
}

export interface ConsumerRecord extends Required<ConsumerInput> {
  createdAt: Date;
}

export interface ConsumerKey {
  organization: string;
  consumer: string;
}

export interface Consumers {
  /** Adds or replaces; deliveries that wait already are kept. Error: `invalid_input`. */
  register(tx: Tx, input: ConsumerInput): Promise<void>;
  /** A paused consumer gets no new events and keeps what waits; it goes on where it stopped when active again. */
  setActive(tx: Tx, key: ConsumerKey, active: boolean): Promise<void>;
  /** Removes the consumer with everything that waits for it and its dead letters. */
  remove(tx: Tx, key: ConsumerKey): Promise<void>;
  list(organization: string, plugin?: string): Promise<ConsumerRecord[]>;
}

export function createConsumers({ store }: { store: Store }): Consumers {
  return {
    async register(tx, { organization, consumer, plugin, pattern, active = true }) {
      if (
        !isEventPattern(pattern) ||
        consumer.length === 0 ||
        Buffer.byteLength(consumer) > 800 ||
        !isStorableText(consumer)
      ) {
        throw new BackplaneError(
          "invalid_input",
          {},
          { errors: [{ path: "$.pattern", message: `'${pattern.slice(0, 100)}' is not an event pattern` }] },
        );
      }
      await sql`insert into consumers (organization_id, consumer, plugin_id, pattern, active)
        values (${organization}, ${consumer}, ${plugin}, ${pattern}, ${active})
        on conflict (organization_id, consumer) do update set plugin_id = excluded.plugin_id, pattern = excluded.pattern, active = excluded.active`.execute(
        tx,
      );
      if (active) await wakeConsumers(store, tx, [{ organization, consumer }]);
    },
    async setActive(tx, { organization, consumer }, active) {
      await sql`update consumers set active = ${active} where organization_id = ${organization} and consumer = ${consumer}`.execute(
        tx,
      );
      if (active) await wakeConsumers(store, tx, [{ organization, consumer }]);
    },
    async remove(tx, { organization, consumer }) {
      await sql`delete from consumers where organization_id = ${organization} and consumer = ${consumer}`.execute(tx);
      await sql`delete from deliveries where organization_id = ${organization} and consumer = ${consumer}`.execute(tx);
    },
    list: (organization, plugin) => listConsumers(store.db, organization, plugin),
  };
}

async function listConsumers(db: Db, organization: string, plugin: string | undefined): Promise<ConsumerRecord[]> {
  const ofPlugin = plugin === undefined ? sql`` : sql`and plugin_id = ${plugin}`;
  const result = await sql<{ consumer: string; plugin_id: string; pattern: string; active: boolean; created_at: Date }>`
    select consumer, plugin_id, pattern, active, created_at from consumers
    where organization_id = ${organization} ${ofPlugin} order by consumer`.execute(db);
  return result.rows.map((row) => ({
    organization,
    consumer: row.consumer,
    plugin: row.plugin_id,
    pattern: row.pattern,
    active: row.active,
    createdAt: row.created_at,
  }));
}
