/**
 * OAuth connections of installations: made by a person who agrees at the service (authorisation code with PKCE) or by the
 * client's own credentials, listed, ended. Keeping their tokens fresh is access-tokens.ts; guests only ever hold a handle.
 * Long by its many verbs.
 */
import { randomPKCECodeVerifier } from "openid-client";
import type { Audit } from "../audit/audit.ts";
import { asOrganizationId, asPluginId, type OrganizationId } from "../base/brands.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { Egress } from "../egress/egress.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import { grantedHosts } from "../policy/permits.ts";
import { agreedHosts } from "../secrets/installation-secrets.ts";
import type { Vault } from "../secrets/vault.ts";
import type { Store } from "../store/store.ts";
import type { Trace } from "../telemetry/trace.ts";
import { type AccessTokens, createAccessTokens } from "./access-tokens.ts";
import { createAttempts, type TakenAttempt } from "./attempts.ts";
import {
  type ConnectionRow,
  type ConnectionStatus,
  idleRows,
  keyOf,
  openTokens,
  readRow,
  readRows,
} from "./connection-rows.ts";
import { type Client, clientOf, declaredConnection, declaredConnections, movedReason, serversOf } from "./declared.ts";
import { announceConnections, type ConnectionChange, openStandings } from "./standings.ts";
import { createTokenEndpoint, type TokenAnswer, TokenFailure, type TokenRequest } from "./token-endpoint.ts";
import { createConnectionWrites } from "./write-connection.ts";

export interface ConnectionContext {
  organization: OrganizationId;
  /** As in execution records. */
  actor: string;
  trace?: Trace;
}

/** What people may see of a connection: never a token. */
export interface ConnectionView {
  name: string;
  title: string | null;
  description: string | null;
  grant: "authorization_code" | "client_credentials";
  status: ConnectionStatus;
  /** What was given; before that, what the plugin asks for. */
  scopes: string[];
  hosts: string[];
  /** Whose account it is, as far as the service said. */
  account: string | null;
  expiresAt: string | null;
  connectedAt: string | null;
  refreshedAt: string | null;
  lastError: { message: string; at: string } | null;
  /** To be registered at the service; for `authorization_code`. */
  redirectUri: string | null;
}

/** What came back to the callback address, unchecked. */
export interface CallbackQuery {
  state?: unknown;
  code?: unknown;
  error?: unknown;
  iss?: unknown;
}

/** `invalid`: no authorisation of ours, or an old one; `refused`: the person or the service said no; `failed`: no tokens were to be had. */
export interface CallbackOutcome {
  outcome: "connected" | "refused" | "failed" | "invalid";
  plugin?: string;
  name?: string;
  /** A path of the hub, as it was asked for. */
  redirectTo?: string;
}

export interface Connections extends AsyncDisposable {
  readonly tokens: AccessTokens;
  /** Those that the manifest declares, by name. */
  list(installation: Installation): Promise<ConnectionView[]>;
  /** Where a person agrees; good for ten minutes and once. Errors: `not_found`, `conflict` (another kind of grant), `connection_refused`, `invalid_input`. */
  authorize(
    context: ConnectionContext,
    installation: Installation,
    name: string,
    options?: { redirectTo?: string },
  ): Promise<{ url: string; expiresAt: Date }>;
  /** Ends an authorisation. Never throws for what a stranger sends. */
  callback(query: CallbackQuery): Promise<CallbackOutcome>;
  /** By the client's own credentials. Errors: `not_found`, `conflict` (a person is needed), `connection_refused`. */
  connect(context: ConnectionContext, installation: Installation, name: string): Promise<ConnectionView>;
  /** Takes tokens that were got elsewhere, as test kits do. Error: `not_found`. */
  adopt(
    context: ConnectionContext,
    installation: Installation,
    name: string,
    given: Partial<TokenAnswer> & Pick<TokenAnswer, "accessToken">,
  ): Promise<void>;
  /**
   * Renews the refresh tokens that nobody has used for as long as their manifests say, and counts them: services let idle ones
   * lapse. One that fails keeps its grant, as with any renewal.
   */
  renewIdle(signal?: AbortSignal): Promise<number>;
  /** Forgets the tokens, and takes them back at the service where the manifest says how: best effort, audited. Error: `not_found`. */
  disconnect(context: ConnectionContext, installation: Installation, name: string): Promise<void>;
  /** Why the plugin cannot work fully; from memory. */
  readiness(installation: Installation): string | undefined;
  /** Called on every node after connections of a plugin changed. */
  onChange(listener: (change: ConnectionChange) => void): Disposable;
  /** Authorisations that nobody ended. */
  deleteExpired(): Promise<number>;
  close(options: { drainMs: number }): Promise<void>;
}

