/**
 * The rules of an organisation as the engine uses them: compiled, with a matcher over the enabled ones. Kept in memory
 * and brought up to date when it is asked for: every change of rules raises the organisation's revision in its own
 * transaction, and `current` compares with it first (one small statement, shared by all who ask at the same moment), so no
 * node ever works with rules older than the event it holds. A change of plugins compiles again what uses them.
 */
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import type { Store } from "../store/store.ts";
import { compileRule } from "./language/compile-rule.ts";
import type { CompiledRule, OperatorCatalog, RuleFault } from "./language/types.ts";
import { createMatcher, type Matcher } from "./matching/matcher.ts";
import type { LoadedCatalog, OperatorCatalogs } from "./operator-catalog.ts";
import { pluginsOf, usesOf } from "./rule-parts.ts";

export interface LoadedRule {
  id: string;
  name: string;
  version: number;
  enabled: boolean;
  /** Events accepted before do not set it off. */
  enabledAt: Date | null;
  /** Absent when it cannot run as things are. */
  compiled?: CompiledRule;
  faults: readonly RuleFault[];
}

export interface RuleSet {
  revision: number;
  rules: ReadonlyMap<string, LoadedRule>;
  matcher: Matcher;
  catalog: LoadedCatalog;
}

export interface RuleSets extends Disposable {
  /** At least as new as what was committed when this was called. */
  current(organization: OrganizationId): Promise<RuleSet>;
  /** A version that is or was; `undefined` when the rule is gone. */
  version(organization: OrganizationId, rule: string, version: number): Promise<Compiled | undefined>;
}

export interface Compiled {
  rule?: CompiledRule;
  faults: readonly RuleFault[];
}

interface Kept extends RuleSet {
  rules: Map<string, LoadedRule>;
}

const maxOrganizations = 500;
const maxVersions = 2000;
/** Compiling gives way to everything else after so long, ms. */
const sliceMs = 8;
/** Sources read at once. */
const sourcesPerRead = 500;

export function createRuleSets({ store, catalogs }: { store: Store; catalogs: OperatorCatalogs }): RuleSets {
  const kept = new Map<OrganizationId, Kept>();
  const loading = new Map<OrganizationId, Promise<Kept>>();
  const checks = new Map<OrganizationId, Promise<number>>();
  const checking = new Map<OrganizationId, Promise<number>>();
  const versions = new Map<string, { catalog: LoadedCatalog; compiled: Compiled }>();

  const readRevision = async (organization: OrganizationId): Promise<number> => {
    const row = await store.db
      .selectFrom("rule_sets")
      .select("revision")
      .where("organization_id", "=", organization)
      .executeTakeFirst();
    return Number(row?.revision ?? 0);
  };

  /** Joins a read that has not begun; one that has may be older than what the caller knows of. */
  const revisionNow = (organization: OrganizationId): Promise<number> => {
    const waiting = checks.get(organization);
    if (waiting) return waiting;
    const before = checking.get(organization);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const begin = (): void => {
      checks.delete(organization);
      checking.set(organization, promise);
      readRevision(organization)
        .then(resolve, reject)
        .finally(() => {
          if (checking.get(organization) === promise) checking.delete(organization);
        });
    };
    if (before) before.then(begin, begin);
    else setImmediate(begin);
    checks.set(organization, promise);
    return promise;
  };

  const current: RuleSets["current"] = async (organization) => {
    for (;;) {
      const [revision, catalog] = await Promise.all([revisionNow(organization), catalogs.of(organization)]);
      const set = kept.get(organization);
      if (set && set.revision >= revision && set.catalog === catalog) return set;
      const under = loading.get(organization);
      if (under) {
        await under;
        continue;
      }
      const load = loadSet({ store, organization, catalog, former: set });
      loading.set(organization, load);
      try {
        const loaded = await load;
        kept.delete(organization);
        if (kept.size >= maxOrganizations) kept.delete(kept.keys().next().value!);
        kept.set(organization, loaded);
        if (loaded.revision >= revision) return loaded;
      } finally {
        loading.delete(organization);
      }
    }
  };

  return {
    current,
    async version(organization, rule, version) {
      const set = kept.get(organization);
      const loaded = set?.rules.get(rule);
      const catalog = await catalogs.of(organization);
      if (loaded?.version === version && loaded.compiled && set?.catalog === catalog)
        return { rule: loaded.compiled, faults: [] };
      const name = JSON.stringify([organization, rule, version]);
      const known = versions.get(name);
      if (known?.catalog === catalog) return known.compiled;
      const row = await store.db
        .selectFrom("rule_versions")
        .select("source")
        .where("organization_id", "=", organization)
        .where("rule_id", "=", rule)
        .where("version", "=", version)
        .executeTakeFirst();
      if (!row) return undefined;
      const compiled = compileRule(row.source, catalog.installed);
      if (versions.size >= maxVersions) versions.delete(versions.keys().next().value!);
      versions.set(name, { catalog, compiled });
      return compiled;
    },
    [Symbol.dispose]() {
      kept.clear();
      versions.clear();
    },
  };
}

