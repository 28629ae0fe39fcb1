/**
 * `testPlugin`: installs the plugin under test in an organisation of its own and calls it through the one invocation path,
 * so that schemas, grants, limits and the sandbox hold as in production. Long because it is one object with a method for
 * each contribution.
 */
import { resolve } from "node:path";
import type {
  RecordedEvent,
  RecordedLog,
  TestCallError,
  TestEvent,
  TestedPlugin,
  TestPluginOptions,
  TestWebhookRequest,
} from "../../plugin-api/src/testing.ts";
import { asOrganizationId, asPluginId, type OrganizationId, type PluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import { isObject } from "../base/json.ts";
import { createEntities } from "../entities/entities.ts";
import { toBackplaneError } from "../errors/error.ts";
import { takesIncoming } from "../incoming/incoming.ts";
import type { ContributionKind } from "../invocation/execution-record.ts";
import { matchesEventPattern } from "../manifest/event-pattern.ts";
import type { LoadedFolder } from "../packages/load-folder.ts";
import { loadFolder } from "../packages/load-folder.ts";
import { connectorKit } from "./connector-kit.ts";
import { diagnosticsOf, formatDiagnostic } from "./diagnostic.ts";
import type { Conversation } from "./scripted-services.ts";
import type { KitHub, TestedHub } from "./tested-hub.ts";

export interface PluginKitOptions {
  /** The folder under test. */
  dir: string;
  hub(): Promise<KitHub>;
}

const actor = "test";
const webhookBase = "https://hub.test/webhooks";

export function createPluginKit({
  dir: defaultDir,
  hub: start,
}: PluginKitOptions): (options: TestPluginOptions) => Promise<TestedPlugin> {
  const folders = new Map<string, Promise<LoadedFolder>>();
  let count = 0;

  return async function testPlugin({
    dir = defaultDir,
    config,
    grants = "all",
    connections = {},
    http = [],
    data = {},
  }) {
    const { hub, services } = await start();
    const path = resolve(dir);
    const loading = folders.get(path) ?? loadFolder(path);
    folders.set(path, loading);
    try {
      const folder = await loading;
      const organization = asOrganizationId(`test-${process.pid}-${++count}`);
      const id = asPluginId(folder.manifest.id);
      await hub.access.createOrganization({ id: organization, name: "Test", actor });
      await seed(hub, organization, data);
      await hub.packages.publishContent(organization, folder, { actor });
      await hub.lifecycle.install(
        { organization, actor },
        { id, version: folder.manifest.version, grants, ...(config === undefined ? {} : { config }) },
      );
      // Nothing syncs but what the test syncs.
      if (folder.manifest.contributes?.connector) await hub.connectors.pause({ organization, plugin: id, actor });
      const installation = await hub.lifecycle.activate({ organization, actor }, id);
      for (const [name, accessToken] of Object.entries(connections))
        await hub.connections.adopt({ organization, actor }, installation, name, { accessToken });
      return testedPlugin({ hub, organization, id, conversation: services.open(http) });
    } catch (error) {
      throw testError(error);
    }
  };
}

async function seed(
  { store, eventLog }: TestedHub,
  organization: OrganizationId,
  data: Record<string, readonly object[]>,
): Promise<void> {
  const entities = createEntities({ store, eventLog });
  const write = { organization, plugin: asPluginId("backplane.test"), execution: null, traceparent: "", eventDepth: 0 };
  for (const [entity, rows] of Object.entries(data))
    await entities.upsert(write, entity, rows as Record<string, unknown>[]);
}

interface Under {
  hub: TestedHub;
  organization: OrganizationId;
  id: PluginId;
  conversation: Conversation;
}

function testedPlugin({ hub, organization, id, conversation }: Under): TestedPlugin {
  const context = { organization, actor };
  const webhookUrl = `${webhookBase}/${organization}/${id}`;
  let events: RecordedEvent[] = [];
  let logs: RecordedLog[] = [];

  const look = async (): Promise<void> => {
    await hub.recorder.flush();
    [events, logs] = await Promise.all([eventsOf(hub, organization, id), logsOf(hub, organization, id)]);
  };
  const run = async <T>(
    kind: ContributionKind,
    name: string,
    args: readonly unknown[],
    extra: { sessionId?: string; channel?: string } = {},
  ): Promise<T> => {
    try {
      const { record, error } = await hub.invoker.run({ organization, plugin: id, kind, name, args, actor, ...extra });
      if (error) throw testError(error, record.error?.stack, conversation);
      return (record.result ?? null) as T;
    } catch (error) {
      throw testError(error, undefined, conversation);
    } finally {
      await look();
    }
  };
  const connector = connectorKit({
    ...{ hub, organization, id, actor },
    failure: (error, stack) => testError(error, stack, conversation),
  });
  const change = async (work: () => Promise<unknown>): Promise<void> => {
    await work().catch((error: unknown) => {
      throw testError(error);
    });
  };
  const close = async (): Promise<void> => {
    conversation[Symbol.dispose]();
    await hub.lifecycle.uninstall(context, id).catch(() => {});
  };

  return {
    id,
    webhookUrl,
    call: (name, parameters = {}, options = {}) => run("function", name, [parameters], options),
    async deliver(event) {
      const { manifest } = await hub.installations.get(organization, id);
      const patterns = (manifest.contributes.subscriptions ?? []).filter((pattern) =>
        matchesEventPattern(pattern, event.type),
      );
      if (patterns.length === 0)
        throw new Error(
          `The plugin subscribes to nothing that ${event.type} matches. Name it in contributes.subscriptions of plugin.json.`,
        );
      for (const pattern of patterns) await run("subscription", pattern, [envelope(event, organization)]);
    },
    async webhook(request = {}) {
      const answer = await run<unknown>("webhook", "webhook", [rawRequest(request, webhookUrl)], {});
      const {
        status = 200,
        headers = {},
        body = "",
        accept = [],
      } = (isObject(answer) ? answer : {}) as {
        status?: number;
        headers?: Record<string, string>;
        body?: unknown;
        accept?: unknown[];
      };
      const { manifest } = await hub.installations.get(organization, id);
      const kind = takesIncoming(manifest) ? "connector" : "channel";
      for (const item of accept) await connector.incoming(kind, item).finally(look);
      return { status, headers, body, accepted: accept };
    },
    channel: <T>(method: string, ...args: unknown[]) =>
      method === "handleIncomingEvent"
        ? connector.incoming<T>("channel", args[0]).finally(look)
        : run<T>("channel", method, args),
    sync: (options = {}) => connector.sync(options).finally(look),
    connector: <T>(method: string, ...args: unknown[]) =>
      method === "handleIncomingEvent"
        ? connector.incoming<T>("connector", args[0]).finally(look)
        : run<T>("connector", method, args),
    condition: (name, parameters = {}, given = {}) =>
      run("condition", name, [parameters, ruleContext(given, organization)]),
    action: (name, parameters = {}, given = {}) => run("action", name, [parameters, ruleContext(given, organization)]),
    variable: (name, given = {}) => run("variable", name, [ruleContext(given, organization)]),
    dataAdapter: (name, method, ...args) => run("data_adapter", `${name}.${method}`, args),
    health: () => run("health", "health", []),
    configure: (config) => change(() => hub.lifecycle.configure(context, id, config)),
    grant: (grants) => change(() => hub.lifecycle.grant(context, id, grants)),
    async rows(entity) {
      const rows = await createEntities(hub).query(organization, entity, {}, { limit: 200, orderBy: "createdAt" });
      return rows;
    },
    get events() {
      return events;
    },
    get logs() {
      return logs;
    },
    get requests() {
      return conversation.requests;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function eventsOf({ store }: TestedHub, organization: OrganizationId, id: PluginId): Promise<RecordedEvent[]> {
  const rows = await store.db
    .selectFrom("events")
    .select(["id", "type", "subject", "data"])
    .where("organization_id", "=", organization)
    .where("source", "=", `/plugins/${id}`)
    .where("type", "not like", "data.%")
    .orderBy("seq")
    .execute();
  return rows.map(({ id: event, type, subject, data }) => ({
    id: event,
    type,
    ...(subject === null ? {} : { subject }),
    data,
  }));
}

async function logsOf({ store }: TestedHub, organization: OrganizationId, id: PluginId): Promise<RecordedLog[]> {
  const rows = await store.db
    .selectFrom("execution_logs")
    .select(["level", "message", "data"])
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", id)
    .orderBy("seq")
    .execute();
  return rows.map(({ level, message, data }) => ({
    level: level as RecordedLog["level"],
    message,
    ...(data === null ? {} : { data }),
  }));
}

function envelope(
  { type, data = null, subject, id = newId() }: TestEvent,
  organization: OrganizationId,
): Record<string, unknown> {
  return {
    specversion: "1.0",
    id,
    type,
    source: "/test",
    ...(subject === undefined ? {} : { subject }),
    time: new Date().toISOString(),
    data,
    organization,
  };
}

function rawRequest(
  { method = "POST", path = "", headers = {}, body = "" }: TestWebhookRequest,
  base: string,
): Record<string, unknown> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const given = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const type = typeof body === "string" ? {} : { "content-type": "application/json" };
  return { method, url: base + path, headers: { host: new URL(base).host, ...type, ...given }, rawBody: text };
}

function ruleContext(given: object, organization: OrganizationId): Record<string, unknown> {
  const { event, ...rest } = given as { event?: TestEvent };
  return {
    rule: { id: "test", name: "Test" },
    organization,
    ...rest,
    ...(event === undefined ? {} : { event: envelope(event, organization) }),
  };
}

/** As a caller in production would see it, with the plugin's own stack and every faulty field. */
function testError(error: unknown, stack?: string, conversation?: Conversation): Error {
  if ((error as Error).name === "TestCallError") return error as Error;
  const known = toBackplaneError(error);
  if (known.code === "internal") return error instanceof Error ? error : known;
  const faults = diagnosticsOf(known).map((fault) => `\n  ${formatDiagnostic(fault)}`);
  const silent = conversation?.unanswered.at(-1);
  const hint = silent
    ? `\n  No script answered ${silent.method} ${silent.url}; add one to testPlugin({ http: […] }).`
    : "";
  const shown = new Error(`${known.message}${faults.join("")}${hint}`);
  const guest = stack ?? known.guestStack;
  Object.assign(shown, {
    name: "TestCallError",
    code: known.code,
    ...(known.errors ? { errors: known.errors } : {}),
  } satisfies Partial<TestCallError>);
  shown.stack = `TestCallError [${known.code}]: ${shown.message}${
    guest
      ? `\n${guest
          .split("\n")
          .filter((line) => /^\s+at /.test(line))
          .join("\n")}`
      : ""
  }`;
  return shown;
}
