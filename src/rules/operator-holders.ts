/**
 * Which installation holds an operator's id that several offer: the one that has offered it longest, whatever its status, until
 * it is uninstalled or a version of it gives the id up. What counts is since when its versions have had the id, not since when
 * it is installed: an upgrade must not take over what others hold. The history is read only where ids are contested.
 */
import { isObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import type { Packages } from "../packages/packages.ts";
import type { Store } from "../store/store.ts";
import type { OperatorKind } from "./operator-catalog.ts";

/** Milliseconds since 1970. */
export type OfferedSince = (installation: Installation, kind: OperatorKind, id: string) => number;

/** For installations that offer contested ids. */
export type ReadHistory = (contestants: readonly Installation[]) => Promise<OfferedSince>;

export function createHistory({ store, packages }: { store: Store; packages: Pick<Packages, "resolve"> }): ReadHistory {
  /** Versions since it was installed, oldest first, each with its offers and when it came. */
  const versionsOf = async ({ organization, plugin, installedAt }: Installation): Promise<Version[]> => {
    const rows = await store.db
      .selectFrom("installation_transitions")
      .select(["action", "version", "at"])
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .where("action", "in", ["installed", "upgraded"])
      .orderBy("seq")
      .execute();
    const own = rows.slice(rows.findLastIndex(({ action }) => action === "installed") + 1);
    const first = rows.findLast(({ action }) => action === "installed");
    if (own.length === 0) return [];
    const all = [{ version: first?.version ?? null, at: installedAt }, ...own];
    return await Promise.all(
      all.map(async ({ version, at }) => {
        const resolving = version === null ? undefined : packages.resolve(organization, plugin, version);
        const found = await resolving?.catch((error: unknown) => {
          if (error instanceof BackplaneError && error.code === "not_found") return undefined;
          throw error;
        });
        return { at: at.getTime(), offers: offersOf(found?.manifest) };
      }),
    );
  };

  return async (contestants) => {
    const versions = new Map(
      await Promise.all(contestants.map(async (one) => [one.plugin, await versionsOf(one)] as const)),
    );
    return ({ plugin, installedAt }, kind, id) => {
      const history = versions.get(plugin) ?? [];
      // The last one is what is installed now.
      const without = history.slice(0, -1).findLastIndex(({ offers }) => !offers.has(`${kind} ${id}`));
      return history[without + 1]?.at ?? installedAt.getTime();
    };
  };
}

interface Version {
  at: number;
  offers: ReadonlySet<string>;
}

/** `action comms.sendSms` and the like. */
export function offersOf(manifest: { contributes?: unknown } | undefined): Set<string> {
  const contributes = isObject(manifest?.contributes) ? manifest.contributes : {};
  const named = (kind: OperatorKind, field: string): string[] => {
    const list = contributes[`${kind}s`];
    return Array.isArray(list) ? list.map((one: Record<string, unknown>) => `${kind} ${String(one[field])}`) : [];
  };
  return new Set([...named("condition", "id"), ...named("action", "id"), ...named("variable", "name")]);
}
