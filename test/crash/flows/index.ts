/** A connector, a channel and rule operators over one small vendor: everything whose outcome a kill must not change. */
import { definePlugin, ref } from "@backplane/plugin-api";

interface Page {
  items: { id: string; name: string; updatedAt: string; deleted?: boolean }[];
  next: number | null;
}

export default definePlugin({
  webhook(request) {
    return { status: 200, body: "", accept: [JSON.parse(request.rawBody)] };
  },
  channel: {
    async handleIncomingEvent(payload) {
      const { id, from } = payload as { id: string; from: string };
      return {
        entities: [
          {
            type: "messages",
            externalId: id,
            data: {
              channel: "test",
              direction: "inbound",
              from,
              to: ["us"],
              body: `hello from ${from}`,
              sentAt: "2026-01-01T00:00:00Z",
              status: "received",
            },
          },
        ],
        events: [
          {
            type: "comms.MessageReceived",
            data: { messageId: ref("messages", id), externalId: id, from, channel: "test" },
            id,
          },
        ],
      };
    },
    async sendMessage(message, ctx) {
      const answer = await ctx.http.post<{ id: string }>(
        `https://vendor.test/send?org=${ctx.organization}`,
        { to: message.to, body: message.body },
        { "idempotency-key": message.id },
      );
      return { externalId: answer.id, status: "sent" };
    },
  },
  connector: {
    async *sync({ cursor }, ctx) {
      for (let at: number | null = typeof cursor === "number" ? cursor : 0; at !== null; ) {
        const page: Page = await ctx.http.get<Page>(`https://vendor.test/items?at=${at}&org=${ctx.organization}`);
        for (const [n, item] of page.items.entries()) {
          const isLast = n === page.items.length - 1;
          yield {
            id: item.id,
            type: "contact",
            updatedAt: item.updatedAt,
            data: item,
            ...(item.deleted ? { deleted: true } : {}),
            // A page counts as read with its last item.
            ...(isLast ? { cursor: page.next ?? at + page.items.length } : {}),
          };
        }
        at = page.next;
      }
    },
    mapToUnifiedModel({ id, data }) {
      return [{ type: "contacts", externalId: id, data: { displayName: (data as { name: string }).name } }];
    },
  },
  conditions: {
    "flows.isNew": {
      async evaluate(_params, context, ctx) {
        const { externalId } = context.event!.data as { externalId: string };
        const rows = await ctx.data.query("messages", { externalId }, { limit: 2 });
        return rows.length === 1;
      },
    },
  },
  actions: {
    "flows.note": {
      async execute({ title }, context, ctx) {
        await ctx.data.upsert("tasks", { externalId: context.run!.idempotencyKey, title, status: "open" });
      },
    },
    "flows.reply": {
      async execute({ to, body }, context, ctx) {
        await ctx.emitEvent(
          "comms.MessageRequested",
          { channel: "test", to, body },
          { id: context.run!.idempotencyKey },
        );
      },
    },
  },
});
