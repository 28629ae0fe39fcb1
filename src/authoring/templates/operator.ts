/** A plugin with a condition and an action for rules. */
import type { PluginTemplate } from "./template.ts";

export const operatorTemplate: PluginTemplate = {
  description: "A condition and an action that rules can use.",
  manifest: ({ domain }) => ({
    permissions: [`event:publish:${domain}.*`],
    contributes: {
      conditions: [
        {
          id: `${domain}.isAbove`,
          name: "Amount is above",
          parameters: {
            type: "object",
            properties: { limit: { type: "number" } },
            required: ["limit"],
            additionalProperties: false,
          },
          idempotent: true,
        },
      ],
      actions: [
        {
          id: `${domain}.remember`,
          name: "Remember",
          parameters: {
            type: "object",
            properties: { note: { type: "string", maxLength: 500 } },
            required: ["note"],
            additionalProperties: false,
          },
        },
      ],
    },
  }),
  files: ({ domain }) => ({
    code: `import { definePlugin } from "@backplane/plugin-api";

export default definePlugin({
  conditions: {
    "${domain}.isAbove": {
      // Only looks: a rule may ask more than once.
      evaluate({ limit }, { event }) {
        const { total } = (event?.data ?? {}) as { total?: unknown };
        return typeof total === "number" && total > Number(limit);
      },
    },
  },
  actions: {
    "${domain}.remember": {
      async execute({ note }, { event }, ctx) {
        const { id } = await ctx.emitEvent("${domain}.remembered", { note, about: event?.id ?? null });
        return { id };
      },
    },
  },
});
`,
    test: `import assert from "node:assert/strict";
import { test } from "node:test";
import { testPlugin } from "@backplane/plugin-api/testing";

const event = { type: "order.created", data: { total: 12 } };

test("isAbove compares the event's total with the limit", async () => {
  await using plugin = await testPlugin();
  assert.equal(await plugin.condition("${domain}.isAbove", { limit: 10 }, { event }), true);
  assert.equal(await plugin.condition("${domain}.isAbove", { limit: 20 }, { event }), false);
});

test("remember publishes the note", async () => {
  await using plugin = await testPlugin();
  await plugin.action("${domain}.remember", { note: "call back" }, { event });
  assert.equal(plugin.events[0]?.type, "${domain}.remembered");
});
`,
    readme: `## Conditions and actions

| id | does |
| --- | --- |
| \`${domain}.isAbove\` | true when the event's \`total\` is above \`limit\` |
| \`${domain}.remember\` | publishes \`${domain}.remembered\` with the \`note\` |

## Permissions

| permission | why |
| --- | --- |
| \`event:publish:${domain}.*\` | to publish what it remembers |
`,
  }),
};
