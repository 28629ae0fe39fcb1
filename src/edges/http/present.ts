/** Records as the API shows them. */
import type { Installation } from "../../installations/installations.ts";
import { consentOf, pendingPermissions } from "../../policy/consent.ts";
import { permits } from "../../policy/permits.ts";
import { maskConfig } from "../../secrets/config.ts";

export function presentInstallation(installation: Installation): Record<string, unknown> {
  return {
    id: installation.plugin,
    name: installation.name,
    version: installation.version,
    digest: installation.digest,
    catalog: installation.catalog,
    type: installation.manifest.type,
    runtime: installation.runtime,
    status: installation.status,
    statusReason: installation.statusReason,
    health: installation.health,
    healthReason: installation.healthReason,
    grants: installation.grants,
    pendingPermissions: pendingPermissions(installation.manifest, installation.grants),
    config: maskConfig(installation.manifest.configSchema, installation.config),
    installedAt: installation.installedAt.toISOString(),
    updatedAt: installation.updatedAt.toISOString(),
  };
}

/** For a consent page: each permission in plain words, whether it is granted, and whether an admin has seen it before. */
export function presentConsent({ plugin, version, manifest, grants, approved }: Installation): Record<string, unknown> {
  const { permissions, notices } = consentOf(manifest);
  return {
    id: plugin,
    version,
    permissions: permissions.map((item) => ({
      ...item,
      granted: permits(grants, item.permission),
      isNew: !approved.includes(item.permission),
    })),
    notices,
  };
}
