/** A plugin with OAuth connections for tests: it calls the API with their handles, and tries what it must not do. */
import type { PluginSource } from "./start-test-hub.ts";

const code = `
import { definePlugin, isHttpError } from "@backplane/plugin-api";
const bearer = (ctx, name = "account") => ({ authorization: "Bearer " + ctx.config[name] });
const told = async (work) => {
  try { return { ok: await work() }; } catch (error) { return { name: error.name, code: error.code, message: error.message, retryAfter: error.retryAfter }; }
};
export default definePlugin({
  functions: {
    config: (_p, ctx) => ({ ...ctx.config }),
    me: (_p, ctx) => ctx.http.get("https://api.vendor.com/me", bearer(ctx)),
    post: ({ text }, ctx) => ctx.http.post("https://api.vendor.com/me", { text, token: ctx.config.account }, bearer(ctx)),
    machine: (_p, ctx) => ctx.http.get("https://api.vendor.com/me", bearer(ctx, "machine")),
    status: async ({ url }, ctx) => (await ctx.http.fetch(url, { headers: bearer(ctx) })).status,
    get: ({ url, as }, ctx) => told(() => ctx.http.get(url, bearer(ctx, as))),
    bare: ({ url }, ctx) => told(() => ctx.http.get(url)),
    pages: async (_p, ctx) => {
      const items = [];
      for (let page = 0; page !== null; ) {
        const answer = await ctx.http.get("https://api.vendor.com/page?page=" + page, bearer(ctx));
        items.push(...answer.items);
        page = answer.next;
      }
      return items;
    },
    abort: async ({ url }, ctx) => {
      const stop = new AbortController();
      const asked = ctx.http.fetch(url, { signal: stop.signal }).catch((error) => error.name);
      setTimeout(() => stop.abort(), 300);
      return asked;
    },
    hmac: (_p, ctx) => told(() => ctx.crypto.hmac({ key: ctx.config.account, data: "x", encoding: "hex" })),
    compare: ({ guess }, ctx) => told(() => ctx.crypto.timingSafeEqual(ctx.config.account, guess)),
  },
});`;

export const connectedConfig = { clientId: "client-1", clientSecret: "the-client-secret", tenant: "acme tenant" };

export function connectedPlugin(more: Record<string, unknown> = {}): PluginSource {
  return {
    manifest: {
      id: "acme.connected",
      permissions: [
        "network:outbound:login.vendor.com",
        "network:outbound:api.vendor.com",
        "network:outbound:other.vendor.com",
      ],
      configSchema: {
        type: "object",
        properties: {
          clientId: { type: "string" },
          clientSecret: { type: "string", format: "secret" },
          tenant: { type: "string" },
        },
      },
      contributes: {
        functions: [
          "config",
          "me",
          "post",
          "machine",
          "status",
          "get",
          "bare",
          "pages",
          "hmac",
          "compare",
          "abort",
        ].map((name) => ({
          name,
        })),
        connections: {
          account: {
            grant: "authorization_code",
            authorizationUrl: "https://login.vendor.com/{tenant}/authorize",
            tokenUrl: "https://login.vendor.com/{tenant}/token",
            scopes: ["read", "write"],
            hosts: ["api.vendor.com"],
            parameters: { access_type: "offline" },
          },
          machine: {
            grant: "client_credentials",
            tokenUrl: "https://login.vendor.com/token",
            hosts: ["api.vendor.com"],
            clientAuthentication: "post",
          },
        },
      },
      ...more,
    },
    code,
  };
}
