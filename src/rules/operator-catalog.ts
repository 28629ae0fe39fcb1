/**
 * What an organisation's plugins offer to rules, read from the manifests of its installations and kept in memory until one
 * of them changes. `active` is what a rule is checked against when it is saved; `installed` also has the operators of plugins
 * that are paused, so that rules that use them go on being set off and their runs wait.
 */
import type { OrganizationId } from "../base/brands.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { BundledOffers } from "./bundled-offers.ts";
import type { OperatorCatalog, OperatorEntry, VariableEntry } from "./language/types.ts";
import { type OfferedSince, offersOf, type ReadHistory } from "./operator-holders.ts";

export type OperatorKind = "condition" | "action" | "variable";

/** One line of the catalog, as people read it. */
export interface OperatorInfo {
  id: string;
  kind: OperatorKind;
  plugin: string;
  name: string | null;
  description: string | null;
  /** Of the parameters; of one value for variables. */
  schema: Record<string, unknown> | null;
  permissions: readonly string[];
  idempotent: boolean;
  /** False while its plugin is installed but not active, and where another plugin holds the id. */
  active: boolean;
  /** The plugin that holds the id, where that is another one: rules mean that one's operator until it is uninstalled. */
  heldBy: string | null;
}

export interface LoadedCatalog {
  active: OperatorCatalog;
  installed: OperatorCatalog;
  list: readonly OperatorInfo[];
  /** Status of the plugins that are installed but not active, by id. */
  paused: ReadonlyMap<string, string>;
}

export interface OperatorCatalogs extends Disposable {
  of(organization: OrganizationId): Promise<LoadedCatalog>;
  /** Called when an organisation's plugins changed; on every node. */
  onChange(listener: (organization: OrganizationId) => void): Disposable;
}

const pageSize = 200;
const maxKept = 1000;

export interface OperatorCatalogsOptions {
  installations: Pick<Installations, "list" | "onChange">;
  readHistory: ReadHistory;
  bundledOffers: BundledOffers;
  /** Told once by each node of what an active plugin offers under an id that another one holds. */
  onHeld?(organization: OrganizationId, held: OperatorInfo): void;
}

export function createOperatorCatalogs({
  installations,
  readHistory,
  bundledOffers,
  onHeld,
}: OperatorCatalogsOptions): OperatorCatalogs {
  const kept = new Map<OrganizationId, Promise<LoadedCatalog>>();
  const told = new Set<string>();
  const listeners = new Set<(organization: OrganizationId) => void>();
  const subscription = installations.onChange(({ organization }) => {
    kept.delete(organization);
    for (const listener of listeners) listener(organization);
  });

  const load = async (organization: OrganizationId): Promise<LoadedCatalog> => {
    const all: Installation[] = [];
    for (;;) {
      const last = all.at(-1);
      const page = await installations.list(organization, {
        limit: pageSize,
        ...(last ? { before: { installedAt: last.installedAt, id: last.id } } : {}),
      });
      all.push(...page);
      if (page.length < pageSize) break;
    }
    const oldestFirst = all.reverse();
    const contested = contestedOf(oldestFirst);
    const installable = new Map(await bundledOffers());
    for (const [id, plugin] of installable)
      if (oldestFirst.some((installation) => installation.plugin === plugin)) installable.delete(id);
    const withHints = ({ active, installed, ...rest }: LoadedCatalog): LoadedCatalog => ({
      active: { ...active, installable },
      installed: { ...installed, installable },
      ...rest,
    });
    if (contested.length === 0) return withHints(catalogOf(oldestFirst));
    const catalog = catalogOf(oldestFirst, await readHistory(contested));
    const isActive = new Set(
      contested.flatMap(({ plugin, status }) => (status === "active" ? [plugin as string] : [])),
    );
    for (const held of catalog.list) {
      const name = JSON.stringify([organization, held.plugin, held.kind, held.id, held.heldBy]);
      if (held.heldBy === null || !isActive.has(held.plugin) || told.has(name)) continue;
      if (told.size >= maxKept) told.clear();
      told.add(name);
      onHeld?.(organization, held);
    }
    return withHints(catalog);
  };

  return {
    of(organization) {
      let loading = kept.get(organization);
      if (!loading) {
        if (kept.size >= maxKept) kept.delete(kept.keys().next().value!);
        loading = load(organization);
        kept.set(organization, loading);
        const mine = loading;
        loading.catch(() => {
          if (kept.get(organization) === mine) kept.delete(organization);
        });
      }
      return loading;
    },
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    [Symbol.dispose]() {
      subscription[Symbol.dispose]();
      listeners.clear();
      kept.clear();
    },
  };
}

