/** What `doctor` tells: which walls, keys and drivers of this hub are active, and what a hub admin should look at. */
import { existsSync } from "node:fs";
import type { Deliveries } from "./bus/deliveries.ts";
import type { Egress } from "./egress/egress.ts";
import type { PluginRuntime } from "./runtimes/runtime.ts";
import type { SealedBy } from "./secrets/vault.ts";
import type { HubSettings } from "./settings.ts";
import type { Store } from "./store/store.ts";

export interface Finding {
  area: "wall" | "key" | "driver" | "setting";
  name: string;
  /** `warning`: works, but not as production should; `problem`: does not work. */
  state: "active" | "inactive" | "warning" | "problem";
  detail: string;
}

export interface DiagnoseOptions {
  settings: HubSettings;
  store: Store;
  deliveries: Deliveries;
  runtime: PluginRuntime;
  egress: Egress;
  keyId: string;
  /** Sealed secrets of all installations, by the key that sealed them. */
  sealed(): Promise<Record<SealedBy, number>>;
  version: string;
}

export async function diagnose({
  settings,
  store,
  deliveries,
  runtime,
  egress,
  keyId,
  sealed,
  version,
}: DiagnoseOptions): Promise<{ version: string; node: string; ok: boolean; findings: Finding[]; runners: unknown }> {
  const status = runtime.status();
  const database = await store.ping().then(
    () => undefined,
    (error: Error) => error.message,
  );
  const findings: Finding[] = [
    ...status.walls.map(
      (wall): Finding => ({
        area: "wall",
        name: wall.name,
        state: wall.active ? "active" : "inactive",
        detail: wall.detail,
      }),
    ),
    { area: "wall", name: "isolation", state: "active", detail: isolationSentence[settings.isolation] },
    {
      area: "key",
      name: "master key",
      state: "active",
      detail: `${keyId}, from ${settings.masterKey === undefined ? `the data folder ${settings.dataDir}` : "BACKPLANE_MASTER_KEY"}`,
    },
    ...(database === undefined ? [await secretsFinding(sealed)] : []),
    {
      area: "key",
      name: "admin token",
      state: "active",
      detail: settings.adminToken === undefined ? `kept in ${settings.dataDir}` : "from BACKPLANE_ADMIN_TOKEN",
    },
    {
      area: "driver",
      name: "store",
      state: database === undefined ? "active" : "problem",
      detail:
        database ??
        (store.driver === "pglite" ? `embedded PGlite in ${settings.dataDir}` : "PostgreSQL by DATABASE_URL"),
    },
    deliveryFinding(settings, deliveries),
    egress.overridden.length === 0
      ? { area: "setting", name: "egress override", state: "active", detail: "none: plugins reach the hosts they name" }
      : {
          area: "setting",
          name: "egress override",
          state: "warning",
          detail: `TEST SETTING: requests to ${egress.overridden.join(", ")} go to this machine`,
        },
  ];
  if (settings.publicUrl === undefined) {
    findings.push({
      area: "setting",
      name: "public URL",
      state: "warning",
      detail: "BACKPLANE_PUBLIC_URL is not set: vendors' webhooks must come to the listening address as it is",
    });
  }
  if (store.driver === "pglite" && !existsSync(settings.dataDir)) {
    findings.push({ area: "driver", name: "data folder", state: "problem", detail: `${settings.dataDir} is gone` });
  }
  return {
    version,
    node: process.versions.node,
    ok: findings.every(({ state }) => state !== "problem"),
    findings,
    runners: status.runners,
  };
}

const isolationSentence = {
  organisation: "one runner process serves one organisation",
  plugin: "every plugin runs alone in its runner process",
  shared: "plugins of all organisations share runner processes",
} as const;

async function secretsFinding(sealed: DiagnoseOptions["sealed"]): Promise<Finding> {
  const finding = { area: "key", name: "sealed secrets" } as const;
  const counts = await sealed().catch(() => undefined);
  if (!counts) return { ...finding, state: "warning", detail: "could not be counted" };
  const { current, former, unknown } = counts;
  const faults = [
    ...(former > 0
      ? [`${former} still under an older key; they are sealed anew while the hub runs with both keys`]
      : []),
    ...(unknown > 0
      ? [`${unknown} under a key this hub does not have; start with that key as well, or set them anew`]
      : []),
  ];
  if (faults.length === 0) return { ...finding, state: "active", detail: `all ${current} under the current key` };
  return { ...finding, state: "warning", detail: `${current} under the current key, ${faults.join(", ")}` };
}

function deliveryFinding(settings: HubSettings, deliveries: Deliveries): Finding {
  if (settings.natsUrl === undefined)
    return { area: "driver", name: "deliveries", state: "active", detail: "by the database" };
  return deliveries.driver === "jetstream"
    ? { area: "driver", name: "deliveries", state: "active", detail: "by NATS JetStream" }
    : {
        area: "driver",
        name: "deliveries",
        state: "warning",
        detail: "NATS does not answer; the database delivers until it does",
      };
}
