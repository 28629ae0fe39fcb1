/**
 * Access tokens of connections, always fresh: read once and kept in memory until their row changes, renewed ahead of their
 * end by one node and one call at a time. The states of a connection, as its row has them:
 *
 *   (no row) or not_connected ──a person agrees──▶ connected ──the service takes the grant back──▶ needs_reconnect
 *                                                     ▲ └─refresh─┘                                      │
 *                                                     └──────────────────a person agrees─────────────────┘
 *
 * A refresh takes the row's lease (`lease_until`, by the database's clock), asks the service without any transaction open, and
 * writes what came over the generation it started from. New tokens are stored before anybody uses them. A refresh that fails
 * keeps the grant: only the service's own "this grant is gone" makes a person needed. One gap is left, and no client can close
 * it: a hub that dies after a service has rotated a refresh token and before the new one is committed leaves the former one,
 * which services without a grace period then refuse; the connection becomes `needs_reconnect`.
 */
import { backoffMs } from "../base/backoff.ts";
import { sleep } from "../base/deferred.ts";
import { newId } from "../base/ids.ts";
import { TokenBuckets } from "../base/token-bucket.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import { grantedHosts } from "../policy/permits.ts";
import { type ConnectionToken, type ConnectionTokens, tokenValues } from "../secrets/installation-secrets.ts";
import { createRedactor, type Redactor } from "../secrets/redactor.ts";
import type { Vault } from "../secrets/vault.ts";
import type { Store, Tx } from "../store/store.ts";
import {
  type ConnectionRow,
  keyOf,
  type OpenedTokens,
  openTokens,
  readRow,
  readRows,
  sealTokens,
  storeFailure,
  storeRefreshed,
  takeLease,
} from "./connection-rows.ts";
import { clientOf, declaredConnection, declaredConnections, movedReason, serversOf } from "./declared.ts";
import { type TokenAnswer, type TokenEndpoint, TokenFailure } from "./token-endpoint.ts";

export interface UsableToken {
  token: ConnectionToken;
  /** Which set of tokens it is of. */
  generation: number;
}

export interface AccessTokens {
  /**
   * A token that is good now. `refused`: the generation whose token a host has just answered with 401; a newer one is given
   * when there can be one, else the same. Errors: `connection_required`, `connection_expired`, `connection_unavailable`,
   * `secret_unreadable`.
   */
  use(installation: Installation, name: string, refused?: number): Promise<UsableToken>;
  /** A host has taken the token of this generation: a later 401 means that it has ended. */
  accepted(installation: Installation, name: string, generation: number): void;
  /** What is there, without any refresh: for answers that could quote it. */
  all(installation: Installation): Promise<ConnectionTokens>;
  /** Takes tokens out of a text, as far as they are in memory. */
  redact(installation: Installation, text: string): string;
  /** Renews the tokens of a connection that nobody has used for as long as its manifest says; false when it is not so long yet. */
  renewIdle(installation: Installation, name: string): Promise<boolean>;
  /** Gives up the connections whose servers are others in the installation's version: a person must agree again. */
  review(installation: Installation): Promise<void>;
  /** The row of a plugin's connection changed; `undefined`: any may have. */
  forget(installationId?: string): void;
  /** Refreshes under way end, since a rotated token that is not stored is lost; at most `drainMs`. */
  close(options: { drainMs: number }): Promise<void>;
}

export interface AccessTokensOptions {
  store: Store;
  vault: Vault;
  endpoint: TokenEndpoint;
  /** Written with the row, in its transaction: who must know that a person is needed. */
  onRejected(tx: Tx, installation: Installation, name: string, reason: string): Promise<void>;
  /** Wakes every node once `tx` has committed. */
  announce(tx: Tx, installation: Installation): Promise<void>;
  log: { warn(details: object, message: string): void };
}

interface Loaded {
  row: ConnectionRow;
  tokens?: OpenedTokens;
  failure?: unknown;
}

interface Entry {
  loading: Promise<Map<string, Loaded>>;
  redactor?: Redactor;
}

const maxKept = 5_000;
/** Ahead of the end: in the background first, then before the call goes on. */
const soonMs = 5 * 60_000;
const nowMs = 30_000;
/** A host that refuses even what a forced refresh gave, and that nobody has taken since, causes no further one for this long. */
const forcedPauseMs = 30_000;
/** A plugin that asks for what answers 401, again and again, must not wear out the service's token endpoint. */
const forcedRefreshes = { perSecond: 0.2, burst: 30 };
/** How long a call waits for another node's refresh. */
const waitMs = 25_000;
const misconfiguredRetryMs = 60_000;
const maxRetryMs = 5 * 60_000;
/** Each costs a search through every answer. */
export const maxFormer = 2;

