/** Rows of the table `packages`: one published version each. Read and written by packages.ts, which is the catalog's face. */
import { sql } from "kysely";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import {
  asDigest,
  asOrganizationId,
  asPluginId,
  type Digest,
  type OrganizationId,
  type PluginId,
} from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import { json } from "../store/json.ts";
import type { Tx } from "../store/store.ts";

/** Owner of what is the hub's own. */
export const bundledOrganization: OrganizationId = asOrganizationId("*");

/** One published version. Its code: `artifacts.loadBundle({ organization: catalog, digest, entrypoint: manifest.entrypoint })`. */
export interface PackageVersion {
  id: PluginId;
  version: string;
  digest: Digest;
  manifest: Manifest;
  /** Who published it: the organisation itself, or `*`. */
  catalog: OrganizationId;
  publishedBy: string;
  publishedAt: Date;
}

export interface PackageRow {
  organization_id: string;
  plugin_id: string;
  version: string;
  digest: string;
  manifest: unknown;
  published_by: string;
  published_at: Date;
}

export interface NewVersion {
  organization: OrganizationId;
  manifest: Manifest;
  digest: Digest;
  actor: string;
  replace: boolean;
}

/** Inserts the version, or finds it there. Error: `package_exists`. */
export async function writeVersion(
  tx: Tx,
  { organization, manifest, digest, actor, replace }: NewVersion,
): Promise<{ row: PackageRow; created: boolean }> {
  const inserted = await tx
    .insertInto("packages")
    .values({
      organization_id: organization,
      plugin_id: manifest.id,
      version: manifest.version,
      digest,
      manifest: json(manifest),
      published_by: actor,
    })
    .onConflict((on) => on.doNothing())
    .returningAll()
    .executeTakeFirst();
  if (inserted) return { row: inserted, created: true };
  const present = await tx
    .selectFrom("packages")
    .selectAll()
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", manifest.id)
    .where("version", "=", manifest.version)
    .executeTakeFirstOrThrow();
  if (present.digest === digest) return { row: present, created: false };
  if (!replace) throw new BackplaneError("package_exists", { plugin: manifest.id, version: manifest.version });
  const replaced = await tx
    .updateTable("packages")
    .set({ digest, manifest: json(manifest), published_by: actor, published_at: sql<Date>`now()` })
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", manifest.id)
    .where("version", "=", manifest.version)
    .returningAll()
    .executeTakeFirstOrThrow();
  return { row: replaced, created: true };
}

export function toVersion(row: PackageRow): PackageVersion {
  return {
    id: asPluginId(row.plugin_id),
    version: row.version,
    digest: asDigest(row.digest),
    manifest: row.manifest as Manifest,
    catalog: asOrganizationId(row.organization_id),
    publishedBy: row.published_by,
    publishedAt: row.published_at,
  };
}
