/**
 * A rule over past events, without side effects: streams the log in batches, matches, asks conditions in their walls, renders
 * params, and counts; beside it the live rule over the same events, for the difference. Knows nothing of jobs and rows:
 * replays.ts starts it and keeps what it tells. Long because matching, remembering and counting share the state of one pass.
 *
 * Answers of conditions are remembered: for one event always, and over events where the operator is declared idempotent and the
 * events are of one type with equal data (so equal in all an operator may look at but id, time and source). They are answers
 * of today: a condition that looks at stored data sees it as it is now, not as it was. Filters and `now` see the event's own time.
 */
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { sleep } from "../base/deferred.ts";
import { RetryLater } from "../bus/delivery.ts";
import { eventsInOrder, ofPattern } from "../bus/event-positions.ts";
import { type EventRow, toEventRecord } from "../bus/event-record.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";
import type { Trace } from "../telemetry/trace.ts";
import { type Judging, judge, type PlannedAction, plan, scopeOf, type Verdict } from "./judge.ts";
import { evaluateExpression } from "./language/evaluate.ts";
import type { CompiledRule, OperatorCatalog, RuleEvent } from "./language/types.ts";
import { createMatcher } from "./matching/matcher.ts";
import type { OperatorCalls, OperatorRequest } from "./operator-calls.ts";
import type { Redaction, RedactionOf } from "./redaction.ts";
import { coverOf, patternsOf, pluginsOf } from "./rule-parts.ts";
import { clip } from "./trace-values.ts";

/** What a rule would have done about an event. */
export type Decision = "no_match" | "not_met" | "throttled" | "failed" | "would_run";

export interface ReplayCounts {
  /** Events looked at. */
  events: number;
  matched: number;
  notMet: number;
  throttled: number;
  /** A condition or a template failed. */
  failed: number;
  wouldRun: number;
}

export interface ReplayDifference {
  /** Events about which only the draft would act. */
  onlyDraft: number;
  onlyLive: number;
  /** Both act, with other operators or params. */
  changed: number;
  same: number;
}

export type Change = "only_draft" | "only_live" | "changed";

export interface ReplayedEvent {
  position: number;
  event: RuleEvent;
  draft: Decision;
  live: Decision | null;
  change: Change | null;
  detail: unknown;
}

export interface ReplayTotals {
  draft: ReplayCounts;
  live: ReplayCounts | null;
  difference: ReplayDifference | null;
  /** Calls of conditions and variables, and answers that were remembered. */
  asked: number;
  remembered: number;
}

export interface ReplayRun {
  store: Store;
  organization: OrganizationId;
  draft: { id: string; rule: CompiledRule };
  live: { id: string; rule: CompiledRule } | undefined;
  catalog: OperatorCatalog;
  calls: Pick<OperatorCalls, "condition" | "variable">;
  redactionOf: RedactionOf;
  from: Date;
  to: Date;
  /** Only events of this type or domain. */
  type: string | undefined;
  maxEvents: number;
  trace: Trace;
  signal: AbortSignal;
  /** Told after each batch; what it awaits is waited for. `sampled` are decisions worth keeping. */
  onBatch(totals: ReplayTotals, sampled: readonly ReplayedEvent[], last: { position: number }): Promise<void>;
}

const batchSize = 1_000;
/** Events whose conditions are asked at once: as many calls as a plugin may run at once leave room for live ones. */
const askedAtOnce = 24;
const mostRemembered = 20_000;
const longestRememberedKey = 16 * 1024;
/** Kept of each kind of decision. */
const mostSampled = 500;
const sliceMs = 10;

