/**
 * The state machine of an installation. Each transition locks the row, checks, writes, records it with its reason, audits
 * it and publishes its event, all in one transaction; concurrent changes of one plugin follow each other over all nodes.
 *
 *   (none) ──install──▶ pending_config ──activate──▶ active ◀──activate── disabled
 *                                                     │  └──deactivate──▶ disabled
 *                                                     └──quarantine──▶ quarantined ──activate──▶ active (also ──deactivate──▶ disabled)
 *   upgrade, configure and grant keep the status; uninstall leads out of every state.
 *
 * Activation needs required config and required grants (`activation_blocked` names what is missing). An upgrade runs at
 * once with the old grants; permissions it adds wait in `pendingPermissions` until granted (DESIGN decision 7). Only a
 * config that the new version refuses makes an upgraded plugin wait, in `pending_config`, with the reason. Long because this is
 * one state machine.
 */

import { sql } from "kysely";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import type { Audit } from "../audit/audit.ts";
import { asInstallationId, type Digest, type OrganizationId, type PluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { Consumers } from "../bus/consumers.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import type {
  Installation,
  InstallationPatch,
  InstallationStatus,
  Installations,
} from "../installations/installations.ts";
import { cancelChannel } from "../invocation/executions.ts";
import { compilePluginSchema } from "../manifest/compile-schema.ts";
import type { Packages, PackageVersion } from "../packages/packages.ts";
import { activationBlockers, configFaults, runtimeFault } from "../policy/activation.ts";
import { allPermissions, grantFault, keepGrants, pendingPermissions } from "../policy/consent.ts";
import { tokenEndpoints } from "../policy/token-endpoints.ts";
import { type ConfigScope, maskConfig, migrateConfig, rebindConfig, sealConfig } from "../secrets/config.ts";
import type { Vault } from "../secrets/vault.ts";
import { json } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import { checkDependencies, checkDependents, checkEngine } from "./dependencies.ts";
import { removeConsumers, syncConsumers } from "./plugin-consumers.ts";
import { type ChangeContext, createTransitions, type Step, type Transitions } from "./transitions.ts";

export interface InstallRequest {
  id: string;
  /** Exact version or semver range. @default the highest */
  version?: string;
  grants?: "all" | readonly string[];
  config?: Record<string, unknown>;
}

export interface LifecycleOptions {
  store: Store;
  installations: Installations;
  packages: Packages;
  audit: Audit;
  eventLog: EventLog;
  consumers: Consumers;
  vault: Vault;
  /** What `engines.backplane` of manifests is held against. */
  hubVersion: string;
  /** Lets the running instance of a plugin finish and go; called after the commit. */
  release(organization: OrganizationId, plugin: PluginId): Promise<void>;
}

export interface Lifecycle {
  /** Errors: `not_found`, `already_installed`, `dependency_missing`, `hub_version_unsupported`, `invalid_config`, `invalid_grants`. */
  install(context: ChangeContext, request: InstallRequest): Promise<Installation>;
  /** Installs a manifest that names no package: its contributions answer `no_code`. */
  installDeclaration(
    context: ChangeContext,
    manifest: Manifest,
    request: Omit<InstallRequest, "id" | "version">,
  ): Promise<Installation>;
  /** Errors: `not_found`, `invalid_config`. */
  configure(context: ChangeContext, plugin: PluginId, config: Record<string, unknown>): Promise<Installation>;
  /** Replaces the grants; `all` grants everything asked for. Errors: `not_found`, `invalid_grants`. */
  grant(context: ChangeContext, plugin: PluginId, grants: "all" | readonly string[]): Promise<Installation>;
  /** Also ends a quarantine. Errors: `not_found`, `activation_blocked`. */
  activate(context: ChangeContext, plugin: PluginId): Promise<Installation>;
  /** Errors: `not_found`, `invalid_transition` from `pending_config`. */
  deactivate(context: ChangeContext, plugin: PluginId): Promise<Installation>;
  /** Up or down to another published version. Errors: `not_found`, `dependency_missing`, `dependency_in_use`, `hub_version_unsupported`. */
  upgrade(context: ChangeContext, plugin: PluginId, version: string): Promise<Installation>;
  /** Errors: `not_found`, `dependency_in_use`. */
  uninstall(context: ChangeContext, plugin: PluginId): Promise<void>;
  /** Takes a harmful plugin out of service; nothing happens when it is not active. */
  quarantine(organization: OrganizationId, plugin: PluginId, reason: string): Promise<void>;
  setHealth(installation: Installation, health: Installation["health"], reason: string | null): Promise<void>;
  transitions: Transitions["list"];
}

