/** Keeps the opened secrets of installations in use, so that a call does not decrypt them again; a changed revision opens anew. */
import type { Installation } from "../installations/installations.ts";
import { configWithDefaults } from "../policy/activation.ts";
import type { ConfigObject, ConfigScope } from "../secrets/config.ts";
import { type InstallationSecrets, openSecrets } from "../secrets/installation-secrets.ts";
import type { Vault } from "../secrets/vault.ts";

export interface SecretsOf {
  (installation: Installation): Promise<InstallationSecrets>;
  /** Those already open, for the synchronous paths; `undefined` before the first use. */
  open(installation: Installation): InstallationSecrets | undefined;
}

const maxKept = 2_000;

export function createSecretsOf({ vault }: { vault: Vault }): SecretsOf {
  const kept = new Map<
    string,
    { revision: number; opening: Promise<InstallationSecrets>; opened?: InstallationSecrets }
  >();

  const secretsOf = (installation: Installation): Promise<InstallationSecrets> => {
    const known = kept.get(installation.id);
    if (known?.revision === installation.revision) return known.opening;
    if (kept.size >= maxKept) kept.delete(kept.keys().next().value!);
    const entry: { revision: number; opening: Promise<InstallationSecrets>; opened?: InstallationSecrets } = {
      revision: installation.revision,
      opening: openSecrets(
        scopeOf(vault, installation),
        configWithDefaults(installation.manifest, installation.config) as ConfigObject,
        Object.entries(installation.manifest.contributes?.connections ?? {}).map(([name, { hosts }]) => ({
          name,
          hosts,
        })),
      ),
    };
    entry.opening.then(
      (opened) => {
        entry.opened = opened;
      },
      () => kept.delete(installation.id),
    );
    kept.set(installation.id, entry);
    return entry.opening;
  };

  return Object.assign(secretsOf, {
    open: (installation: Installation) => kept.get(installation.id)?.opened,
  });
}

export function scopeOf(
  vault: Vault,
  installation: Pick<Installation, "organization" | "id" | "manifest">,
): ConfigScope {
  return {
    vault,
    organization: installation.organization,
    installation: installation.id,
    schema: installation.manifest.configSchema,
    plugin: installation.manifest.id,
  };
}
