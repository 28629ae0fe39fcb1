/**
 * Who may come in: the hub admin's token and the API keys of organisations, and the organisations themselves.
 * Keys are looked up by hash and remembered for at most ten seconds; a key that is removed is forgotten on every hub at
 * once through a notification. It decides who calls, not what they may do: that is `atLeast` and the routes.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { sql } from "kysely";
import type { Audit } from "../audit/audit.ts";
import { asOrganizationId } from "../base/brands.ts";
import { jsonRows } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import { type ApiKeys, createApiKeys, hashKey, looksLikeKey } from "./api-keys.ts";
import { createOrganizations, type Organizations } from "./organizations.ts";
import type { Principal } from "./principal.ts";

export { actorOf, atLeast, type Principal, type Role } from "./principal.ts";

export interface AccessOptions {
  store: Store;
  audit: Audit;
  adminToken: string;
  /** How long a lookup is remembered, in milliseconds. @default 10000 */
  cacheMs?: number | undefined;
  /** How often `last_used_at` is written, in milliseconds. @default 5000 */
  flushMs?: number | undefined;
  log?: { warn(details: object, message: string): void } | undefined;
  /** What else belongs to a new organisation; in the transaction that makes it. */
  onOrganizationCreated?: ((tx: Tx, id: string) => Promise<void>) | undefined;
}

export interface Access extends AsyncDisposable {
  /** Of the header `Authorization`, `Bearer TOKEN`. `undefined` when there is none, or none that is valid. */
  authenticate(authorization: string | undefined): Promise<Principal | undefined>;
  authenticateToken(token: string): Promise<Principal | undefined>;
  organizationExists(id: string): Promise<boolean>;
  createOrganization: Organizations["create"];
  ensureOrganization: Organizations["ensure"];
  getOrganization: Organizations["get"];
  renameOrganization: Organizations["rename"];
  removeOrganization: Organizations["remove"];
  listOrganizations: Organizations["list"];
  createKey: ApiKeys["create"];
  deleteKey: ApiKeys["remove"];
  listKeys: ApiKeys["list"];
  /** Writes what is still to be written and stops listening. */
  close(): Promise<void>;
}

/** Payloads: a key's hash, or `org:<id>` for all its keys, or nothing for everything. */
const channel = "access_changed";
const maxCached = 20_000;

interface Cached<T> {
  value: T;
  until: number;
}

type KeyPrincipal = Extract<Principal, { kind: "key" }>;