export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { store, installations, packages, consumers } = options;
  const transitions = createTransitions(options);

  const change = async (
    context: ChangeContext,
    plugin: PluginId,
    decide: (tx: Tx, current: Installation) => Promise<{ patch: InstallationPatch; step: Step } | undefined>,
  ): Promise<Installation> => {
    const { before, after } = await store.transaction(async (tx) => {
      await oneAtATime(tx, context.organization);
      const current = await installations.lock(tx, context.organization, plugin);
      const decision = await decide(tx, current);
      if (!decision) return { before: current, after: current };
      const next = await installations.update(tx, current, decision.patch);
      await syncConsumers(tx, consumers, next);
      await transitions.record(tx, context, { before: current, after: next, step: decision.step });
      return { before: current, after: next };
    });
    installations.committed({ organization: context.organization, plugin });
    if (before.status === "active" && after.status !== "active") await options.release(context.organization, plugin);
    return after;
  };

  const scopeOf = ({
    organization,
    id,
    manifest,
  }: Pick<Installation, "organization" | "id" | "manifest">): ConfigScope => ({
    vault: options.vault,
    schema: manifest.configSchema,
    organization,
    installation: id,
    plugin: manifest.id,
    endpoints: tokenEndpoints(manifest),
  });

  /** Whoever grants has seen what this version asks for, so its secrets may go to the hosts it names; an unreadable one stays as it is. */
  const rebound = (current: Installation): Promise<Record<string, unknown>> =>
    rebindConfig(scopeOf(current), current.config).catch((error: unknown) => {
      if (error instanceof BackplaneError && error.code === "secret_unreadable") return current.config;
      throw error;
    });

  /** Seals the secrets of a config and checks it against the schema. With `gaps`, required fields may still be missing. */
  const storable = async (
    installation: Pick<Installation, "organization" | "id" | "manifest">,
    config: Record<string, unknown>,
    { previous, gaps }: { previous: Record<string, unknown>; gaps: boolean },
  ): Promise<Record<string, unknown>> => {
    const { manifest } = installation;
    const { sealed, plain } = await sealConfig(scopeOf(installation), config, previous);
    const faults = gaps
      ? compilePluginSchema({ ...manifest.configSchema, required: [] }).validate(plain)
      : configFaults(manifest, plain);
    if (faults.length > 0) throw new BackplaneError("invalid_config", { plugin: manifest.id }, { errors: faults });
    return sealed;
  };

  const insert = async (
    context: ChangeContext,
    entry: Pick<PackageVersion, "manifest" | "catalog"> & { digest: Digest | null },
    request: Omit<InstallRequest, "id" | "version">,
  ): Promise<Installation> => {
    const { manifest } = entry;
    checkEngine(manifest, options.hubVersion);
    const now = new Date();
    const grants = resolveGrants(manifest, request.grants ?? []);
    const id = asInstallationId(newId());
    const config = await storable({ organization: context.organization, id, manifest }, request.config ?? {}, {
      previous: {},
      gaps: true,
    });
    const installation: Installation = {
      organization: context.organization,
      id,
      plugin: manifest.id as PluginId,
      name: manifest.name,
      version: manifest.version,
      digest: entry.digest,
      catalog: entry.catalog,
      manifest,
      runtime: manifest.runtime,
      status: "pending_config",
      statusReason: null,
      health: "unknown",
      healthReason: null,
      config,
      grants,
      approved: request.grants === undefined ? [] : [...new Set([...grants, ...allPermissions(manifest)])],
      revision: 1,
      installedAt: now,
      updatedAt: now,
    };
    await store.transaction(async (tx) => {
      await oneAtATime(tx, context.organization);
      await checkDependencies(tx, context.organization, manifest);
      await installations.insert(tx, installation);
      await syncConsumers(tx, consumers, installation);
      await transitions.record(tx, context, {
        before: undefined,
        after: installation,
        step: { action: "installed", event: "plugin.installed", details: { digest: entry.digest, grants } },
      });
    });
    installations.committed(installation);
    return installation;
  };

  return {
    async install(context, request) {
      const entry = await packages.resolve(context.organization, request.id, request.version);
      return insert(context, entry, request);
    },
    installDeclaration: (context, manifest, request) =>
      insert(context, { manifest, digest: null, catalog: context.organization }, request),

    async configure(context, plugin, config) {
      // A configuration is replaced as a whole, so it must be complete; only the one given at install may still have gaps.
      return change(context, plugin, async (_tx, current) => ({
        patch: {
          config: await storable(current, config, { previous: current.config, gaps: false }),
          // The only reason to wait in this state is the config, which is complete now.
          ...(current.status === "pending_config" ? { statusReason: null } : {}),
        },
        step: { action: "configured", event: "plugin.configured", details: { fields: Object.keys(config).sort() } },
      }));
    },

    grant: (context, plugin, grants) =>
      change(context, plugin, async (_tx, current) => {
        const next = resolveGrants(current.manifest, grants);
        return {
          patch: {
            grants: next,
            config: onlyTakesBack(current.grants, next) ? current.config : await rebound(current),
            approved: [...new Set([...next, ...allPermissions(current.manifest)])],
          },
          step: {
            action: "granted",
            details: {
              added: next.filter((grant) => !current.grants.includes(grant)),
              removed: current.grants.filter((grant) => !next.includes(grant)),
            },
          },
        };
      }),

    activate: (context, plugin) =>
      change(context, plugin, async (tx, current) => {
        if (current.status === "active") return undefined;
        const blockers = activationBlockers(
          current.manifest,
          maskConfig(current.manifest.configSchema, current.config),
          current.grants,
        );
        if (blockers.length > 0) {
          throw new BackplaneError(
            "activation_blocked",
            {
              plugin,
              missing: blockers
                .map((blocker) => blocker.sentence)
                .join(" ")
                .replace(/\.$/, ""),
            },
            {
              errors: blockers.map((blocker) => ({
                path:
                  blocker.kind === "config"
                    ? `config.${blocker.what}`
                    : blocker.kind === "grant"
                      ? "grants"
                      : "runtime",
                message: blocker.sentence,
              })),
            },
          );
        }
        await checkDependencies(tx, context.organization, current.manifest);
        return {
          patch: { status: "active", statusReason: null, health: "unknown", healthReason: null },
          step: {
            action: "activated",
            event: "plugin.activated",
            ...(current.status === "quarantined" ? { reason: "quarantine ended by activation" } : {}),
          },
        };
      }),

    deactivate: (context, plugin) =>
      change(context, plugin, async (_tx, current) => {
        if (current.status === "disabled") return undefined;
        if (current.status === "pending_config")
          throw new BackplaneError("invalid_transition", { plugin, status: current.status, action: "be deactivated" });
        return {
          patch: { status: "disabled", statusReason: null },
          step: { action: "deactivated", event: "plugin.deactivated" },
        };
      }),

    async upgrade(context, plugin, version) {
      const entry = await packages.resolve(context.organization, plugin, version);
      checkEngine(entry.manifest, options.hubVersion);
      return change(context, plugin, async (tx, current) => {
        if (current.version === entry.manifest.version && current.digest === entry.digest) return undefined;
        await checkDependencies(tx, context.organization, entry.manifest);
        await checkDependents(tx, context.organization, plugin, entry.manifest.version);
        const { manifest } = entry;
        // The same id from another catalog is another publisher's code: what the organisation trusted, it trusted to the former one.
        const grants = entry.catalog === current.catalog ? keepGrants(manifest, current.grants) : [];
        const config = await migrateConfig(
          scopeOf({ ...current, manifest }),
          current.config,
          tokenEndpoints(current.manifest),
        );
        const faults = configFaults(manifest, maskConfig(manifest.configSchema, config), { masked: true });
        const unserved = runtimeFault(manifest);
        const waits = faults.length > 0 || unserved !== undefined;
        const status: InstallationStatus = current.status === "active" && waits ? "pending_config" : current.status;
        const statusReason =
          waits && status === "pending_config"
            ? (unserved ??
              `version ${manifest.version} needs other config: ${faults.map((fault) => `${fault.path} ${fault.message}`).join("; ")}`)
            : current.statusReason;
        return {
          patch: {
            name: manifest.name,
            version: manifest.version,
            digest: entry.digest,
            catalog: entry.catalog,
            manifest,
            runtime: manifest.runtime,
            config,
            grants,
            status,
            statusReason,
          },
          step: {
            action: "upgraded",
            event: "plugin.upgraded",
            ...(statusReason ? { reason: statusReason } : {}),
            details: {
              from: current.version,
              to: manifest.version,
              digest: entry.digest,
              pending: pendingPermissions(manifest, grants),
            },
          },
        };
      });
    },

    async uninstall(context, plugin) {
      await store.transaction(async (tx) => {
        await oneAtATime(tx, context.organization);
        const current = await installations.lock(tx, context.organization, plugin);
        await checkDependents(tx, context.organization, plugin);
        await removeConsumers(tx, consumers, current);
        const ended = await tx
          .updateTable("executions")
          .set({
            status: "cancelled",
            ended_at: new Date(),
            error: json({ code: "cancelled", message: "The plugin was uninstalled." }),
          })
          .where("organization_id", "=", context.organization)
          .where("plugin_id", "=", plugin)
          .where((eb) =>
            eb.or([
              eb("status", "=", "queued"),
              // Its delivery goes with the consumer, so nobody else would end it.
              eb.and([eb("status", "=", "running"), eb("mode", "=", "async")]),
            ]),
          )
          .returning("id")
          .execute();
        for (const { id } of ended) await store.notify(tx, cancelChannel, id);
        await tx
          .deleteFrom("files")
          .where("organization_id", "=", context.organization)
          .where("plugin_id", "=", plugin)
          .execute();
        await installations.remove(tx, current);
        const step: Step = { action: "uninstalled", event: "plugin.uninstalled" };
        await transitions.record(tx, context, { before: current, after: undefined, step });
      });
      installations.committed({ organization: context.organization, plugin });
      await options.release(context.organization, plugin);
    },

    async quarantine(organization, plugin, reason) {
      const context: ChangeContext = { organization, actor: "system" };
      await change(context, plugin, async (_tx, current) =>
        current.status === "active"
          ? {
              patch: { status: "quarantined", statusReason: reason, health: "unhealthy", healthReason: reason },
              step: { action: "quarantined", event: "plugin.quarantined", reason },
            }
          : undefined,
      );
    },

    async setHealth(installation, health, reason) {
      await store.transaction(async (tx) => {
        const current = await installations.lock(tx, installation.organization, installation.plugin);
        if (current.health === health && current.healthReason === reason) return;
        await installations.update(tx, current, { health, healthReason: reason });
      });
      installations.committed(installation);
    },

    transitions: transitions.list,
  };
}

/** Dependencies bind the installations of an organisation together, so their changes follow each other. */
async function oneAtATime(tx: Tx, organization: OrganizationId): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`lifecycle:${organization}`}, 0))`.execute(tx);
}

/** Whoever takes grants back agrees to nothing new. */
function onlyTakesBack(before: readonly string[], after: readonly string[]): boolean {
  return after.length < before.length && after.every((grant) => before.includes(grant));
}

function resolveGrants(manifest: Manifest, grants: "all" | readonly string[]): string[] {
  if (grants === "all") return allPermissions(manifest);
  const unique = [...new Set(grants)];
  for (const permission of unique) {
    const reason = grantFault(manifest, permission);
    if (reason)
      throw new BackplaneError(
        "invalid_grants",
        { permission, reason },
        { errors: [{ path: "grants", message: `${permission}: ${reason}` }] },
      );
  }
  return unique;
}
