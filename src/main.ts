/**
 * The composition root: the only file that knows every implementation. `composeHub` puts a hub together and does not
 * listen; `startHub` also serves HTTP; `createPlatform` embeds one. Long because it is a list of parts and their wires.
 */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import { totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { pino } from "pino";
import { createAbilities } from "./abilities/abilities.ts";
import { createCryptoAbilities } from "./abilities/crypto.ts";
import { createDataAbilities } from "./abilities/data.ts";
import { createEventsAbility } from "./abilities/events.ts";
import { createHttpAbilities } from "./abilities/http.ts";
import { createSecretsOf } from "./abilities/installation-secrets-cache.ts";
import { createLoggerAbility } from "./abilities/logger.ts";
import { createPluginsAbility } from "./abilities/plugins.ts";
import { createProgressAbility } from "./abilities/progress.ts";
import { createSecretsAbilities } from "./abilities/secrets.ts";
import { createStorageAbilities } from "./abilities/storage.ts";
import { createAccess } from "./access/access.ts";
import { createAudit } from "./audit/audit.ts";
import { asOrganizationId, asPluginId } from "./base/brands.ts";
import { retentionFor } from "./bus/bus-retention.ts";
import { createConsumers } from "./bus/consumers.ts";
import { createDeliveries } from "./bus/deliveries.ts";
import { createEventLog } from "./bus/event-log.ts";
import { createSequencer } from "./bus/sequencer.ts";
import { publishBundled } from "./catalog/bundled.ts";
import { createChannels } from "./channels/channels.ts";
import { createConnections } from "./connections/connections.ts";
import { createTokenResealing } from "./connections/reseal-tokens.ts";
import { createConnectors } from "./connectors/connectors.ts";
import { diagnose } from "./diagnose.ts";
import { createApi } from "./edges/http/api.ts";
import { createEgress } from "./egress/egress.ts";
import { type EgressOverride, parseOverride } from "./egress/override.ts";
import { createPlatformWith, platformRuntimeWith } from "./embed/platform.ts";
import { createEntities } from "./entities/entities.ts";
import { BackplaneError } from "./errors/error.ts";
import type { Hub } from "./hub.ts";
import { createChannelItems } from "./incoming/channel-items.ts";
import { createStoreTogether } from "./incoming/store-together.ts";
import {
  createInstallations,
  type Installation,
  type InstallationChange,
  installationStatuses,
} from "./installations/installations.ts";
import { createExecutions } from "./invocation/executions.ts";
import { createInstances } from "./invocation/instances.ts";
import { createInvoker, type InvokeOutcome } from "./invocation/invoker.ts";
import { createRecorder } from "./invocation/recorder.ts";
import { createJobs } from "./jobs/jobs.ts";
import { createNodeWatch } from "./jobs/node-watch.ts";
import { createHealthMonitor } from "./lifecycle/health.ts";
import { createHealthChecks } from "./lifecycle/health-checks.ts";
import { createLifecycle } from "./lifecycle/lifecycle.ts";
import { createSecretResealing } from "./lifecycle/reseal-secrets.ts";
import { createArtifacts } from "./packages/artifacts.ts";
import { createStackMapper } from "./packages/map-stack.ts";
import { bundledOrganization, createPackages } from "./packages/packages.ts";
import { createRules } from "./rules/rules.ts";
import { createIsolateRuntime } from "./runtimes/isolate/host/create-isolate-runtime.ts";
import { type RuntimeFault, scriptNameOf } from "./runtimes/runtime.ts";
import { createKeptSecrets } from "./secrets/kept-secrets.ts";
import { loadOrCreateKey, parseMasterKeys } from "./secrets/master-key.ts";
import { createKeptResealing } from "./secrets/reseal-kept.ts";
import { createVault } from "./secrets/vault.ts";
import { defaultSettings, type HubSettings, readAdminToken, readSettings } from "./settings.ts";
import { openStore } from "./store/open-store.ts";
import type { Store } from "./store/store.ts";
import { createSubscriptions } from "./subscriptions/subscriptions.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { createWebhooks } from "./webhooks/webhooks.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
export const version = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;

/** Bundled plugins that need no account: installed and active in `demo` on an empty store. */
const demoPlugins = [{ id: "backplane.greeter", config: { greeting: "Hello" } }];

const day = 24 * 60 * 60 * 1000;

/** For test kits only: instead of what the settings would make. */
export interface GivenParts {
  override?: EgressOverride;
  /** Closed with the hub. */
  store?: Store;
  /** How soon the work of a hub that died is another's, ms; a test that kills many would wait for little else. */
  takeover?: { leaseMs: number; heartbeatMs: number; lostAfterMs: number };
}

/** Errors: `invalid_settings`, `data_folder_locked`, `database_unavailable`, `storage_full`. */
export async function composeHub(
  given: Partial<HubSettings> = {},
  { override, store, takeover }: GivenParts = {},
): Promise<Hub> {
  const settings: HubSettings = { ...defaultSettings, ...given };
  const nodeId = randomUUID();
  const log = pino(
    { level: settings.logLevel, base: { node: nodeId.slice(0, 8) } },
    pino.destination({ dest: 2, sync: true }),
  );
  const opened = new AsyncDisposableStack();
  try {
    return await compose({
      settings,
      nodeId,
      log,
      opened,
      override: override ?? parseOverride(settings.egressOverride),
      givenStore: store,
      takeover,
    });
  } catch (error) {
    await opened.disposeAsync().catch(() => {});
    throw error;
  }
}

interface Composing {
  settings: HubSettings;
  nodeId: string;
  log: Hub["log"];
  opened: AsyncDisposableStack;
  override: EgressOverride;
  givenStore: Store | undefined;
  takeover: GivenParts["takeover"];
}

async function compose({ settings, nodeId, log, opened, override, givenStore, takeover }: Composing): Promise<Hub> {
  const stopping = new AbortController();
  let publicUrl = settings.publicUrl ?? `http://${settings.host}:${settings.port}`;

  // Floor 0 to 2: the store and what stands on it alone.
  const metrics = createMetrics({ defaults: true });
  const store =
    givenStore ??
    (await openStore({
      ...(settings.databaseUrl === undefined ? { dataDir: settings.dataDir } : { databaseUrl: settings.databaseUrl }),
      log,
    }));
  opened.defer(() => store.close());
  const masterKeys =
    settings.masterKey === undefined ? await loadOrCreateKey(settings.dataDir) : parseMasterKeys(settings.masterKey);
  const adminToken = await readAdminToken(settings);
  const vault = createVault({ masterKeys });
  const audit = createAudit({ store });
  const access = createAccess({
    store,
    audit,
    adminToken: adminToken.token,
    log,
    onOrganizationCreated: (tx, organization) => subscriptions.organizationCreated(tx, organization),
  });
  opened.use(access);
  const eventLog = createEventLog({
    store,
    onPublished: ({ accepted }) => metrics.eventsPublished.inc({ outcome: accepted ? "accepted" : "duplicate" }),
  });
  const consumers = createConsumers({ store });
  const sequencer = createSequencer({ store, log });
  const deliveries = createDeliveries({
    store,
    nodeId,
    log,
    natsUrl: settings.natsUrl,
    ...(takeover ? { limits: { leaseMs: takeover.leaseMs } } : {}),
    observe({ kind, outcome, attempt, waitedMs }) {
      metrics.deliveries.inc({ kind, outcome });
      if (attempt === 1) metrics.deliveryDelay.observe(waitedMs / 1000);
    },
    ...(settings.natsStream === undefined ? {} : { stream: settings.natsStream }),
  });
  const jobs = createJobs({ store, log });
  const nodes = createNodeWatch({ store, jobs, nodeId, url: publicUrl, log, ...takeover });
  const egress = createEgress({
    override,
    userAgent: `Backplane/${version}`,
    observe({ outcome, ms, requestBytes, responseBytes }) {
      metrics.egressRequests.inc({ outcome: typeof outcome === "number" ? `${Math.floor(outcome / 100)}xx` : outcome });
      metrics.egressDuration.observe(ms / 1000);
      metrics.egressBytes.inc({ direction: "sent" }, requestBytes);
      metrics.egressBytes.inc({ direction: "received" }, responseBytes);
    },
  });
  opened.defer(() => egress.close());

  // Floor 3 and 4: code and records.
  const artifacts = createArtifacts({ store, cacheDir: join(settings.dataDir, "cache", "artifacts") });
  const packages = createPackages({
    store,
    artifacts,
    onPublished: async (tx, published) => {
      if (published.catalog === bundledOrganization) return;
      await audit.record(tx, {
        organization: published.catalog,
        actor: published.publishedBy,
        action: "package.published",
        target: published.id,
        details: { version: published.version, digest: published.digest },
      });
    },
  });
  const stackMapper = createStackMapper();
  opened.use(stackMapper);
  const installations = await createInstallations({ store });
  opened.use(installations);
  const entities = createEntities({ store, eventLog });

  // Floor 5: abilities. What they need of higher floors comes in as functions.
  const recorder = createRecorder({ store, node: nodeId });
  const secretsOf = createSecretsOf({ vault });
  const connections = await createConnections({
    store,
    vault,
    egress,
    installations,
    audit,
    eventLog,
    publicUrl: () => publicUrl,
    log,
  });
  opened.use(connections);
  const kept = await createKeptSecrets({
    store,
    vault,
    async record(tx, { organization, plugin }, action, details) {
      await audit.record(tx, {
        organization,
        actor: `plugin:${plugin}`,
        action: `secret.${action}`,
        target: plugin,
        details,
      });
    },
  });
  opened.use(kept);
  const redact = (installation: Installation, text: string): string =>
    connections.tokens.redact(installation, secretsOf.open(installation)?.logRedactor.text(text) ?? text);
  const abilities = createAbilities({
    refresh: (installation) => installations.find(installation.organization, installation.plugin),
    abilities: [
      createLoggerAbility({
        write: (line) => recorder.log(line),
        redact,
      }),
      createProgressAbility(),
      createEventsAbility({ eventLog }),
      ...createDataAbilities({ entities }),
      ...createHttpAbilities({ egress, secretsOf, tokens: connections.tokens, kept }),
      ...createSecretsAbilities({ kept }),
      ...createCryptoAbilities({ secretsOf }),
      ...createStorageAbilities({ store }),
      createPluginsAbility({
        async callPlugin({ from, plugin, name, parameters, signal }) {
          const { record, error } = await invoker.run({
            organization: from.organization,
            plugin: asPluginId(plugin),
            kind: "function",
            name,
            args: [parameters],
            actor: `plugin:${from.installation.plugin}`,
            parent: from,
            signal,
          });
          if (error) throw error;
          return record.result;
        },
      }),
    ],
  });

  // Floor 3 again: the runtime calls back into the abilities.
  const runtime = createIsolateRuntime({
    // One runner holds everybody then, so it may have what a machine can spare; a bomb is told by its growth.
    ...(settings.isolation === "shared" ? { residentLimitMb: Math.max(2048, totalmem() / 2 ** 21) } : {}),
    cacheDir: join(settings.dataDir, "cache", "code"),
    inline: true,
    log: (message, details) => log.debug(details, message),
    warn: (message, details) => log.warn(details, message),
    callbacks: {
      async onAbilityCall(call) {
        const end = metrics.abilityDuration.startTimer({ ability: call.ability });
        try {
          const answer = await abilities.answer(call);
          metrics.abilityCalls.inc({ ability: call.ability, outcome: "ok" });
          return answer;
        } catch (error) {
          metrics.abilityCalls.inc({
            ability: call.ability,
            outcome: error instanceof BackplaneError ? error.code : "internal",
          });
          if (!(error instanceof BackplaneError)) log.error({ err: error, ability: call.ability }, "an ability failed");
          throw error;
        } finally {
          end();
        }
      },
      onGuestMessage: (message) => abilities.take(message),
      onFault: (fault) =>
        void onFault(fault).catch((error: unknown) => log.error({ err: error }, "a fault could not be recorded")),
    },
  });
  opened.defer(() => runtime.close({ drainMs: 0 }));

  const instances = createInstances({
    installations,
    runtime,
    isolation: settings.isolation,
    ceiling: {},
    loadBundle: (installation) =>
      artifacts.loadBundle({
        organization: asOrganizationId(installation.catalog),
        digest: installation.digest!,
        plugin: installation.plugin,
        entrypoint: installation.manifest.entrypoint ?? "./index.js",
      }),
    guestConfig: async (installation) => (await secretsOf(installation)).guestConfig,
    abilityNames: (installation) => abilities.namesFor(installation),
    highRisk: (plugin) => settings.highRisk.includes(plugin),
  });
  opened.use(instances);

  // Floor 6 and 7: invocation and the life of installations.
  const onOutcome = (installation: Installation, { record, error }: InvokeOutcome): void => {
    metrics.executions.inc({ kind: record.kind, mode: record.mode, status: record.status, code: error?.code ?? "" });
    metrics.executionDuration.observe({ kind: record.kind }, record.wallMs / 1000);
    metrics.executionCpu.inc({ kind: record.kind }, record.cpuMs / 1000);
    healthChecks.used(installation);
    if (record.kind === "health" || record.status === "cancelled") return;
    if (!error) health.observe(installation, { ok: true });
    else if (error.row.audience === "author")
      health.observe(installation, { ok: false, code: error.code, message: error.message });
  };
  const invoker = await createInvoker({
    store,
    node: nodeId,
    installations,
    instances,
    runtime,
    recorder,
    deliveries,
    onOutcome,
    redact,
    mapStack: (installation, stack) =>
      stackMapper.mapStack({
        stack,
        script: scriptNameOf(installation),
        key: installation.digest ?? installation.id,
        loadSourceMap: async () =>
          (
            await artifacts.loadBundle({
              organization: asOrganizationId(installation.catalog),
              digest: installation.digest!,
              plugin: installation.plugin,
              entrypoint: installation.manifest.entrypoint ?? "./index.js",
            })
          ).sourceMap,
      }),
  });
  const executions = createExecutions({ store });
  const lifecycle = createLifecycle({
    store,
    installations,
    packages,
    audit,
    eventLog,
    consumers,
    vault,
    hubVersion: version,
    release: (organization, plugin) => instances.release(organization, plugin),
  });
  const health = createHealthMonitor({
    write: (installation, reading) => lifecycle.setHealth(installation, reading.health, reading.reason),
    standing(installation) {
      const reason = connections.readiness(installation);
      return reason === undefined ? undefined : { health: "degraded", reason };
    },
  });
  const reviewHealth = ({ organization, plugin }: InstallationChange): void =>
    void installations
      .find(organization, plugin)
      .then((installation) => {
        if (installation?.status === "active") health.review(installation);
      })
      .catch(() => {});
  opened.use(connections.onChange(reviewHealth));
  opened.use(installations.onChange(reviewHealth));
  const healthChecks = createHealthChecks({ installations, invoker, monitor: health });
  const connectors = createConnectors({
    ...{ store, node: nodeId, deliveries, invoker, installations, entities, eventLog, jobs, log },
    publicUrl: () => publicUrl,
  });
  opened.use(connectors);
  opened.use(
    connections.onChange(({ organization, plugin }) => {
      if (stopping.signal.aborted) return;
      void (async () => {
        const installation = await installations.find(organization, plugin);
        if (installation && connections.readiness(installation) === undefined)
          await connectors.wake(organization, plugin);
      })().catch((error: unknown) => log.error({ err: error, plugin }, "a connector could not be woken"));
    }),
  );
  const takeChannelItem = createChannelItems({
    ...{ installations, invoker },
    storeTogether: createStoreTogether({ store, entities, eventLog }),
  });
  const webhooks = createWebhooks({
    ...{ store, installations, invoker, deliveries },
    publicUrl: () => publicUrl,
    deliver: (delivery, installation) =>
      ((installation && connectors.receive(installation)) ?? takeChannelItem)(delivery),
  });
  const subscriptions = createSubscriptions({ store, consumers, deliveries, invoker });
  const channels = createChannels({
    store,
    deliveries,
    invoker,
    installations,
    entities,
    eventLog,
    subscriptions,
    publicUrl: () => publicUrl,
  });
  const rules = await createRules({
    store,
    audit,
    eventLog,
    deliveries,
    subscriptions,
    installations,
    packages,
    invoker,
    jobs,
    onHeld(organization, { plugin, kind, id, heldBy }) {
      const message = `Rules do not find its ${kind} '${id}': plugin '${heldBy}' has offered that id for longer and holds it until it is uninstalled.`;
      log.warn({ organization, plugin, heldBy }, message);
      recorder.log({
        ...{ organization, plugin: asPluginId(plugin), execution: null, at: new Date() },
        ...{ level: "warn" as const, message },
      });
    },
    async redactorOf(organization, plugin) {
      const installation = await installations.find(organization, asPluginId(plugin));
      const secrets = installation && (await secretsOf(installation));
      if (!secrets || secrets.unreadable.length > 0) return undefined;
      // Read for those below, which look only at what is in memory.
      if (secrets.connections.length > 0) await connections.tokens.all(installation);
      return (text) => connections.tokens.redact(installation, secrets.logRedactor.text(text));
    },
    messagesOf: channels.requested,
    onRunEnded({ trigger, status, reason, ms }) {
      metrics.ruleRuns.inc({ trigger, status, reason: reason ?? "" });
      if (ms !== undefined) metrics.ruleRunDuration.observe(ms / 1000);
    },
  });
  opened.use(rules);

  const onFault = async ({ kind, code, reason, instance }: RuntimeFault): Promise<void> => {
    metrics.faults.inc({ kind, code });
    log.warn(
      { kind, code, reason, plugin: instance.plugin, organization: instance.organization },
      "a plugin broke its walls",
    );
    const installation = await installations.find(instance.organization, instance.plugin);
    recorder.log({
      organization: instance.organization,
      plugin: instance.plugin,
      execution: null,
      at: new Date(),
      level: "error",
      message: `${kind}: ${installation ? redact(installation, reason) : reason}`,
    });
    if (kind === "quarantined") await lifecycle.quarantine(instance.organization, instance.plugin, reason);
  };

  jobs.every(
    "retention",
    60 * 60 * 1000,
    async () => {
      const before = new Date(Date.now() - settings.retentionDays * day);
      await executions.deleteEndedBefore(before);
      await webhooks.deleteReceivedBefore(before);
      await channels.deleteEndedBefore(before);
      await rules.deleteEndedBefore(before);
      await connections.deleteExpired();
      await deliveries.clean(retentionFor(settings.retentionDays));
    },
    {},
  );
  jobs.every("idle connections", 60 * 60 * 1000, (signal) => connections.renewIdle(signal));
  const resealing = createSecretResealing({
    store,
    installations,
    audit,
    vault,
    others: [
      createTokenResealing({ store, audit, vault }),
      createKeptResealing({
        store,
        vault,
        async record(tx, { organization, plugin, name }) {
          const details = { name, key: vault.keyId };
          await audit.record(tx, { organization, actor: "system", action: "secret.resealed", target: plugin, details });
        },
      }),
    ],
  });
  if (masterKeys.length > 1)
    jobs.every(
      "reseal secrets",
      60 * 60 * 1000,
      async (signal) => {
        const secrets = await resealing.run(signal);
        if (secrets > 0)
          log.info({ secrets, key: vault.keyId }, "secrets were sealed anew with the current master key");
      },
      { atStart: true },
    );
  const failLost = async (): Promise<unknown> => invoker.failLost((await nodes.list()).map((node) => node.id));
  jobs.every("lost executions", 30_000, failLost, { atStart: true });
  jobs.every("health", 60_000, () => healthChecks.run(), { everyNode: false });
  nodes.onNodeLost(async (lost) => {
    await deliveries.nodeLost(lost);
    await failLost();
  });
  metrics.onScrape(() => {
    const status = runtime.status();
    metrics.instances.set(status.instances);
    metrics.runnersStarted.set(status.runnersStarted);
    metrics.runnersLost.set(status.runnersLost);
    metrics.runnerMemory.set(status.runners.reduce((sum, runner) => sum + runner.residentBytes, 0));
    for (const role of ["working", "standby", "quarantine"] as const)
      metrics.runners.set({ role }, status.runners.filter((runner) => runner.role === role).length);
    metrics.executionsRunning.set(invoker.running);
  });
  metrics.onScrape(async () => {
    metrics.storeUp.set(0);
    const [counts, { pending, dead }] = await Promise.all([installations.countByStatus(), deliveries.backlog()]);
    metrics.storeUp.set(1);
    for (const status of installationStatuses) metrics.installations.set({ status }, counts[status] ?? 0);
    metrics.deliveriesPending.set(pending);
    metrics.deadLetters.set(dead);
  });

  if (settings.pluginsDir !== null) {
    const dir = settings.pluginsDir ?? join(root, "plugins");
    if (existsSync(dir))
      await publishBundled({
        packages,
        dir,
        onBroken: (folder, error) => log.error({ err: error, folder }, "a bundled plugin is broken and left out"),
      });
  }
  // The embedded store has one hub: whatever another one left behind is free at once, not when its leases lapse.
  if (store.driver === "pglite") {
    for (const former of await nodes.list()) await deliveries.nodeLost(former.id);
    await store.db.deleteFrom("hub_nodes").execute();
  }
  await nodes.start();
  await subscriptions.start();
  await deliveries.start();
  await sequencer.start();
  jobs.start();

  let closed: Promise<void> | undefined;
  const close: Hub["close"] = ({ drainMs = 10_000 } = {}) => {
    closed ??= (async () => {
      stopping.abort();
      await jobs.stop();
      await sequencer.stop();
      await Promise.all([deliveries.stop(), invoker.close({ drainMs })]);
      await connections.close({ drainMs: Math.max(drainMs, 2_000) });
      await runtime.close({ drainMs: Math.min(drainMs, 2_000) });
      await recorder
        .close()
        .catch((error: unknown) => log.error({ err: error }, "the last records could not be written"));
      await nodes.stop().catch(() => {});
      await opened.disposeAsync();
    })();
    return closed;
  };

  return {
    settings,
    nodeId,
    log,
    store,
    access,
    audit,
    packages,
    installations,
    lifecycle,
    connections,
    invoker,
    executions,
    entities,
    eventLog,
    consumers,
    deliveries,
    webhooks,
    connectors,
    channels,
    rules,
    runtime,
    egress,
    recorder,
    adminToken: adminToken.token,
    adminTokenFile: adminToken.file,
    stopping: stopping.signal,
    publicUrl: () => publicUrl,
    setPublicUrl(url) {
      if (settings.publicUrl === undefined) publicUrl = url;
    },
    observeRequest({ method, route, status, ms }) {
      metrics.httpRequests.inc({ method, route, status: String(status) });
      metrics.httpDuration.observe({ method, route }, ms / 1000);
    },
    metrics: async () => ({ contentType: metrics.contentType, body: await metrics.render() }),
    diagnose: () =>
      diagnose({ settings, store, deliveries, runtime, egress, keyId: vault.keyId, sealed: resealing.count, version }),
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

export interface RunningHub {
  url: string;
  adminTokenFile: string | null;
  hub: Hub;
  /** Finishes what runs within `drainMs`. @default 10000 */
  close(options?: { drainMs?: number }): Promise<void>;
}

/** Composes, makes the demo organisation on an empty store, and listens. Also leaves `hub.json` (address, process) in the data folder for the CLI. */
export async function startHub(
  given: Partial<HubSettings> = readSettings(process.env),
  parts: GivenParts = {},
): Promise<RunningHub> {
  const hub = await composeHub(given, parts);
  try {
    await makeDemo(hub);
    const app = await createApi(hub, {
      version,
      requestsPerSecond: hub.settings.requestsPerSecond,
      ...(hub.settings.trustProxy === undefined ? {} : { trustProxy: hub.settings.trustProxy }),
      observe: (answered) => hub.observeRequest(answered),
      log: hub.log,
      stopping: hub.stopping,
    });
    const url = (await app.listen({ host: hub.settings.host, port: hub.settings.port })).replace("[::1]", "localhost");
    hub.setPublicUrl(url);
    const note = join(hub.settings.dataDir, "hub.json");
    await writeFile(note, JSON.stringify({ url, pid: process.pid }), { mode: 0o600 }).catch(() => {});
    return {
      url,
      adminTokenFile: hub.adminTokenFile,
      hub,
      async close(options) {
        await rm(note, { force: true });
        const closing = app.close();
        await hub.close(options);
        await letConnectionsGo(app.server);
        await closing;
      },
    };
  } catch (error) {
    await hub.close({ drainMs: 0 });
    throw listenError(error, hub.settings);
  }
}

/** Answers under way are sent; then kept-alive connections, which clients may hold for minutes, are ended. */
async function letConnectionsGo(server: Server): Promise<void> {
  const connections = promisify(server.getConnections.bind(server));
  for (let waited = 0; waited < 500 && (await connections()) > 0; waited += 20) {
    server.closeIdleConnections();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  server.closeAllConnections();
}

async function makeDemo({ access, lifecycle, log }: Hub): Promise<void> {
  const { organizations } = await access.listOrganizations({ limit: 1 });
  if (organizations.length > 0) return;
  try {
    await access.createOrganization({ id: "demo", name: "Demo", actor: "system" });
  } catch (error) {
    // Another hub on the same empty database was first.
    if (error instanceof BackplaneError && error.code === "conflict") return;
    throw error;
  }
  const context = { organization: asOrganizationId("demo"), actor: "system" };
  for (const { id, config } of demoPlugins) {
    try {
      await lifecycle.install(context, { id, grants: "all", config });
      await lifecycle.activate(context, asPluginId(id));
    } catch (error) {
      log.error({ err: error, plugin: id }, "a demo plugin could not be installed");
    }
  }
}

function listenError(error: unknown, { host, port }: HubSettings): unknown {
  const code = (error as { code?: string }).code;
  if (code === "EADDRINUSE")
    return new BackplaneError("invalid_settings", {
      reason: `port ${port} of ${host} is in use; set PORT to another one, or to 0 for any free one`,
    });
  if (code === "EACCES" || code === "EADDRNOTAVAIL")
    return new BackplaneError("invalid_settings", { reason: `the hub cannot listen on ${host}:${port} (${code})` });
  return error;
}

const openEmbedded = ({
  dataDir,
  databaseUrl,
  natsUrl,
  masterKey,
  isolation,
  logLevel = "warn",
}: Parameters<Parameters<typeof createPlatformWith>[0]>[0]): Promise<Hub> =>
  composeHub({
    logLevel,
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(natsUrl === undefined ? {} : { natsUrl }),
    ...(masterKey === undefined ? {} : { masterKey }),
    ...(isolation === undefined ? {} : { isolation }),
  });

export const createPlatform = createPlatformWith(openEmbedded);
export const PlatformRuntime = platformRuntimeWith(openEmbedded);
