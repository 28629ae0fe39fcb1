/**
 * The catalog: which plugins at which versions an organisation can install. An organisation sees its own packages and the
 * bundled ones (organisation `*`), nothing of others. A published version never changes. When an organisation publishes
 * under the id of a bundled plugin, its own package stands in for the bundled one completely (mixing versions would let
 * an upgrade switch publishers), and that is never silent: answers say `catalog` and `replacesBundled`.
 */
import { sql } from "kysely";
import { maxSatisfying, rcompare, validRange } from "semver";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import {
  asDigest,
  asOrganizationId,
  asPluginId,
  type Digest,
  type OrganizationId,
  type PluginId,
} from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { BackplaneError } from "../errors/error.ts";
import { type ConsentItem, consentOf } from "../policy/consent.ts";
import type { Store, Tx } from "../store/store.ts";
import { writeArchive } from "./archive.ts";
import type { Artifacts } from "./artifacts.ts";
import { bundledOrganization, type PackageVersion, toVersion, writeVersion } from "./package-records.ts";
import { readPackage } from "./read-package.ts";
import type { PackageFiles } from "./read-tar.ts";

export { bundledOrganization, type PackageVersion };

export interface PublishedPackage extends PackageVersion {
  permissions: ConsentItem[];
  /** True when this id is a bundled plugin's, which the organisation no longer sees. */
  replacesBundled: boolean;
  /** False when the same content had been published before. */
  created: boolean;
}

export interface PackageSummary {
  id: PluginId;
  name: string;
  description: string | null;
  /** Highest version. */
  version: string;
  digest: Digest;
  catalog: OrganizationId;
  /** Highest first. */
  versions: string[];
  publishedAt: Date;
}

export interface PackageDetails extends PackageVersion {
  permissions: ConsentItem[];
  /** Highest first. */
  versions: { version: string; digest: Digest; publishedBy: string; publishedAt: Date }[];
}

export interface PackagesOptions {
  store: Store;
  artifacts: Artifacts;
  /** Runs in the transaction that publishes a new version; for the audit log. */
  onPublished?: (tx: Tx, published: PackageVersion) => Promise<void>;
}

/** What `loadFolder` and `readPackage` give. */
export interface PublishableContent {
  manifest: Manifest;
  files: PackageFiles;
  digest: Digest;
  archive?: Uint8Array;
}

export interface Packages {
  /** Errors: those of `readPackage`, `package_exists`. The same content again is no error. */
  publish(organization: OrganizationId, bytes: Uint8Array, actor: string): Promise<PublishedPackage>;
  /**
   * Publishes what is in memory. `replace` puts the content in place of an earlier one of this version: only for
   * bundled plugins and for development; installations keep the digest they are pinned to.
   */
  publishContent(
    organization: OrganizationId,
    content: PublishableContent,
    options: { actor: string; replace?: boolean },
  ): Promise<PublishedPackage>;
  /** Newest first. `bundled: false` leaves out what is not the organisation's own. Error: `invalid_cursor`. */
  list(
    organization: OrganizationId,
    page?: { limit?: number; cursor?: string; bundled?: boolean },
  ): Promise<{ packages: PackageSummary[]; nextCursor: string | null }>;
  /** Error: `not_found`. */
  get(organization: OrganizationId, id: string): Promise<PackageDetails>;
  /** Highest version in `range` (an exact version or a semver range; without: the highest, stable before pre-release). Errors: `not_found`, `invalid_input`. */
  resolve(organization: OrganizationId, id: string, range?: string): Promise<PackageVersion>;
}

