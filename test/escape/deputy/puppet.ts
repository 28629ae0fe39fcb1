/**
 * A hostile plugin that does what the test dictates: it uses any ability with any arguments, alone or as a flood, now or
 * after a while. One source serves many attacks, since what is attacked is the hub and not the isolate.
 */
import type { PluginSource } from "../../kit/start-test-hub.ts";

const code = `
import { definePlugin } from "@backplane/plugin-api";
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const at = (root, path) => path.split(".").reduce((found, name) => found?.[name], root);
const bytes = (value) => {
  if (Array.isArray(value)) return value.map(bytes);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$fill === "number") return new Uint8Array(value.$fill);
  if (typeof value.$text === "number") return "x".repeat(value.$text);
  if (typeof value.$utf8 === "string") return new TextEncoder().encode(value.$utf8);
  if (typeof value.$config === "string") return at(current.config, value.$config);
  if (typeof value.$join === "object") return bytes(value.$join).join("");
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, bytes(child)]));
};
let current;
const show = (value) => {
  if (value instanceof Uint8Array) return { bytes: Array.from(value.slice(0, 64)), length: value.length };
  if (value instanceof ArrayBuffer) return show(new Uint8Array(value));
  return value === undefined ? null : value;
};
const face = (ctx, path) => {
  const root = path.startsWith("crypto.subtle") ? globalThis : ctx;
  const parts = path.split(".");
  const owner = at(root, parts.slice(0, -1).join(".")) ?? (parts.length === 1 ? root : undefined);
  const target = parts.length === 1 ? root[path] : owner?.[parts.at(-1)];
  if (typeof target !== "function") throw Object.assign(new Error(path + " is absent"), { code: "absent" });
  return (...args) => target.apply(parts.length === 1 ? root : owner, args);
};
const attempt = async (work) => {
  try {
    return { ok: true, value: show(await work()) };
  } catch (error) {
    return { ok: false, name: String(error?.name), code: String(error?.code ?? error?.name), message: String(error?.message), stack: String(error?.stack ?? "") };
  }
};
const use = (ctx, { path, args = [] }) => {
  current = ctx;
  const given = bytes(args);
  return attempt(() => face(ctx, path)(...given));
};
const web = (ctx, { url, ...init }) =>
  attempt(async () => {
    current = ctx;
    const answer = await ctx.http.fetch(bytes(url), bytes(init));
    return { status: answer.status, statusText: answer.statusText, url: answer.url, headers: Object.fromEntries(answer.headers), text: await answer.text() };
  });
export default definePlugin({
  functions: {
    use: (step, ctx) => use(ctx, step),
    async late({ ms, steps }, ctx) {
      const first = await use(ctx, steps[0]);
      ctx.execution.progress("used once");
      await wait(ms);
      const rest = [];
      for (const step of steps) rest.push(await use(ctx, step));
      return { first, rest };
    },
    async many({ path, args, times, lanes = 32 }, ctx) {
      current = ctx;
      const given = bytes(args ?? []);
      const outcomes = {};
      let left = times;
      const lane = async () => {
        while (left-- > 0) {
          const { ok, code } = await attempt(() => face(ctx, path)(...given));
          outcomes[ok ? "ok" : code] = (outcomes[ok ? "ok" : code] ?? 0) + 1;
        }
      };
      await Promise.all(Array.from({ length: lanes }, lane));
      return outcomes;
    },
    async pbkdf2({ iterations, length = 256, times = 1 }) {
      const key = await crypto.subtle.importKey("raw", new Uint8Array(16), "PBKDF2", false, ["deriveBits"]);
      const one = () => attempt(() => crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-512", salt: new Uint8Array(16), iterations }, key, length));
      return Promise.all(Array.from({ length: times }, one));
    },
    async rsa({ modulusLength, exponent = [1, 0, 1], times = 1 }) {
      const one = () => attempt(async () => {
        await crypto.subtle.generateKey({ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength, publicExponent: new Uint8Array(exponent) }, true, ["sign", "verify"]);
        return "made";
      });
      return Promise.all(Array.from({ length: times }, one));
    },
    fetch: (request, ctx) => web(ctx, request),
    fetches: ({ requests }, ctx) => Promise.all(requests.map((request) => web(ctx, request))),
    config: (_, ctx) => ctx.config,
    look: (_, ctx) => ({ execution: { id: ctx.execution.id, deadline: ctx.execution.deadline.getTime(), sessionId: ctx.execution.sessionId ?? null, userId: ctx.execution.userId ?? null }, organization: ctx.organization }),
    async relay({ plugin, name, parameters }, ctx) { return attempt(() => ctx.plugins.call(plugin, name, parameters)); },
    async descend({ path }, ctx) {
      const [next, ...rest] = path;
      if (next === undefined) return { deadline: ctx.execution.deadline.getTime() };
      return ctx.plugins.call(next, "descend", { path: rest });
    },
    async hang(_, ctx) {
      ctx.execution.progress("hanging");
      const aborted = await new Promise((resolve) => { ctx.execution.signal.addEventListener("abort", () => resolve("aborted")); });
      return aborted;
    },
    fail: ({ message, name }) => { throw Object.assign(new Error(message), name ? { name } : {}); },
    giveBack: ({ value }) => bytes(value),
    spin: ({ ms }) => { const end = Date.now() + ms; while (Date.now() < end); return true; },
  },
  subscriptions: {
    "storm.*": async (event, ctx) => {
      for (let n = 0; n < (event.data?.fan ?? 1); n++) await ctx.emitEvent("storm.again", { fan: event.data?.fan ?? 1, pad: event.data?.pad }).catch((error) => ctx.logger.warn("storm ended: " + error.code));
    },
    "ping.*": async (event, ctx) => { await ctx.emitEvent("pong.sent", { from: event.id }); },
    "pong.*": async (event, ctx) => { await ctx.emitEvent("ping.sent", { from: event.id }); },
  },
  async webhook(request) {
    const wish = JSON.parse(request.rawBody || "{}");
    if (wish.show) return { body: { headers: request.headers, url: request.url } };
    return bytes(wish.answer ?? {});
  },
  channel: { type: "puppet", async handleIncomingEvent(item, ctx) { await ctx.emitEvent("puppet.item", item); } },
});
`;

const names = "use late many pbkdf2 rsa fetch fetches config look relay descend hang fail giveBack spin".split(" ");

/** Overrides fields of the manifest. */
export function puppet(manifest: Record<string, unknown> & { id: string }, subscriptions: string[] = []): PluginSource {
  const asked = [manifest["permissions"], manifest["optionalPermissions"]].flat();
  return {
    manifest: {
      name: "Puppet",
      permissions: [],
      configSchema: { type: "object", properties: {} },
      resources: { timeoutMs: 10_000, cpuMs: 5_000 },
      contributes: {
        functions: names.map((name) => ({ name, description: name })),
        subscriptions,
        ...(asked.includes("network:inbound") ? { webhook: { description: "any" } } : {}),
        channel: { description: "items", types: ["puppet"] },
      },
      ...manifest,
    },
    code,
  };
}