/** Ends with the totals. Errors: what the store throws; `plugin_not_active` and its like when an operator cannot be asked. */
export async function replayRule(run: ReplayRun): Promise<ReplayTotals & { truncated: boolean }> {
  const { store, organization, draft, live, from, to, signal } = run;
  const totals: ReplayTotals = {
    draft: noCounts(),
    live: live ? noCounts() : null,
    difference: live ? { onlyDraft: 0, onlyLive: 0, changed: 0, same: 0 } : null,
    asked: 0,
    remembered: 0,
  };
  const patterns = coverOf([...patternsOf(draft.rule), ...(live ? patternsOf(live.rule) : [])]);
  if (patterns.length === 0) return { ...totals, truncated: false };
  const plugins = [draft, live].flatMap((one) => (one ? [...pluginsOf(one.rule, run.catalog.variables)] : []));
  let redaction: Redaction;
  const judges = {
    draft: createJudge(run, draft, { count: totals.draft, redaction: () => redaction }),
    live: live ? createJudge(run, live, { count: totals.live!, redaction: () => redaction }) : undefined,
  };
  const memory = createMemory(run, totals);
  const matcher = createMatcher([
    ["draft", { ...draft.rule, enabled: true }],
    ...(live ? [["live", { ...live.rule, enabled: true }] as const] : []),
  ]);
  const range = await rangeOf(store, organization, { from, to });
  const sampled = new Map<string, number>();
  let position = range.first - 1;
  let truncated = false;
  let slice = performance.now();
  const read = (after: number): ReturnType<typeof readBatch> => {
    const batch = readBatch(store, organization, { ...range, from, to, patterns, type: run.type, after });
    // Awaited a batch later, or not at all.
    batch.catch(() => {});
    return batch;
  };
  let next = read(position);
  while (!signal.aborted) {
    const rows = await next;
    // Secrets that are set while it runs count from the next batch on.
    redaction = await run.redactionOf(organization, plugins);
    const last = rows.at(-1);
    // Read while the conditions of this one are asked.
    if (last && rows.length === batchSize) next = read(Number(last.position));
    const wanted: { event: RuleEvent; position: number; draft: boolean; live: boolean }[] = [];
    for (const row of rows) {
      position = Number(row.position);
      const event = toEventRecord(row) as unknown as RuleEvent;
      totals.draft.events += 1;
      if (totals.live) totals.live.events += 1;
      const matches = matcher.match(event, new Date(event.time));
      if (performance.now() - slice > sliceMs) {
        await new Promise((resolve) => setImmediate(resolve));
        slice = performance.now();
      }
      if (matches.length > 0)
        wanted.push({
          event,
          position,
          draft: matches.some(({ id }) => id === "draft"),
          live: matches.some(({ id }) => id === "live"),
        });
    }
    const verdicts = await inParallel(
      wanted,
      { width: askedAtOnce, signal },
      async ({ event, draft: ofDraft, live: ofLive }) => {
        const answers = memory.of(event);
        return {
          draft: ofDraft ? await judges.draft.ask(event, answers) : undefined,
          live: ofLive ? await judges.live?.ask(event, answers) : undefined,
        };
      },
    );
    if (signal.aborted) break;
    const kept: ReplayedEvent[] = [];
    for (const [n, { event, position: at }] of wanted.entries()) {
      if (signal.aborted) break;
      // In the order of the log: a throttle counts what came before.
      const drafted = await judges.draft.decide(event, verdicts[n]!.draft, memory.of(event));
      const lived = judges.live ? await judges.live.decide(event, verdicts[n]!.live, memory.of(event)) : undefined;
      const change = lived ? changeOf(drafted, lived) : null;
      if (totals.difference && change !== null)
        totals.difference[change === "only_draft" ? "onlyDraft" : change === "only_live" ? "onlyLive" : "changed"] += 1;
      else if (totals.difference && drafted.decision === "would_run") totals.difference.same += 1;
      const kind = change ?? `${drafted.decision}/${lived?.decision ?? ""}`;
      const count = sampled.get(kind) ?? 0;
      if (count >= mostSampled) continue;
      sampled.set(kind, count + 1);
      kept.push({
        position: at,
        event,
        draft: drafted.decision,
        live: lived?.decision ?? null,
        change,
        detail: clip(
          { draft: detailOf(drafted), ...(lived ? { live: detailOf(lived) } : {}) },
          { text: 500, items: 60, depth: 24, total: 16_000 },
        ),
      });
    }
    await run.onBatch(totals, kept, { position });
    if (rows.length < batchSize) break;
    if (totals.draft.events >= run.maxEvents) {
      truncated = true;
      break;
    }
  }
  return { ...totals, truncated };
}

