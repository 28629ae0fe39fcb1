/** Executions: what ran, for whom, how long, and how it ended. */
import { z } from "zod";
import { presentExecution } from "../../../invocation/execution-record.ts";
import { defineRoute, type RouteSpec } from "../route.ts";
import { executionSchema, listOf, page } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const idParams = z.strictObject({ id: z.string().max(100) });

export function executionRoutes({ executions }: HttpServices): RouteSpec[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/executions",
      summary: "List executions, newest first",
      tag: "executions",
      access: { role: "viewer" },
      query: z.strictObject({
        ...page,
        plugin: z.string().max(200).optional(),
        status: z.enum(["queued", "running", "succeeded", "failed", "cancelled"]).optional(),
        contribution: z.string().max(200).optional(),
        traceId: z.string().max(64).optional(),
        parent: z.string().max(100).optional(),
        since: z.iso.datetime({ offset: true }).optional(),
      }),
      success: { status: 200, schema: listOf("executions", executionSchema) },
      async handler({ organization, query }) {
        const { since, ...filter } = query;
        const defined = Object.fromEntries(
          Object.entries(filter).filter(([, value]) => value !== undefined),
        ) as typeof filter;
        const { executions: found, nextCursor } = await executions.list(organization, {
          ...(defined as object),
          ...(since === undefined ? {} : { since: new Date(since) }),
        });
        return { executions: found.map(presentExecution), nextCursor };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/executions/:id",
      summary: "One execution",
      tag: "executions",
      access: { role: "viewer" },
      params: idParams,
      success: { status: 200, schema: executionSchema },
      errors: ["not_found"],
      handler: async ({ organization, params }) => presentExecution(await executions.get(organization, params.id)),
    }),
    defineRoute({
      method: "POST",
      path: "/api/executions/:id/cancel",
      summary: "Cancel: a queued one ends, a running one is stopped",
      tag: "executions",
      access: { role: "member" },
      params: idParams,
      success: { status: 200, schema: executionSchema },
      errors: ["not_found", "conflict"],
      handler: async ({ organization, params }) => presentExecution(await executions.cancel(organization, params.id)),
    }),
  ];
}