export function createAccessTokens({ store, vault, endpoint, ...options }: AccessTokensOptions): AccessTokens {
  const kept = new Map<string, Entry>();
  const flights = new Map<string, Promise<Loaded>>();
  const forced = new Map<string, { generation: number; at: number }>();
  const forcing = new TokenBuckets(forcedRefreshes);
  let closing = false;

  const load = (installation: Installation): Promise<Map<string, Loaded>> => {
    const known = kept.get(installation.id);
    if (known) return known.loading;
    if (kept.size >= maxKept) kept.delete(kept.keys().next().value!);
    const entry: Entry = { loading: read(installation) };
    entry.loading.then(
      (loaded) => {
        entry.redactor = createRedactor(tokenValues(tokensOf(loaded)));
      },
      () => {
        if (kept.get(installation.id) === entry) kept.delete(installation.id);
      },
    );
    kept.set(installation.id, entry);
    return entry.loading;
  };

  const read = async (installation: Installation): Promise<Map<string, Loaded>> => {
    const rows = await readRows(store.db, installation);
    const own = rows.filter((row) => row.installation_id === installation.id);
    return new Map(await Promise.all(own.map(async (row) => [row.name, await openRow(row)] as const)));
  };

  const openRow = async (row: ConnectionRow): Promise<Loaded> => {
    try {
      const tokens = await openTokens(vault, row);
      return tokens ? { row, tokens } : { row };
    } catch (failure) {
      return { row, failure };
    }
  };

  /** One refresh of a connection at a time on this node; others wait for the same. `onFresh` runs before any of them goes on. */
  const renewed = (
    installation: Installation,
    loaded: Loaded,
    onFresh: (fresh: Loaded) => void = () => {},
  ): Promise<Loaded> => {
    const key = `${installation.id}\0${loaded.row.name}`;
    const flying = flights.get(key);
    if (flying) return flying;
    if (closing) return Promise.reject(new BackplaneError("shutting_down"));
    const flight = renew(installation, loaded.row)
      .then((fresh) => {
        onFresh(fresh);
        return fresh;
      })
      .finally(() => flights.delete(key));
    flight.catch(() => {});
    flights.set(key, flight);
    return flight;
  };

  /** Waits for its turn over all nodes; done as well when another node was faster. */
  const renew = async (installation: Installation, seen: ConnectionRow): Promise<Loaded> => {
    const until = Date.now() + waitMs;
    const { name } = seen;
    for (;;) {
      const row = await readRow(store.db, keyOf(installation, name));
      if (row === undefined || row.installation_id !== installation.id) throw required(installation, name);
      if (row.generation !== seen.generation || row.status !== "connected") {
        kept.delete(installation.id);
        const loaded = await openRow(row);
        assertUsable(installation, loaded);
        return loaded;
      }
      const pause = row.retry_at === null ? 0 : row.retry_at.getTime() - Date.now();
      if (pause > 0) throw unavailable(installation, row, pause);
      const lease = newId();
      if (await takeLease(store.db, row, lease)) return await refresh(installation, row, lease);
      if (Date.now() > until) throw unavailable(installation, row, 1_000);
      await sleep(80 + Math.random() * 80);
    }
  };

  /** Under the lease. */
  const refresh = async (installation: Installation, row: ConnectionRow, lease: string): Promise<Loaded> => {
    const { name } = row;
    let tokens: OpenedTokens | undefined;
    let answer: TokenAnswer;
    try {
      tokens = await openTokens(vault, row);
      answer = await ask(installation, name, tokens);
    } catch (error) {
      return await failed(installation, row, { lease, error });
    }
    const next: OpenedTokens = {
      accessToken: answer.accessToken,
      // A service that rotates nothing names none.
      ...optional("refreshToken", answer.refreshToken ?? tokens?.refreshToken),
      tokenHost: tokens!.tokenHost,
      ...optional("authorizationHost", tokens!.authorizationHost),
      former: [tokens!.accessToken, ...tokens!.former]
        .filter((text) => text !== answer.accessToken)
        .slice(0, maxFormer),
      hosts: tokens!.hosts,
    };
    const sealed = await sealTokens(vault, installation, name, next);
    const stored = await persistently(() =>
      store.transaction(async (tx) => {
        const done = await storeRefreshed(tx, row, {
          sealed,
          expiresAt: expiryOf(answer),
          refreshable: row.refreshable,
          scopes: answer.scopes ?? row.scopes,
        });
        if (done) await options.announce(tx, installation);
        return done;
      }),
    );
    kept.delete(installation.id);
    if (!stored) options.log.warn({ plugin: installation.plugin, connection: name }, "refreshed tokens came too late");
    const loaded = (await load(installation)).get(name);
    if (loaded === undefined) throw required(installation, name);
    assertUsable(installation, loaded);
    return loaded;
  };

  const ask = async (
    installation: Installation,
    name: string,
    tokens: OpenedTokens | undefined,
  ): Promise<TokenAnswer> => {
    if (tokens === undefined) throw new TokenFailure("rejected", "its tokens are gone");
    const moved = movedReason(tokens, serversOf(declaredConnection(installation, name)));
    if (moved !== undefined) throw new TokenFailure("rejected", moved);
    const client = await clientOf(vault, installation, name);
    const request = {
      client,
      allowedHosts: grantedHosts(installation.grants),
      partition: `${installation.organization}/${installation.id}`,
    };
    if (client.grant === "client_credentials") return await endpoint.clientCredentials(request);
    if (tokens.refreshToken === undefined) throw new TokenFailure("rejected", ended);
    return await endpoint.refresh(request, tokens.refreshToken);
  };

  /** Keeps the grant; tells what became of it. Resolves when somebody else has new tokens already. */
  const failed = async (
    installation: Installation,
    row: ConnectionRow,
    { lease, error }: { lease?: string; error: unknown },
  ): Promise<Loaded> => {
    const failure = error instanceof TokenFailure ? error : new TokenFailure("failed", sentenceOf(error));
    const reason = failure.message;
    const rejected = failure.kind === "rejected";
    const pause =
      failure.kind === "misconfigured"
        ? misconfiguredRetryMs
        : Math.max(backoffMs(row.failures + 1, { capMs: maxRetryMs }), (failure.retryAfter ?? 0) * 1000);
    options.log.warn(
      { plugin: installation.plugin, organization: installation.organization, connection: row.name, reason },
      "a connection's token could not be renewed",
    );
    const told = await store.transaction(async (tx) => {
      const done = await storeFailure(tx, row, {
        lease,
        status: rejected ? "needs_reconnect" : "connected",
        reason,
        retryMs: rejected ? undefined : pause,
      });
      if (!done) return false;
      if (rejected) await options.onRejected(tx, installation, row.name, reason);
      await options.announce(tx, installation);
      return true;
    });
    kept.delete(installation.id);
    const current = (await load(installation)).get(row.name);
    if (!told && current !== undefined && current.row.generation !== row.generation) {
      assertUsable(installation, current);
      return current;
    }
    if (rejected) throw expired(installation, row.name, reason);
    throw unavailable(installation, { ...row, last_error: reason }, pause);
  };

  return {
    async use(installation, name, refused) {
      const loaded = (await load(installation)).get(name);
      if (loaded === undefined) throw required(installation, name);
      assertUsable(installation, loaded);
      const { row } = loaded;
      const key = `${installation.id}\0${name}`;
      const force = refused !== undefined && refused === row.generation;
      const left = row.expires_at === null ? Number.POSITIVE_INFINITY : row.expires_at.getTime() - Date.now();
      if (!row.refreshable) {
        if (left > 0) return usable(loaded);
        return usable(await failed(installation, row, { error: new TokenFailure("rejected", ended) }));
      }
      if (force) {
        if (flights.has(key)) return usable(await renewed(installation, loaded));
        const last = forced.get(key);
        if (last && last.generation === row.generation && Date.now() - last.at < forcedPauseMs) return usable(loaded);
        if (forcing.take(key) > 0) return usable(loaded);
        const fresh = await renewed(installation, loaded, ({ row: { generation } }) => {
          if (forced.size >= maxKept) forced.clear();
          forced.set(key, { generation, at: Date.now() });
        });
        return usable(fresh);
      }
      const lifetime = row.expires_at === null ? 0 : row.expires_at.getTime() - startOf(row);
      if (left > Math.min(soonMs, lifetime / 4)) return usable(loaded);
      const waiting = row.retry_at !== null && row.retry_at.getTime() > Date.now();
      if (left > Math.min(nowMs, lifetime / 10)) {
        if (!waiting) void renewed(installation, loaded).catch(() => {});
        return usable(loaded);
      }
      try {
        return usable(await renewed(installation, loaded));
      } catch (error) {
        // Good for a moment yet: better than nothing.
        if (left > 0 && error instanceof BackplaneError && error.code === "connection_unavailable")
          return usable(loaded);
        throw error;
      }
    },
    accepted(installation, name, generation) {
      const key = `${installation.id}\0${name}`;
      if (forced.get(key)?.generation === generation) forced.delete(key);
    },
    all: async (installation) => tokensOf(await load(installation)),
    redact: (installation, text) => kept.get(installation.id)?.redactor?.text(text) ?? text,
    async renewIdle(installation, name) {
      const loaded = (await load(installation)).get(name);
      const { renewAfterDays = 7 } = declaredConnection(installation, name);
      if (loaded?.tokens?.refreshToken === undefined || loaded.row.status !== "connected") return false;
      if (startOf(loaded.row) > Date.now() - renewAfterDays * 86_400_000) return false;
      await renewed(installation, loaded);
      return true;
    },
    async review(installation) {
      const declared = new Map(declaredConnections(installation.manifest));
      if (declared.size === 0) return;
      for (const { row, tokens } of (await load(installation)).values()) {
        const now = declared.get(row.name);
        if (row.status !== "connected" || tokens === undefined || now === undefined) continue;
        const reason = movedReason(tokens, serversOf(now));
        if (reason === undefined) continue;
        await failed(installation, row, { error: new TokenFailure("rejected", reason) }).catch((error: unknown) => {
          if (!(error instanceof BackplaneError && error.code === "connection_expired")) throw error;
        });
      }
    },
    forget(installationId) {
      if (installationId === undefined) kept.clear();
      else kept.delete(installationId);
    },
    async close({ drainMs }) {
      closing = true;
      // A timer that is left behind would hold the process until it is due.
      const settled = new AbortController();
      const all = Promise.allSettled([...flights.values()]).then(() => settled.abort());
      await Promise.race([all, sleep(drainMs, settled.signal)]);
    },
  };
}

