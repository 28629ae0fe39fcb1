/**
 * The table of connections: rows read, tokens sealed into them and opened, and the two conditional writes a refresh stands
 * on: the lease, which only one node holds, and the tokens, which are only written over the generation they came from.
 */
import { type Selectable, sql } from "kysely";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import type { Installation } from "../installations/installations.ts";
import { connectionBinding } from "../secrets/installation-secrets.ts";
import type { Vault } from "../secrets/vault.ts";
import { json } from "../store/json.ts";
import type { Database } from "../store/schema.ts";
import type { Db, Tx } from "../store/store.ts";

export type ConnectionStatus = "not_connected" | "connected" | "needs_reconnect";
export type ConnectionRow = Selectable<Database["connections"]>;

export interface TokenSet {
  accessToken: string;
  refreshToken?: string;
  /** Host the refresh token may go to: the one that was agreed to when the connection was made. */
  tokenHost: string;
  /** Where the person agreed; absent when nobody had to, or it was not kept yet. */
  authorizationHost?: string;
  /** Access tokens before this one that may still be good; an answer could quote them. Newest first. */
  former: string[];
}

/** Tokens in plain, and where the access token may go. */
export interface OpenedTokens extends TokenSet {
  hosts: readonly string[];
}

export interface ConnectionKey {
  organization: OrganizationId;
  plugin: PluginId;
  name: string;
}

export const keyOf = ({ organization, plugin }: Installation, name: string): ConnectionKey => ({
  organization,
  plugin,
  name,
});

/** Longest time one node may refresh before another takes over, seconds. */
export const leaseSeconds = 60;

export async function readRow(
  db: Db | Tx,
  { organization, plugin, name }: ConnectionKey,
): Promise<ConnectionRow | undefined> {
  return await db
    .selectFrom("connections")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", plugin)
    .where("name", "=", name)
    .executeTakeFirst();
}

export async function readRows(
  db: Db | Tx,
  { organization, plugin }: Omit<ConnectionKey, "name">,
): Promise<ConnectionRow[]> {
  return await db
    .selectFrom("connections")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", plugin)
    .orderBy("name")
    .execute();
}

type IdleRow = Pick<ConnectionRow, "organization_id" | "plugin_id" | "installation_id" | "name">;

const idlePage = 200;

/** Those that have been idle for a day at least, page by page: how long is too long is for their manifests to say. */
export async function* idleRows(db: Db): AsyncGenerator<IdleRow> {
  for (let after: Omit<IdleRow, "installation_id"> = { organization_id: "", plugin_id: "", name: "" }; ; ) {
    const rows = await db
      .selectFrom("connections")
      .select(["organization_id", "plugin_id", "installation_id", "name"])
      .where("status", "=", "connected")
      .where("refreshable", "=", true)
      .where(sql<boolean>`coalesce(refreshed_at, connected_at) < now() - interval '1 day'`)
      .where(sql<boolean>`(retry_at is null or retry_at <= now())`)
      .where(
        sql<boolean>`(organization_id, plugin_id, name) > (${after.organization_id}, ${after.plugin_id}, ${after.name})`,
      )
      .orderBy("organization_id")
      .orderBy("plugin_id")
      .orderBy("name")
      .limit(idlePage)
      .execute();
    yield* rows;
    const last = rows.at(-1);
    if (!last || rows.length < idlePage) return;
    after = last;
  }
}

/** Sealed for this installation's connection alone, with the hosts somebody agreed to. */
export async function sealTokens(
  vault: Vault,
  { organization, id }: Pick<Installation, "organization" | "id">,
  name: string,
  { hosts, ...tokens }: OpenedTokens,
): Promise<string> {
  const binding = connectionBinding({ organization, installation: id }, name);
  return await vault.seal(binding, JSON.stringify(tokens), { hosts, expose: false });
}

/** Error: `secret_unreadable`. */
export async function openTokens(vault: Vault, row: ConnectionRow): Promise<OpenedTokens | undefined> {
  if (row.sealed === null) return undefined;
  const binding = connectionBinding({ organization: row.organization_id, installation: row.installation_id }, row.name);
  const { value, hosts } = await vault.open(binding, row.sealed);
  const set: unknown = JSON.parse(value);
  return isObject(set) ? { ...(set as unknown as TokenSet), hosts } : undefined;
}

/** Takes the right to refresh; `false` when another has it, or when the tokens are no longer those of `row`. */
export async function takeLease(db: Db, row: ConnectionRow, lease: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("connections")
    .set({ lease_id: lease, lease_until: sql<Date>`now() + make_interval(secs => ${leaseSeconds})` })
    .where("organization_id", "=", row.organization_id)
    .where("plugin_id", "=", row.plugin_id)
    .where("name", "=", row.name)
    .where("installation_id", "=", row.installation_id)
    .where("generation", "=", row.generation)
    .where("failures", "=", row.failures)
    .where("status", "=", "connected")
    .where((eb) => eb.or([eb("lease_until", "is", null), eb("lease_until", "<", sql<Date>`now()`)]))
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export interface NewTokens {
  sealed: string;
  expiresAt: Date | null;
  refreshable: boolean;
  scopes: string[];
}

/**
 * Stores refreshed tokens over those they came from. They are the newer truth even when the lease was lost or another node
 * has given the grant up meanwhile; only a new connection, or its end, is newer. False: nobody needs them any more.
 */
export async function storeRefreshed(tx: Db | Tx, row: ConnectionRow, tokens: NewTokens): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("connections")
    .set({
      sealed: tokens.sealed,
      generation: row.generation + 1,
      status: "connected",
      expires_at: tokens.expiresAt,
      refreshable: tokens.refreshable,
      scopes: json(tokens.scopes),
      last_error: null,
      last_error_at: null,
      failures: 0,
      retry_at: null,
      lease_id: null,
      lease_until: null,
      refreshed_at: sql<Date>`now()`,
      updated_at: sql<Date>`now()`,
    })
    .where("organization_id", "=", row.organization_id)
    .where("plugin_id", "=", row.plugin_id)
    .where("name", "=", row.name)
    .where("installation_id", "=", row.installation_id)
    .where("generation", "=", row.generation)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** A refresh that failed, told by the holder of its lease, if it needed one. False when the row changed meanwhile: then there is nothing to tell. */
export async function storeFailure(
  tx: Db | Tx,
  row: ConnectionRow,
  failure: { lease: string | undefined; status: ConnectionStatus; reason: string; retryMs: number | undefined },
): Promise<boolean> {
  let query = tx
    .updateTable("connections")
    .set({
      status: failure.status,
      last_error: failure.reason.slice(0, 1_000),
      last_error_at: sql<Date>`now()`,
      failures: row.failures + 1,
      retry_at:
        failure.retryMs === undefined ? null : sql<Date>`now() + make_interval(secs => ${failure.retryMs / 1000})`,
      lease_id: null,
      lease_until: null,
      updated_at: sql<Date>`now()`,
    })
    .where("organization_id", "=", row.organization_id)
    .where("plugin_id", "=", row.plugin_id)
    .where("name", "=", row.name)
    .where("installation_id", "=", row.installation_id)
    .where("generation", "=", row.generation)
    .where("status", "=", "connected");
  if (failure.lease !== undefined) query = query.where("lease_id", "=", failure.lease);
  const { numUpdatedRows } = await query.executeTakeFirst();
  return numUpdatedRows === 1n;
}
