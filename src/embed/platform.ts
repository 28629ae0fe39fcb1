/**
 * The embedding API: a hub inside another program. `createPlatform` opens one, `runtime(organisation)` is its view of one
 * organisation, with MLEbotics' names for the life of a plugin.
 */
import { isAbsolute } from "node:path";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import type { Access } from "../access/access.ts";
import { asOrganizationId, asPluginId, type OrganizationId } from "../base/brands.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Health, Installation, InstallationStatus, Installations } from "../installations/installations.ts";
import { presentExecution } from "../invocation/execution-record.ts";
import type { Executions } from "../invocation/executions.ts";
import type { Invoker } from "../invocation/invoker.ts";
import type { Lifecycle } from "../lifecycle/lifecycle.ts";
import { assertManifest } from "../manifest/parse-manifest.ts";
import { loadFolder } from "../packages/load-folder.ts";
import type { Packages } from "../packages/packages.ts";
import { pendingPermissions } from "../policy/consent.ts";
import { maskConfig } from "../secrets/config.ts";
import type { Store } from "../store/store.ts";
import { assertOutsideEvent } from "../subscriptions/outside-event.ts";
import { formatTraceparent, newTrace } from "../telemetry/trace.ts";

/** What the embedding API needs of a hub; the composition root supplies it. */
export interface EmbeddedHub {
  store: Store;
  access: Access;
  installations: Installations;
  lifecycle: Lifecycle;
  packages: Packages;
  invoker: Invoker;
  executions: Executions;
  eventLog: EventLog;
  close(): Promise<void>;
}

export interface PlatformOptions {
  /** Folder of the embedded store, artifact cache and keys. @default ".backplane" */
  dataDir?: string;
  databaseUrl?: string;
  natsUrl?: string;
  /** Base64 of 32 bytes; required with `databaseUrl`. */
  masterKey?: string;
  /** @default "organisation" */
  isolation?: "organisation" | "plugin" | "shared";
  /** @default "warn" */
  logLevel?: "debug" | "info" | "warn" | "error" | "silent";
}

/** An installation as the embedder sees it; secrets in `config` are masked. */
export interface Plugin {
  id: string;
  name: string;
  version: string;
  status: InstallationStatus;
  statusReason: string | null;
  health: Health;
  grants: string[];
  pendingPermissions: string[];
  config: Record<string, unknown>;
}

export interface InstallOptions {
  /** @default nothing is granted */
  grants?: "all" | string[];
  config?: Record<string, unknown>;
}

/** A manifest of any dialect, the bytes of a package, an absolute path of a plugin folder, or the id of a catalog plugin. */
export type Installable = object | Uint8Array | string;

export interface PlatformPlugins {
  install(what: Installable, options?: InstallOptions): Promise<Plugin>;
  /** Replaces the configuration. Errors: `not_found`, `invalid_config`. */
  updateConfig(id: string, config: Record<string, unknown>): Promise<Plugin>;
  grant(id: string, grants: "all" | string[]): Promise<Plugin>;
  /** Error: `activation_blocked` names what is missing. */
  activate(id: string): Promise<Plugin>;
  deactivate(id: string): Promise<Plugin>;
  upgrade(id: string, version: string): Promise<Plugin>;
  uninstall(id: string): Promise<void>;
  get(id: string): Promise<Plugin>;
  /** All of the organisation, newest first. */
  listPlugins(): Promise<Plugin[]>;
  /** Calls a function and gives its result. Errors as in docs/errors. */
  invoke(
    id: string,
    name: string,
    parameters?: unknown,
    options?: { sessionId?: string; signal?: AbortSignal },
  ): Promise<unknown>;
}

export interface OrganizationRuntime {
  readonly organization: string;
  readonly plugin: PlatformPlugins;
  readonly events: {
    /** Error: `invalid_input` for a type or an id that nobody outside the hub may give. */
    publish(event: { type: string; data?: unknown; subject?: string; id?: string }): Promise<{ id: string }>;
  };
  readonly executions: {
    list(filter?: { plugin?: string; limit?: number }): Promise<Record<string, unknown>[]>;
    get(id: string): Promise<Record<string, unknown>>;
  };
}