interface Decided {
  decision: Decision;
  verdict?: Verdict;
  actions?: PlannedAction[];
}

type Ask = Judging["ask"];

interface Judge {
  ask(event: RuleEvent, answers: Ask): Promise<Verdict>;
  decide(event: RuleEvent, verdict: Verdict | undefined, answers: Ask): Promise<Decided>;
}

function createJudge(
  run: ReplayRun,
  { id, rule }: { id: string; rule: CompiledRule },
  { count, redaction }: { count: ReplayCounts; redaction(): Redaction },
): Judge {
  const acted = new Map<string, number[]>();
  const judgingOf = (event: RuleEvent, ask: Ask): Judging => ({
    organization: run.organization,
    id,
    rule,
    event,
    catalog: run.catalog,
    trace: run.trace,
    now: new Date(event.time),
    signal: run.signal,
    redaction: redaction(),
    ask,
  });

  /** As live, over the events' own times. */
  const throttled = (event: RuleEvent): boolean | { failure: { code: string; message: string } } => {
    const { throttle } = rule;
    if (!throttle) return false;
    let key = "";
    if (throttle.key) {
      const value = evaluateExpression(throttle.key, scopeOf({ id, rule, event, now: new Date(event.time) }));
      if (!value.ok) return { failure: { code: `throttle_${value.failure.code}`, message: value.failure.message } };
      key = JSON.stringify(value.value) ?? "";
    }
    const at = Date.parse(event.time);
    const recent = (acted.get(key) ?? []).filter((time) => time > at - throttle.perMs);
    const full = recent.length >= throttle.count;
    if (!full) recent.push(at);
    acted.set(key, recent);
    return full;
  };

  return {
    ask: (event, answers) => judge(judgingOf(event, answers)),
    async decide(event, verdict, answers) {
      if (!verdict) return { decision: "no_match" };
      count.matched += 1;
      if (verdict.outcome === "not_met") {
        count.notMet += 1;
        return { decision: "not_met", verdict };
      }
      if (verdict.outcome === "failed") {
        count.failed += 1;
        return { decision: "failed", verdict };
      }
      const held = throttled(event);
      if (typeof held === "object") {
        count.failed += 1;
        return { decision: "failed", verdict: { ...verdict, ...held } };
      }
      if (held) {
        count.throttled += 1;
        return { decision: "throttled", verdict };
      }
      count.wouldRun += 1;
      const actions = await plan(judgingOf(event, answers));
      if (actions.some(({ failure }) => failure)) count.failed += 1;
      return { decision: "would_run", verdict, actions };
    },
  };
}

function changeOf(draft: Decided, live: Decided): Change | null {
  const [drafted, lived] = [draft.decision === "would_run", live.decision === "would_run"];
  if (drafted !== lived) return drafted ? "only_draft" : "only_live";
  if (!drafted) return null;
  return JSON.stringify(draft.actions) === JSON.stringify(live.actions) ? null : "changed";
}

function detailOf({ verdict, actions }: Decided): unknown {
  return {
    ...(verdict
      ? {
          conditions: verdict.trace,
          ...(verdict.stoppedAt === undefined ? {} : { stoppedAt: verdict.stoppedAt }),
          ...(verdict.failure ? { failure: verdict.failure } : {}),
        }
      : {}),
    ...(actions ? { actions } : {}),
  };
}

const noCounts = (): ReplayCounts => ({ events: 0, matched: 0, notMet: 0, throttled: 0, failed: 0, wouldRun: 0 });

