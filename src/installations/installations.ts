/**
 * Records of plugins in organisations, with an in-memory copy for the hot path. Decides nothing: the state machine is
 * src/lifecycle. Every write raises `revision` where it changes what the guest would see, and wakes the other nodes.
 */
import type { Selectable } from "kysely";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import {
  asDigest,
  asInstallationId,
  asOrganizationId,
  asPluginId,
  type Digest,
  type InstallationId,
  type OrganizationId,
  type PluginId,
} from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import { json } from "../store/json.ts";
import type { Database } from "../store/schema.ts";
import type { Db, Store, Tx } from "../store/store.ts";

export const installationStatuses = ["pending_config", "active", "disabled", "quarantined"] as const;
export type InstallationStatus = (typeof installationStatuses)[number];
export type Health = "healthy" | "degraded" | "unhealthy" | "unknown";

export interface Installation {
  organization: OrganizationId;
  id: InstallationId;
  plugin: PluginId;
  name: string;
  version: string;
  /** `null` for a declaration without code. */
  digest: Digest | null;
  /** The organisation whose catalog holds the package: its own, or `*` for bundled plugins. */
  catalog: string;
  manifest: Manifest;
  runtime: "isolate" | "remote";
  status: InstallationStatus;
  statusReason: string | null;
  health: Health;
  healthReason: string | null;
  /** Config as stored: secret fields hold sealed values. */
  config: Record<string, unknown>;
  grants: string[];
  /** Permissions an admin has decided on (granted or refused): what is not here is new since the last consent. */
  approved: string[];
  revision: number;
  installedAt: Date;
  updatedAt: Date;
}

export type InstallationPatch = Partial<
  Pick<
    Installation,
    | "name"
    | "version"
    | "digest"
    | "catalog"
    | "manifest"
    | "runtime"
    | "status"
    | "statusReason"
    | "health"
    | "healthReason"
    | "config"
    | "grants"
    | "approved"
  >
>;

const channel = "installations";
/** Fields that the guest can tell apart: a change of one means a new instance. */
const guestFields = ["version", "digest", "manifest", "config", "grants"] as const;

export interface InstallationsOptions {
  store: Store;
}

export interface ListInstallations {
  limit: number;
  /** Installations before this (newest first). */
  before?: { installedAt: Date; id: string };
}

export interface InstallationChange {
  organization: OrganizationId;
  plugin: PluginId;
}

export interface Installations extends AsyncDisposable {
  /** From memory when known. `undefined` when there is none. */
  find(organization: OrganizationId, plugin: PluginId): Promise<Installation | undefined>;
  /** Error: `not_found`. */
  get(organization: OrganizationId, plugin: PluginId): Promise<Installation>;
  list(organization: OrganizationId, options: ListInstallations): Promise<Installation[]>;
  /** All active ones of all organisations, for start-up and sweeps. */
  listActive(): Promise<Installation[]>;
  /** Over all organisations; statuses without any are missing. */
  countByStatus(): Promise<Partial<Record<InstallationStatus, number>>>;
  /** The row under lock until `tx` ends, so that changes of one plugin follow each other. Error: `not_found`. */
  lock(tx: Tx, organization: OrganizationId, plugin: PluginId): Promise<Installation>;
  /** Error: `already_installed`. */
  insert(tx: Tx, installation: Installation): Promise<void>;
  update(tx: Tx, current: Installation, patch: InstallationPatch): Promise<Installation>;
  remove(tx: Tx, installation: Installation): Promise<void>;
  /** To be called once the transaction of a change has committed: whoever made it reads it from then on, before its notification comes round. */
  committed(change: InstallationChange): void;
  /** Called on every node after an installation changed or went; at least once per change. */
  onChange(listener: (change: InstallationChange) => void): Disposable;
}

