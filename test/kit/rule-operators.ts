/** A plugin of small operators for tests of rules: some do their work, some fail, some never answer, some lie. Notes are entities of type `notes`. */
import type { PluginSource } from "./start-test-hub.ts";

const code = `
import { definePlugin } from "@backplane/plugin-api";
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const note = (ctx, id, fields) => ctx.data.upsert("notes", { externalId: id, ...fields });
export default definePlugin({
  functions: { notes: (_, ctx) => ctx.data.query("notes", {}, { limit: 200 }) },
  conditions: {
    "test.equals": { evaluate: ({ a, b }) => a === b },
    "test.yes": { evaluate: () => true },
    "test.no": { evaluate: () => false },
    "test.throws": { evaluate: () => { throw new Error("the condition fell over: " + "x".repeat(50)); } },
    "test.never": { evaluate: () => new Promise(() => {}) },
    "test.lies": { evaluate: () => ({ yes: true, giant: "x".repeat(100000) }) },
    "test.emits": { evaluate: async (_, context, ctx) => { await ctx.emitEvent("test.sneaky", {}); return true; } },
    "test.writes": { evaluate: async (_, context, ctx) => { await note(ctx, "sneaky", {}); return true; } },
    "test.sees": { evaluate: ({ field, value }, context) => context.event.data[field] === value },
  },
  actions: {
    "test.note": { execute: async ({ text }, context, ctx) => {
      await note(ctx, context.run.idempotencyKey, { text: String(text), rule: context.rule.id, event: context.event?.id ?? null });
      return { noted: text, key: context.run.idempotencyKey };
    } },
    "test.append": { execute: async ({ text, ms }, context, ctx) => {
      await note(ctx, crypto.randomUUID(), { text: String(text), key: context.run.idempotencyKey });
      await wait(ms ?? 0);
      return { appended: text };
    } },
    "test.again": { execute: async ({ text, ms }, context, ctx) => {
      await note(ctx, crypto.randomUUID(), { text: String(text), key: context.run.idempotencyKey });
      await wait(ms ?? 0);
      return { again: text };
    } },
    "test.emit": { execute: ({ type, data }, context, ctx) => ctx.emitEvent(type, data ?? {}, { id: context.run.idempotencyKey }) },
    "test.failUntil": { execute: async ({ times, name }, context, ctx) => {
      const tries = await ctx.data.query("notes", { text: "try:" + name });
      await note(ctx, crypto.randomUUID(), { text: "try:" + name });
      if (tries.length + 1 < times) throw new Error("not yet, " + (tries.length + 1));
      return { tries: tries.length + 1 };
    } },
    "test.fail": { execute: ({ message }) => { throw new Error(message ?? "as asked"); } },
    "test.never": { execute: () => new Promise(() => {}) },
    "test.giant": { execute: () => "x".repeat(200000) },
    "test.tellSecret": { execute: (_, context, ctx) => ({ said: "the token is " + ctx.config.shown }) },
    "comms.sendEmail": { execute: async (params, context, ctx) => { await note(ctx, context.run.idempotencyKey, { text: "email to " + params.to + ": " + params.subject }); return { to: params.to }; } },
    "comms.sendSms": { execute: async (params, context, ctx) => { await note(ctx, context.run.idempotencyKey, { text: "sms to " + params.to }); return { to: params.to }; } },
  },
  variables: {
    followUp: { list: () => [{ contactId: "c1", title: "first" }, { contactId: "c2", title: "second" }, { contactId: "c3", title: "third" }] },
    nobody: { list: () => [] },
    tooMany: { list: () => Array.from({ length: 201 }, (_, n) => ({ n })) },
    broken: { list: () => "no list" },
  },
});
`;

const parameters = (properties: Record<string, unknown>, required: string[] = []): object => ({
  parameters: { type: "object", properties, required, additionalProperties: false },
});
const text = { type: "string" };

const conditions = [
  { id: "test.equals", idempotent: true, ...parameters({ a: {}, b: {} }, ["a", "b"]) },
  { id: "test.yes" },
  { id: "test.no" },
  { id: "test.throws" },
  { id: "test.never" },
  { id: "test.lies" },
  { id: "test.emits" },
  { id: "test.writes" },
  { id: "test.sees", idempotent: true, ...parameters({ field: text, value: {} }, ["field", "value"]) },
];

const actions = [
  { id: "test.note", idempotent: true, ...parameters({ text: {} }, ["text"]) },
  { id: "test.append", ...parameters({ text: {}, ms: { type: "number" } }, ["text"]) },
  { id: "test.again", idempotent: true, ...parameters({ text: {}, ms: { type: "number" } }, ["text"]) },
  { id: "test.emit", idempotent: true, ...parameters({ type: text, data: {} }, ["type"]) },
  { id: "test.failUntil", ...parameters({ times: { type: "integer" }, name: text }, ["times", "name"]) },
  { id: "test.fail", ...parameters({ message: text }) },
  { id: "test.never" },
  { id: "test.giant" },
  { id: "test.tellSecret" },
  {
    id: "comms.sendEmail",
    idempotent: true,
    ...parameters({ to: text, subject: text, body: text }, ["to", "subject", "body"]),
  },
  { id: "comms.sendSms", idempotent: true, ...parameters({ to: text, body: text }, ["to", "body"]) },
];

/** Overrides fields of the manifest. */
export function ruleOperators(manifest: Record<string, unknown> = {}): PluginSource {
  return {
    manifest: {
      id: "acme.operators",
      type: "operator",
      permissions: ["data:read:notes", "data:write:notes", "event:publish:test.*"],
      configSchema: {
        type: "object",
        properties: { shown: { type: "string", format: "secret", expose: true } },
      },
      contributes: {
        functions: [{ name: "notes" }],
        conditions,
        actions,
        variables: [
          { name: "followUp", schema: { type: "object", properties: { contactId: text, title: text } } },
          { name: "nobody", schema: { type: "object", properties: { contactId: text } } },
          { name: "tooMany" },
          { name: "broken" },
        ],
      },
      ...manifest,
    },
    code,
  };
}

/** Stands in for `comms-rules` and its kin, so that the document's examples run. */
export function documentOperators(): PluginSource {
  return {
    manifest: {
      id: "acme.comms",
      type: "operator",
      contributes: {
        conditions: [
          {
            id: "comms.missedCalls",
            idempotent: true,
            ...parameters({ contactId: text, count: { type: "integer" } }, ["count"]),
          },
          { id: "contact.HasTag", idempotent: true, ...parameters({ tag: text, contactId: text }, ["tag"]) },
          { id: "location.IsUserAtPlace", idempotent: true, ...parameters({ placeType: text }, ["placeType"]) },
        ],
      },
    },
    code: `
import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({
  conditions: {
    "comms.missedCalls": { evaluate: ({ contactId, count }) => contactId === "c-vip" && count <= 3 },
    "contact.HasTag": { evaluate: ({ tag }, context) => tag === "vip" && context.event.data.fromContactId === "c-vip" },
    "location.IsUserAtPlace": { evaluate: ({ placeType }, context) => context.event.data.placeType === placeType },
  },
});
`,
  };
}
