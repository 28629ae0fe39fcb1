/** A plugin that does what tests ask of it: echo, throw, hang, burn CPU, report progress, and use its abilities. */
import type { PluginSource } from "./start-test-hub.ts";

const code = `
import { definePlugin } from "@backplane/plugin-api";
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default definePlugin({
  functions: {
    echo: (parameters, ctx) => ({ parameters, config: ctx.config, organization: ctx.organization, sessionId: ctx.execution.sessionId ?? null }),
    fail: ({ message }) => { throw new Error(message ?? "as asked"); },
    hang: () => new Promise(() => {}),
    spin: () => { for (;;); },
    nothing: () => undefined,
    badResult: () => ({ count: "many" }),
    async sleep({ ms }, ctx) { await wait(ms); ctx.logger.info("slept " + ms); return { ms }; },
    async steps({ count, ms }, ctx) {
      for (let step = 1; step <= count; step++) { ctx.execution.progress({ step, count }); await wait(ms); }
      return { count };
    },
    async mark({ name, ms }, ctx) {
      await ctx.data.upsert("marks", { externalId: name + ":" + ctx.execution.id });
      await wait(ms ?? 0);
      return name;
    },
    retriable: async ({ name, ms }, ctx) => {
      await ctx.data.upsert("marks", { externalId: name + ":" + crypto.randomUUID(), name });
      await wait(ms ?? 0);
      return name;
    },
    query: ({ entity, filter }, ctx) => ctx.data.query(entity, filter ?? {}),
    get: ({ entity, id }, ctx) => ctx.data.getById(entity, id),
    upsert: ({ entity, items }, ctx) => ctx.data.upsert(entity, items),
    emit: ({ type, data, id }, ctx) => ctx.emitEvent(type, data, id ? { id } : {}),
    abilities: (_, ctx) => ({ storage: "storage" in ctx && ctx.storage !== undefined, call: ctx.plugins !== undefined }),
  },
  subscriptions: {
    "order.*": async (event, ctx) => {
      if (event.data?.poison) throw new Error("poisoned");
      await ctx.emitEvent("seen.order", { id: event.id }, { id: "seen:" + event.id });
    },
  },
  channel: {
    type: "probe",
    async handleIncomingEvent(item, ctx) { await ctx.emitEvent("seen.item", item); },
  },
  async webhook(request, ctx) {
    const url = new URL(request.url);
    const mode = url.searchParams.get("mode");
    if (mode === "throw") throw new Error("no");
    if (mode === "hang") await new Promise(() => {});
    if (mode === "wrong") return { status: 42 };
    if (mode === "refuse") return { status: 403, body: "no", accept: [] };
    if (mode === "headers") return { status: 201, headers: { "X-Own": "1", "set-cookie": "a=b", "content-type": "text/html" }, body: "<b>hi</b>" };
    if (mode === "void") return;
    if (mode === "redirect") return { status: 302, headers: { Location: url.searchParams.get("to") } };
    if (mode === "accept") return { body: { taken: true }, accept: JSON.parse(request.rawBody) };
    return { body: { method: request.method, url: request.url, type: request.headers["content-type"] ?? null, rawBody: request.rawBody } };
  },
});
`;

const names = "echo fail hang spin nothing sleep steps mark query get upsert emit abilities".split(" ");

const required = [
  "data:read:marks",
  "data:write:marks",
  "event:publish:seen.*",
  "event:subscribe:order.*",
  "network:outbound:api.vendor.com",
];

/** Overrides fields of the manifest. */
export function probe(manifest: Record<string, unknown> = {}): PluginSource {
  return {
    manifest: {
      id: "acme.probe",
      name: "Probe",
      permissions: required,
      optionalPermissions: ["network:inbound"],
      configSchema: {
        type: "object",
        properties: {
          greeting: { type: "string", minLength: 2 },
          token: { type: "string", format: "secret", pattern: "^tok-", hosts: ["api.vendor.com"] },
        },
        additionalProperties: false,
      },
      resources: { timeoutMs: 20_000, cpuMs: 300 },
      contributes: {
        functions: [
          ...names.map((name) => ({ name, description: name })),
          { name: "retriable", description: "may run twice", idempotent: true },
          {
            name: "badResult",
            description: "x",
            returns: { type: "object", properties: { count: { type: "number" } } },
          },
          {
            name: "strict",
            description: "x",
            parameters: {
              type: "object",
              properties: { who: { type: "string" }, n: { type: "integer" } },
              required: ["who"],
              additionalProperties: false,
            },
          },
        ],
        subscriptions: ["order.*"],
        webhook: { description: "any" },
        channel: { description: "items", types: ["probe"] },
      },
      ...manifest,
    },
    code,
  };
}
