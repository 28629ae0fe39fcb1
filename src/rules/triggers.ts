/**
 * What sets rules off: an event of the log, the clock, a request to a hook, a person. Each becomes a run through rule-runs.ts in the
 * transaction that also takes note of the occasion, so none is lost and none counts twice, on however many nodes.
 */
import { createHash } from "node:crypto";
import { sql } from "kysely";
import { asOrganizationId, type OrganizationId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import { TokenBuckets } from "../base/token-bucket.ts";
import type { EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import type { HubEventHandler } from "../subscriptions/subscriptions.ts";
import { continueTrace, type Trace } from "../telemetry/trace.ts";
import type { RuleEvent } from "./language/types.ts";
import { nextTime } from "./rule-records.ts";
import type { BegunRun, RuleRuns } from "./rule-runs.ts";
import { type RuleSets, stateOf } from "./rule-sets.ts";

export interface HookRequest {
  organization: OrganizationId;
  token: string;
  /** JSON where it is JSON, else text. */
  body: unknown;
  headers: Readonly<Record<string, string>>;
  /** A repetition with the same one within the records' retention starts nothing. */
  idempotencyKey?: string | undefined;
  trace: Trace;
}

export interface ManualRun {
  organization: OrganizationId;
  rule: string;
  /** As if it had come: data, and a type and the like where they matter. */
  event?: { type?: string | undefined; data?: unknown; subject?: string | undefined } | undefined;
  /** Or one of the log. */
  eventId?: string | undefined;
  actor: string;
  trace: Trace;
}

export interface Triggers {
  onEvent: HubEventHandler;
  /** Starts what is due; one node has each due time. Returns how many runs began. */
  tick(): Promise<number>;
  /** Errors: `not_found` for a token that is none, `rate_limited`. */
  hook(request: HookRequest): Promise<BegunRun>;
  /** Also for a rule that is not enabled. Errors: `not_found`, `rule_broken`. */
  manual(request: ManualRun): Promise<BegunRun>;
}

export interface TriggersOptions {
  store: Store;
  sets: RuleSets;
  runs: RuleRuns;
  eventLog: Pick<EventLog, "get">;
}

const duePerTick = 100;
/** Requests that one hook takes on one hub: whoever has its address can send, and each becomes a row with its body. */
const hookRate = { perSecond: 50, burst: 500 };

export function createTriggers({ store, sets, runs, eventLog }: TriggersOptions): Triggers {
  const hooks = new TokenBuckets(hookRate);
  const onEvent: HubEventHandler = async ({ organization: id, event, depth, enqueuedAt }) => {
    const organization = asOrganizationId(id);
    const set = await sets.current(organization);
    const matches = set.matcher.match(event as RuleEvent).filter(({ id: rule }) => {
      const since = set.rules.get(rule)?.enabledAt;
      // A pattern may have been there for other rules before this one was.
      return !since || since <= enqueuedAt;
    });
    if (matches.length === 0) return;
    const trace = continueTrace(event.traceparent);
    await store.transaction((tx) =>
      runs.begin(
        tx,
        organization,
        matches.map(({ id: rule, rule: compiled, trigger }) => ({
          rule: { id: rule, version: set.rules.get(rule)!.version, compiled },
          kind: "event",
          name: event.id,
          at: enqueuedAt,
          eventId: event.id,
          trigger,
          depth,
          trace,
          actor: `event:${event.id}`,
        })),
      ),
    );
  };

  interface Due {
    organization_id: string;
    rule_id: string;
    n: number;
    cron: string;
    timezone: string | null;
    next_at: Date;
    now: Date;
  }

  /** What is due in one organisation. */
  async function startDue(organization: OrganizationId): Promise<number> {
    // Compiled outside of the transaction; a rule that changes meanwhile has new due times, which the rows show.
    const set = await sets.current(organization);
    return await store.transaction(async (tx) => {
      const { rows } = await sql<Due>`
        select *, now() as now from rule_schedules where organization_id = ${organization} and next_at <= now()
        order by next_at limit ${duePerTick} for update skip locked`.execute(tx);
      let count = 0;
      // In the order in which every transaction takes the locks of rules.
      for (const due of rows.toSorted((a, b) => (a.rule_id < b.rule_id ? -1 : 1))) {
        // However many due times have passed, this is the one run for them.
        const next = nextTime(due.cron, due.timezone, due.now);
        const ofRow = sql`organization_id = ${organization} and rule_id = ${due.rule_id} and n = ${due.n}`;
        if (next)
          await sql`update rule_schedules set next_at = ${next.toISOString()}::timestamptz where ${ofRow}`.execute(tx);
        else await sql`delete from rule_schedules where ${ofRow}`.execute(tx);
        const rule = set.rules.get(due.rule_id);
        if (!rule?.compiled) continue;
        const [run] = await runs.begin(tx, organization, [
          {
            rule: { id: rule.id, version: rule.version, compiled: rule.compiled },
            kind: "cron",
            name: `${due.n}:${due.next_at.toISOString()}`,
            at: due.next_at,
            event: happening(organization, {
              kind: "cron",
              data: { scheduledAt: due.next_at.toISOString(), cron: due.cron },
              at: due.next_at,
            }),
            trigger: due.n,
            depth: 0,
            trace: continueTrace(undefined),
            actor: "system",
          },
        ]);
        if (run?.fresh) count += 1;
      }
      return count;
    });
  }

  async function tick(): Promise<number> {
    const { rows: near } = await sql<{ organization_id: string }>`
      select distinct organization_id from rule_schedules where next_at <= now()`.execute(store.db);
    let begun = 0;
    const failures: unknown[] = [];
    // What is wrong with one organisation's rules must not stop the clocks of those after it.
    for (const { organization_id: id } of near) {
      const started = await startDue(asOrganizationId(id)).catch((error: unknown) => void failures.push(error));
      begun += started ?? 0;
    }
    if (failures.length > 0) throw failures[0];
    return begun;
  }

  return {
    onEvent,
    tick,
    async hook({ organization, token, body, headers, idempotencyKey, trace }) {
      const found = await store.db
        .selectFrom("rule_hooks")
        .select(["rule_id", "name"])
        .where("organization_id", "=", organization)
        .where("token", "=", token)
        .executeTakeFirst();
      const set = found && (await sets.current(organization));
      const rule = set?.rules.get(found!.rule_id);
      if (!rule?.enabled || !rule.compiled) throw new BackplaneError("not_found", { thing: "hook" });
      const retryAfter = hooks.take(`${organization}\0${token}`);
      if (retryAfter > 0) throw new BackplaneError("rate_limited", { retryAfter });
      const { compiled } = rule;
      const at = new Date();
      const name =
        idempotencyKey === undefined
          ? newId()
          : `hook:${found!.name}:${createHash("sha256").update(idempotencyKey).digest("hex").slice(0, 40)}`;
      const event = {
        ...happening(organization, { kind: "webhook", data: body, at }),
        id: name,
        hook: found!.name,
        headers: { ...headers },
      };
      const [run] = await store.transaction((tx) =>
        runs.begin(tx, organization, [
          {
            rule: { id: rule.id, version: rule.version, compiled },
            kind: "webhook",
            name,
            at,
            eventId: name,
            event,
            trigger: compiled.triggers.findIndex((t) => t.kind === "webhook" && t.webhook === found!.name),
            depth: 0,
            trace,
            actor: `hook:${found!.name}`,
          },
        ]),
      );
      return run!;
    },
    async manual({ organization, rule: id, event, eventId, actor, trace }) {
      const set = await sets.current(organization);
      const rule = set.rules.get(id);
      if (!rule) throw new BackplaneError("not_found", { thing: "rule" });
      if (!rule.compiled)
        throw new BackplaneError("rule_broken", { rule: id, reason: stateOf(rule, set.catalog).reason ?? "" });
      const { compiled } = rule;
      const at = new Date();
      const given = await givenEvent(eventLog, organization, { event, eventId, at });
      const [run] = await store.transaction((tx) =>
        runs.begin(tx, organization, [
          {
            rule: { id, version: rule.version, compiled },
            kind: "manual",
            name: newId(),
            at,
            event: given,
            trigger: null,
            depth: 0,
            trace,
            actor,
          },
        ]),
      );
      return run!;
    },
  };
}

/** What stands in the place of an event for what is none. */
export function happening(
  organization: OrganizationId,
  { kind, data, at }: { kind: "cron" | "webhook" | "manual"; data: unknown; at: Date },
): RuleEvent {
  // Operators are told of it as of an event.
  const event = {
    specversion: "1.0",
    id: newId(),
    type: `rule.${kind}`,
    source: "/rules",
    time: at.toISOString(),
    organization,
    data: data ?? null,
  };
  return event;
}

/** The event that a person names or writes down. Error: `not_found`. */
export async function givenEvent(
  eventLog: Pick<EventLog, "get">,
  organization: OrganizationId,
  { event, eventId, at }: Pick<ManualRun, "event" | "eventId"> & { at: Date },
): Promise<RuleEvent> {
  if (eventId !== undefined) {
    const found = await eventLog.get(organization, eventId);
    if (!found) throw new BackplaneError("not_found", { thing: "event" });
    return found as RuleEvent;
  }
  return {
    ...happening(organization, { kind: "manual", data: event?.data, at }),
    ...(event?.type === undefined ? {} : { type: event.type }),
    ...(event?.subject === undefined ? {} : { subject: event.subject }),
  };
}