interface Loading {
  store: Store;
  organization: OrganizationId;
  catalog: LoadedCatalog;
  former: Kept | undefined;
}

async function loadSet({ store, organization, catalog, former }: Loading): Promise<Kept> {
  // Revision first: rows that are newer than it are read again at the next look, never the other way round.
  const { rows: head } = await sql<{ revision: number }>`
    select coalesce((select revision from rule_sets where organization_id = ${organization}), 0)::int8 as revision`.execute(
    store.db,
  );
  const rows = await store.db
    .selectFrom("rules")
    .select(["id", "name", "version", "enabled", "enabled_at"])
    .where("organization_id", "=", organization)
    .orderBy("id")
    .execute();
  const rules = new Map<string, LoadedRule>();
  const missing: string[] = [];
  for (const row of rows) {
    const known = former?.rules.get(row.id);
    const reusable =
      known?.version === row.version &&
      known.compiled !== undefined &&
      (former!.catalog === catalog || sameOperators(known.compiled, former!.catalog.installed, catalog.installed));
    rules.set(row.id, {
      id: row.id,
      name: row.name,
      version: row.version,
      enabled: row.enabled,
      enabledAt: row.enabled_at,
      ...(reusable ? { compiled: known.compiled! } : {}),
      faults: [],
    });
    if (!reusable) missing.push(row.id);
  }
  let slice = performance.now();
  for (let at = 0; at < missing.length; at += sourcesPerRead) {
    const sources = await store.db
      .selectFrom("rules")
      .select(["id", "version", "source"])
      .where("organization_id", "=", organization)
      .where("id", "in", missing.slice(at, at + sourcesPerRead))
      .execute();
    for (const { id, version, source } of sources) {
      const { rule, faults } = compileRule(source, catalog.installed);
      const loaded = rules.get(id)!;
      rules.set(id, { ...loaded, version, ...(rule ? { compiled: rule } : {}), faults });
      if (performance.now() - slice > sliceMs) {
        await new Promise((resolve) => setImmediate(resolve));
        slice = performance.now();
      }
    }
  }
  const enabled = [...rules.values()].flatMap(({ id, enabled: on, compiled }) =>
    on && compiled ? [[id, { ...compiled, enabled: true }] as const] : [],
  );
  return { revision: Number(head[0]?.revision ?? 0), rules, matcher: createMatcher(enabled), catalog };
}

function sameOperators(rule: CompiledRule, before: OperatorCatalog, after: OperatorCatalog): boolean {
  return usesOf(rule).every(({ kind, id }) => {
    const [was, is] = [before[kind].get(id), after[kind].get(id)];
    return was === is || (is !== undefined && JSON.stringify(was) === JSON.stringify(is));
  });
}

export type RuleState = "enabled" | "disabled" | "broken";

/** What a rule is now, and why it cannot act. */
export function stateOf(
  { enabled, compiled, faults }: LoadedRule,
  catalog: LoadedCatalog,
): { state: RuleState; reason: string | null } {
  if (!compiled) {
    const first = faults[0];
    return { state: "broken", reason: first ? `${first.path}: ${first.message}` : "its source cannot be read" };
  }
  const paused = [...pluginsOf(compiled, catalog.installed.variables)].find((plugin) => catalog.paused.has(plugin));
  if (paused !== undefined)
    return {
      state: "broken",
      reason: `Plugin '${paused}' is ${catalog.paused.get(paused)}, not active; runs wait for it.`,
    };
  return { state: enabled ? "enabled" : "disabled", reason: null };
}
