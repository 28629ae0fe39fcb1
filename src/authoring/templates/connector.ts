/** A plugin that brings data of a service into the unified data model. */
import type { PluginTemplate } from "./template.ts";

export const connectorTemplate: PluginTemplate = {
  description: "Brings the contacts of a service into the unified data model.",
  manifest: () => ({
    permissions: ["network:outbound:api.example.com", "data:write:contacts"],
    configSchema: {
      type: "object",
      properties: { apiKey: { type: "string", title: "API key", format: "secret", hosts: ["api.example.com"] } },
      required: ["apiKey"],
      additionalProperties: false,
    },
    contributes: {
      connector: { description: "Contacts", entities: ["contacts"] },
      functions: [
        {
          name: "countContacts",
          description: "How many contacts the service has",
          idempotent: true,
          parameters: { type: "object", properties: {}, additionalProperties: false },
          returns: { type: "object", properties: { count: { type: "integer" } }, required: ["count"] },
        },
      ],
    },
  }),
  files: () => ({
    code: `import { definePlugin, type Entity, type PluginContext, type RawItem, type SecretHandle, type SyncOptions } from "@backplane/plugin-api";

interface Config {
  /** A sealed secret: the hub fills it in, toward api.example.com only. */
  apiKey: SecretHandle;
}

interface Contact {
  id: string;
  name: string;
  email?: string;
  updatedAt: string;
}

interface Page {
  contacts: Contact[];
  next?: string;
}

type Ctx = PluginContext<Config>;

async function page(ctx: Ctx, query: Record<string, string>): Promise<Page> {
  const url = new URL("https://api.example.com/v1/contacts");
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return ctx.http.get<Page>(url, { authorization: \`Bearer \${ctx.config.apiKey}\` });
}

export default definePlugin<Config>({
  connector: {
    // Without cursors of its own, the hub remembers the latest \`updatedAt\` of a complete sync and gives it as \`since\`.
    async *sync({ since }: SyncOptions, ctx: Ctx): AsyncGenerator<RawItem> {
      let cursor: string | undefined;
      do {
        const { contacts, next } = await page(ctx, { ...(since && { since }), ...(cursor && { cursor }) });
        for (const contact of contacts) yield { id: contact.id, type: "contact", data: contact, updatedAt: contact.updatedAt };
        cursor = next;
      } while (cursor !== undefined);
    },
    mapToUnifiedModel(item: RawItem): Entity[] {
      const { id, name, email } = item.data as Contact;
      return [{ type: "contacts", externalId: id, data: { displayName: name, ...(email && { emails: [{ address: email }] }) } }];
    },
  },
  functions: {
    async countContacts(_parameters, ctx) {
      const { contacts } = await page(ctx, {});
      return { count: contacts.length };
    },
  },
});
`,
    test: `import assert from "node:assert/strict";
import { test } from "node:test";
import { testPlugin } from "@backplane/plugin-api/testing";

const ada = { id: "7", name: "Ada", email: "ada@example.com", updatedAt: "2026-01-01T00:00:00Z" };
const bob = { id: "8", name: "Bob", updatedAt: "2026-01-02T00:00:00Z" };

test("the service is asked with the sealed key", async () => {
  await using plugin = await testPlugin({
    config: { apiKey: "k-123" },
    http: [{ method: "GET", url: "https://api.example.com/v1/contacts", answer: { body: { contacts: [ada] } } }],
  });
  assert.deepEqual(await plugin.call("countContacts"), { count: 1 });
  assert.equal(plugin.requests[0]?.headers["authorization"], "Bearer k-123");
});

test("a sync stores contacts of the data model, page after page", async () => {
  await using plugin = await testPlugin({
    config: { apiKey: "k-123" },
    http: [
      { method: "GET", url: "https://api.example.com/v1/contacts", times: 1, answer: { body: { contacts: [ada], next: "p2" } } },
      { method: "GET", url: "https://api.example.com/v1/contacts?cursor=p2", answer: { body: { contacts: [bob] } } },
    ],
  });
  const { counts } = await plugin.sync();
  assert.equal(counts.created, 2);
  const [first, second] = await plugin.rows("contacts");
  assert.deepEqual([first?.["displayName"], first?.["emails"]], ["Ada", [{ address: "ada@example.com" }]]);
  assert.equal(second?.["displayName"], "Bob");
});
`,
    readme: `## Configuration

| field | meaning |
| --- | --- |
| \`apiKey\` | key of the service, sealed: it reaches api.example.com only |

## Permissions

| permission | why |
| --- | --- |
| \`network:outbound:api.example.com\` | to read contacts |
| \`data:write:contacts\` | what a sync stores |
`,
  }),
};
