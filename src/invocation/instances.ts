/**
 * Turns installations into what a runtime needs to run them, and lets go of instances whose installation changed.
 * One instance per installation and revision: a new config, grant or version is a new isolate. A key is never used twice,
 * so a call that comes while a former instance of the same revision still drains gets a fresh one.
 */
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import { type IsolationMode, isolationGroup } from "../policy/isolation-group.ts";
import { cutLimits, type Limits } from "../policy/limits.ts";
import type { Bundle, PluginInstance, PluginRuntime } from "../runtimes/runtime.ts";

export interface InstancesOptions {
  installations: Installations;
  runtime: PluginRuntime;
  isolation: IsolationMode;
  ceiling: Partial<Limits>;
  /** Verified code by digest. Errors: `artifact_corrupt`, `not_found`. */
  loadBundle(installation: Installation): Promise<Bundle>;
  /** Config as the guest may see it: sealed secrets are handles. */
  guestConfig(installation: Installation): Promise<unknown>;
  /** Abilities that the grants of this installation allow. */
  abilityNames(installation: Installation): string[];
  /** Marked by the hub admin as high-risk: runs alone in its runner. */
  highRisk(plugin: PluginId): boolean;
  /** How long running calls of a replaced instance may go on, ms. @default 10000 */
  drainMs?: number;
}

export interface Instances extends Disposable {
  /** Error: `no_code`. */
  of(installation: Installation, name: string): Promise<PluginInstance>;
  /** Lets the running instance of a plugin go, if there is one; resolves when it is gone. */
  release(organization: OrganizationId, plugin: PluginId): Promise<void>;
}

export function createInstances(options: InstancesOptions): Instances {
  const { installations, runtime, drainMs = 10_000 } = options;
  const live = new Map<string, Live>();
  let made = 0;
  const slotOf = (organization: string, plugin: string): string => `${organization}\0${plugin}`;

  const letGo = async (slot: string, unless?: Installation): Promise<void> => {
    const current = live.get(slot);
    if (!current || (unless && isSame(current, unless))) return;
    live.delete(slot);
    await runtime.release(current.instance.key, { drainMs });
  };

  const changes = installations.onChange(({ organization, plugin }) => {
    const slot = slotOf(organization, plugin);
    if (!live.has(slot)) return;
    installations
      .find(organization, plugin)
      .then((installation) => letGo(slot, installation?.status === "active" ? installation : undefined))
      .catch(() => {});
  });

  return {
    async of(installation, name) {
      if (installation.digest === null) throw new BackplaneError("no_code", { plugin: installation.plugin, name });
      const slot = slotOf(installation.organization, installation.plugin);
      const known = live.get(slot);
      if (known && !isOlder(known, installation)) return known.instance;
      made += 1;
      const instance: PluginInstance = {
        key: `${installation.id}:${installation.revision}:${made}`,
        organization: installation.organization,
        installation: installation.id,
        plugin: installation.plugin,
        version: installation.version,
        digest: installation.digest,
        isolationGroup: isolationGroup(options.isolation, {
          organization: installation.organization,
          installation: installation.id,
          highRisk: options.highRisk(installation.plugin),
        }),
        limits: cutLimits(installation.manifest.resources, options.ceiling),
        guest: {
          organization: installation.organization,
          plugin: { id: installation.plugin, version: installation.version },
          config: await options.guestConfig(installation),
          abilities: options.abilityNames(installation),
          permissions: installation.grants,
        },
        loadBundle: () => options.loadBundle(installation),
      };
      const current = live.get(slot);
      if (current && !isOlder(current, installation)) return current.instance;
      if (current) void letGo(slot).catch(() => {});
      live.set(slot, { instance, installation: installation.id, revision: installation.revision });
      return instance;
    },
    release: (organization, plugin) => letGo(slotOf(organization, plugin)),
    [Symbol.dispose]() {
      changes[Symbol.dispose]();
      live.clear();
    },
  };
}

interface Live {
  instance: PluginInstance;
  installation: Installation["id"];
  revision: number;
}

const isSame = (live: Live, { id, revision }: Installation): boolean =>
  live.installation === id && live.revision === revision;

/** A call that read its installation just before a change must not bring the former instance back: it runs in the new one. */
const isOlder = (live: Live, { id, revision }: Installation): boolean =>
  live.installation === id ? live.revision < revision : live.installation < id;
