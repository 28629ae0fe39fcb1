/** A plugin that takes signed webhooks and sends messages. */
import type { PluginTemplate } from "./template.ts";

export const channelTemplate: PluginTemplate = {
  description: "Takes messages from a service by signed webhook, and sends messages over it.",
  manifest: () => ({
    permissions: [
      "network:inbound",
      "network:outbound:api.example.com",
      "event:publish:comms.*",
      "data:write:conversations",
      "data:write:messages",
    ],
    configSchema: {
      type: "object",
      properties: {
        apiKey: { type: "string", title: "API key", format: "secret", hosts: ["api.example.com"] },
        signingSecret: { type: "string", title: "Signing secret", format: "secret" },
      },
      required: ["apiKey", "signingSecret"],
      additionalProperties: false,
    },
    contributes: {
      channel: { description: "Messages", types: ["chat"], idempotent: true },
      webhook: { description: "Where the service posts new messages" },
    },
  }),
  files: () => ({
    code: `import { definePlugin, type OutboundMessage, ref, type SecretHandle } from "@backplane/plugin-api";

interface Config {
  /** Sealed secrets: the hub fills them in, and the plugin never sees them. */
  apiKey: SecretHandle;
  signingSecret: SecretHandle;
}

interface Incoming {
  id: string;
  from: string;
  text: string;
  sentAt: string;
}

export default definePlugin<Config>({
  async webhook({ headers, rawBody }, ctx) {
    const expected = await ctx.crypto.hmac({ key: ctx.config.signingSecret, data: rawBody, encoding: "hex" });
    if (!(await ctx.crypto.timingSafeEqual(headers["x-signature"] ?? "", expected))) return { status: 403 };
    return { accept: [JSON.parse(rawBody)] };
  },
  channel: {
    // Stored and published together. The service's ids make it harmless that the same message may come twice.
    async handleIncomingEvent(payload) {
      const { id, from, text, sentAt } = payload as Incoming;
      const conversation = \`chat:\${from}\`;
      const conversationId = ref("conversations", conversation);
      return {
        entities: [
          {
            type: "conversations",
            externalId: conversation,
            data: { channel: "chat", participants: [{ address: from }], lastInboundAt: sentAt },
          },
          {
            type: "messages",
            externalId: id,
            data: { conversationId, channel: "chat", direction: "inbound", from, body: text, sentAt, status: "received" },
          },
        ],
        events: [
          {
            type: "comms.MessageReceived",
            data: { messageId: ref("messages", id), conversationId, channel: "chat", from, body: text },
            id: \`message-\${id}\`,
            subject: from,
          },
        ],
      };
    },
    // The service knows a repeated key: the manifest's \`idempotent\` says so, and the hub may try again when it is in doubt.
    async sendMessage({ id, to, body }: OutboundMessage, ctx) {
      const headers = { authorization: \`Bearer \${ctx.config.apiKey}\`, "idempotency-key": id };
      const sent = await ctx.http.post<{ id: string }>("https://api.example.com/v1/messages", { to, text: body }, headers);
      return { externalId: sent.id, status: "sent" };
    },
  },
});
`,
    test: `import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { testPlugin } from "@backplane/plugin-api/testing";

const config = { apiKey: "k-123", signingSecret: "s-456" };
const body = JSON.stringify({ id: "m1", from: "+15550001", text: "Hi", sentAt: "2026-01-02T03:04:05Z" });
const sign = (text: string): string => createHmac("sha256", config.signingSecret).update(text).digest("hex");

test("a signed message becomes a row of its conversation and an event, once", async () => {
  await using plugin = await testPlugin({ config });
  for (let time = 0; time < 2; time += 1) {
    const answer = await plugin.webhook({ body, headers: { "x-signature": sign(body) } });
    assert.equal(answer.status, 200);
  }
  const [conversation] = await plugin.rows("conversations");
  const messages = await plugin.rows("messages");
  assert.deepEqual(
    messages.map((message) => [message["body"], message["conversationId"]]),
    [["Hi", conversation?.["id"]]],
  );
  const received = plugin.events.filter((event) => event.type === "comms.MessageReceived");
  assert.deepEqual(
    received.map((event) => event.subject),
    ["+15550001"],
  );
});

test("a message with a wrong signature is refused", async () => {
  await using plugin = await testPlugin({ config });
  const answer = await plugin.webhook({ body, headers: { "x-signature": sign("something else") } });
  assert.equal(answer.status, 403);
  assert.deepEqual(plugin.events, []);
});

test("sendMessage posts with the sealed key", async () => {
  await using plugin = await testPlugin({
    config,
    http: [{ method: "POST", url: "https://api.example.com/v1/messages", answer: { status: 201, body: { id: "x9" } } }],
  });
  const receipt = await plugin.channel("sendMessage", { id: "1", to: "+15550001", body: "Hello" });
  assert.deepEqual(receipt, { externalId: "x9", status: "sent" });
  assert.equal(plugin.requests[0]?.headers["authorization"], "Bearer k-123");
  assert.deepEqual(plugin.requests[0]?.json, { to: "+15550001", text: "Hello" });
});
`,
    readme: `## Configuration

| field | meaning |
| --- | --- |
| \`apiKey\` | key of the service, sealed |
| \`signingSecret\` | what the service signs its webhooks with, sealed |

Point the service's webhook at \`/webhooks/<organisation>/<this plugin's id>\` of your hub.

## Permissions

| permission | why |
| --- | --- |
| \`network:inbound\` | to receive webhooks |
| \`network:outbound:api.example.com\` | to send messages |
| \`event:publish:comms.*\` | to tell of messages that came |
| \`data:write:conversations\` | one for each address |
| \`data:write:messages\` | what came in |
`,
  }),
};
