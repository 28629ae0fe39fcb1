/** The judge of flow runs: what is left in an organisation in the end, without ids and times that differ from run to run. */
import assert from "node:assert/strict";
import { must } from "./crash-hub.ts";
import { messageCount, plugin, webhookCount } from "./flow-work.ts";
import { deletedCount, type Effect, itemCount } from "./vendor.ts";

/** Rows as lists of the fields that matter, sorted. `version` tells a write that was done twice. */
export interface Outcome {
  contacts: unknown[];
  inbound: unknown[];
  outbound: unknown[];
  tasks: unknown[];
  cursors: unknown;
  /** Rows that syncs say they created, and the states of the syncs. */
  synced: { created: number; statuses: string[] };
  effects: unknown[];
  /** What became of each event's run; the steps of each. */
  ruleRuns: unknown[];
  /** How many events of each type the log has. */
  events: Record<string, number>;
  /** Of all organisations: waiting and dead deliveries; of this one: executions without an end. */
  open: { pending: number; dead: number; executions: number };
}

type Row = Record<string, unknown>;

export async function readOutcome(url: string, org: string, effects: ReadonlyMap<string, Effect>): Promise<Outcome> {
  const get = (path: string): Promise<unknown> => must(url, path, { method: "GET", org });
  const list = async (path: string, field: string): Promise<Row[]> => {
    const all: Row[] = [];
    for (let cursor = ""; ; ) {
      const answer = (await get(`${path}${path.includes("?") ? "&" : "?"}limit=200${cursor}`)) as Row;
      all.push(...(answer[field] as Row[]));
      if (typeof answer["nextCursor"] !== "string") return all;
      cursor = `&cursor=${encodeURIComponent(answer["nextCursor"])}`;
    }
  };
  const entities = (type: string): Promise<Row[]> => list(`/api/entities/${type}`, "entities");
  const [contacts, messages, tasks, runs, syncs, events, queued, running, state, metrics] = await Promise.all([
    entities("contacts"),
    entities("messages"),
    entities("tasks"),
    list("/api/rules/answer/runs", "runs"),
    list(`/api/connectors/${plugin}/runs`, "runs"),
    list("/api/events", "events"),
    list("/api/executions?status=queued", "executions"),
    list("/api/executions?status=running", "executions"),
    get(`/api/connectors/${plugin}/state`) as Promise<{ position?: { cursors?: unknown } }>,
    get("/metrics") as Promise<string>,
  ]);
  const sent = await list("/api/messages?direction=outbound", "messages");
  return {
    contacts: pick(contacts, "externalId", "displayName", "version"),
    inbound: pick(
      messages.filter(({ direction }) => direction === "inbound"),
      ...["externalId", "from", "body", "status", "version"],
    ),
    outbound: pick(sent, "to", "body", "status", "version"),
    tasks: pick(tasks, "title", "status", "version"),
    cursors: state.position?.cursors,
    synced: {
      created: syncs.reduce((sum, { counts }) => sum + (counts as { created: number }).created, 0),
      // Who asks again after a lost answer may ask for a second sync.
      statuses: [...new Set(syncs.map(({ status }) => String(status)))],
    },
    effects: pick([...effects.values()], "to", "body"),
    ruleRuns: pick(runs, "eventId", "status", "reason"),
    events: countsOf(events, syncs.length),
    open: {
      pending: metric(metrics, "deliveries_pending"),
      dead: metric(metrics, "dead_letters"),
      executions: queued.length + running.length,
    },
  };
}

const pick = (rows: readonly object[], ...fields: string[]): unknown[] =>
  rows
    .map((row) => fields.map((field) => (row as Row)[field]))
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

function countsOf(events: readonly Row[], syncs: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const type of events.map((event) => String(event["type"])).sort()) counts[type] = (counts[type] ?? 0) + 1;
  // Two messages that reach one conversation at one moment are one update or two.
  delete counts["data.ConversationUpdated"];
  // Each sync has its beginning and its end, however many there are.
  for (const type of ["connector.SyncStarted", "connector.SyncCompleted"])
    counts[type] = (counts[type] ?? 0) - syncs + 1;
  return counts;
}

/** Deliveries that wait or run, over all organisations. */
export async function pendingDeliveries(url: string): Promise<number> {
  return metric(String(await must(url, "/metrics", { method: "GET" })), "deliveries_pending");
}

function metric(text: string, name: string): number {
  const found = new RegExp(`^backplane_${name} (\\d+)$`, "m").exec(text)?.[1];
  assert.ok(found !== undefined, `the hub tells no ${name}`);
  return Number(found);
}

/** Equal emptiness would prove nothing. */
export function assertWhole({ contacts, inbound, outbound, tasks, effects, ruleRuns, cursors, open }: Outcome): void {
  const found = [contacts, inbound, outbound, tasks, effects, ruleRuns].map(({ length }) => length);
  const sends = webhookCount + messageCount;
  assert.deepEqual(found, [itemCount - deletedCount, webhookCount, sends, webhookCount, sends, webhookCount]);
  assert.deepEqual(cursors, { contact: itemCount });
  assert.deepEqual(open, { pending: 0, dead: 0, executions: 0 });
}

export type Fields = Partial<Record<keyof Outcome, { expected: unknown; found: unknown }>>;

export function differencesOf(expected: Outcome, found: Outcome): Fields {
  const names = Object.keys(expected) as (keyof Outcome)[];
  const differ = names.filter((name) => JSON.stringify(expected[name]) !== JSON.stringify(found[name]));
  return Object.fromEntries(differ.map((name) => [name, { expected: expected[name], found: found[name] }]));
}
