/** A plugin that takes signed webhooks and sends messages. */
import type { PluginTemplate } from "./template.ts";

export const channelTemplate: PluginTemplate = {
  description: "Takes messages from a service by signed webhook, and sends messages over it.",
  manifest: () => ({
    permissions: ["network:inbound", "network:outbound:api.example.com", "event:publish:comms.*"],
    configSchema: {
      type: "object",
      properties: {
        apiKey: { type: "string", title: "API key", format: "secret", hosts: ["api.example.com"] },
        signingSecret: { type: "string", title: "Signing secret", format: "secret", hosts: ["api.example.com"] },
      },
      required: ["apiKey", "signingSecret"],
      additionalProperties: false,
    },
    contributes: {
      channel: { description: "Messages", types: ["chat"] },
      webhook: { description: "Where the service posts new messages" },
    },
  }),
  files: () => ({
    code: `import { definePlugin, type OutboundMessage, type SecretHandle } from "@backplane/plugin-api";

interface Config {
  /** Sealed secrets: the hub fills them in, and the plugin never sees them. */
  apiKey: SecretHandle;
  signingSecret: SecretHandle;
}

interface Incoming {
  id: string;
  from: string;
  text: string;
}

export default definePlugin<Config>({
  async webhook({ headers, rawBody }, ctx) {
    const expected = await ctx.crypto.hmac({ key: ctx.config.signingSecret, data: rawBody, encoding: "hex" });
    if (!(await ctx.crypto.timingSafeEqual(headers["x-signature"] ?? "", expected))) return { status: 403 };
    return { accept: [JSON.parse(rawBody)] };
  },
  channel: {
    // Comes again after a failure: the event's id makes that harmless.
    async handleIncomingEvent(payload, ctx) {
      const { id, from, text } = payload as Incoming;
      await ctx.emitEvent("comms.MessageReceived", { from, body: text }, { id: \`message-\${id}\`, subject: from });
    },
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
const body = JSON.stringify({ id: "m1", from: "+15550001", text: "Hi" });
const sign = (text: string): string => createHmac("sha256", config.signingSecret).update(text).digest("hex");

test("a signed message becomes an event", async () => {
  await using plugin = await testPlugin({ config });
  const answer = await plugin.webhook({ body, headers: { "x-signature": sign(body) } });
  assert.equal(answer.status, 200);
  assert.deepEqual(plugin.events[0]?.data, { from: "+15550001", body: "Hi" });
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
`,
  }),
};