interface Draft {
  conditions: Map<string, OperatorEntry>;
  actions: Map<string, OperatorEntry>;
  variables: Map<string, VariableEntry>;
}

const emptyDraft = (): Draft => ({ conditions: new Map(), actions: new Map(), variables: new Map() });

/** Those that offer an id which another one offers as well. */
function contestedOf(installations: readonly Installation[]): Installation[] {
  const offers = installations.map((installation) => ({ installation, ids: offersOf(installation.manifest) }));
  const times = new Map<string, number>();
  for (const { ids } of offers) for (const id of ids) times.set(id, (times.get(id) ?? 0) + 1);
  return offers.flatMap(({ installation, ids }) => ([...ids].some((id) => times.get(id)! > 1) ? [installation] : []));
}

/**
 * Of several plugins that offer one id the one that has offered it longest holds it, be it active, paused or in quarantine:
 * whoever can make a plugin fail, or waits for its maintenance, must not be handed what rules tell it.
 */
export function catalogOf(
  oldestFirst: readonly Installation[],
  since: OfferedSince = ({ installedAt }) => installedAt.getTime(),
): LoadedCatalog {
  const active = emptyDraft();
  const installed = emptyDraft();
  const offered = new Map<string, string>();
  const list: OperatorInfo[] = [];
  const paused = new Map<string, string>();
  const holders = new Map<string, { plugin: string; since: number }>();
  const claim = (installation: Installation, kind: OperatorKind, id: string): void => {
    const held = holders.get(`${kind} ${id}`);
    const at = since(installation, kind, id);
    if (!held || at < held.since) holders.set(`${kind} ${id}`, { plugin: installation.plugin, since: at });
  };
  for (const installation of oldestFirst)
    for (const offer of offersOf(installation.manifest)) {
      const [kind, id] = offer.split(" ") as [OperatorKind, string];
      claim(installation, kind, id);
    }
  for (const { plugin, manifest, status } of oldestFirst) {
    const isActive = status === "active";
    if (!isActive) paused.set(plugin, status);
    const put = (kind: OperatorKind, id: string, entry: OperatorEntry | VariableEntry, info: Partial<OperatorInfo>) => {
      const table = `${kind}s` as const;
      const holder = holders.get(`${kind} ${id}`)!.plugin;
      const heldBy = holder === plugin ? null : holder;
      if (heldBy === null) {
        (installed[table] as Map<string, unknown>).set(id, entry);
        if (isActive) (active[table] as Map<string, unknown>).set(id, entry);
        else offered.set(id, plugin);
      }
      list.push({
        id,
        kind,
        plugin,
        name: null,
        description: null,
        schema: null,
        permissions: [],
        idempotent: false,
        active: isActive && heldBy === null,
        heldBy,
        ...info,
      });
    };
    for (const kind of ["condition", "action"] as const)
      for (const operator of manifest.contributes?.[`${kind}s`] ?? []) {
        const schema = operator.parameters as Record<string, unknown> | undefined;
        const permissions = operator.permissions ?? [];
        const idempotent = operator.idempotent ?? false;
        const entry = { plugin, ...(schema ? { parameters: schema } : {}), permissions, idempotent };
        put(kind, operator.id, entry, {
          name: operator.name ?? null,
          description: operator.description ?? null,
          schema: schema ?? null,
          permissions,
          idempotent,
        });
      }
    for (const variable of manifest.contributes?.variables ?? []) {
      const schema = variable.schema as Record<string, unknown> | undefined;
      put(
        "variable",
        variable.name,
        { plugin, ...(schema ? { schema } : {}) },
        { description: variable.description ?? null, schema: schema ?? null, idempotent: true },
      );
    }
  }
  // Of one id the holder comes first.
  const place = ({ kind, id, heldBy }: OperatorInfo): string => `${kind} ${id} ${heldBy === null ? 0 : 1}`;
  list.sort((a, b) => (place(a) < place(b) ? -1 : 1));
  return { active: { ...active, offered }, installed: { ...installed, offered }, list, paused };
}