const ended = "its access token has ended, and the service gave none to renew it with";

/** A new access token's end, by this hub's clock. */
export function expiryOf({ expiresIn }: Pick<TokenAnswer, "expiresIn">): Date | null {
  return expiresIn === undefined ? null : new Date(Date.now() + expiresIn * 1000);
}

const startOf = (row: ConnectionRow): number => (row.refreshed_at ?? row.connected_at ?? row.updated_at).getTime();

function tokensOf(loaded: ReadonlyMap<string, Loaded>): ConnectionTokens {
  return new Map([...loaded].flatMap(([name, { tokens }]) => (tokens ? [[name, tokenOf(tokens)] as const] : [])));
}

function tokenOf({ accessToken, refreshToken, former, hosts }: OpenedTokens): ConnectionToken {
  return { value: accessToken, hosts, others: refreshToken === undefined ? former : [refreshToken, ...former] };
}

function usable({ row, tokens }: Loaded): UsableToken {
  return { token: tokenOf(tokens!), generation: row.generation };
}

function assertUsable(installation: Installation, { row, tokens, failure }: Loaded): void {
  if (row.status === "needs_reconnect")
    throw expired(installation, row.name, row.last_error ?? "the service no longer takes it");
  if (failure !== undefined) throw failure;
  if (row.status === "not_connected" || tokens === undefined) throw required(installation, row.name);
}

