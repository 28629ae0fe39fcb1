/** The hub behind the test kit: one for the test process, composed as in production but for where requests lead. */
import type { Access } from "../access/access.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { Connections } from "../connections/connections.ts";
import type { Connectors } from "../connectors/connectors.ts";
import type { EgressOverride } from "../egress/override.ts";
import type { Installations } from "../installations/installations.ts";
import type { Executions } from "../invocation/executions.ts";
import type { Invoker } from "../invocation/invoker.ts";
import type { Recorder } from "../invocation/recorder.ts";
import type { Lifecycle } from "../lifecycle/lifecycle.ts";
import type { Packages } from "../packages/packages.ts";
import { openStore } from "../store/open-store.ts";
import type { Store } from "../store/store.ts";
import { createScriptedServices, type ScriptedServices } from "./scripted-services.ts";

export interface TestedHub {
  store: Store;
  access: Pick<Access, "createOrganization">;
  packages: Packages;
  installations: Installations;
  lifecycle: Lifecycle;
  connections: Pick<Connections, "adopt">;
  invoker: Invoker;
  executions: Executions;
  eventLog: EventLog;
  recorder: Recorder;
  connectors: Pick<Connectors, "pause">;
  close(options?: { drainMs?: number }): Promise<void>;
}

export interface KitSettings {
  dataDir: string;
  logLevel: "warn" | "silent";
  /** No bundled plugins: nothing but what a test installs. */
  pluginsDir: null;
}

/** The composition root's part. */
export type ComposeHub = (
  settings: KitSettings,
  parts: { override: EgressOverride; store: Store },
) => Promise<TestedHub>;

export interface KitHub {
  hub: TestedHub;
  services: ScriptedServices;
}

/** Starts at the first use; the process that runs the tests ends it. */
export function createKitHub(compose: ComposeHub, dataDir: string): () => Promise<KitHub> {
  let started: Promise<KitHub> | undefined;
  return () =>
    (started ??= (async () => {
      // In memory: nothing of a test outlives it, and a disk would cost most of the start.
      const [services, store] = await Promise.all([createScriptedServices(), openStore()]);
      const hub = await compose(
        { dataDir, logLevel: "silent", pluginsDir: null },
        { override: services.override, store },
      );
      return { hub, services };
    })());
}
