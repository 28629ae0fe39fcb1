/** The hub itself: alive, ready, metrics, the document of the API, the audit log, and what `doctor` prints. */
import { z } from "zod";
import { Answer, defineRoute, type RouteSpec } from "../route.ts";
import { listOf, page } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

export interface HubRoutesOptions {
  /** The document of all routes; known once they are listed. */
  openApi(): unknown;
  ready(): Promise<void>;
}

const probe = "load balancers and orchestrators ask without a token; it tells nothing but up or down";
const status = z.object({ status: z.string() });

export function hubRoutes(services: HttpServices, { openApi, ready }: HubRoutesOptions): RouteSpec[] {
  return [
    defineRoute({
      method: "GET",
      path: "/healthz",
      summary: "Alive",
      tag: "hub",
      access: { public: true, why: probe },
      openQuery: true,
      success: { status: 200, schema: status },
      handler: async () => ({ status: "ok" }),
    }),
    defineRoute({
      method: "GET",
      path: "/readyz",
      summary: "Ready for work",
      tag: "hub",
      access: { public: true, why: probe },
      openQuery: true,
      success: { status: 200, schema: status },
      errors: ["database_unavailable", "shutting_down"],
      async handler() {
        await ready();
        return { status: "ready" };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/metrics",
      summary: "Prometheus metrics",
      tag: "hub",
      access: { hubAdmin: true },
      success: { status: 200, contentType: "text/plain" },
      async handler() {
        const { contentType, body } = await services.metrics();
        return new Answer(200, body, { "content-type": contentType });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/openapi.json",
      summary: "This API as an OpenAPI 3.1 document",
      tag: "hub",
      access: { public: true, why: "the API's description is the same for everybody" },
      success: { status: 200, schema: z.record(z.string(), z.unknown()) },
      handler: async () => openApi(),
    }),
    defineRoute({
      method: "GET",
      path: "/api/doctor",
      summary: "Which walls, keys and drivers are active",
      tag: "hub",
      access: { hubAdmin: true },
      success: { status: 200, schema: z.record(z.string(), z.unknown()) },
      handler: () => services.diagnose(),
    }),
    defineRoute({
      method: "GET",
      path: "/api/audit",
      summary: "The audit log of the organisation, newest first",
      tag: "hub",
      access: { role: "admin" },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("entries", z.record(z.string(), z.unknown())) },
      handler: ({ organization, query }) => services.audit.list(organization, query),
    }),
    defineRoute({
      method: "GET",
      path: "/api/audit/verify",
      summary: "Check that no entry of the audit log was changed, removed or put in",
      tag: "hub",
      access: { role: "admin" },
      success: { status: 200, schema: z.record(z.string(), z.unknown()) },
      handler: ({ organization }) => services.audit.verifyChain(organization),
    }),
  ];
}
