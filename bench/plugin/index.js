import { definePlugin } from "@backplane/plugin-api";

const bytes = new TextEncoder().encode("a few bytes to digest");

export default definePlugin({
  functions: {
    async noop({ id }) {
      return { ok: true, id };
    },
    async digest({ id }) {
      const hash = await crypto.subtle.digest("SHA-256", bytes);
      return { id, length: hash.byteLength };
    },
    async read({ id }, ctx) {
      return { row: await ctx.data.getById("contacts", id) };
    },
    async readMany({ id, count }, ctx) {
      for (let n = 0; n < count; n++) await ctx.data.getById("contacts", id);
    },
    async fetchMany({ count }, ctx) {
      for (let n = 0; n < count; n++) await ctx.http.get("https://api.bench.example.com/hello");
    },
    async emitMany({ count }, ctx) {
      for (let n = 0; n < count; n++) await ctx.emitEvent("bench.happened", { n });
    },
  },
  subscriptions: {
    async "order.*"() {},
  },
  conditions: {
    "bench.over": { evaluate: ({ amount, limit }) => amount > limit },
  },
  actions: {
    "bench.nod": { execute() {} },
  },
});
