/**
 * Rules as they are kept: sources with their versions, and beside them what sets them off (consumers of events, due times,
 * hooks), which changes in the same transaction. Changes of one organisation follow each other: each raises its revision first. Long because
 * saving, applying, switching, restoring and removing are one transaction in five forms.
 */
import { randomBytes } from "node:crypto";
import { Cron } from "croner";
import { sql } from "kysely";
import type { Audit } from "../audit/audit.ts";
import type { OrganizationId } from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { hubConsumerPrefix } from "../policy/consumers.ts";
import { json } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import type { HubSubscription } from "../subscriptions/subscriptions.ts";
import { compileRule } from "./language/compile-rule.ts";
import { diffRules, type RuleChange } from "./language/diff-rules.ts";
import type { CompiledRule, RuleFault } from "./language/types.ts";
import type { OperatorCatalogs } from "./operator-catalog.ts";
import { coverOf, patternsOf, webhooksOf } from "./rule-parts.ts";
import type { RuleRecord, RuleVersionRecord } from "./rule-record.ts";
import { type LoadedRule, type RuleSets, stateOf } from "./rule-sets.ts";

export interface RuleActor {
  organization: OrganizationId;
  /** For records: `hub_admin` or `key:<id>`. */
  actor: string;
  traceId?: string | undefined;
}

export interface RuleValidation {
  valid: boolean;
  faults: RuleFault[];
  /** As it would be saved. */
  id?: string;
  name?: string;
}

export interface AppliedRule {
  file: string;
  id: string;
  version: number;
  outcome: "created" | "updated" | "unchanged";
}

export interface RuleRecords {
  validate(organization: OrganizationId, source: string): Promise<RuleValidation>;
  /** Errors: `invalid_rule`, `conflict` when the id is taken. */
  create(by: RuleActor, given: { source: string; reason?: string | undefined }): Promise<RuleRecord>;
  /** The same source again makes no version. Errors: `invalid_rule`, `not_found`, `conflict` when `ifVersion` is not the version. */
  update(
    by: RuleActor,
    id: string,
    given: { source: string; ifVersion?: number | undefined; reason?: string | undefined },
  ): Promise<RuleRecord>;
  /** All of them or, when one is wrong, none; known by their `id`, else by their name. Doing it twice changes nothing. Error: `invalid_rule`. */
  apply(
    by: RuleActor,
    files: readonly { file: string; source: string }[],
    reason?: string | undefined,
  ): Promise<AppliedRule[]>;
  setEnabled(by: RuleActor, id: string, enabled: boolean): Promise<RuleRecord>;
  /** Its runs that wait or run are cancelled; their records stay. Error: `not_found`. */
  remove(by: RuleActor, id: string): Promise<void>;
  /** Error: `not_found`. */
  get(organization: OrganizationId, id: string): Promise<RuleRecord>;
  /** By id. */
  list(
    organization: OrganizationId,
    page: { limit?: number | undefined; cursor?: string | undefined; state?: RuleRecord["state"] | undefined },
  ): Promise<{ rules: RuleRecord[]; nextCursor: string | null }>;
  /** Newest first. */
  versions(
    organization: OrganizationId,
    id: string,
    page: { limit?: number | undefined; cursor?: string | undefined },
  ): Promise<{ versions: RuleVersionRecord[]; nextCursor: string | null }>;
  /** What changed in meaning from one version to another; empty where one of them cannot be read today. */
  diff(organization: OrganizationId, id: string, from: number, to: number): Promise<RuleChange[]>;
  /** A new version with the source of an older one. */
  restore(by: RuleActor, id: string, version: number): Promise<RuleRecord>;
}

export interface RuleRecordsOptions {
  store: Store;
  audit: Audit;
  catalogs: OperatorCatalogs;
  sets: RuleSets;
  subscription: HubSubscription;
  /** Ends the open runs of a rule that goes; in its transaction. */
  cancelRuns(tx: Tx, organization: OrganizationId, rule: string): Promise<void>;
}

export const featureName = "rules";
export const rulesChannel = "rules_changed";
const maxRules = 20_000;
const maxVersions = 1_000;
const idForm = /^[a-z0-9][a-z0-9._-]{0,99}$/;
/** Paths below `/api/rules` that are no rules. */
const reservedIds = new Set(["apply", "dry-run", "operators", "replay", "replays", "runs", "validate"]);

