/** What a version needs before it may be installed or changed: the hub's own version, and other plugins of the organisation. */
import { satisfies } from "semver";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import type { OrganizationId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Tx } from "../store/store.ts";

/** Error: `hub_version_unsupported`. */
export function checkEngine({ id, engines }: Manifest, hubVersion: string): void {
  const range = engines?.backplane;
  // A pre-release of the hub counts as what it becomes.
  if (range !== undefined && !satisfies(hubVersion, range, { includePrerelease: true }))
    throw new BackplaneError("hub_version_unsupported", { plugin: id, range, version: hubVersion });
}

/** Error: `dependency_missing`. */
export async function checkDependencies(tx: Tx, organization: OrganizationId, manifest: Manifest): Promise<void> {
  const dependencies = Object.entries(manifest.dependencies ?? {});
  if (dependencies.length === 0) return;
  const rows = await tx
    .selectFrom("installations")
    .select(["plugin_id", "version"])
    .where("organization_id", "=", organization)
    .where(
      "plugin_id",
      "in",
      dependencies.map(([id]) => id),
    )
    .execute();
  const missing = dependencies.filter(([id, range]) => {
    const row = rows.find((candidate) => candidate.plugin_id === id);
    return !row || !satisfies(row.version, range);
  });
  if (missing.length > 0) {
    throw new BackplaneError("dependency_missing", {
      plugin: manifest.id,
      missing: missing.map(([id, range]) => `${id} ${range}`).join(", "),
    });
  }
}

/** Refuses what would leave another plugin without this one; `version` is the one that would stay. Error: `dependency_in_use`. */
export async function checkDependents(
  tx: Tx,
  organization: OrganizationId,
  plugin: string,
  version?: string,
): Promise<void> {
  const rows = await tx
    .selectFrom("installations")
    .select(["plugin_id", "manifest"])
    .where("organization_id", "=", organization)
    .where("plugin_id", "!=", plugin)
    .execute();
  const broken = rows.filter((row) => {
    const range = (row.manifest as unknown as Manifest).dependencies?.[plugin];
    return range !== undefined && (version === undefined || !satisfies(version, range));
  });
  if (broken.length > 0)
    throw new BackplaneError("dependency_in_use", {
      plugin,
      dependents: broken.map((row) => row.plugin_id).join(", "),
    });
}