export function createPackages({ store, artifacts, onPublished }: PackagesOptions): Packages {
  const publishContent: Packages["publishContent"] = async (organization, content, { actor, replace = false }) => {
    const { manifest, digest } = content;
    const archive = content.archive ?? (await writeArchive(content.files));
    const { row, created } = await store.transaction(async (tx) => {
      const written = await writeVersion(tx, { organization, manifest, digest, actor, replace });
      await artifacts.put(tx, { organization, digest }, archive);
      if (written.created) await onPublished?.(tx, toVersion(written.row));
      return written;
    });
    const replacesBundled =
      organization !== bundledOrganization && (await hasVersions(bundledOrganization, manifest.id));
    return { ...toVersion(row), permissions: consentOf(manifest).permissions, replacesBundled, created };
  };

  async function hasVersions(organization: OrganizationId, id: string): Promise<boolean> {
    return (await versionsOf(organization, id)).length > 0;
  }

  async function versionsOf(organization: OrganizationId, id: string) {
    const rows = await store.db
      .selectFrom("packages")
      .select(["version", "digest", "published_by", "published_at"])
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", id)
      .execute();
    return rows.sort((a, b) => rcompare(a.version, b.version));
  }

  /** The catalog that answers for this id: the organisation's own as soon as it has any version of it. */
  async function visibleVersions(organization: OrganizationId, id: string) {
    const own = await versionsOf(organization, id);
    if (own.length > 0) return { catalog: organization, versions: own };
    return { catalog: bundledOrganization, versions: await versionsOf(bundledOrganization, id) };
  }

  async function readVersion(catalog: OrganizationId, id: string, version: string): Promise<PackageVersion> {
    const row = await store.db
      .selectFrom("packages")
      .selectAll()
      .where("organization_id", "=", catalog)
      .where("plugin_id", "=", id)
      .where("version", "=", version)
      .executeTakeFirst();
    return row ? toVersion(row) : notFound(id, version);
  }

  return {
    publish: async (organization, bytes, actor) => publishContent(organization, await readPackage(bytes), { actor }),

    publishContent,

    async list(organization, { limit = 50, cursor, bundled = true } = {}) {
      const size = Math.min(Math.max(1, Math.trunc(limit)), 200);
      const [time, lastId] = cursor === undefined ? [] : decodeCursor(cursor, 2);
      if (cursor !== undefined && (!Number.isSafeInteger(time) || typeof lastId !== "string"))
        throw new BackplaneError("invalid_cursor");
      const owners = bundled ? sql`(${organization}, ${bundledOrganization})` : sql`(${organization})`;
      const after =
        cursor === undefined ? sql`true` : sql`(newest < ${time} or (newest = ${time} and plugin_id > ${lastId}))`;
      // Whole microseconds, because a Date would round and a page could repeat or lose a row.
      const page = await sql<{ organization_id: string; plugin_id: string; newest: number }>`
        select organization_id, plugin_id, newest from (
          select organization_id, plugin_id, (extract(epoch from max(published_at)) * 1000000)::bigint as newest
          from packages p
          where organization_id in ${owners} and (organization_id = ${organization} or not exists (
            select 1 from packages own where own.organization_id = ${organization} and own.plugin_id = p.plugin_id))
          group by organization_id, plugin_id
        ) visible where ${after} order by newest desc, plugin_id limit ${size + 1}`.execute(store.db);
      const shown = page.rows.slice(0, size);
      const last = page.rows.length > size ? shown.at(-1) : undefined;
      return {
        packages: await Promise.all(shown.map((row) => summary(row.organization_id, row.plugin_id))),
        nextCursor: last ? encodeCursor([Number(last.newest), last.plugin_id]) : null,
      };
    },

    async get(organization, id) {
      const { catalog, versions } = await visibleVersions(organization, id);
      const top = highest(versions.map(({ version }) => version));
      if (top === null) return notFound(id);
      const details = await readVersion(catalog, id, top);
      return {
        ...details,
        permissions: consentOf(details.manifest).permissions,
        versions: versions.map((row) => ({
          version: row.version,
          digest: asDigest(row.digest),
          publishedBy: row.published_by,
          publishedAt: row.published_at,
        })),
      };
    },

    async resolve(organization, id, range) {
      if (range !== undefined && (range.length > 128 || validRange(range) === null)) {
        const message = "Write a version such as 1.2.3, or a range such as ^1.2.0.";
        throw new BackplaneError("invalid_input", {}, { errors: [{ path: "version", message }] });
      }
      const { catalog, versions } = await visibleVersions(organization, id);
      const found = highest(
        versions.map(({ version }) => version),
        range,
      );
      return found === null ? notFound(id, range) : readVersion(catalog, id, found);
    },
  };

  async function summary(owner: string, id: string): Promise<PackageSummary> {
    const catalog = asOrganizationId(owner);
    const versions = await versionsOf(catalog, id);
    const top = highest(versions.map(({ version }) => version)) ?? "";
    const { manifest, digest, publishedAt } = await readVersion(catalog, id, top);
    return {
      id: asPluginId(id),
      name: manifest.name,
      description: manifest.description ?? null,
      version: top,
      digest,
      catalog,
      versions: versions.map(({ version }) => version),
      publishedAt,
    };
  }
}

/** Without a range: the highest stable version, or else the highest pre-release. */
function highest(versions: readonly string[], range?: string): string | null {
  return (
    maxSatisfying(versions, range ?? "*") ??
    (range === undefined ? maxSatisfying(versions, "*", { includePrerelease: true }) : null)
  );
}

function notFound(id: string, range?: string): never {
  throw new BackplaneError("not_found", { thing: range === undefined ? `package ${id}` : `package ${id}@${range}` });
}