export function createRuleRecords(options: RuleRecordsOptions): RuleRecords {
  const { store, audit, catalogs, sets, subscription } = options;

  const compile = async (
    organization: OrganizationId,
    source: string,
  ): Promise<{ rule?: CompiledRule; id?: string; faults: RuleFault[] }> => {
    const { rule, faults } = compileRule(source, (await catalogs.of(organization)).active);
    if (!rule) return { faults };
    const id = rule.id ?? slugOf(rule.name);
    if (!idForm.test(id) || reservedIds.has(id)) {
      const message = `\`${id}\` cannot be a rule's id: write \`id:\` with lower-case letters, digits, \`-\`, \`_\` and \`.\`, other than ${[...reservedIds].join(", ")}.`;
      return { faults: [{ code: "shape", message, line: 1, column: 1, path: rule.id === undefined ? "name" : "id" }] };
    }
    return { rule, id, faults: [] };
  };

  const mustCompile = async (
    organization: OrganizationId,
    source: string,
    file?: string,
  ): Promise<{ rule: CompiledRule; id: string }> => {
    const { rule, id, faults } = await compile(organization, source);
    if (rule && id !== undefined) return { rule, id };
    throw invalidRule(faults, file);
  };

  const present = async (organization: OrganizationId, ids?: readonly string[]): Promise<RuleRecord[]> => {
    const set = await sets.current(organization);
    let query = store.db.selectFrom("rules").selectAll().where("organization_id", "=", organization).orderBy("id");
    if (ids) query = ids.length > 0 ? query.where("id", "in", [...ids]) : query.where(sql`false` as never);
    const rows = await query.execute();
    if (rows.length === 0) return [];
    const [hooks, due] = await Promise.all([
      store.db
        .selectFrom("rule_hooks")
        .selectAll()
        .where("organization_id", "=", organization)
        .where(
          "rule_id",
          "in",
          rows.map(({ id }) => id),
        )
        .orderBy("name")
        .execute(),
      store.db
        .selectFrom("rule_schedules")
        .select(["rule_id", (eb) => eb.fn.min("next_at").as("next_at")])
        .where("organization_id", "=", organization)
        .where(
          "rule_id",
          "in",
          rows.map(({ id }) => id),
        )
        .groupBy("rule_id")
        .execute(),
    ]);
    return rows.map((row) => {
      const loaded: LoadedRule = set.rules.get(row.id) ?? { ...row, enabledAt: row.enabled_at, faults: [] };
      const { state, reason } = stateOf(loaded, set.catalog);
      return {
        id: row.id,
        name: row.name,
        description: row.description,
        version: row.version,
        enabled: row.enabled,
        state,
        stateReason: reason,
        faults: loaded.faults,
        source: row.source,
        triggers: (loaded.compiled?.triggers ?? []).map((trigger) =>
          trigger.kind === "event"
            ? { event: trigger.pattern, ...(trigger.filter ? { filter: trigger.filter.source } : {}) }
            : trigger.kind === "cron"
              ? { cron: trigger.cron, timezone: trigger.timezone }
              : { webhook: trigger.webhook },
        ),
        mode: loaded.compiled?.mode ?? null,
        hooks: hooks
          .filter((hook) => hook.rule_id === row.id)
          .map((hook) => ({ name: hook.name, path: `/hooks/${organization}/${hook.token}` })),
        nextRunAt: due.find((entry) => entry.rule_id === row.id)?.next_at?.toISOString() ?? null,
        createdBy: row.created_by,
        updatedBy: row.updated_by,
        createdAt: row.created_at.toISOString(),
        updatedAt: row.updated_at.toISOString(),
      };
    });
  };

  const get: RuleRecords["get"] = async (organization, id) => {
    const [record] = await present(organization, [id]);
    if (!record) throw new BackplaneError("not_found", { thing: "rule" });
    return record;
  };

  /** One change of an organisation's rules: after those before it, with what sets rules off brought in step, and announced. */
  const change = <T>(organization: OrganizationId, work: (tx: Tx) => Promise<T>): Promise<T> =>
    store.transaction(async (tx) => {
      await sql`insert into rule_sets (organization_id, revision) values (${organization}, 1)
        on conflict (organization_id) do update set revision = rule_sets.revision + 1`.execute(tx);
      const result = await work(tx);
      await syncConsumers(tx, organization, subscription);
      await store.notify(tx, rulesChannel, organization);
      return result;
    });

  interface Saving {
    by: RuleActor;
    id: string;
    rule: CompiledRule;
    reason: string | undefined;
    ifVersion?: number | undefined;
    mode: "create" | "update" | "upsert";
  }

  const save = async (tx: Tx, { by, id, rule, reason, ifVersion, mode }: Saving): Promise<AppliedRule["outcome"]> => {
    const { organization, actor } = by;
    const former = await tx
      .selectFrom("rules")
      .selectAll()
      .where("organization_id", "=", organization)
      .where("id", "=", id)
      .executeTakeFirst();
    if (former && mode === "create")
      throw new BackplaneError("conflict", {
        reason: `There is a rule '${id}' already. Give this one another \`id\`, or replace that one.`,
      });
    if (!former && mode === "update") throw new BackplaneError("not_found", { thing: "rule" });
    if (ifVersion !== undefined && former?.version !== ifVersion)
      throw new BackplaneError("conflict", {
        reason: `The rule is at version ${former?.version}, not ${ifVersion}: somebody has changed it. Read it again.`,
      });
    if (former?.source === rule.source) return "unchanged";
    const version = (former?.version ?? 0) + 1;
    const enabled = former ? enabledAfter(former, rule) : rule.enabled;
    const fields = {
      name: rule.name,
      description: rule.description ?? null,
      version,
      enabled,
      source: rule.source,
      patterns: json(patternsOf(rule)),
      updated_by: actor,
    };
    if (former)
      await tx
        .updateTable("rules")
        .set({
          ...fields,
          updated_at: sql`now()`,
          ...(enabled && !former.enabled ? { enabled_at: sql`now()` } : {}),
        })
        .where("organization_id", "=", organization)
        .where("id", "=", id)
        .execute();
    else {
      const { count } = await tx
        .selectFrom("rules")
        .select((eb) => eb.fn.countAll<number | string>().as("count"))
        .where("organization_id", "=", organization)
        .executeTakeFirstOrThrow();
      if (Number(count) >= maxRules)
        throw new BackplaneError("conflict", { reason: `The organisation has ${maxRules} rules; that is the most.` });
      await tx
        .insertInto("rules")
        .values({
          organization_id: organization,
          id,
          ...fields,
          created_by: actor,
          enabled_at: enabled ? sql`now()` : null,
        })
        .execute();
    }
    await tx
      .insertInto("rule_versions")
      .values({
        organization_id: organization,
        rule_id: id,
        version,
        source: rule.source,
        actor,
        reason: reason ?? null,
      })
      .execute();
    if (version > maxVersions)
      await tx
        .deleteFrom("rule_versions")
        .where("organization_id", "=", organization)
        .where("rule_id", "=", id)
        .where("version", "<=", version - maxVersions)
        .execute();
    await syncTriggers(tx, { organization, id, rule, enabled });
    await audit.record(tx, {
      organization,
      actor,
      action: former ? "rule.updated" : "rule.created",
      target: id,
      details: { name: rule.name, version, ...(reason === undefined ? {} : { reason }) },
      traceId: by.traceId,
    });
    return former ? "updated" : "created";
  };

  const update: RuleRecords["update"] = async (by, id, { source, ifVersion, reason }) => {
    const { rule } = await mustCompile(by.organization, source);
    if (rule.id !== undefined && rule.id !== id)
      throw new BackplaneError("conflict", { reason: `The source says \`id: ${rule.id}\`; this rule is '${id}'.` });
    await change(by.organization, (tx) => save(tx, { by, id, rule, reason, ifVersion, mode: "update" }));
    return get(by.organization, id);
  };

  return {
    async validate(organization, source) {
      const { rule, id, faults } = await compile(organization, source);
      return rule && id !== undefined ? { valid: true, faults, id, name: rule.name } : { valid: false, faults };
    },
    async create(by, { source, reason }) {
      const { rule, id } = await mustCompile(by.organization, source);
      await change(by.organization, (tx) => save(tx, { by, id, rule, reason, mode: "create" }));
      return get(by.organization, id);
    },
    update,
    async apply(by, files, reason) {
      const compiled: { file: string; id: string; rule: CompiledRule }[] = [];
      const errors: FieldError[] = [];
      for (const { file, source } of files) {
        const { rule, id, faults } = await compile(by.organization, source);
        if (!rule || id === undefined) errors.push(...fieldErrors(faults, file));
        else if (compiled.some((other) => other.id === id))
          errors.push({ path: file, message: `is a second rule '${id}'`, line: 1, column: 1 });
        else compiled.push({ file, id, rule });
      }
      if (errors.length > 0) throw new BackplaneError("invalid_rule", { count: errors.length }, { errors });
      if (compiled.length === 0) return [];
      return await change(by.organization, async (tx) => {
        const applied: AppliedRule[] = [];
        for (const { file, id, rule } of compiled) {
          const outcome = await save(tx, { by, id, rule, reason, mode: "upsert" });
          const { version } = await tx
            .selectFrom("rules")
            .select("version")
            .where("organization_id", "=", by.organization)
            .where("id", "=", id)
            .executeTakeFirstOrThrow();
          applied.push({ file, id, version, outcome });
        }
        return applied;
      });
    },
    async setEnabled(by, id, enabled) {
      const { organization } = by;
      const set = await sets.current(organization);
      const compiled = set.rules.get(id)?.compiled;
      if (enabled && set.rules.has(id) && !compiled)
        throw new BackplaneError("rule_broken", {
          rule: id,
          reason: stateOf(set.rules.get(id)!, set.catalog).reason ?? "",
        });
      await change(organization, async (tx) => {
        const row = await tx
          .selectFrom("rules")
          .select(["enabled", "source", "version"])
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .executeTakeFirst();
        if (!row) throw new BackplaneError("not_found", { thing: "rule" });
        if (row.enabled === enabled) return;
        await tx
          .updateTable("rules")
          .set({ enabled, updated_by: by.actor, ...(enabled ? { enabled_at: sql`now()` } : {}) })
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .execute();
        const rule = compileRule(row.source, set.catalog.installed).rule;
        if (rule) await syncTriggers(tx, { organization, id, rule, enabled });
        else if (!enabled) await dropSchedules(tx, organization, id);
        await audit.record(tx, {
          organization,
          actor: by.actor,
          action: enabled ? "rule.enabled" : "rule.disabled",
          target: id,
          details: { version: row.version },
          traceId: by.traceId,
        });
      });
      return get(organization, id);
    },
    async remove(by, id) {
      const { organization } = by;
      await change(organization, async (tx) => {
        const gone = await tx
          .deleteFrom("rules")
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .returning(["name", "version"])
          .executeTakeFirst();
        if (!gone) throw new BackplaneError("not_found", { thing: "rule" });
        await options.cancelRuns(tx, organization, id);
        await audit.record(tx, {
          organization,
          actor: by.actor,
          action: "rule.deleted",
          target: id,
          details: { name: gone.name, version: gone.version },
          traceId: by.traceId,
        });
      });
    },
    get,
    async list(organization, { limit = 50, cursor, state }) {
      const after = cursor === undefined ? "" : String(decodeCursor(cursor, 1)[0]);
      const set = await sets.current(organization);
      // The states are in memory, so the page is cut there and only its rows are read.
      const ids = [...set.rules.values()]
        .filter((rule) => rule.id > after && (state === undefined || stateOf(rule, set.catalog).state === state))
        .map(({ id }) => id)
        .slice(0, limit + 1);
      const rules = await present(organization, ids.slice(0, limit));
      return { rules, nextCursor: ids.length > limit ? encodeCursor([ids[limit - 1]!]) : null };
    },
    async versions(organization, id, { limit = 50, cursor }) {
      await mustExist(store, organization, id);
      const before = cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(decodeCursor(cursor, 1)[0]);
      const rows = await store.db
        .selectFrom("rule_versions")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("rule_id", "=", id)
        .where("version", "<", Math.min(before, 2 ** 31 - 1))
        .orderBy("version", "desc")
        .limit(limit + 1)
        .execute();
      const page = rows.slice(0, limit);
      return {
        versions: page.map(({ version, source, actor, reason, created_at }) => ({
          version,
          source,
          actor,
          reason,
          createdAt: created_at.toISOString(),
        })),
        nextCursor: rows.length > limit ? encodeCursor([page.at(-1)!.version]) : null,
      };
    },
    async diff(organization, id, from, to) {
      const [before, after] = await Promise.all(
        [from, to].map(async (version) => {
          const found = await sets.version(organization, id, version);
          if (!found) throw new BackplaneError("not_found", { thing: "version of this rule" });
          return found.rule;
        }),
      );
      return before && after ? diffRules(before, after) : [];
    },
    async restore(by, id, version) {
      const row = await store.db
        .selectFrom("rule_versions")
        .select("source")
        .where("organization_id", "=", by.organization)
        .where("rule_id", "=", id)
        .where("version", "=", Math.min(version, 2 ** 31 - 1))
        .executeTakeFirst();
      if (!row) throw new BackplaneError("not_found", { thing: "version of this rule" });
      return await update(by, id, { source: row.source, reason: `restored from version ${version}` });
    },
  };
}

