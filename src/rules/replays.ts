/**
 * Replays as jobs: a draft over the stored events of some days, kept with progress, totals and a sample of decisions, and
 * cancelled at any time. One that its hub did not survive begins again: it has no effects. Long
 * because a job, its rows and what people read of them are one table.
 */
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { asOrganizationId } from "../base/brands.ts";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import { newId } from "../base/ids.ts";
import type { JsonObject } from "../base/json.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import { type Delivery, RetryLater } from "../bus/delivery.ts";
import { isEventPattern } from "../bus/event-record.ts";
import { BackplaneError } from "../errors/error.ts";
import { json, jsonRows } from "../store/json.ts";
import type { Store } from "../store/store.ts";
import { newTrace } from "../telemetry/trace.ts";
import { compileRule } from "./language/compile-rule.ts";
import type { OperatorCalls } from "./operator-calls.ts";
import type { OperatorCatalogs } from "./operator-catalog.ts";
import type { RedactionOf } from "./redaction.ts";
import { type Change, type ReplayedEvent, replayRule } from "./replay.ts";
import { patternsOf } from "./rule-parts.ts";
import { invalidRule, slugOf } from "./rule-records.ts";
import type { RuleSets } from "./rule-sets.ts";
import { shownError } from "./trace-values.ts";

export interface ReplayRequest {
  /** The draft. @default the live rule's */
  source?: string | undefined;
  /** The live rule to compare with. @default the one whose id the draft has */
  rule?: string | undefined;
  /** Events of the last so many days. @default 7 */
  days?: number | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
  /** Only events of this type, or of a domain such as `comms.*`. */
  type?: string | undefined;
}

export type ReplayStatus = "queued" | "running" | "succeeded" | "failed" | "cancelled";

export interface ReplayRecord {
  id: string;
  /** Id of the live rule it is compared with. */
  rule: string | null;
  status: ReplayStatus;
  from: string;
  to: string;
  type: string | null;
  /** Events read so far, of how many; and what they came to. */
  progress: unknown;
  result: unknown;
  error: { code: string; message: string } | null;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}

export interface DecisionRecord {
  position: number;
  eventId: string;
  eventType: string;
  eventTime: string;
  draft: string;
  live: string | null;
  change: Change | null;
  detail: unknown;
}

export interface Replays {
  /** Errors: `invalid_rule`, `not_found`, `invalid_input`, `conflict` when too many wait. */
  start(by: { organization: OrganizationId; actor: string }, request: ReplayRequest): Promise<ReplayRecord>;
  /** Error: `not_found`. */
  get(organization: OrganizationId, id: string): Promise<ReplayRecord>;
  /** Newest first. */
  list(
    organization: OrganizationId,
    page: { limit?: number | undefined; cursor?: string | undefined },
  ): Promise<{ replays: ReplayRecord[]; nextCursor: string | null }>;
  /** In the order of the log; a sample of each kind. Error: `not_found`. */
  decisions(
    organization: OrganizationId,
    id: string,
    page: {
      limit?: number | undefined;
      cursor?: string | undefined;
      change?: Change | undefined;
      draft?: string | undefined;
    },
  ): Promise<{ decisions: DecisionRecord[]; nextCursor: string | null }>;
  /** Errors: `not_found`, `conflict` when it has ended. */
  cancel(organization: OrganizationId, id: string): Promise<ReplayRecord>;
  deleteEndedBefore(before: Date): Promise<number>;
}

export interface ReplaysOptions {
  store: Store;
  deliveries: Pick<Deliveries, "handle" | "enqueue" | "cancel">;
  catalogs: OperatorCatalogs;
  sets: RuleSets;
  calls: OperatorCalls;
  redactionOf: RedactionOf;
}

interface StoredOptions {
  from: string;
  to: string;
  type?: string;
}

const consumer = "rule-replay";
const day = 86_400_000;
const mostDays = 400;
const mostEvents = 1_000_000;
const mostWaiting = 20;
const progressEveryMs = 300;

