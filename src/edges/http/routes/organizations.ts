/** Organisations and their API keys. */
import { z } from "zod";
import { asOrganizationId } from "../../../base/brands.ts";
import { defineRoute, type RouteSpec } from "../route.ts";
import { listOf, page } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const organization = z.object({ id: z.string(), name: z.string(), createdAt: z.string() });
const apiKey = z.object({
  id: z.string(),
  name: z.string(),
  role: z.enum(["viewer", "member", "admin"]),
  createdAt: z.string(),
  lastUsedAt: z.string().nullable(),
});
const orgParams = z.strictObject({ org: z.string().max(100) });

export function organizationRoutes({ access }: HttpServices): RouteSpec[] {
  return [
    defineRoute({
      method: "POST",
      path: "/api/organizations",
      summary: "Create an organisation",
      tag: "organizations",
      access: { hubAdmin: true },
      body: z.strictObject({ id: z.string().min(1).max(63), name: z.string().min(1).max(200) }),
      success: { status: 201, schema: organization },
      errors: ["conflict"],
      handler: ({ body, actor }) => access.createOrganization({ ...body, actor }),
    }),
    defineRoute({
      method: "GET",
      path: "/api/organizations",
      summary: "List organisations, newest first",
      tag: "organizations",
      access: { hubAdmin: true },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("organizations", organization) },
      handler: ({ query }) => access.listOrganizations(query),
    }),
    defineRoute({
      method: "POST",
      path: "/api/organizations/:org/api-keys",
      summary: "Make an API key; it is shown this once",
      tag: "organizations",
      access: { role: "admin" },
      params: orgParams,
      body: z.strictObject({ name: z.string().min(1).max(200), role: z.enum(["viewer", "member", "admin"]) }),
      success: {
        status: 201,
        schema: z.object({ id: z.string(), key: z.string(), name: z.string(), role: z.string() }),
      },
      handler: ({ params, body, actor }) =>
        access.createKey({ organization: asOrganizationId(params.org), ...body, actor }),
    }),
    defineRoute({
      method: "GET",
      path: "/api/organizations/:org/api-keys",
      summary: "List API keys, newest first",
      tag: "organizations",
      access: { role: "admin" },
      params: orgParams,
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("apiKeys", apiKey) },
      handler: ({ params, query }) => access.listKeys(asOrganizationId(params.org), query),
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/organizations/:org/api-keys/:keyId",
      summary: "Revoke an API key",
      tag: "organizations",
      access: { role: "admin" },
      params: z.strictObject({ org: z.string().max(100), keyId: z.string().max(100) }),
      success: { status: 204 },
      errors: ["not_found"],
      handler: ({ params, actor }) =>
        access.deleteKey({ organization: asOrganizationId(params.org), keyId: params.keyId, actor }),
    }),
  ];
}