export interface Platform extends AsyncDisposable {
  /** Makes the organisation when there is none of this id. */
  runtime(organization: string): Promise<OrganizationRuntime>;
  close(): Promise<void>;
}

export type OpenHub = (options: PlatformOptions) => Promise<EmbeddedHub>;

let defaultPlatform: { promise: Promise<Platform>; open: OpenHub } | undefined;

/** Errors: `data_folder_locked`, `database_unavailable`, `invalid_settings`. The first platform of a process is its default one. */
export function createPlatformWith(open: OpenHub): (options?: PlatformOptions) => Promise<Platform> {
  return (options = {}) => {
    const promise = openPlatform(open, options);
    if (!defaultPlatform) {
      const entry = { promise, open };
      defaultPlatform = entry;
      promise.catch(() => {
        if (defaultPlatform === entry) defaultPlatform = undefined;
      });
    }
    return promise;
  };
}

async function openPlatform(open: OpenHub, options: PlatformOptions): Promise<Platform> {
  const hub = await open(options);
  const close = async (): Promise<void> => {
    if ((await defaultPlatform?.promise.catch(() => undefined)) === platform) defaultPlatform = undefined;
    await hub.close();
  };
  const platform: Platform = {
    async runtime(organization) {
      if (!(await hub.access.organizationExists(organization))) {
        await hub.access
          .createOrganization({ id: organization, name: organization, actor: "embedder" })
          .catch((error: unknown) => {
            if (!(error instanceof BackplaneError && error.code === "conflict")) throw error;
          });
      }
      return organizationRuntime(async () => hub, organization);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  return platform;
}

/** `PlatformRuntime.create(organisation)`: the runtime of the process's default platform, which is opened at its first use. */
export function platformRuntimeWith(open: OpenHub): { create(organization: string): OrganizationRuntime } {
  const createPlatform = createPlatformWith(open);
  return {
    create(organization) {
      let runtime: Promise<OrganizationRuntime> | undefined;
      const later = (): Promise<OrganizationRuntime> => {
        runtime ??= (defaultPlatform?.promise ?? createPlatform()).then((platform) => platform.runtime(organization));
        return runtime;
      };
      const through = <Group extends "plugin" | "events" | "executions">(
        group: Group,
        names: readonly (keyof OrganizationRuntime[Group])[],
      ): OrganizationRuntime[Group] =>
        Object.fromEntries(
          names.map((name) => [
            name,
            async (...args: unknown[]) => ((await later())[group][name] as (...given: unknown[]) => unknown)(...args),
          ]),
        ) as OrganizationRuntime[Group];
      return {
        organization,
        plugin: through("plugin", [
          "install",
          "updateConfig",
          "grant",
          "activate",
          "deactivate",
          "upgrade",
          "uninstall",
          "get",
          "listPlugins",
          "invoke",
        ]),
        events: through("events", ["publish"]),
        executions: through("executions", ["list", "get"]),
      };
    },
  };
}

function organizationRuntime(getHub: () => Promise<EmbeddedHub>, id: string): OrganizationRuntime {
  const organization = asOrganizationId(id);
  const change = { organization, actor: "embedder" };
  return {
    organization: id,
    plugin: {
      async install(what, options = {}) {
        const hub = await getHub();
        return present(await install(hub, organization, what, options));
      },
      updateConfig: async (plugin, config) =>
        present(await (await getHub()).lifecycle.configure(change, asPluginId(plugin), config)),
      grant: async (plugin, grants) =>
        present(await (await getHub()).lifecycle.grant(change, asPluginId(plugin), grants)),
      activate: async (plugin) => present(await (await getHub()).lifecycle.activate(change, asPluginId(plugin))),
      deactivate: async (plugin) => present(await (await getHub()).lifecycle.deactivate(change, asPluginId(plugin))),
      upgrade: async (plugin, version) =>
        present(await (await getHub()).lifecycle.upgrade(change, asPluginId(plugin), version)),
      uninstall: async (plugin) => (await getHub()).lifecycle.uninstall(change, asPluginId(plugin)),
      get: async (plugin) => present(await (await getHub()).installations.get(organization, asPluginId(plugin))),
      listPlugins: async () => (await listAll((await getHub()).installations, organization)).map(present),
      async invoke(plugin, name, parameters = {}, { sessionId, signal } = {}) {
        const { record, error } = await (await getHub()).invoker.run({
          organization,
          plugin: asPluginId(plugin),
          kind: "function",
          name,
          args: [parameters],
          actor: "embedder",
          ...(sessionId === undefined ? {} : { sessionId }),
          ...(signal === undefined ? {} : { signal }),
        });
        if (error) throw error;
        return record.result;
      },
    },
    events: {
      async publish({ type, data, subject, id: eventId }) {
        assertOutsideEvent({ type, id: eventId });
        const hub = await getHub();
        const { id: accepted } = await hub.store.transaction((tx) =>
          hub.eventLog.publish(tx, {
            organization,
            type,
            source: "/embedder",
            data: data ?? null,
            subject,
            id: eventId,
            traceparent: formatTraceparent(newTrace()),
          }),
        );
        return { id: accepted };
      },
    },
    executions: {
      list: async (filter = {}) =>
        (await (await getHub()).executions.list(organization, filter)).executions.map(presentExecution),
      get: async (execution) => presentExecution(await (await getHub()).executions.get(organization, execution)),
    },
  };
}

async function install(
  hub: EmbeddedHub,
  organization: OrganizationId,
  what: Installable,
  options: InstallOptions,
): Promise<Installation> {
  const context = { organization, actor: "embedder" };
  if (what instanceof Uint8Array) {
    const { id, version } = await hub.packages.publish(organization, what, "embedder");
    return hub.lifecycle.install(context, { id, version, ...options });
  }
  if (typeof what === "string") {
    if (!isAbsolute(what)) return hub.lifecycle.install(context, { id: what, ...options });
    const { id, version } = await hub.packages.publishContent(organization, await loadFolder(what), {
      actor: "embedder",
    });
    return hub.lifecycle.install(context, { id, version, ...options });
  }
  const manifest: Manifest = assertManifest(what);
  const known = await resolveKnown(hub.packages, organization, manifest);
  if (known) return hub.lifecycle.install(context, { id: manifest.id, version: known, ...options });
  return hub.lifecycle.installDeclaration(context, manifest, options);
}

/** The catalog's version that a bare manifest means: its own if it is there, else the highest. */
async function resolveKnown(
  packages: Packages,
  organization: OrganizationId,
  manifest: Manifest,
): Promise<string | undefined> {
  for (const range of [manifest.version, undefined]) {
    try {
      return (await packages.resolve(organization, manifest.id, range)).version;
    } catch (error) {
      if (!(error instanceof BackplaneError && error.code === "not_found")) throw error;
    }
  }
  return undefined;
}

async function listAll(installations: Installations, organization: OrganizationId): Promise<Installation[]> {
  const all: Installation[] = [];
  for (;;) {
    const last = all.at(-1);
    const rows = await installations.list(organization, {
      limit: 200,
      ...(last ? { before: { installedAt: last.installedAt, id: last.id } } : {}),
    });
    all.push(...rows);
    if (rows.length < 200) return all;
  }
}

function present(installation: Installation): Plugin {
  return {
    id: installation.plugin,
    name: installation.name,
    version: installation.version,
    status: installation.status,
    statusReason: installation.statusReason,
    health: installation.health,
    grants: installation.grants,
    pendingPermissions: pendingPermissions(installation.manifest, installation.grants),
    config: maskConfig(installation.manifest.configSchema, installation.config),
  };
}
