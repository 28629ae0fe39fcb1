/** What the engine's tests share: one store, hubs of it that can die, and connectors that run in this process by the guest's own batching. */
import type { SyncOptions } from "../../plugin-api/src/connector.ts";
import type { ManifestContributes } from "../../plugin-api/src/manifest.ts";
import {
  asExecutionId,
  asInstallationId,
  asOrganizationId,
  asPluginId,
  type OrganizationId,
  type PluginId,
} from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import { createDeliveries, type Deliveries } from "../bus/deliveries.ts";
import { createEventLog } from "../bus/event-log.ts";
import { createEntities } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import { createInstallations, type Installation, type Installations } from "../installations/installations.ts";
import type { InvokeOutcome, InvokeRequest, Invoker, InvokeStream } from "../invocation/invoker.ts";
import { createJobs } from "../jobs/jobs.ts";
import { connectorBuiltIns, textOfChunk } from "../runtimes/isolate/guest/connector-batches.ts";
import type { Store } from "../store/store.ts";
import { type Connectors, type ConnectorsOptions, createConnectors } from "./connectors.ts";

export interface ScriptedItem {
  id: string;
  type: string;
  updatedAt?: string;
  cursor?: unknown;
  deleted?: boolean;
  total?: number;
  data?: Record<string, unknown>;
}

/** A connector as an author writes it, but in this process. */
export interface ScriptedConnector {
  sync?(options: SyncOptions): AsyncGenerator<ScriptedItem, unknown, undefined>;
  mapToUnifiedModel?(item: ScriptedItem): unknown;
  handleIncomingEvent?(payload: unknown): unknown;
  registerRealtimeListener?(webhookUrl: string): unknown;
  executeAction?(action: unknown): unknown;
}

export const scriptedPlugin = asPluginId("acme.crm");

/** What a plugin threw, as the hub sees it. */
export function vendorError(guest: { status?: number; retryAfter?: number; code?: string } = {}): BackplaneError {
  return new BackplaneError("plugin_error", { plugin: scriptedPlugin, reason: "the vendor failed", guest });
}

const thrown = (error: unknown): BackplaneError =>
  error instanceof BackplaneError
    ? error
    : new BackplaneError("plugin_error", { plugin: scriptedPlugin, reason: (error as Error).message });

const mapToContact = (item: ScriptedItem): unknown => [
  { type: "contacts", data: { displayName: item.id, ...item.data } },
];

/** An invoker whose one plugin is `connectorOf(organization)`. */
export function scriptedInvoker(
  connectorOf: (organization: string) => ScriptedConnector,
  limits: { items?: number } = {},
): Pick<Invoker, "run" | "stream"> {
  const methodOf = (organization: string) => (name: string) => {
    const connector: Record<string, unknown> = { mapToUnifiedModel: mapToContact, ...connectorOf(organization) };
    const run = connector[name];
    return typeof run === "function" ? { run: run as (...args: unknown[]) => unknown, self: connector } : undefined;
  };
  const outcomeOf = (request: InvokeRequest, id: string, result: unknown, error?: unknown): InvokeOutcome =>
    ({
      record: {
        id: asExecutionId(id),
        result,
        traceId: "1".repeat(32),
        spanId: "1".repeat(16),
        plugin: request.plugin,
      },
      ...(error === undefined ? {} : { error: thrown(error) }),
    }) as unknown as InvokeOutcome;

  return {
    async run(request) {
      const id = newId();
      const find = methodOf(request.organization);
      const builtIn = connectorBuiltIns[request.name]?.(find) ?? find(request.name)?.run;
      if (!builtIn)
        return outcomeOf(
          request,
          id,
          null,
          new BackplaneError("handler_missing", { plugin: request.plugin, name: request.name }),
        );
      try {
        return outcomeOf(request, id, JSON.parse(JSON.stringify((await builtIn(...request.args, {})) ?? null)));
      } catch (error) {
        return outcomeOf(request, id, null, error);
      }
    },
    async stream(request): Promise<InvokeStream> {
      const id = newId();
      const ended = Promise.withResolvers<InvokeOutcome>();
      const [options, given] = request.args as [SyncOptions, object];
      const batches = connectorBuiltIns["syncBatches"]!(methodOf(request.organization))!(
        options,
        { ...given, ...limits },
        {},
      ) as AsyncGenerator<unknown, unknown, undefined>;
      return {
        execution: asExecutionId(id),
        outcome: ended.promise,
        async *[Symbol.asyncIterator]() {
          try {
            for (;;) {
              const step = await batches.next();
              if (step.done) {
                ended.resolve(outcomeOf(request, id, JSON.parse(JSON.stringify(step.value ?? null))));
                return;
              }
              yield Buffer.from(textOfChunk(step.value)!);
            }
          } catch (error) {
            ended.resolve(outcomeOf(request, id, null, error));
          } finally {
            ended.resolve(outcomeOf(request, id, null, new BackplaneError("cancelled")));
            await batches.return(undefined);
          }
        },
      };
    },
  };
}

