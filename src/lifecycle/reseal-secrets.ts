/**
 * After a change of the master key: seals the secrets of all installations anew with the key that seals now, and counts those
 * that are not yet. One short transaction for each installation, so that nobody waits and a stop in between loses nothing.
 */
import { sql } from "kysely";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import type { Audit } from "../audit/audit.ts";
import { asOrganizationId, asPluginId, type OrganizationId, type PluginId } from "../base/brands.ts";
import type { Installations } from "../installations/installations.ts";
import { type ConfigObject, countSealed, rotateConfig } from "../secrets/config.ts";
import type { SealedBy, Vault } from "../secrets/vault.ts";
import type { Store } from "../store/store.ts";

export interface ResealOptions {
  store: Store;
  installations: Installations;
  audit: Audit;
  vault: Vault;
  /** What else is sealed: tokens of connections. */
  others?: readonly SecretResealing[];
}

export interface SecretResealing {
  /** Goes on where it stopped when it is called again. Returns how many secrets were sealed anew. */
  run(signal?: AbortSignal): Promise<number>;
  /** All sealed secrets of the hub, by the key that sealed them. */
  count(): Promise<Record<SealedBy, number>>;
}

interface Found {
  organization: OrganizationId;
  plugin: PluginId;
  counts: Record<SealedBy, number>;
}

const pageSize = 100;

export function createSecretResealing({
  store,
  installations,
  audit,
  vault,
  others = [],
}: ResealOptions): SecretResealing {
  async function* withSecrets(): AsyncGenerator<Found> {
    for (let after = ["", ""]; ; ) {
      const rows = await store.db
        .selectFrom("installations")
        .select(["organization_id", "plugin_id", "config"])
        .where(sql<boolean>`(organization_id, plugin_id) > (${after[0]}, ${after[1]})`)
        .where(sql<boolean>`config::text like ${'%"$sealed"%'}`)
        .orderBy("organization_id")
        .orderBy("plugin_id")
        .limit(pageSize)
        .execute();
      for (const row of rows)
        yield {
          organization: asOrganizationId(row.organization_id),
          plugin: asPluginId(row.plugin_id),
          counts: countSealed(vault, row.config),
        };
      const last = rows.at(-1);
      if (!last || rows.length < pageSize) return;
      after = [last.organization_id, last.plugin_id];
    }
  }

  const reseal = (organization: OrganizationId, plugin: PluginId): Promise<number> =>
    store.transaction(async (tx) => {
      const current = await installations.lock(tx, organization, plugin);
      const { configSchema: schema } = current.manifest as Manifest;
      const scope = { vault, schema, organization, installation: current.id, plugin };
      const config = await rotateConfig(scope, current.config as ConfigObject);
      const resealed = countSealed(vault, config).current - countSealed(vault, current.config).current;
      if (resealed === 0) return 0;
      await installations.update(tx, current, { config });
      await audit.record(tx, {
        organization,
        actor: "system",
        action: "plugin.secrets_resealed",
        target: plugin,
        details: { secrets: resealed, key: vault.keyId },
      });
      return resealed;
    });

  return {
    async run(signal) {
      let total = 0;
      for await (const { organization, plugin, counts } of withSecrets()) {
        if (signal?.aborted) break;
        if (counts.former === 0) continue;
        const resealed = await reseal(organization, plugin).catch((error: { code?: string }) => {
          if (error.code === "not_found") return 0;
          throw error;
        });
        if (resealed > 0) installations.committed({ organization, plugin });
        total += resealed;
      }
      for (const other of others) total += await other.run(signal);
      return total;
    },
    async count() {
      const total: Record<SealedBy, number> = { current: 0, former: 0, unknown: 0 };
      for await (const { counts } of withSecrets())
        for (const by of Object.keys(total) as SealedBy[]) total[by] += counts[by];
      for (const other of others) {
        const counts = await other.count();
        for (const by of Object.keys(total) as SealedBy[]) total[by] += counts[by];
      }
      return total;
    },
  };
}
