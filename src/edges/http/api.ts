/** The whole HTTP API: the route table, and the server and the document made of it. */
import type { FastifyInstance } from "fastify";
import { BackplaneError } from "../../errors/error.ts";
import { buildOpenApi } from "./openapi.ts";
import type { RouteSpec } from "./route.ts";
import { connectionRoutes } from "./routes/connections.ts";
import { connectorRoutes } from "./routes/connectors.ts";
import { entityRoutes } from "./routes/entities.ts";
import { eventStreamRoute } from "./routes/event-stream.ts";
import { eventRoutes } from "./routes/events.ts";
import { executionRoutes } from "./routes/executions.ts";
import { hubRoutes } from "./routes/hub.ts";
import { messageRoutes } from "./routes/messages.ts";
import { organizationRoutes } from "./routes/organizations.ts";
import { packageRoutes } from "./routes/packages.ts";
import { pluginRoutes } from "./routes/plugins.ts";
import { ruleRoutes } from "./routes/rules.ts";
import { webhookRoutes } from "./routes/webhooks.ts";
import { createHttpServer, type HttpServerOptions } from "./server.ts";
import type { HttpServices } from "./services.ts";

export interface ApiOptions {
  version: string;
  requestsPerSecond: number;
  trustProxy?: HttpServerOptions["trustProxy"];
  observe?: HttpServerOptions["observe"];
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
    ...connectionRoutes(services),
    ...connectorRoutes(services),
    ...entityRoutes(services),
    ...executionRoutes(services),
    ...eventRoutes(services),
    eventStreamRoute(services, stopping),
    ...messageRoutes(services),
    ...ruleRoutes(services),
    ...webhookRoutes(services),
  ];
  return routes;
}

export async function createApi(
  services: HttpServices,
  { version, requestsPerSecond, trustProxy, observe, stopping, log }: ApiOptions,
): Promise<FastifyInstance> {
  return createHttpServer({
    routes: apiRoutes(services, { version, stopping }),
    access: services.access,
    version,
    requestsPerSecond,
    stopping,
    ...(trustProxy === undefined ? {} : { trustProxy }),
    ...(observe ? { observe } : {}),
    onError: (error, context) => log.error({ err: error, ...context }, "a request failed"),
  });
}
