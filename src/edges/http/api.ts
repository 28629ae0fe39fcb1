/** The whole HTTP API: the route table, the scopes beside it, and the document made of both. */
import type { FastifyInstance } from "fastify";
import { BackplaneError } from "../../errors/error.ts";
import { registerEventStream } from "./event-stream.ts";
import { buildOpenApi } from "./openapi.ts";
import type { RouteSpec } from "./route.ts";
import { eventRoutes } from "./routes/events.ts";
import { executionRoutes } from "./routes/executions.ts";
import { hubRoutes } from "./routes/hub.ts";
import { organizationRoutes } from "./routes/organizations.ts";
import { packageRoutes } from "./routes/packages.ts";
import { pluginRoutes } from "./routes/plugins.ts";
import { createHttpServer } from "./server.ts";
import type { HttpServices } from "./services.ts";
import { registerWebhooks } from "./webhook-scope.ts";

export interface ApiOptions {
  version: string;
  requestsPerSecond: number;
  stopping: AbortSignal;
  log: { error(details: object, message: string): void };
}

export function apiRoutes(
  services: HttpServices,
  { version, stopping }: Pick<ApiOptions, "version" | "stopping">,
): RouteSpec[] {
  const routes: RouteSpec[] = [
    ...hubRoutes(services, {
      openApi: () => buildOpenApi(routes, { version, url: services.publicUrl() }),
      async ready() {
        if (stopping.aborted) throw new BackplaneError("shutting_down");
        await services.store.ping();
      },
    }),
    ...organizationRoutes(services),
    ...packageRoutes(services),
    ...pluginRoutes(services),
    ...executionRoutes(services),
    ...eventRoutes(services),
  ];
  return routes;
}

export async function createApi(
  services: HttpServices,
  { version, requestsPerSecond, stopping, log }: ApiOptions,
): Promise<FastifyInstance> {
  return createHttpServer({
    routes: apiRoutes(services, { version, stopping }),
    access: services.access,
    version,
    publicUrl: () => services.publicUrl(),
    requestsPerSecond,
    extra: [
      (app, tools) => registerWebhooks(app, tools, { webhooks: services.webhooks }),
      async (app, tools) => registerEventStream(app, tools, { eventLog: services.eventLog, stopping }),
    ],
    onError: (error, context) => log.error({ err: error, ...context }, "a request failed"),
  });
}