export interface TestEngine extends AsyncDisposable {
  node: string;
  connectors: Connectors;
  deliveries: Deliveries;
  installations: Installations;
  tick(): Promise<void>;
}

export interface EngineOptions
  extends Partial<Pick<ConnectorsOptions, "maxFailures" | "backoff" | "itemsPerCall" | "tickMs">> {
  store: Store;
  invoker: Pick<Invoker, "run" | "stream">;
  /** Runs its jobs by itself. @default false */
  jobs?: boolean;
}

/** One hub's engine. */
export async function startEngine({
  store,
  invoker,
  jobs: runsJobs = false,
  ...more
}: EngineOptions): Promise<TestEngine> {
  const node = newId();
  const log = {
    error: (details: object, message: string) => console.error(message, details),
    warn: () => {},
    info: () => {},
    debug: () => {},
  };
  const eventLog = createEventLog({ store });
  const entities = createEntities({ store, eventLog });
  const installations = await createInstallations({ store });
  const deliveries = createDeliveries({ store, nodeId: node, limits: { pollMs: 50, graceMs: 50 } });
  const works: (() => Promise<unknown>)[] = [];
  const jobs = createJobs({ store, log });
  const connectors = createConnectors({
    ...{ store, node, deliveries, invoker, installations, entities, eventLog, log },
    jobs: {
      ...jobs,
      every(name, ms, work, options) {
        if (name === "connectors" || name === "connector listeners")
          works.push(() => work(new AbortController().signal));
        return jobs.every(name, ms, work, options);
      },
    },
    publicUrl: () => "https://hub.test",
    backoff: { baseMs: 5, capMs: 20 },
    ...more,
  });
  await deliveries.start();
  if (runsJobs) jobs.start();
  return {
    ...{ node, connectors, deliveries, installations },
    async tick() {
      for (const work of works) await work();
    },
    async [Symbol.asyncDispose]() {
      await jobs.stop();
      await deliveries.stop();
      await connectors[Symbol.asyncDispose]();
      await installations[Symbol.asyncDispose]();
    },
  };
}

export interface InstallOptions {
  connector?: ManifestContributes["connector"];
  grants?: string[];
  timeoutMs?: number;
}

let made = 0;

/** An organisation with the scripted plugin, active. */
export async function installScripted(
  { store, installations }: { store: Store; installations: Installations },
  {
    connector = {},
    grants = ["data:write:contacts", "network:inbound", "event:publish:crm.*"],
    timeoutMs,
  }: InstallOptions = {},
): Promise<OrganizationId> {
  made += 1;
  const organization = asOrganizationId(`org-${made}`);
  await store.db.insertInto("organizations").values({ id: organization, name: organization }).execute();
  await insertScripted({ store, installations }, organization, {
    connector,
    grants,
    ...(timeoutMs ? { timeoutMs } : {}),
  });
  return organization;
}

async function insertScripted(
  { store, installations }: { store: Store; installations: Installations },
  organization: OrganizationId,
  { connector, grants, timeoutMs }: InstallOptions,
): Promise<void> {
  const plugin: PluginId = scriptedPlugin;
  const now = new Date();
  const installation: Installation = {
    ...{
      organization,
      plugin,
      id: asInstallationId(newId()),
      name: "CRM",
      version: "1.0.0",
      digest: null,
      catalog: organization,
    },
    manifest: {
      ...{ id: plugin, name: "CRM", version: "1.0.0", type: "connector", runtime: "isolate" },
      ...{ permissions: [], optionalPermissions: [], contributes: { connector } },
      ...(timeoutMs === undefined ? {} : { resources: { timeoutMs } }),
    } as unknown as Installation["manifest"],
    ...{ runtime: "isolate", status: "active", statusReason: null, health: "unknown", healthReason: null },
    ...{ config: {}, grants: grants ?? [], approved: [], revision: 1, installedAt: now, updatedAt: now },
  };
  await store.transaction((tx) => installations.insert(tx, installation));
  installations.committed({ organization, plugin });
}
