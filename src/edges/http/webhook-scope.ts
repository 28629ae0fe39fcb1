/** `/webhooks/:org/:pluginId[/…]`: any method, raw bytes in, the plugin's own answer out. Open to all: the plugin verifies its vendor. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { asOrganizationId, asPluginId } from "../../base/brands.ts";
import type { Webhooks } from "../../webhooks/webhooks.ts";
import type { HttpTools } from "./server.ts";

/** Bytes of an inbound request. */
const maxBytes = 1024 * 1024;
const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

export async function registerWebhooks(
  app: FastifyInstance,
  tools: HttpTools,
  { webhooks }: { webhooks: Webhooks },
): Promise<void> {
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      "*",
      { parseAs: "buffer", bodyLimit: maxBytes },
      async (_request: FastifyRequest, body: Buffer) => body,
    );
    for (const url of ["/webhooks/:org/:pluginId", "/webhooks/:org/:pluginId/*"]) {
      scope.route({
        method: methods,
        url,
        bodyLimit: maxBytes,
        exposeHeadRoute: false,
        handler: async (request, reply) => {
          const { org, pluginId } = request.params as { org: string; pluginId: string };
          const answer = await webhooks.receive({
            organization: asOrganizationId(org),
            plugin: asPluginId(pluginId),
            method: request.method,
            path: request.raw.url ?? request.url,
            headers: flat(request.headers),
            body: Buffer.isBuffer(request.body) ? request.body : new Uint8Array(),
            trace: tools.traceOf(request),
          });
          // A plugin answers machines. Should a browser read it, it must not run as a page of the hub's origin.
          return reply
            .code(answer.status)
            .headers({
              "content-type": "text/plain; charset=utf-8",
              ...answer.headers,
              "content-security-policy": "sandbox; default-src 'none'",
              "x-content-type-options": "nosniff",
            })
            .send(answer.body);
        },
      });
    }
  });
}

function flat(headers: FastifyRequest["headers"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
    ),
  );
}
