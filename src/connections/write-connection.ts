/** Writes of a connection's row, each with its entry in the audit log, in one transaction that holds the installation. */
import { sql } from "kysely";
import type { Audit } from "../audit/audit.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Vault } from "../secrets/vault.ts";
import { json } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import { expiryOf, maxFormer } from "./access-tokens.ts";
import { keyOf, openTokens, readRow, sealTokens } from "./connection-rows.ts";
import type { ConnectionContext } from "./connections.ts";
import type { Servers } from "./declared.ts";
import { announceConnections } from "./standings.ts";
import type { TokenAnswer } from "./token-endpoint.ts";

export interface MadeConnection {
  name: string;
  answer: TokenAnswer;
  servers: Servers;
  hosts: readonly string[];
  scopes: readonly string[];
  refreshable: boolean;
}

export interface ConnectionWrites {
  /** The installation as the transaction sees it; it must still be the one that was meant. Error: `not_found`. */
  lock(tx: Tx, installation: Installation): Promise<void>;
  /** An entry of the audit log, `connection.<action>`. */
  record(
    tx: Tx,
    context: ConnectionContext,
    installation: Installation,
    action: string,
    details: Record<string, unknown>,
  ): Promise<unknown>;
  /** A new connection, or one in place of a former one. Error: `not_found`. */
  establish(context: ConnectionContext, installation: Installation, made: MadeConnection): Promise<void>;
  /** What went wrong while a person tried; a connection that works goes on working. Error: `not_found`. */
  unsuccessful(context: ConnectionContext, installation: Installation, name: string, reason: string): Promise<void>;
}

export interface ConnectionWritesOptions {
  store: Store;
  vault: Vault;
  installations: Installations;
  audit: Audit;
  /** What is remembered of the installation holds no longer. */
  onWritten(installation: string): void;
}

export function createConnectionWrites(options: ConnectionWritesOptions): ConnectionWrites {
  const { store, vault, installations, audit, onWritten } = options;

  const lock: ConnectionWrites["lock"] = async (tx, { organization, plugin, id }) => {
    const current = await installations.lock(tx, organization, plugin);
    if (current.id !== id) throw new BackplaneError("not_found", { thing: "installation" });
  };

  const record: ConnectionWrites["record"] = (tx, context, { plugin }, action, details) =>
    audit.record(tx, {
      organization: context.organization,
      actor: context.actor,
      action: `connection.${action}`,
      target: plugin,
      details,
      ...(context.trace ? { traceId: context.trace.traceId } : {}),
    });

  const establish: ConnectionWrites["establish"] = async (context, installation, made) => {
    const { name, answer } = made;
    const before = await readRow(store.db, keyOf(installation, name));
    const former =
      before?.installation_id === installation.id ? await openTokens(vault, before).catch(() => undefined) : undefined;
    const sealed = await sealTokens(vault, installation, name, {
      accessToken: answer.accessToken,
      ...(answer.refreshToken === undefined ? {} : { refreshToken: answer.refreshToken }),
      ...made.servers,
      former: former ? [former.accessToken, ...former.former].slice(0, maxFormer) : [],
      hosts: made.hosts,
    });
    const scopes = answer.scopes ?? [...made.scopes];
    const values = {
      installation_id: installation.id,
      status: "connected" as const,
      sealed,
      scopes: json(scopes),
      expires_at: expiryOf(answer),
      refreshable: made.refreshable,
      account: answer.account ?? null,
      last_error: null,
      last_error_at: null,
      failures: 0,
      retry_at: null,
      lease_id: null,
      lease_until: null,
      connected_by: context.actor,
      connected_at: new Date(),
      refreshed_at: null,
      updated_at: new Date(),
    };
    await store.transaction(async (tx) => {
      await lock(tx, installation);
      await tx
        .insertInto("connections")
        .values({
          organization_id: installation.organization,
          plugin_id: installation.plugin,
          name,
          generation: 1,
          ...values,
        })
        .onConflict((conflict) =>
          conflict
            .columns(["organization_id", "plugin_id", "name"])
            .doUpdateSet({ ...values, generation: sql<number>`connections.generation + 1` }),
        )
        .execute();
      await record(tx, context, installation, "connected", {
        connection: name,
        account: answer.account ?? null,
        scopes,
        hosts: made.hosts,
        ...made.servers,
      });
      await announceConnections(store, tx, installation);
    });
    onWritten(installation.id);
  };

  const unsuccessful: ConnectionWrites["unsuccessful"] = async (context, installation, name, reason) => {
    const error = { last_error: reason.slice(0, 1_000), last_error_at: new Date(), updated_at: new Date() };
    await store.transaction(async (tx) => {
      await lock(tx, installation);
      await tx
        .insertInto("connections")
        .values({
          organization_id: installation.organization,
          plugin_id: installation.plugin,
          name,
          installation_id: installation.id,
          status: "not_connected",
          ...error,
        })
        .onConflict((conflict) => conflict.columns(["organization_id", "plugin_id", "name"]).doUpdateSet(error))
        .execute();
      await record(tx, context, installation, "failed", { connection: name, reason });
      await announceConnections(store, tx, installation);
    });
    onWritten(installation.id);
  };

  return { lock, record, establish, unsuccessful };
}
