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
          idempotent: true,
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
      // The key is the same when the run has to do this step again: the event is published once.
      async execute({ note }, { event, run }, ctx) {
        const options = run ? { id: run.idempotencyKey } : {};
        const { id } = await ctx.emitEvent("${domain}.remembered", { note, about: event?.id ?? null }, options);
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

test("remember publishes the note, once for one step of a run", async () => {
  await using plugin = await testPlugin();
  const run = { id: "r1", idempotencyKey: "r1:0" };
  for (let time = 0; time < 2; time += 1) await plugin.action("${domain}.remember", { note: "call back" }, { event, run });
  assert.deepEqual(
    plugin.events.map(({ type, data }) => [type, (data as { note: string }).note]),
    [["${domain}.remembered", "call back"]],
  );
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