/** A source that changes `enabled` means it; otherwise the switch stays where a person has put it. */
function enabledAfter(former: { enabled: boolean; source: string }, rule: CompiledRule): boolean {
  const said = /^enabled:\s*(true|false)\b/m.exec(former.source)?.[1];
  const was = said === undefined ? true : said === "true";
  return was === rule.enabled ? former.enabled : rule.enabled;
}

export function invalidRule(faults: readonly RuleFault[], file?: string): BackplaneError {
  return new BackplaneError("invalid_rule", { count: faults.length }, { errors: fieldErrors(faults, file) });
}

function fieldErrors(faults: readonly RuleFault[], file: string | undefined): FieldError[] {
  return faults.map(({ path, message, line, column }) => ({
    path: file ?? path,
    message: file === undefined || path === "$" ? message : `${path}: ${message}`,
    line,
    column,
  }));
}

/** `VIP Missed Call Follow-up` → `vip-missed-call-follow-up`. */
export function slugOf(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 80);
}

interface Triggering {
  organization: OrganizationId;
  id: string;
  rule: CompiledRule;
  enabled: boolean;
}

async function syncTriggers(tx: Tx, { organization, id, rule, enabled }: Triggering): Promise<void> {
  await dropSchedules(tx, organization, id);
  const crons = rule.triggers.flatMap((trigger, n) => (trigger.kind === "cron" ? [{ ...trigger, n }] : []));
  if (enabled && crons.length > 0) {
    const { rows } = await sql<{ now: Date }>`select now() as now`.execute(tx);
    for (const { n, cron, timezone } of crons) {
      const next = nextTime(cron, timezone, rows[0]!.now);
      if (next)
        await tx
          .insertInto("rule_schedules")
          .values({ organization_id: organization, rule_id: id, n, cron, timezone, next_at: next })
          .execute();
    }
  }
  // A hook keeps its address for as long as the rule names it, whatever else changes.
  const names = webhooksOf(rule);
  await sql`delete from rule_hooks where organization_id = ${organization} and rule_id = ${id}
    and not (${JSON.stringify(names)}::jsonb ? name)`.execute(tx);
  for (const name of names)
    await tx
      .insertInto("rule_hooks")
      .values({ organization_id: organization, rule_id: id, name, token: randomBytes(24).toString("base64url") })
      .onConflict((conflict) => conflict.columns(["organization_id", "rule_id", "name"]).doNothing())
      .execute();
}

