/** Calls of the puppet in a real hub, in few words, and what all deputy tests assert about an answer. */
import assert from "node:assert/strict";
import { readArchive, writeArchive } from "../../../src/packages/archive.ts";
import { type PluginSource, packSource, type TestAnswer, type TestHub } from "../../kit/start-test-hub.ts";
import { puppet } from "./puppet.ts";

/**
 * Publishes over HTTP, installs with all grants, configures and activates. The code, equal in all puppets, is bundled once;
 * what differs is the manifest.
 */
export async function installPuppet(
  hub: TestHub,
  org: string,
  source: PluginSource,
  { config = {}, grants = "all" }: { config?: object; grants?: "all" | string[] } = {},
): Promise<void> {
  const published = await publishPuppet(hub, org, source);
  assert.equal(published.status, 201, published.text);
  const { id } = source.manifest;
  const installed = await hub.request("POST", "/api/plugins", { org, body: { id, grants, config } });
  assert.equal(installed.status, 201, installed.text);
  const active = await hub.request("POST", `/api/plugins/${encodeURIComponent(id)}/activate`, { org });
  assert.equal(active.status, 200, active.text);
}

export async function publishPuppet(hub: TestHub, org: string, source: PluginSource): Promise<TestAnswer> {
  const body = await packPuppet(source);
  return hub.request("POST", "/api/packages", { org, body, headers: { "content-type": "application/gzip" } });
}

export async function packPuppet(source: PluginSource): Promise<Uint8Array> {
  template ??= packSource(puppet({ id: "evil.template" })).then(readArchive);
  const files = new Map(await template);
  const { entrypoint } = JSON.parse(Buffer.from(files.get("plugin.json")!).toString());
  files.set("plugin.json", Buffer.from(JSON.stringify({ version: "1.0.0", ...source.manifest, entrypoint })));
  return writeArchive(files);
}
let template: ReturnType<typeof readArchive> | undefined;

export interface Outcome {
  ok: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into values of every shape, and assert what they find.
  value?: any;
  code?: string;
  message?: string;
  stack?: string;
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
type Anything = any;

/** Calls a function of a puppet and gives its result. */
export async function act(
  hub: TestHub,
  org: string,
  plugin: string,
  name: string,
  parameters: object = {},
): Promise<Anything> {
  const answer = await hub.call(org, plugin, name, parameters);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.result;
}

export const use = (hub: TestHub, org: string, plugin: string, path: string, ...args: unknown[]): Promise<Outcome> =>
  act(hub, org, plugin, "use", { path, args });

/** No host path, stack or secret is in it. */
export function assertClean(text: string, secrets: readonly string[] = []): void {
  assert.doesNotMatch(text, /node:internal|node_modules|\/src\/[a-z]+\/|file:\/\/\//, text);
  for (const secret of secrets) assert.equal(text.includes(secret), false, `a secret is in ${text.slice(0, 2000)}`);
}

export function assertProblem(answer: TestAnswer, status: number, code?: string): void {
  assert.equal(answer.status, status, answer.text);
  if (code !== undefined) assert.equal(answer.body?.code, code, answer.text);
  assertClean(answer.text);
}

/** Every row of the tables that people and plugins can read, as text: to search for what must not be there. */
export async function everythingRecorded({ hub }: TestHub): Promise<string> {
  const tables = [
    "executions",
    "execution_logs",
    "events",
    "deliveries",
    "audit_log",
    "installation_transitions",
    "entities",
  ] as const;
  const parts = await Promise.all(
    tables.map(async (table) =>
      JSON.stringify(
        await hub.store.db
          .selectFrom(table as "events")
          .selectAll()
          .execute(),
      ),
    ),
  );
  return parts.join("\n");
}