export function createAccess({
  store,
  audit,
  adminToken,
  cacheMs = 10_000,
  flushMs = 5000,
  log,
  onOrganizationCreated,
}: AccessOptions): Access {
  const adminHash = digest(adminToken);
  const keys = new Map<string, Cached<KeyPrincipal | undefined>>();
  const organizationIds = new Map<string, Cached<true>>();
  const lookups = new Map<string, Promise<KeyPrincipal | undefined>>();
  const used = new Map<string, { organization_id: string; id: string; last_used_at: string }>();
  /** Grows with each invalidation: a lookup that began before one must not be remembered after it. */
  let generation = 0;
  let listening: Promise<Disposable> | undefined;
  let flushTimer: NodeJS.Timeout | undefined;

  const forget = (payload: string): void => {
    generation += 1;
    lookups.clear();
    if (payload === "") {
      keys.clear();
      organizationIds.clear();
    } else if (payload.startsWith("org:")) {
      const id = payload.slice(4);
      organizationIds.delete(id);
      for (const [hash, cached] of keys) if (cached.value?.organization === id) keys.delete(hash);
    } else {
      keys.delete(payload);
    }
  };

  const announce = async (tx: Tx, payload: string): Promise<void> => await store.notify(tx, channel, payload);

  const listen = async (): Promise<void> => {
    listening ??= store.listen(channel, forget);
    try {
      await listening;
    } catch (error) {
      listening = undefined;
      throw error;
    }
  };

  const findKey = async (hash: string): Promise<KeyPrincipal | undefined> => {
    const row = await store.db
      .selectFrom("api_keys")
      .select(["organization_id", "id", "role"])
      .where("hash", "=", hash)
      .executeTakeFirst();
    return row && { kind: "key", organization: asOrganizationId(row.organization_id), role: row.role, keyId: row.id };
  };

  const lookUp = async (hash: string): Promise<KeyPrincipal | undefined> => {
    const cached = fresh(keys, hash);
    if (cached) return cached.value;
    // Many requests with one key at once ask the database once.
    const underWay = lookups.get(hash);
    if (underWay) return await underWay;
    const began = generation;
    // Listening first: a removal after the lookup must find its way here.
    const lookup = listen().then(() => findKey(hash));
    lookups.set(hash, lookup);
    try {
      const value = await lookup;
      if (generation === began) remember(keys, hash, value, cacheMs);
      return value;
    } finally {
      if (lookups.get(hash) === lookup) lookups.delete(hash);
    }
  };

  const flush = async (): Promise<void> => {
    clearTimeout(flushTimer);
    flushTimer = undefined;
    const rows = [...used.values()];
    used.clear();
    if (rows.length === 0) return;
    const values = jsonRows(rows, { organization_id: "text", id: "text", last_used_at: "timestamptz" });
    // Ordered, so that two hubs that write the same keys do not lock each other out.
    await sql`with used as (select * from ${values}), locked as (
        select k.organization_id, k.id, used.last_used_at from api_keys k join used on k.organization_id = used.organization_id and k.id = used.id
        order by k.organization_id, k.id for no key update of k)
      update api_keys k set last_used_at = greatest(k.last_used_at, locked.last_used_at) from locked
      where k.organization_id = locked.organization_id and k.id = locked.id`.execute(store.db);
  };

  const noteUse = (principal: KeyPrincipal): void => {
    used.set(principal.keyId, {
      organization_id: principal.organization,
      id: principal.keyId,
      last_used_at: new Date().toISOString(),
    });
    flushTimer ??= setTimeout(() => {
      flush().catch((error: unknown) =>
        log?.warn({ err: error }, "access: the last use of API keys could not be written"),
      );
    }, flushMs).unref();
  };

  const authenticateToken = async (token: string): Promise<Principal | undefined> => {
    if (adminToken !== "" && timingSafeEqual(digest(token), adminHash)) return { kind: "hub_admin" };
    if (!looksLikeKey(token)) return undefined;
    const principal = await lookUp(hashKey(token));
    if (principal) noteUse(principal);
    return principal;
  };

  const organizations = createOrganizations({
    store,
    audit,
    onCreated: onOrganizationCreated,
    onRemoved: (tx, id) => announce(tx, `org:${id}`),
  });
  const apiKeys = createApiKeys({ store, audit, onRemoved: announce });
  const close = async (): Promise<void> => {
    (await listening?.catch(() => undefined))?.[Symbol.dispose]();
    await flush();
  };

  return {
    async authenticate(authorization) {
      const token = /^bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
      return token === undefined ? undefined : await authenticateToken(token);
    },
    authenticateToken,
    async organizationExists(id) {
      if (fresh(organizationIds, id)) return true;
      await listen();
      const began = generation;
      const exists = (await organizations.get(id)) !== undefined;
      if (exists && generation === began) remember(organizationIds, id, true, cacheMs);
      return exists;
    },
    createOrganization: organizations.create,
    ensureOrganization: organizations.ensure,
    getOrganization: organizations.get,
    renameOrganization: organizations.rename,
    async removeOrganization(input) {
      await organizations.remove(input);
      forget(`org:${input.id}`);
    },
    listOrganizations: organizations.list,
    createKey: apiKeys.create,
    async deleteKey(input) {
      await apiKeys.remove(input);
      // The notification may be a moment behind; on this hub the key ends now.
      forget("");
    },
    listKeys: apiKeys.list,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function fresh<T>(cache: Map<string, Cached<T>>, key: string): Cached<T> | undefined {
  const cached = cache.get(key);
  return cached && cached.until > performance.now() ? cached : undefined;
}

function remember<T>(cache: Map<string, Cached<T>>, key: string, value: T, ms: number): void {
  cache.delete(key);
  cache.set(key, { value, until: performance.now() + ms });
  // Oldest first: made-up keys cannot fill the memory.
  if (cache.size > maxCached) cache.delete(cache.keys().next().value!);
}

export type { ApiKey } from "./api-keys.ts";
export type { Organization } from "./organizations.ts";