export interface ConnectionsOptions {
  store: Store;
  vault: Vault;
  egress: Pick<Egress, "fetch">;
  installations: Installations;
  audit: Audit;
  eventLog: EventLog;
  /** As vendors and people see the hub, without a trailing slash. */
  publicUrl(): string;
  log: { warn(details: object, message: string): void };
}

export const callbackPath = "/oauth/callback";

/** Reads which connections there are. */
export async function createConnections(options: ConnectionsOptions): Promise<Connections> {
  const { store, vault, installations, audit, eventLog } = options;
  const endpoint = createTokenEndpoint(options);
  const tokens = createAccessTokens({
    store,
    vault,
    endpoint,
    announce: (tx, installation) => announceConnections(store, tx, installation),
    log: options.log,
    async onRejected(tx, { organization, plugin }, connection, reason) {
      await eventLog.publish(tx, {
        organization,
        type: "connector.NeedsReconnect",
        source: "/backplane/connections",
        subject: plugin,
        data: { plugin, connection, reason },
      });
      await audit.record(tx, {
        organization,
        actor: "system",
        action: "connection.needs_reconnect",
        target: plugin,
        details: { connection, reason },
      });
    },
  });

  /** A version may name other servers than those that were agreed to. */
  const reviewing = installations.onChange(({ organization, plugin }) => {
    void (async () => {
      const installation = await installations.find(organization, plugin);
      if (installation) await tokens.review(installation);
    })().catch((error: unknown) =>
      options.log.warn({ err: error, plugin }, "connections could not be compared with the plugin's version"),
    );
  });

  const standings = await openStandings({ store, log: options.log, onHeard: (id) => tokens.forget(id) });
  const attempts = createAttempts({ store, vault, installations });
  const { lock, record, establish, unsuccessful } = createConnectionWrites({
    store,
    vault,
    installations,
    audit,
    onWritten: (id) => tokens.forget(id),
  });

  const redirectUri = (): string => options.publicUrl() + callbackPath;
  const requestOf = (installation: Installation, client: Client): TokenRequest => ({
    client,
    allowedHosts: grantedHosts(installation.grants),
    partition: `${installation.organization}/${installation.id}`,
  });

  const present = (installation: Installation, rows: readonly ConnectionRow[]): ConnectionView[] =>
    declaredConnections(installation.manifest).map(([name, declared]) => {
      const row = rows.find((one) => one.name === name && one.installation_id === installation.id);
      return {
        name,
        title: declared.title ?? null,
        description: declared.description ?? null,
        grant: declared.grant,
        status: row?.status ?? "not_connected",
        scopes: row && row.status !== "not_connected" ? row.scopes : [...(declared.scopes ?? [])],
        hosts: [...declared.hosts],
        account: row?.account ?? null,
        expiresAt: row?.expires_at?.toISOString() ?? null,
        connectedAt: row?.connected_at?.toISOString() ?? null,
        refreshedAt: row?.refreshed_at?.toISOString() ?? null,
        lastError:
          row?.last_error && row.last_error_at
            ? { message: row.last_error, at: row.last_error_at.toISOString() }
            : null,
        redirectUri: declared.grant === "authorization_code" ? redirectUri() : null,
      };
    });

  const list: Connections["list"] = async (installation) =>
    present(installation, await readRows(store.db, installation));

  /** Asks the service to end what was given, once the hub has forgotten it. */
  const takeBack = async (
    context: ConnectionContext,
    installation: Installation,
    row: ConnectionRow,
  ): Promise<void> => {
    const declared = declaredConnections(installation.manifest).find(([name]) => name === row.name)?.[1];
    if (declared?.revocationUrl === undefined || row.sealed === null) return;
    const reason = await (async () => {
      const given = await openTokens(vault, row);
      if (given === undefined) return "its tokens are gone";
      const moved = movedReason(given, serversOf(declared));
      if (moved !== undefined) return moved;
      const request = requestOf(installation, await clientOf(vault, installation, row.name));
      // The service ends the access tokens of a grant with its refresh token.
      await endpoint.revoke(
        request,
        given.refreshToken ?? given.accessToken,
        given.refreshToken === undefined ? "access_token" : "refresh_token",
      );
      return undefined;
    })().catch((error: unknown) =>
      error instanceof TokenFailure || error instanceof BackplaneError
        ? error.message
        : "something went wrong in the hub",
    );
    await store.transaction((tx) =>
      record(tx, context, installation, reason === undefined ? "revoked" : "revocation_failed", {
        connection: row.name,
        ...(reason === undefined ? {} : { reason: reason.slice(0, 500) }),
      }),
    );
  };

  const finish = async (
    query: CallbackQuery,
    { installation, name, attempt, context }: TakenAttempt,
  ): Promise<CallbackOutcome["outcome"]> => {
    const no = async (outcome: "refused" | "failed", reason: string): Promise<typeof outcome> => {
      await unsuccessful(context, installation, name, reason);
      return outcome;
    };
    if (query.error !== undefined) return await no("refused", `the service answered ${errorCode(query.error)}`);
    const { code } = query;
    if (typeof code !== "string" || !/^[\x20-\x7e]{1,8192}$/.test(code))
      return await no("failed", "the service sent no code");
    try {
      const client = await clientOf(vault, installation, name);
      const issuer = query.iss;
      // Another server's code must not reach this connection's token endpoint (RFC 9207).
      if (issuer !== undefined && originOf(issuer) !== originOf(client.authorizationUrl))
        return await no("failed", "the answer came from another server than the one that was asked");
      const servers = serversOf(declaredConnection(installation, name));
      if (movedReason(attempt, servers) !== undefined)
        return await no("failed", "the plugin's version changed its servers meanwhile");
      const answer = await endpoint.exchangeCode(requestOf(installation, client), {
        redirectUri: attempt.redirectUri,
        code,
        codeVerifier: attempt.codeVerifier,
      });
      await establish(context, installation, {
        name,
        answer,
        servers,
        hosts: agreedHosts(client.hosts, attempt.hosts),
        scopes: client.scopes,
        refreshable: answer.refreshToken !== undefined,
      });
      return "connected";
    } catch (error) {
      if (error instanceof TokenFailure) return await no("failed", error.message);
      if (error instanceof BackplaneError && error.code !== "not_found") return await no("failed", error.message);
      throw error;
    }
  };

  return {
    tokens,
    list,
    async authorize(context, installation, name, { redirectTo } = {}) {
      if (declaredConnection(installation, name).grant !== "authorization_code")
        throw new BackplaneError("conflict", {
          reason: `Connection '${name}' needs nobody to agree: connect it with its client's own credentials.`,
        });
      if (redirectTo !== undefined && !isPathOfHub(redirectTo))
        throw new BackplaneError(
          "invalid_input",
          {},
          {
            errors: [{ path: "redirectTo", message: "must be a path of this hub, such as `/admin/`" }],
          },
        );
      const client = await clientOf(vault, installation, name);
      const begun = await attempts.begin(installation, name, {
        ...(client.pkce ? { codeVerifier: randomPKCECodeVerifier() } : {}),
        redirectUri: redirectUri(),
        ...serversOf(declaredConnection(installation, name)),
        hosts: [...client.hosts],
      });
      const url = await endpoint.authorizationUrl(client, {
        redirectUri: begun.attempt.redirectUri,
        state: begun.state,
        codeVerifier: begun.attempt.codeVerifier,
      });
      await store.transaction(async (tx) => {
        await lock(tx, installation);
        await begun.store(tx, { actor: context.actor, redirectTo });
        await record(tx, context, installation, "authorization_started", {
          connection: name,
          scopes: client.scopes,
          tokenHost: client.tokenHost,
        });
      });
      return { url, expiresAt: begun.expiresAt };
    },
    async callback(query) {
      // Neither yes nor no: the attempt goes on waiting for its answer.
      if (query.code === undefined && query.error === undefined) return { outcome: "invalid" };
      const taken = await attempts.take(query.state);
      if (!taken) return { outcome: "invalid" };
      const outcome = await finish(query, taken);
      return {
        outcome,
        plugin: taken.installation.plugin,
        name: taken.name,
        ...(taken.redirectTo === null ? {} : { redirectTo: taken.redirectTo }),
      };
    },
    async connect(context, installation, name) {
      if (declaredConnection(installation, name).grant !== "client_credentials")
        throw new BackplaneError("conflict", {
          reason: `Connection '${name}' needs a person who agrees at the service: ask for an authorisation.`,
        });
      const client = await clientOf(vault, installation, name);
      const answer = await endpoint.clientCredentials(requestOf(installation, client)).catch(async (error: unknown) => {
        if (!(error instanceof TokenFailure)) throw error;
        await unsuccessful(context, installation, name, error.message);
        throw new BackplaneError("connection_refused", {
          plugin: installation.plugin,
          connection: name,
          reason: error.message,
        });
      });
      await establish(context, installation, {
        name,
        answer: { ...answer, refreshToken: undefined },
        servers: { tokenHost: client.tokenHost },
        hosts: client.hosts,
        scopes: client.scopes,
        refreshable: true,
      });
      return (await list(installation)).find((one) => one.name === name)!;
    },
    async adopt(context, installation, name, given) {
      const declared = declaredConnection(installation, name);
      await establish(context, installation, {
        name,
        answer: { refreshToken: undefined, expiresIn: undefined, scopes: undefined, account: undefined, ...given },
        servers: serversOf(declared),
        hosts: declared.hosts,
        scopes: declared.scopes ?? [],
        refreshable:
          declared.grant === "client_credentials" ? given.expiresIn !== undefined : given.refreshToken !== undefined,
      });
    },
    async renewIdle(signal) {
      let renewed = 0;
      for await (const { organization_id, plugin_id, installation_id, name } of idleRows(store.db)) {
        if (signal?.aborted) break;
        const installation = await installations.find(asOrganizationId(organization_id), asPluginId(plugin_id));
        if (installation?.id !== installation_id || installation.status !== "active") continue;
        if (!declaredConnections(installation.manifest).some(([declared]) => declared === name)) continue;
        // It is written to the row, the log and, where a person is needed, the audit log.
        if (await tokens.renewIdle(installation, name).catch(() => false)) renewed += 1;
      }
      return renewed;
    },
    async disconnect(context, installation, name) {
      const before = await readRow(store.db, keyOf(installation, name));
      await store.transaction(async (tx) => {
        await lock(tx, installation);
        const of = { organization_id: installation.organization, plugin_id: installation.plugin, name };
        for (const table of ["connections", "connection_attempts"] as const) {
          const gone = await tx
            .deleteFrom(table)
            .where("organization_id", "=", of.organization_id)
            .where("plugin_id", "=", of.plugin_id)
            .where("name", "=", of.name)
            .executeTakeFirst();
          if (table === "connections" && gone.numDeletedRows > 0n)
            await record(tx, context, installation, "disconnected", { connection: name });
          else if (table === "connections") declaredConnection(installation, name);
        }
        await announceConnections(store, tx, installation);
      });
      tokens.forget(installation.id);
      if (before?.installation_id === installation.id) await takeBack(context, installation, before);
    },
    readiness: standings.readiness,
    onChange: standings.onChange,
    deleteExpired: attempts.deleteExpired,
    close: (drain) => tokens.close(drain),
    async [Symbol.asyncDispose]() {
      reviewing[Symbol.dispose]();
      standings[Symbol.dispose]();
      await tokens.close({ drainMs: 0 });
    },
  };
}

function isPathOfHub(text: string): boolean {
  return text.length <= 512 && /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(text);
}

function originOf(url: unknown): string | undefined {
  return typeof url === "string" && URL.canParse(url) ? new URL(url).origin : undefined;
}

/** A stranger may have sent it: a word, or nothing of it. */
function errorCode(error: unknown): string {
  return typeof error === "string" && /^[a-z_]{1,60}$/.test(error) ? error : "an error";
}
