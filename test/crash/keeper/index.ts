/** Keeps a row for everything that reached it: by event, by asynchronous call, by webhook. */
import { definePlugin, type PluginContext } from "@backplane/plugin-api";

const keep = (ctx: PluginContext, id: string): Promise<unknown> =>
  ctx.data.upsert("kept", { externalId: id, seen: true });

export default definePlugin({
  functions: {
    keep: ({ id }: { id: string }, ctx) => keep(ctx, id),
    async missing({ ids }: { ids: string[] }, ctx) {
      const found = await Promise.all(ids.map((id) => ctx.data.query("kept", { externalId: id }, { limit: 1 })));
      return ids.filter((_, n) => found[n]!.length === 0);
    },
  },
  subscriptions: {
    "order.*": (event, ctx) => keep(ctx, event.id),
  },
  webhook: (request) => ({ status: 200, accept: [{ id: (JSON.parse(request.rawBody) as { id: string }).id }] }),
  channel: {
    async handleIncomingEvent(payload, ctx) {
      await keep(ctx, (payload as { id: string }).id);
    },
    async sendMessage() {},
  },
});