async function dropSchedules(tx: Tx, organization: OrganizationId, id: string): Promise<void> {
  await tx.deleteFrom("rule_schedules").where("organization_id", "=", organization).where("rule_id", "=", id).execute();
}

/** The first time after `from`, or `undefined` when there is none any more. */
export function nextTime(cron: string, timezone: string | null, from: Date): Date | undefined {
  return new Cron(cron, { paused: true, ...(timezone === null ? {} : { timezone }) }).nextRun(from) ?? undefined;
}

/**
 * Consumers of exactly the widest patterns that enabled rules have, so that an event comes once however many rules want it. What
 * already waits for a pattern that goes is kept: a pattern that stays may be its only one left, and otherwise nothing matches it.
 */
async function syncConsumers(tx: Tx, organization: OrganizationId, subscription: HubSubscription): Promise<void> {
  const { rows: wanted } = await sql<{ pattern: string }>`
    select distinct p.pattern from rules r cross join lateral jsonb_array_elements_text(r.patterns) as p(pattern)
    where r.organization_id = ${organization} and r.enabled`.execute(tx);
  const prefix = hubConsumerPrefix(featureName);
  const { rows: had } = await sql<{ pattern: string }>`
    select pattern from consumers where organization_id = ${organization} and starts_with(consumer, ${prefix})`.execute(
    tx,
  );
  const patterns = new Set(coverOf(wanted.map(({ pattern }) => pattern)));
  const present = new Set(had.map(({ pattern }) => pattern));
  for (const pattern of patterns) if (!present.has(pattern)) await subscription.register(tx, organization, pattern);
  for (const pattern of present)
    if (!patterns.has(pattern))
      await sql`delete from consumers where organization_id = ${organization} and consumer = ${prefix + pattern}`.execute(
        tx,
      );
}

async function mustExist(store: Store, organization: OrganizationId, id: string): Promise<void> {
  const row = await store.db
    .selectFrom("rules")
    .select("id")
    .where("organization_id", "=", organization)
    .where("id", "=", id)
    .executeTakeFirst();
  if (!row) throw new BackplaneError("not_found", { thing: "rule" });
}