export async function createInstallations({ store }: InstallationsOptions): Promise<Installations> {
  const known = new Map<string, Installation>();
  const listeners = new Set<(change: InstallationChange) => void>();
  // A read that began before a change must not put the old row back: reads note the tick they began at.
  let changes = 0;

  const forget = (organization: string, plugin: string): void => {
    changes += 1;
    known.delete(keyOf(organization, plugin));
    for (const listener of listeners)
      listener({ organization: asOrganizationId(organization), plugin: asPluginId(plugin) });
  };
  const subscription = await store.listen(channel, (payload) => {
    if (payload === "") {
      // Notifications were lost: whatever is known may have changed.
      changes += 1;
      for (const { organization, plugin } of [...known.values()]) forget(organization, plugin);
      return;
    }
    const [organization, plugin] = JSON.parse(payload) as [string, string];
    forget(organization, plugin);
  });

  const announce = (executor: Db | Tx, organization: string, plugin: string): Promise<void> => {
    changes += 1;
    known.delete(keyOf(organization, plugin));
    return store.notify(executor, channel, JSON.stringify([organization, plugin]));
  };

  const find: Installations["find"] = async (organization, plugin) => {
    const cached = known.get(keyOf(organization, plugin));
    if (cached) return cached;
    const before = changes;
    const row = await store.db
      .selectFrom("installations")
      .selectAll()
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .executeTakeFirst();
    if (!row) return undefined;
    const installation = fromRow(row);
    if (before === changes) known.set(keyOf(organization, plugin), installation);
    return installation;
  };

  return {
    find,
    async get(organization, plugin) {
      const installation = await find(organization, plugin);
      if (!installation) throw new BackplaneError("not_found", { thing: `plugin '${plugin}'` });
      return installation;
    },
    async list(organization, { limit, before }) {
      let query = store.db.selectFrom("installations").selectAll().where("organization_id", "=", organization);
      if (before) {
        query = query.where((eb) =>
          eb.or([
            eb("installed_at", "<", before.installedAt),
            eb.and([eb("installed_at", "=", before.installedAt), eb("id", "<", before.id)]),
          ]),
        );
      }
      const rows = await query.orderBy("installed_at", "desc").orderBy("id", "desc").limit(limit).execute();
      return rows.map(fromRow);
    },
    async listActive() {
      const rows = await store.db.selectFrom("installations").selectAll().where("status", "=", "active").execute();
      return rows.map(fromRow);
    },
    async countByStatus() {
      const rows = await store.db
        .selectFrom("installations")
        .select((eb) => ["status", eb.fn.countAll<number | string>().as("count")])
        .groupBy("status")
        .execute();
      return Object.fromEntries(rows.map(({ status, count }) => [status, Number(count)]));
    },
    async lock(tx, organization, plugin) {
      const row = await tx
        .selectFrom("installations")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .forUpdate()
        .executeTakeFirst();
      if (!row) throw new BackplaneError("not_found", { thing: `plugin '${plugin}'` });
      return fromRow(row);
    },
    async insert(tx, installation) {
      const inserted = await tx
        .insertInto("installations")
        .values({
          organization_id: installation.organization,
          plugin_id: installation.plugin,
          id: installation.id,
          name: installation.name,
          version: installation.version,
          digest: installation.digest,
          catalog: installation.catalog,
          manifest: json(installation.manifest),
          runtime: installation.runtime,
          status: installation.status,
          status_reason: installation.statusReason,
          config: json(installation.config),
          grants: json(installation.grants),
          approved: json(installation.approved),
          installed_at: installation.installedAt,
          updated_at: installation.updatedAt,
        })
        .onConflict((conflict) => conflict.columns(["organization_id", "plugin_id"]).doNothing())
        .returning("id")
        .executeTakeFirst();
      if (!inserted) throw new BackplaneError("already_installed", { plugin: installation.plugin });
      await announce(tx, installation.organization, installation.plugin);
    },
    async update(tx, current, patch) {
      const next: Installation = { ...current, ...patch, updatedAt: new Date() };
      if (guestFields.some((field) => patch[field] !== undefined)) next.revision = current.revision + 1;
      await tx
        .updateTable("installations")
        .set({
          name: next.name,
          version: next.version,
          digest: next.digest,
          catalog: next.catalog,
          manifest: json(next.manifest),
          runtime: next.runtime,
          status: next.status,
          status_reason: next.statusReason,
          health: next.health,
          health_reason: next.healthReason,
          config: json(next.config),
          grants: json(next.grants),
          approved: json(next.approved),
          revision: next.revision,
          updated_at: next.updatedAt,
        })
        .where("organization_id", "=", current.organization)
        .where("plugin_id", "=", current.plugin)
        .execute();
      await announce(tx, current.organization, current.plugin);
      return next;
    },
    async remove(tx, { organization, plugin }) {
      await tx
        .deleteFrom("installations")
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .execute();
      await announce(tx, organization, plugin);
    },
    committed: ({ organization, plugin }) => forget(organization, plugin),
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    async [Symbol.asyncDispose]() {
      subscription[Symbol.dispose]();
      listeners.clear();
      known.clear();
    },
  };
}

const keyOf = (organization: string, plugin: string): string => `${organization}\0${plugin}`;

function fromRow(row: Selectable<Database["installations"]>): Installation {
  return {
    organization: asOrganizationId(row.organization_id),
    id: asInstallationId(row.id),
    plugin: asPluginId(row.plugin_id),
    name: row.name,
    version: row.version,
    digest: row.digest === null ? null : asDigest(row.digest),
    catalog: row.catalog,
    manifest: row.manifest as unknown as Manifest,
    runtime: row.runtime as Installation["runtime"],
    status: row.status as InstallationStatus,
    statusReason: row.status_reason,
    health: row.health as Health,
    healthReason: row.health_reason,
    config: row.config as unknown as Record<string, unknown>,
    grants: row.grants as unknown as string[],
    approved: row.approved as unknown as string[],
    revision: row.revision,
    installedAt: row.installed_at,
    updatedAt: row.updated_at,
  };
}
