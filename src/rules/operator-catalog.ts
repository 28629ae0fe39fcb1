/**
 * What an organisation's plugins offer to rules, read from the manifests of its installations and kept in memory until one
 * of them changes. `active` is what a rule is checked against when it is saved; `installed` also has the operators of plugins
 * that are paused, so that rules that use them go on being set off and their runs wait.
 */
import type { OrganizationId } from "../base/brands.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { OperatorCatalog, OperatorEntry, VariableEntry } from "./language/types.ts";

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
  /** False while its plugin is installed but not active. */
  active: boolean;
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

export function createOperatorCatalogs({
  installations,
}: {
  installations: Pick<Installations, "list" | "onChange">;
}): OperatorCatalogs {
  const kept = new Map<OrganizationId, Promise<LoadedCatalog>>();
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
    return catalogOf(all.reverse());
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

/**
 * Of two plugins that offer one id the active one counts, then the one that was installed first. One in quarantine keeps its
 * ids, for nobody has decided on it: whoever can make a plugin fail must not be handed what rules tell it.
 */
export function catalogOf(oldestFirst: readonly Installation[]): LoadedCatalog {
  const active = emptyDraft();
  const installed = emptyDraft();
  const offered = new Map<string, string>();
  const list: OperatorInfo[] = [];
  const paused = new Map<string, string>();
  const holds = ({ status }: Installation): boolean => status === "active" || status === "quarantined";
  const ordered = [...oldestFirst.filter(holds), ...oldestFirst.filter((installation) => !holds(installation))];
  for (const { plugin, manifest, status } of ordered) {
    const isActive = status === "active";
    if (!isActive) paused.set(plugin, status);
    const put = (kind: OperatorKind, id: string, entry: OperatorEntry | VariableEntry, info: Partial<OperatorInfo>) => {
      const table = `${kind}s` as const;
      if (installed[table].has(id)) return;
      (installed[table] as Map<string, unknown>).set(id, entry);
      if (isActive) (active[table] as Map<string, unknown>).set(id, entry);
      else offered.set(id, plugin);
      list.push({
        id,
        kind,
        plugin,
        name: null,
        description: null,
        schema: null,
        permissions: [],
        idempotent: false,
        active: isActive,
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
  list.sort((a, b) => (a.kind === b.kind ? (a.id < b.id ? -1 : 1) : a.kind < b.kind ? -1 : 1));
  return { active: { ...active, offered }, installed: { ...installed, offered }, list, paused };
}