/** Answers that need not be asked for again. Each event has a face of its own, which adds what only holds for it. */
function createMemory({ calls, catalog, signal }: ReplayRun, totals: ReplayTotals): { of(event: RuleEvent): Ask } {
  const shared = new Map<string, Promise<unknown>>();
  const faces = new WeakMap<RuleEvent, Ask>();

  /** What passes by itself is waited for; what does not ends the question. */
  const patiently = async <T>(ask: () => Promise<T>): Promise<T> => {
    for (let tries = 1; ; tries += 1) {
      try {
        totals.asked += 1;
        return await ask();
      } catch (error) {
        if (!(error instanceof RetryLater)) throw error;
        const { cause } = error;
        const lasting = cause instanceof BackplaneError && /^plugin_(not_active|quarantined)$/.test(cause.code);
        if (lasting || tries > 60 || signal.aborted) throw cause ?? error;
        await sleep(Math.min(error.ms, 1_000), signal);
      }
    }
  };

  return {
    of(event) {
      const known = faces.get(event);
      if (known) return known;
      const own = new Map<string, Promise<unknown>>();
      const data = JSON.stringify([event.type, event.subject ?? null, event.data]);
      const remember = <T>(key: string, everywhere: boolean, ask: () => Promise<T>): Promise<T> => {
        const table = everywhere && key.length + data.length <= longestRememberedKey ? shared : own;
        const name = table === shared ? key + data : key;
        const answer = table.get(name);
        if (answer) {
          totals.remembered += 1;
          return answer as Promise<T>;
        }
        if (table.size >= mostRemembered) table.delete(table.keys().next().value!);
        const asked = patiently(ask);
        asked.catch(() => table.delete(name));
        table.set(name, asked);
        return asked;
      };
      const face: Ask = {
        condition: (request: OperatorRequest) =>
          remember(
            JSON.stringify([request.operator, request.params]),
            catalog.conditions.get(request.operator)?.idempotent ?? false,
            () => calls.condition({ ...request, paced: true }),
          ),
        variable: (request) => remember(request.operator, false, () => calls.variable({ ...request, paced: true })),
      };
      faces.set(event, face);
      return face;
    },
  };
}

interface Range {
  first: number;
  last: number;
}

/** Positions of the log that can hold events of the time. */
async function rangeOf(
  store: Store,
  organization: OrganizationId,
  { from, to }: { from: Date; to: Date },
): Promise<Range> {
  const { rows } = await sql<{ first: number | null; last: number | null }>`
    select min(first) as first, max(last) as last from event_positions
    where organization_id = ${organization}
      and accepted_at >= ${from.toISOString()}::timestamptz and accepted_at < ${to.toISOString()}::timestamptz`.execute(
    store.db,
  );
  const { first = null, last = null } = rows[0] ?? {};
  return { first: Number(first ?? 1), last: Number(last ?? 0) };
}

interface Batch extends Range {
  from: Date;
  to: Date;
  patterns: readonly string[];
  type: string | undefined;
  after: number;
}

async function readBatch(
  store: Store,
  organization: OrganizationId,
  { from, to, patterns, type, after, last }: Batch,
): Promise<(EventRow & { position: number })[]> {
  const where = sql`p.first <= ${last}
    and p.accepted_at >= ${from.toISOString()}::timestamptz and p.accepted_at < ${to.toISOString()}::timestamptz
    and (${sql.join(patterns.map(ofPattern), sql` or `)}) ${type === undefined ? sql`` : sql`and ${ofPattern(type)}`}`;
  const columns = sql`organization_id, id, source, type, subject, time, data, traceparent`;
  const { rows } = await sql<EventRow & { position: number }>`
    ${eventsInOrder({ organization, after, where, columns, limit: batchSize })}`.execute(store.db);
  return rows;
}

interface Parallel {
  width: number;
  signal: AbortSignal;
}

/** Results in the order of the items; with holes once the signal has aborted. */
async function inParallel<T, R>(
  items: readonly T[],
  { width, signal }: Parallel,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && !signal.aborted) {
      const at = next++;
      results[at] = await work(items[at]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  return results;
}