/** A database that is away for a moment must not lose a rotated token. */
async function persistently<T>(write: () => Promise<T>): Promise<T> {
  const until = Date.now() + 30_000;
  for (let attempt = 1; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      const passing = error instanceof BackplaneError && error.retryable;
      if (!passing || Date.now() > until) throw error;
      await sleep(backoffMs(attempt, { baseMs: 100, capMs: 3_000 }));
    }
  }
}

function sentenceOf(error: unknown): string {
  return error instanceof BackplaneError ? error.message.replace(/\.$/, "") : "something went wrong in the hub";
}

function required({ plugin }: Installation, connection: string): BackplaneError {
  return new BackplaneError("connection_required", { plugin, connection });
}

function expired({ plugin }: Installation, connection: string, reason: string): BackplaneError {
  return new BackplaneError("connection_expired", { plugin, connection, reason });
}

function unavailable({ plugin }: Installation, row: ConnectionRow, pauseMs: number): BackplaneError {
  return new BackplaneError("connection_unavailable", {
    plugin,
    connection: row.name,
    reason: row.last_error ?? "another hub is renewing it",
    retryAfter: Math.max(1, Math.ceil(pauseMs / 1000)),
  });
}

function optional<K extends string, V>(key: K, value: V | undefined): { [name in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [name in K]?: V });
}
