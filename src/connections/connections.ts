/**
 * OAuth connections of installations: made by a person who agrees at the service (authorisation code with PKCE) or by the
 * client's own credentials, listed, ended. Keeping their tokens fresh is access-tokens.ts; guests only ever hold a handle.
 */
import { createHash, randomBytes } from "node:crypto";
import { sql } from "kysely";
import { randomPKCECodeVerifier } from "openid-client";
import type { Audit } from "../audit/audit.ts";
import { asOrganizationId, asPluginId, type OrganizationId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { Egress } from "../egress/egress.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import { grantedHosts } from "../policy/permits.ts";
import { agreedHosts } from "../secrets/installation-secrets.ts";
import type { Vault } from "../secrets/vault.ts";
import { json } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import type { Trace } from "../telemetry/trace.ts";
import { type AccessTokens, createAccessTokens, expiryOf, maxFormer } from "./access-tokens.ts";
import {
  type ConnectionRow,
  type ConnectionStatus,
  idleRows,
  keyOf,
  openTokens,
  readRow,
  readRows,
  sealTokens,
} from "./connection-rows.ts";
import {
  type Client,
  clientOf,
  declaredConnection,
  declaredConnections,
  movedReason,
  type Servers,
  serversOf,
} from "./declared.ts";
import { createTokenEndpoint, type TokenAnswer, TokenFailure, type TokenRequest } from "./token-endpoint.ts";

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
  onChange(listener: (change: { organization: OrganizationId; plugin: Installation["plugin"] }) => void): Disposable;
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

/** With the servers and hosts that the person who began it agreed to. */
interface Attempt extends Servers {
  codeVerifier?: string;
  redirectUri: string;
  hosts: string[];
}

interface Standing {
  installation: string;
  status: ConnectionStatus;
  reason: string;
}

const standingColumns = ["organization_id", "plugin_id", "name", "installation_id", "status", "last_error"] as const;
type StandingRow = Pick<ConnectionRow, (typeof standingColumns)[number]>;

const channel = "connections";
const attemptMinutes = 10;
const maxAttempts = 20;
export const callbackPath = "/oauth/callback";

/** Reads which connections there are. */
export async function createConnections(options: ConnectionsOptions): Promise<Connections> {
  const { store, vault, installations, audit, eventLog } = options;
  const endpoint = createTokenEndpoint(options);
  const listeners = new Set<Parameters<Connections["onChange"]>[0]>();
  /** Status by plugin and connection, for what must not wait. */
  const standing = new Map<string, Map<string, Standing>>();
  /** Reads of one plugin's rows so far: an older one that ends late changes nothing. */
  let reads = 0;
  const latest = new Map<string, number>();

  const note = (rows: readonly StandingRow[]): void => {
    for (const row of rows) {
      const slot = slotOf(row.organization_id, row.plugin_id);
      const of = standing.get(slot) ?? new Map<string, Standing>();
      of.set(row.name, { installation: row.installation_id, status: row.status, reason: row.last_error ?? "" });
      standing.set(slot, of);
    }
  };
  const readAll = (): Promise<StandingRow[]> => store.db.selectFrom("connections").select(standingColumns).execute();
  const announce = (tx: Tx, { organization, plugin, id }: Installation): Promise<void> =>
    store.notify(tx, channel, JSON.stringify([organization, plugin, id]));

  const heard = async (payload: string): Promise<void> => {
    if (payload === "") {
      tokens.forget();
      const rows = await readAll();
      standing.clear();
      note(rows);
      return;
    }
    const [organization, plugin, id] = JSON.parse(payload) as [string, string, string];
    tokens.forget(id);
    const key = { organization: asOrganizationId(organization), plugin: asPluginId(plugin) };
    const slot = slotOf(organization, plugin);
    const read = ++reads;
    latest.set(slot, read);
    const rows = await readRows(store.db, key);
    if (latest.get(slot) !== read) return;
    latest.delete(slot);
    standing.delete(slot);
    note(rows);
    for (const listener of listeners) listener(key);
  };

  const tokens = createAccessTokens({
    store,
    vault,
    endpoint,
    announce,
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

  const listening = await store.listen(channel, (payload) => {
    heard(payload).catch((error: unknown) => options.log.warn({ err: error }, "connections could not be read"));
  });
  note(await readAll());

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

  /** The installation as the transaction sees it; it must still be the one that was meant. Error: `not_found`. */
  const lock = async (tx: Tx, { organization, plugin, id }: Installation): Promise<void> => {
    const current = await installations.lock(tx, organization, plugin);
    if (current.id !== id) throw new BackplaneError("not_found", { thing: "installation" });
  };

  const record = (
    tx: Tx,
    context: ConnectionContext,
    { plugin }: Installation,
    action: string,
    details: Record<string, unknown>,
  ): Promise<unknown> =>
    audit.record(tx, {
      organization: context.organization,
      actor: context.actor,
      action: `connection.${action}`,
      target: plugin,
      details,
      ...(context.trace ? { traceId: context.trace.traceId } : {}),
    });

  /** A new connection, or one in place of a former one. */
  const establish = async (
    context: ConnectionContext,
    installation: Installation,
    made: {
      name: string;
      answer: TokenAnswer;
      servers: Servers;
      hosts: readonly string[];
      scopes: readonly string[];
      refreshable: boolean;
    },
  ): Promise<void> => {
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
      await announce(tx, installation);
    });
    tokens.forget(installation.id);
  };

  /** What went wrong while a person tried; a connection that works goes on working. */
  const unsuccessful = async (
    context: ConnectionContext,
    installation: Installation,
    name: string,
    reason: string,
  ): Promise<void> => {
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
      await announce(tx, installation);
    });
    tokens.forget(installation.id);
  };

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

  /** Single use: whoever deletes it has it. */
  const takeAttempt = async (
    state: unknown,
  ): Promise<
    | {
        installation: Installation;
        name: string;
        attempt: Attempt;
        context: ConnectionContext;
        redirectTo: string | null;
      }
    | undefined
  > => {
    if (typeof state !== "string" || !/^[A-Za-z0-9_-]{43}$/.test(state)) return undefined;
    const row = await store.db
      .deleteFrom("connection_attempts")
      .where("state_hash", "=", hashOf(state))
      .returningAll()
      .executeTakeFirst();
    if (row === undefined || row.expires_at.getTime() <= Date.now()) return undefined;
    const organization = asOrganizationId(row.organization_id);
    const installation = await installations.find(organization, asPluginId(row.plugin_id));
    if (installation?.id !== row.installation_id) return undefined;
    if (!declaredConnections(installation.manifest).some(([name]) => name === row.name)) return undefined;
    const opened = await vault.open(attemptBinding(installation, row.id), row.sealed);
    return {
      installation,
      name: row.name,
      attempt: JSON.parse(opened.value) as Attempt,
      context: { organization, actor: row.actor },
      redirectTo: row.redirect_to,
    };
  };

  const finish = async (
    query: CallbackQuery,
    { installation, name, attempt, context }: NonNullable<Awaited<ReturnType<typeof takeAttempt>>>,
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
      const state = randomBytes(32).toString("base64url");
      const id = newId();
      const expiresAt = new Date(Date.now() + attemptMinutes * 60_000);
      const attempt: Attempt = {
        ...(client.pkce ? { codeVerifier: randomPKCECodeVerifier() } : {}),
        redirectUri: redirectUri(),
        ...serversOf(declaredConnection(installation, name)),
        hosts: [...client.hosts],
      };
      const sealed = await vault.seal(attemptBinding(installation, id), JSON.stringify(attempt), {
        hosts: [],
        expose: false,
      });
      const url = await endpoint.authorizationUrl(client, {
        redirectUri: attempt.redirectUri,
        state,
        codeVerifier: attempt.codeVerifier,
      });
      await store.transaction(async (tx) => {
        await lock(tx, installation);
        await tx
          .insertInto("connection_attempts")
          .values({
            organization_id: installation.organization,
            id,
            plugin_id: installation.plugin,
            name,
            installation_id: installation.id,
            state_hash: hashOf(state),
            sealed,
            redirect_to: redirectTo ?? null,
            actor: context.actor,
            expires_at: expiresAt,
          })
          .execute();
        // Ids rise with time: the newest stay.
        await sql`delete from connection_attempts where organization_id = ${installation.organization} and id in (
          select id from connection_attempts
          where organization_id = ${installation.organization} and plugin_id = ${installation.plugin} and name = ${name}
          order by id desc offset ${maxAttempts})`.execute(tx);
        await record(tx, context, installation, "authorization_started", {
          connection: name,
          scopes: client.scopes,
          tokenHost: client.tokenHost,
        });
      });
      return { url, expiresAt };
    },
    async callback(query) {
      const taken = await takeAttempt(query.state);
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
        await announce(tx, installation);
      });
      tokens.forget(installation.id);
      if (before?.installation_id === installation.id) await takeBack(context, installation, before);
    },
    readiness(installation) {
      const of = standing.get(slotOf(installation.organization, installation.plugin));
      const names = declaredConnections(installation.manifest).map(([name]) => name);
      const states = names.map((name) => {
        const found = of?.get(name);
        return found?.installation === installation.id ? found : undefined;
      });
      const lost = states.findIndex((state) => state?.status === "needs_reconnect");
      if (lost >= 0)
        return `connection '${names[lost]}' must be connected again: ${states[lost]!.reason}`.slice(0, 500);
      // Several may stand for each other: a person's account, or the client's own.
      if (names.length === 0 || states.some((state) => state?.status === "connected")) return undefined;
      return `connection '${names.join("' or '")}' is not connected`;
    },
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    async deleteExpired() {
      const gone = await store.db
        .deleteFrom("connection_attempts")
        .where("expires_at", "<", new Date())
        .executeTakeFirst();
      return Number(gone.numDeletedRows);
    },
    close: (drain) => tokens.close(drain),
    async [Symbol.asyncDispose]() {
      reviewing[Symbol.dispose]();
      listening[Symbol.dispose]();
      await tokens.close({ drainMs: 0 });
    },
  };
}

const slotOf = (organization: string, plugin: string): string => `${organization}\0${plugin}`;

const hashOf = (state: string): string => createHash("sha256").update(state).digest("hex");

const attemptBinding = ({ organization, id }: Installation, attempt: string) => ({
  organization,
  installation: id,
  field: `~attempt.${attempt}`,
});

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
