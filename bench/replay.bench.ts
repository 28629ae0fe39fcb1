/**
 * A draft rule over 100,000 stored events: read from the log, matched, a condition asked in its isolate, params rendered,
 * decisions kept, nothing executed. Beside it the same rule live: events accepted, matched, run to their end with one action.
 * And what one answer of an operator costs: the same replay with the condition written in the rule itself, and one caller at a time.
 * PostgreSQL where TEST_DATABASE_URL is set, else the embedded store.
 */
import { sql } from "kysely";
import type { ReplayRecord } from "../src/rules/replays.ts";
import type { Benchmark, Measured } from "./benchmark.ts";
import { sleep } from "./parts/engine.ts";
import { freshDatabase } from "./parts/fresh-database.ts";
import { type BenchHub, startBenchHub } from "./parts/hub.ts";

const day = 86_400_000;

const asked = (share: number): string =>
  `{operator: bench.over, params: {amount: "{{ event.amount }}", limit: ${500 * share}}}`;
const inline = (share: number): string => `cel: event.amount > ${500 * share}.0`;

/** `share` of the amounts (0 to 1000, evenly) pass the filter; the condition is true for half of them. */
const ruleSource = (name: string, share: number, condition = asked(share)): string => `name: ${name}
mode: parallel
max: 16
trigger: {event: sale.made, filter: event.amount < ${1000 * share}.0}
conditions:
  - ${condition}
actions:
  - operator: bench.nod
    params: {text: "order {{ event.order }} of {{ event.amount }}"}
`;

export const benchmark: Benchmark = {
  name: "replay",
  goals: ["replay", "replay-asked", "rules-operator", "replay-live"],
  async run({ quick, log }) {
    const events = quick ? 5_000 : 100_000;
    await using opened = new AsyncDisposableStack();
    const server = process.env["TEST_DATABASE_URL"];
    const database = server === undefined ? undefined : await freshDatabase(server, opened);
    const bench = await startBenchHub(
      database === undefined ? {} : { databaseUrl: database, masterKey: Buffer.alloc(32, 7).toString("base64") },
    );
    opened.use(bench);
    await fill(bench, events);
    const rows: Measured[] = [];
    const totals = async (name: string, share: number, condition?: string): Promise<Totals> => {
      const { result } = await replay(bench, ruleSource(name, share, condition));
      const { draft, ms, asked } = result as Totals;
      if (draft.events !== events) throw new Error(`${draft.events} of ${events} events were looked at`);
      log(`${name}: ${Math.round(events / (ms / 1000))} events/s, ${draft.matched} matched, ${asked} asked`);
      return { draft, ms, asked };
    };
    const row = (goal: "replay" | "replay-asked", { draft, ms, asked }: Totals): Measured => ({
      goal,
      value: ((ms / 1000) * 100_000) / events,
      parts: { "events /s": events / (ms / 1000), matched: draft.matched, "would run": draft.wouldRun, asked },
      ...(quick ? { note: `measured with ${events} events` } : {}),
    });
    const some = await totals("some", 0.1);
    const all = await totals("all", 1);
    const none = await totals("none", 1, inline(1));
    rows.push(row("replay", some), row("replay-asked", all));
    const lone = await loneCalls(bench, quick ? 500 : 2_000);
    rows.push({
      goal: "rules-operator",
      value: ((all.ms - none.ms) * 1000) / all.asked,
      parts: {
        "µs one at a time": lone,
        "events /s with the condition in the rule": events / (none.ms / 1000),
      },
    });
    const live = await runLive(bench, ruleSource("live", 0.1), quick ? 500 : 2_000);
    log(`live: ${Math.round(live)} events/s`);
    const perSecond = events / (some.ms / 1000);
    rows.push({ goal: "replay-live", value: perSecond / live, parts: { "replay /s": perSecond, "live /s": live } });
    return rows;
  },
};

interface Totals {
  draft: { events: number; matched: number; wouldRun: number };
  ms: number;
  asked: number;
}

/** Microseconds an answer, each asked after the one before it. */
async function loneCalls({ hub, organization, plugins }: BenchHub, calls: number): Promise<number> {
  const ask = async (): Promise<void> => {
    const { error } = await hub.invoker.run({
      ...{ organization, plugin: plugins[0]!, kind: "condition", name: "bench.over", actor: "bench" },
      args: [{ amount: 5, limit: 3 }, {}],
    });
    if (error) throw error;
  };
  for (let n = 0; n < 100; n++) await ask();
  const from = performance.now();
  for (let n = 0; n < calls; n++) await ask();
  return ((performance.now() - from) * 1000) / calls;
}

async function fill({ hub, organization }: BenchHub, events: number): Promise<void> {
  for (let at = 0; at < events; at += 1_000)
    await hub.store.transaction((tx) =>
      hub.eventLog.publishAll(
        tx,
        Array.from({ length: Math.min(1_000, events - at) }, (_, n) => orderEvent(organization, at + n)),
      ),
    );
  for (;;) {
    const { rows } = await sql<{
      left: number;
    }>`select count(*)::int as left from event_arrivals`.execute(hub.store.db);
    if (rows[0]!.left === 0) return;
    await sleep(50);
  }
}

const orderEvent = (organization: string, order: number) => ({
  organization,
  type: "sale.made",
  source: "/bench",
  data: { order, amount: ((order * 7919) % 10_000) / 10, currency: "EUR", items: ["a", "b", "c"] },
});

async function replay({ hub, organization }: BenchHub, source: string): Promise<ReplayRecord> {
  let record = await hub.rules.replays.start(
    { organization, actor: "bench" },
    { source, from: new Date(Date.now() - day) },
  );
  while (record.endedAt === null) {
    await sleep(50);
    record = await hub.rules.replays.get(organization, record.id);
  }
  if (record.status !== "succeeded") throw new Error(JSON.stringify(record.error));
  return record;
}

/** Events per second from accepted to the end of the last run. */
async function runLive({ hub, organization }: BenchHub, source: string, events: number): Promise<number> {
  const { id } = await hub.rules.create({ organization, actor: "bench" }, { source });
  const from = performance.now();
  const expected = events / 10;
  for (let at = 0; at < events; at += 100)
    await hub.store.transaction((tx) =>
      hub.eventLog.publishAll(
        tx,
        Array.from({ length: 100 }, (_, n) => orderEvent(organization, at + n)),
      ),
    );
  for (;;) {
    const { rows } = await sql<{ ended: number }>`select count(*)::int as ended from rule_runs
      where organization_id = ${organization} and rule_id = ${id} and ended_at is not null`.execute(hub.store.db);
    if (rows[0]!.ended >= expected * 0.99) return (events / (performance.now() - from)) * 1000;
    if (performance.now() - from > 60_000) throw new Error(`only ${rows[0]!.ended} of ${expected} runs ended`);
    await sleep(10);
  }
}