export function createReplays({ store, deliveries, catalogs, sets, calls, redactionOf }: ReplaysOptions): Replays {
  deliveries.handle("rule", (delivery) => work(delivery), {
    consumerPrefix: consumer,
    concurrency: 1,
    maxAttempts: 5,
    keepDone: false,
  });

  const get: Replays["get"] = async (organization, id) => {
    const row = await store.db
      .selectFrom("rule_replays")
      .selectAll()
      .where("organization_id", "=", organization)
      .where("id", "=", id)
      .executeTakeFirst();
    if (!row) throw new BackplaneError("not_found", { thing: "replay" });
    return toReplay(row);
  };

  async function work(delivery: Delivery): Promise<void> {
    const organization = asOrganizationId(delivery.organization);
    const ofReplay = { organization, id: delivery.itemId };
    const row = await store.db
      .updateTable("rule_replays")
      .set({ status: "running", started_at: sql`coalesce(started_at, now())`, progress: null })
      .where("organization_id", "=", organization)
      .where("id", "=", delivery.itemId)
      .where("status", "in", ["queued", "running"])
      .returningAll()
      .executeTakeFirst();
    if (!row) return;
    try {
      await sql`delete from rule_replay_decisions where organization_id = ${organization} and replay_id = ${row.id}`.execute(
        store.db,
      );
      const result = await run(organization, row, delivery.signal);
      if (delivery.signal.aborted) throw new RetryLater(0, "the hub stops");
      await finish(ofReplay, { status: "succeeded", result });
    } catch (error) {
      if (delivery.signal.aborted) throw error;
      const shown = shownError(error);
      const passing = error instanceof BackplaneError && error.retryable && delivery.attempt < delivery.maxAttempts;
      if (passing) throw error;
      await finish(ofReplay, { status: "failed", error: shown });
    }
  }

  const finish = async (
    { organization, id }: { organization: OrganizationId; id: string },
    { status, result, error }: { status: ReplayStatus; result?: JsonObject; error?: { code: string; message: string } },
  ): Promise<void> => {
    await store.db
      .updateTable("rule_replays")
      .set({
        status,
        ended_at: sql`now()`,
        ...(result ? { result: json(result) } : {}),
        ...(error ? { error: json(error) } : {}),
      })
      .where("organization_id", "=", organization)
      .where("id", "=", id)
      .where("status", "=", "running")
      .execute();
  };

  async function run(
    organization: OrganizationId,
    row: { id: string; rule_id: string | null; source: string; options: unknown },
    signal: AbortSignal,
  ): Promise<JsonObject> {
    const options = row.options as StoredOptions;
    const { installed } = await catalogs.of(organization);
    const { rule, faults } = compileRule(row.source, installed);
    if (!rule) throw invalidRule(faults);
    const live = row.rule_id === null ? undefined : (await sets.current(organization)).rules.get(row.rule_id)?.compiled;
    const [from, to] = [new Date(options.from), new Date(options.to)];
    const total = await countEvents(organization, { from, to });
    const since = performance.now();
    let told = since;
    const totals = await replayRule({
      store,
      organization,
      draft: { id: row.rule_id ?? rule.id ?? slugOf(rule.name), rule },
      live: live && row.rule_id !== null ? { id: row.rule_id, rule: live } : undefined,
      catalog: installed,
      calls,
      redactionOf,
      from,
      to,
      type: options.type,
      maxEvents: mostEvents,
      trace: newTrace(),
      signal,
      async onBatch(sofar, sampled) {
        if (sampled.length > 0) await keepDecisions(organization, row.id, sampled);
        if (performance.now() - told < progressEveryMs) return;
        told = performance.now();
        await store.db
          .updateTable("rule_replays")
          .set({ progress: json({ events: sofar.draft.events, eventsInRange: total, ...sofar }) })
          .where("organization_id", "=", organization)
          .where("id", "=", row.id)
          .where("status", "=", "running")
          .execute();
      },
    });
    const ms = Math.max(1, Math.round(performance.now() - since));
    return {
      ...(totals as unknown as JsonObject),
      eventsInRange: total,
      ms,
      eventsPerSecond: Math.round((totals.draft.events / ms) * 1000),
      ...(patternsOf(rule).length === 0
        ? { note: "The draft has no event trigger: nothing of the log sets it off." }
        : {}),
    };
  }

  const countEvents = async (organization: OrganizationId, { from, to }: { from: Date; to: Date }): Promise<number> => {
    const { rows } = await sql<{ count: number }>`select coalesce(sum(last - first + 1), 0)::int as count
      from event_positions where organization_id = ${organization}
        and accepted_at >= ${from.toISOString()}::timestamptz and accepted_at < ${to.toISOString()}::timestamptz`.execute(
      store.db,
    );
    return rows[0]?.count ?? 0;
  };

  const keepDecisions = async (
    organization: OrganizationId,
    replay: string,
    sampled: readonly ReplayedEvent[],
  ): Promise<void> => {
    const rows = sampled.map(({ position, event, draft, live, change, detail }) => ({
      organization_id: organization,
      replay_id: replay,
      position,
      event_id: event.id,
      event_type: event.type,
      event_time: event.time,
      draft,
      live,
      change,
      detail,
    }));
    await sql`insert into rule_replay_decisions
      (organization_id, replay_id, position, event_id, event_type, event_time, draft, live, change, detail)
      select * from ${jsonRows(rows, {
        organization_id: "text",
        replay_id: "text",
        position: "int8",
        event_id: "text",
        event_type: "text",
        event_time: "timestamptz",
        draft: "text",
        live: "text",
        change: "text",
        detail: "jsonb",
      })} on conflict do nothing`.execute(store.db);
  };

  return {
    async start({ organization, actor }, request) {
      const { active } = await catalogs.of(organization);
      const set = await sets.current(organization);
      const named = request.rule;
      if (named !== undefined && !set.rules.has(named)) throw new BackplaneError("not_found", { thing: "rule" });
      const source = request.source ?? (named === undefined ? undefined : set.rules.get(named)?.compiled?.source);
      if (source === undefined)
        throw wrongInput(named === undefined ? "source" : "rule", "name a draft's `source`, or a rule that can run");
      const { rule, faults } = compileRule(source, active);
      if (!rule) throw invalidRule(faults);
      const id = named ?? rule.id ?? slugOf(rule.name);
      const to = request.to ?? new Date();
      const from = request.from ?? new Date(to.getTime() - (request.days ?? 7) * day);
      if (!(from < to) || to.getTime() - from.getTime() > mostDays * day)
        throw wrongInput("from", `the time must begin before it ends, and be at most ${mostDays} days`);
      if (request.type !== undefined && !isEventPattern(request.type))
        throw wrongInput("type", "must be an event type, or end in .*");
      const options: StoredOptions = {
        from: from.toISOString(),
        to: to.toISOString(),
        ...(request.type === undefined ? {} : { type: request.type }),
      };
      const replay = newId();
      await store.transaction(async (tx) => {
        const { count } = await tx
          .selectFrom("rule_replays")
          .select((eb) => eb.fn.countAll<number | string>().as("count"))
          .where("organization_id", "=", organization)
          .where("status", "in", ["queued", "running"])
          .executeTakeFirstOrThrow();
        if (Number(count) >= mostWaiting)
          throw new BackplaneError("conflict", {
            reason: `${count} replays wait already; let them end, or cancel them.`,
          });
        await tx
          .insertInto("rule_replays")
          .values({
            organization_id: organization,
            id: replay,
            rule_id: set.rules.has(id) ? id : null,
            source,
            options: json(options),
            status: "queued",
            actor,
          })
          .execute();
        await deliveries.enqueue(tx, [
          { organization, consumer, kind: "rule", key: replay, itemId: replay, payload: null },
        ]);
      });
      return get(organization, replay);
    },
    get,
    async list(organization, { limit = 50, cursor }) {
      let query = store.db.selectFrom("rule_replays").selectAll().where("organization_id", "=", organization);
      if (cursor !== undefined) query = query.where("id", "<", String(decodeCursor(cursor, 1)[0]));
      const rows = await query
        .orderBy("id", "desc")
        .limit(limit + 1)
        .execute();
      const page = rows.slice(0, limit);
      return { replays: page.map(toReplay), nextCursor: rows.length > limit ? encodeCursor([page.at(-1)!.id]) : null };
    },
    async decisions(organization, id, { limit = 50, cursor, change, draft }) {
      await get(organization, id);
      let query = store.db
        .selectFrom("rule_replay_decisions")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("replay_id", "=", id);
      if (change !== undefined) query = query.where("change", "=", change);
      if (draft !== undefined) query = query.where("draft", "=", draft);
      if (cursor !== undefined) {
        const [after] = decodeCursor(cursor, 1);
        if (!Number.isSafeInteger(after)) throw new BackplaneError("invalid_cursor");
        query = query.where("position", ">", after as number);
      }
      const rows = await query
        .orderBy("position")
        .limit(limit + 1)
        .execute();
      const page = rows.slice(0, limit);
      return {
        decisions: page.map((row) => ({
          position: Number(row.position),
          eventId: row.event_id,
          eventType: row.event_type,
          eventTime: row.event_time.toISOString(),
          draft: row.draft,
          live: row.live,
          change: row.change as Change | null,
          detail: row.detail,
        })),
        nextCursor: rows.length > limit ? encodeCursor([Number(page.at(-1)!.position)]) : null,
      };
    },
    async cancel(organization, id) {
      await store.transaction(async (tx) => {
        const ended = await tx
          .updateTable("rule_replays")
          .set({ status: "cancelled", ended_at: sql`now()` })
          .where("organization_id", "=", organization)
          .where("id", "=", id)
          .where("status", "in", ["queued", "running"])
          .returning("id")
          .executeTakeFirst();
        if (ended) await deliveries.cancel(tx, { organization, consumer, itemId: id });
        else {
          const there = await tx
            .selectFrom("rule_replays")
            .select("status")
            .where("organization_id", "=", organization)
            .where("id", "=", id)
            .executeTakeFirst();
          if (!there) throw new BackplaneError("not_found", { thing: "replay" });
          throw new BackplaneError("conflict", { reason: `The replay has ended: it ${there.status}.` });
        }
      });
      return get(organization, id);
    },
    async deleteEndedBefore(before) {
      const gone = await store.db.deleteFrom("rule_replays").where("ended_at", "<", before).executeTakeFirst();
      return Number(gone.numDeletedRows);
    },
  };
}

const wrongInput = (path: string, message: string): BackplaneError =>
  new BackplaneError("invalid_input", {}, { errors: [{ path, message }] });

function toReplay(row: {
  id: string;
  rule_id: string | null;
  status: string;
  options: unknown;
  progress: unknown;
  result: unknown;
  error: unknown;
  created_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
}): ReplayRecord {
  const { from, to, type } = row.options as StoredOptions;
  return {
    id: row.id,
    rule: row.rule_id,
    status: row.status as ReplayStatus,
    from,
    to,
    type: type ?? null,
    progress: row.progress,
    result: row.result,
    error: row.error as ReplayRecord["error"],
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
