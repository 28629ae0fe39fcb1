/** A plugin with a function and a subscription. */
import type { PluginTemplate } from "./template.ts";

export const domainTemplate: PluginTemplate = {
  description: "Greets people, and notes every order that it sees.",
  manifest: ({ domain }) => ({
    permissions: [`event:publish:${domain}.*`, "event:subscribe:order.*"],
    configSchema: {
      type: "object",
      properties: {
        greeting: { type: "string", title: "Greeting", description: "The word before the name.", maxLength: 100 },
      },
      required: ["greeting"],
      additionalProperties: false,
    },
    defaultConfig: { greeting: "Hello" },
    contributes: {
      functions: [
        {
          name: "hello",
          description: "Greets someone",
          idempotent: true,
          parameters: {
            type: "object",
            properties: { who: { type: "string", maxLength: 200 } },
            required: ["who"],
            additionalProperties: false,
          },
          returns: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
        },
      ],
      subscriptions: ["order.*"],
    },
  }),
  files: ({ domain }) => ({
    code: `import { definePlugin } from "@backplane/plugin-api";

interface Config {
  greeting: string;
}

export default definePlugin<Config>({
  functions: {
    async hello({ who }: { who: string }, ctx) {
      return { text: \`\${ctx.config.greeting}, \${who}\` };
    },
  },
  subscriptions: {
    // An event may come again after a failure, so a handler must bear repetition: the same id is accepted once.
    async "order.*"(event, ctx) {
      ctx.logger.info(\`saw \${event.type}\`, { id: event.id });
      await ctx.emitEvent("${domain}.saw", { id: event.id }, { id: \`saw-\${event.id}\` });
    },
  },
});
`,
    test: `import assert from "node:assert/strict";
import { test } from "node:test";
import { testPlugin } from "@backplane/plugin-api/testing";

test("hello greets with the configured word", async () => {
  await using plugin = await testPlugin({ config: { greeting: "Moin" } });
  assert.deepEqual(await plugin.call("hello", { who: "Ada" }), { text: "Moin, Ada" });
});

test("an order is noted with an event of our own", async () => {
  await using plugin = await testPlugin();
  await plugin.deliver({ type: "order.created", id: "o-1", data: { total: 12 } });
  assert.deepEqual(
    plugin.events.map(({ type, data }) => ({ type, data })),
    [{ type: "${domain}.saw", data: { id: "o-1" } }],
  );
  assert.equal(plugin.logs[0]?.message, "saw order.created");
});
`,
    readme: `## Configuration

| field | meaning |
| --- | --- |
| \`greeting\` | the word before the name |

## Permissions

| permission | why |
| --- | --- |
| \`event:subscribe:order.*\` | to see orders |
| \`event:publish:${domain}.*\` | to say that it saw one |
`,
  }),
};
