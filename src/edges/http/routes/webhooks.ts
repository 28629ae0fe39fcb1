/** `/webhooks/:org/:pluginId[/…]`: any method, raw bytes in, the plugin's own answer out. Open to all: the plugin verifies its vendor. */
import { z } from "zod";
import { asOrganizationId, asPluginId } from "../../../base/brands.ts";
import { Answer, defineRoute, type RouteSpec } from "../route.ts";
import type { HttpServices } from "../services.ts";

/** Bytes of an inbound request. */
const maxBytes = 1024 * 1024;
const paths = {
  "/webhooks/:org/:pluginId": z.strictObject({ org: z.string(), pluginId: z.string() }),
  "/webhooks/:org/:pluginId/*": z.strictObject({ org: z.string(), pluginId: z.string(), "*": z.string() }),
} as const;

export function webhookRoutes({ webhooks, access }: Pick<HttpServices, "webhooks" | "access">): RouteSpec[] {
  return Object.entries(paths).map(([path, params]) =>
    defineRoute({
      method: "ANY",
      path,
      summary: "Inbound request for a plugin",
      tag: "webhooks",
      access: { public: true, why: "vendors send no token of ours; the plugin verifies their signature" },
      params,
      openQuery: true,
      raw: { types: ["*"], maxBytes },
      success: { status: 200, schema: z.string(), contentType: "*/*", description: "What the plugin answers." },
      errors: ["not_found", "payload_too_large", "plugin_error", "deadline_exceeded", "runner_lost", "rate_limited"],
      async handler({ params: { org, pluginId }, body, headers, trace }, { request }) {
        const answer = await webhooks.receive({
          organization: asOrganizationId(org),
          plugin: asPluginId(pluginId),
          method: request.method,
          path: request.raw.url ?? request.url,
          headers: await withoutOurs(flat(headers), access),
          body: Buffer.isBuffer(body) ? body : new Uint8Array(),
          trace,
        });
        // A plugin answers machines. Should a browser read it, it must not run as a page of the hub's origin.
        return new Answer(answer.status, answer.body, {
          "content-type": "text/plain; charset=utf-8",
          ...answer.headers,
          "content-security-policy": "sandbox; default-src 'none'",
          "x-content-type-options": "nosniff",
        });
      },
    }),
  );
}

/** A vendor's credentials are the plugin's to check. A key of this hub, or a cookie of its origin, came by mistake and is not. */
async function withoutOurs(
  { cookie: _cookie, ...headers }: Record<string, string>,
  access: Pick<HttpServices["access"], "authenticate">,
): Promise<Record<string, string>> {
  if (headers["authorization"] === undefined || !(await access.authenticate(headers["authorization"]))) return headers;
  const { authorization: _authorization, ...rest } = headers;
  return rest;
}

function flat(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
    ),
  );
}
