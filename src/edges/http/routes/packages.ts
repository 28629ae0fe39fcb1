/** The catalog: publishing, and what can be installed. */
import { z } from "zod";
import { bundledOrganization, type PackageSummary } from "../../../packages/packages.ts";
import { defineRoute, type RouteSpec } from "../route.ts";
import { listOf, page, pluginParams } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const permission = z.object({
  permission: z.string(),
  required: z.boolean(),
  sentence: z.string(),
  risk: z.enum(["low", "medium", "high"]),
});
const published = z.object({
  id: z.string(),
  version: z.string(),
  digest: z.string(),
  manifest: z.record(z.string(), z.unknown()),
  permissions: z.array(permission),
});
const summary = z.object({ id: z.string(), name: z.string(), version: z.string(), versions: z.array(z.string()) });

/** `packageLimits.archiveBytes`, so that the transport refuses what the reader would. */
const maxPackageBytes = 10 * 1024 * 1024;

export function packageRoutes({ packages }: HttpServices): RouteSpec[] {
  return [
    defineRoute({
      method: "POST",
      path: "/api/packages",
      summary: "Publish a plugin package",
      tag: "packages",
      // It only becomes installable: running it takes an admin.
      access: { role: "member" },
      raw: {
        types: ["application/gzip", "application/x-gzip", "application/octet-stream", "application/x-tar"],
        maxBytes: maxPackageBytes,
      },
      success: { status: 201, schema: published },
      errors: ["invalid_package", "invalid_manifest", "package_exists", "payload_too_large"],
      async handler({ organization, body, actor }) {
        const { id, version, digest, manifest, permissions, replacesBundled } = await packages.publish(
          organization,
          (body as Uint8Array | undefined) ?? new Uint8Array(),
          actor,
        );
        return { id, version, digest, manifest, permissions, replacesBundled };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/packages",
      summary: "List what the organisation can install",
      tag: "packages",
      access: { role: "viewer" },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("packages", summary) },
      handler: ({ organization, query }) => packages.list(organization, compact(query)),
    }),
    defineRoute({
      method: "GET",
      path: "/api/packages/:id",
      summary: "A package with its versions and permissions",
      tag: "packages",
      access: { role: "viewer" },
      params: pluginParams,
      success: { status: 200, schema: z.record(z.string(), z.unknown()) },
      errors: ["not_found"],
      handler: ({ organization, params }) => packages.get(organization, params.id),
    }),
    defineRoute({
      method: "GET",
      path: "/api/catalog",
      summary: "The bundled plugins, open to all",
      tag: "packages",
      access: { public: true, why: "bundled plugins are the same for everybody and hold nothing of an organisation" },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("packages", summary) },
      async handler({ query }) {
        const { packages: all, nextCursor } = await packages.list(bundledOrganization, compact(query));
        return { packages: all as PackageSummary[], nextCursor };
      },
    }),
  ];
}

const compact = ({
  limit,
  cursor,
}: {
  limit: number;
  cursor?: string | undefined;
}): { limit: number; cursor?: string } => ({ limit, ...(cursor === undefined ? {} : { cursor }) });
