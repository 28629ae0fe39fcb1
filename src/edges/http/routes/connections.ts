/** OAuth connections of a plugin: seen, made and ended; and the address that services send people back to. */
import { z } from "zod";
import { asPluginId } from "../../../base/brands.ts";
import type { CallbackOutcome, ConnectionContext } from "../../../connections/connections.ts";
import { pageOf } from "../page-of.ts";
import { Answer, defineRoute, type RouteCall, type RouteSpec } from "../route.ts";
import { listOf, page, pluginParams } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const connectionSchema = z.object({
  name: z.string(),
  title: z.string().nullable(),
  description: z.string().nullable(),
  grant: z.enum(["authorization_code", "client_credentials"]),
  status: z.enum(["not_connected", "connected", "needs_reconnect"]),
  scopes: z.array(z.string()),
  hosts: z.array(z.string()),
  account: z.string().nullable(),
  expiresAt: z.string().nullable(),
  connectedAt: z.string().nullable(),
  refreshedAt: z.string().nullable(),
  lastError: z.object({ message: z.string(), at: z.string() }).nullable(),
  redirectUri: z.string().nullable(),
});

const params = z.strictObject({ ...pluginParams.shape, name: z.string().min(1).max(64) });

const contextOf = ({ organization, actor, trace }: RouteCall<unknown, unknown, unknown>): ConnectionContext => ({
  organization,
  actor,
  trace,
});

export function connectionRoutes({
  installations,
  connections,
  publicUrl,
}: Pick<HttpServices, "installations" | "connections" | "publicUrl">): RouteSpec[] {
  const installationOf = (call: Pick<RouteCall<{ id: string }, unknown, unknown>, "organization" | "params">) =>
    installations.get(call.organization, asPluginId(call.params.id));
  return [
    defineRoute({
      method: "GET",
      path: "/api/plugins/:id/connections",
      summary: "The plugin's OAuth connections and their states, by name; never a token",
      tag: "connections",
      access: { role: "viewer" },
      params: pluginParams,
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("connections", connectionSchema) },
      errors: ["not_found", "invalid_cursor"],
      async handler(call) {
        const all = await connections.list(await installationOf(call));
        const { items, nextCursor } = pageOf(all, ({ name }) => name, call.query);
        return { connections: items, nextCursor };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/plugins/:id/connections/:name/authorize",
      summary: "Begin to connect: the address where a person agrees, good once and for ten minutes",
      tag: "connections",
      access: { role: "admin" },
      params,
      body: z.strictObject({ redirectTo: z.string().max(512).optional() }),
      success: { status: 200, schema: z.object({ url: z.string(), expiresAt: z.string() }) },
      errors: ["not_found", "conflict", "connection_refused", "secret_unreadable"],
      async handler(call) {
        const { redirectTo } = call.body;
        const { url, expiresAt } = await connections.authorize(
          contextOf(call),
          await installationOf(call),
          call.params.name,
          redirectTo === undefined ? {} : { redirectTo },
        );
        return { url, expiresAt: expiresAt.toISOString() };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/plugins/:id/connections/:name/connect",
      summary: "Connect with the client's own credentials, where nobody has to agree",
      tag: "connections",
      access: { role: "admin" },
      params,
      success: { status: 200, schema: connectionSchema },
      errors: ["not_found", "conflict", "connection_refused", "secret_unreadable"],
      handler: async (call) => connections.connect(contextOf(call), await installationOf(call), call.params.name),
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/plugins/:id/connections/:name",
      summary: "Forget the connection's tokens",
      tag: "connections",
      access: { role: "admin" },
      params,
      success: { status: 204 },
      errors: ["not_found"],
      handler: async (call) => connections.disconnect(contextOf(call), await installationOf(call), call.params.name),
    }),
    defineRoute({
      method: "GET",
      path: "/oauth/callback",
      summary: "Where a service sends a person back to",
      tag: "connections",
      access: {
        public: true,
        why: "a browser comes here from the service with no token of ours; the single-use `state` says for whom",
      },
      openQuery: true,
      success: { status: 200, schema: z.string(), contentType: "text/html", description: "A page for the person." },
      async handler({ query }, { request }) {
        // Mail scanners and previews look first; that must not use up the authorisation.
        if (request.method === "HEAD") return resultPage("invalid");
        const given = query as Record<string, unknown>;
        const { outcome, redirectTo } = await connections.callback({
          state: given["state"],
          code: given["code"],
          error: given["error"],
          iss: given["iss"],
        });
        if (outcome !== "connected" || redirectTo === undefined) return resultPage(outcome);
        return new Answer(303, "", { ...pageHeaders, location: publicUrl() + redirectTo });
      },
    }),
  ];
}

const pageHeaders = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

const pages: Record<CallbackOutcome["outcome"], { status: number; title: string; text: string }> = {
  connected: { status: 200, title: "Connected", text: "The plugin is connected. You can close this page." },
  refused: {
    status: 400,
    title: "Not connected",
    text: "The service did not agree. You can close this page and start again.",
  },
  failed: {
    status: 502,
    title: "Not connected",
    text: "The service gave no tokens. The plugin's connections in the hub say why.",
  },
  invalid: {
    status: 400,
    title: "Not connected",
    text: "This is no authorisation that the hub has begun, or it is used up or older than ten minutes. Start again.",
  },
};

/** Nothing of the request is in it. */
function resultPage(outcome: CallbackOutcome["outcome"]): Answer {
  const { status, title, text } = pages[outcome];
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body><h1>${title}</h1><p>${text}</p></body></html>\n`;
  return new Answer(status, html, pageHeaders);
}
