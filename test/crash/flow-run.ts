/**
 * Flow runs: in an organisation of its own, a sync, inbound webhooks, outbound messages and rule runs are under way when a hub
 * is killed with SIGKILL at a seeded moment. Once all has settled, tables, cursors and what reached the vendor must equal what
 * an undisturbed run leaves. Many runs share hubs, one after the other.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CrashHub, call, installPlugin, mulberry32, must, sleep, startHub } from "./crash-hub.ts";
import { deletedCount, type Effect, itemCount, startVendor } from "./vendor.ts";

export interface FlowRunsOptions {
  seed: number;
  runs: number;
  /** Shared services; without them one hub on the embedded store. */
  env?: Record<string, string>;
  /** More than one needs a shared database. @default 1 */
  hubs?: number;
  /** Told of each run. */
  log?(line: string): void;
}

export interface FlowRunsResult {
  runs: number;
  kills: number;
  /** What differed from the undisturbed run, by organisation. */
  differences: { run: string; expected: Outcome; found: Outcome }[];
  /** Sends that the vendor knew again by their key. */
  repeats: number;
}

/** What is left in the end, without ids and times that differ from run to run. */
export interface Outcome {
  contacts: unknown[];
  inbound: unknown[];
  outbound: unknown[];
  tasks: unknown[];
  cursors: unknown;
  effects: Effect[];
  ruleRuns: Record<string, number>;
}

const webhookCount = 6;
const messageCount = 4;
const plugin = "test.flows";
const rule = `name: Answer
trigger: { event: comms.MessageReceived }
conditions:
  - operator: flows.isNew
actions:
  - operator: flows.note
    params: { title: "answer {{ event.externalId }}" }
  - operator: flows.reply
    params: { to: "{{ event.from }}", body: "thanks for {{ event.externalId }}" }
`;

export async function flowRuns({
  seed,
  runs,
  env = {},
  hubs = 1,
  log = () => {},
}: FlowRunsOptions): Promise<FlowRunsResult> {
  const random = mulberry32(seed);
  const folder = await mkdtemp(join(tmpdir(), "backplane-flows-"));
  await using vendor = await startVendor(random);
  const settings = { ...env, BACKPLANE_EGRESS_OVERRIDE: JSON.stringify({ "vendor.test": vendor.origin }) };
  const running: CrashHub[] = [];
  const result: FlowRunsResult = { runs: 0, kills: 0, differences: [], repeats: 0 };
  try {
    for (let n = 0; n < hubs; n++) running.push(await startHub(join(folder, `hub-${n}`), settings));
    const undisturbed = await oneRun({ running, name: "undisturbed", random, effects: vendor.effects });
    assertWhole(undisturbed);
    vendor.effects.clear();
    for (let n = 0; n < runs; n++) {
      const name = `run-${n}`;
      let killing: Promise<void> | undefined;
      const found = await oneRun({
        running,
        name,
        random,
        effects: vendor.effects,
        onBegun() {
          killing = kill({ running, random, settings }).then(() => {
            result.kills += 1;
          });
        },
        settled: () => killing ?? Promise.resolve(),
      });
      result.runs += 1;
      if (JSON.stringify(found) !== JSON.stringify(undisturbed)) {
        result.differences.push({ run: name, expected: undisturbed, found });
        log(`${name} of seed ${seed} differs`);
      }
      vendor.effects.clear();
    }
    result.repeats = vendor.repeats;
    return result;
  } finally {
    for (const { child } of running) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

/** Equal emptiness would prove nothing. */
function assertWhole({ contacts, inbound, outbound, tasks, effects, cursors }: Outcome): void {
  const found = [contacts, inbound, outbound, tasks, effects].map(({ length }) => length);
  const sends = webhookCount + messageCount;
  assert.deepEqual(found, [itemCount - deletedCount, webhookCount, sends, webhookCount, sends]);
  assert.deepEqual(cursors, { contact: itemCount });
}

interface Killing {
  running: CrashHub[];
  random: () => number;
  settings: Record<string, string>;
}

/** After at most 0.8 s, which is about as long as an undisturbed run works. */
async function kill({ running, random, settings }: Killing): Promise<void> {
  await sleep(random() * 800);
  const victim = Math.floor(random() * running.length);
  const { child, dataDir } = running[victim]!;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  running[victim] = await startHub(dataDir, settings);
}

interface OneRun {
  running: CrashHub[];
  name: string;
  random: () => number;
  effects: ReadonlyMap<string, Effect>;
  /** Called when everything is set up and the work begins. */
  onBegun?(): void;
  /** Resolves when the killed hub is back. */
  settled?(): Promise<void>;
}

async function oneRun({ running, name: org, random, effects, onBegun, settled }: OneRun): Promise<Outcome> {
  const any = (): string => running[Math.floor(random() * running.length)]!.url;
  await must(any(), "/api/organizations", { body: { id: org, name: org } });
  await installPlugin(any(), "flows", plugin, org);
  const { id: ruleId } = (await must(any(), "/api/rules", { org, body: { source: rule } })) as { id: string };
  onBegun?.();
  /** A caller who got no answer asks again, with the same ids: that is what they are for. */
  const insist = async (path: string, body: object): Promise<void> => {
    for (const until = Date.now() + 60_000; Date.now() < until; await sleep(50)) {
      const answer = await call(any(), path, { org, body }).catch(() => undefined);
      if (answer !== undefined && answer.status < 300) return;
      if (answer?.status === 409) return;
    }
    throw new Error(`${path} was not accepted within a minute`);
  };
  await Promise.all([
    insist(`/api/connectors/${plugin}/sync`, {}),
    ...Array.from({ length: webhookCount }, (_, n) =>
      sleep(n * 60).then(() => insist(`/webhooks/${org}/${plugin}`, { id: `in-${n}`, from: `person-${n % 3}` })),
    ),
    ...Array.from({ length: messageCount }, (_, n) =>
      sleep(n * 90).then(() =>
        insist("/api/messages", {
          channel: "test",
          to: `friend-${n}`,
          body: `message ${n}`,
          idempotencyKey: `out-${n}`,
        }),
      ),
    ),
  ]);
  await settled?.();
  const get = (path: string): Promise<unknown> => must(any(), path, { method: "GET", org });
  const end = Date.now() + 90_000;
  for (let quiet = 0; quiet < 2; ) {
    if (Date.now() > end)
      throw new Error(`${org} did not settle: ${JSON.stringify(await outcome(get, ruleId, effects))}`);
    quiet = (await isSettled(get, ruleId)) ? quiet + 1 : 0;
    await sleep(100);
  }
  return outcome(get, ruleId, effects);
}

type Get = (path: string) => Promise<unknown>;

async function isSettled(get: Get, ruleId: string): Promise<boolean> {
  const [syncs, runs, messages] = (await Promise.all([
    get(`/api/connectors/${plugin}/runs`),
    get(`/api/rules/${ruleId}/runs?limit=200`),
    get("/api/messages?direction=outbound&limit=200"),
  ])) as [{ runs: { status: string }[] }, { runs: { status: string }[] }, { messages: { status: string }[] }];
  return (
    syncs.runs.length > 0 &&
    syncs.runs.every(({ status }) => status === "succeeded") &&
    runs.runs.length === webhookCount &&
    runs.runs.every(({ status }) => status === "succeeded") &&
    messages.messages.length === webhookCount + messageCount &&
    messages.messages.every(({ status }) => status === "sent")
  );
}

async function outcome(get: Get, ruleId: string, effects: ReadonlyMap<string, Effect>): Promise<Outcome> {
  const rows = async (type: string): Promise<Record<string, unknown>[]> =>
    ((await get(`/api/entities/${type}?limit=200`)) as { entities: Record<string, unknown>[] }).entities;
  const pick = (list: Record<string, unknown>[], ...fields: string[]): unknown[] =>
    list
      .map((row) => fields.map((field) => row[field]))
      .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const messages = await rows("messages");
  const { runs } = (await get(`/api/rules/${ruleId}/runs?limit=200`)) as { runs: { status: string }[] };
  const state = (await get(`/api/connectors/${plugin}/state`)) as { position?: { cursors?: unknown } };
  return {
    contacts: pick(await rows("contacts"), "externalId", "displayName"),
    inbound: pick(
      messages.filter(({ direction }) => direction === "inbound"),
      "externalId",
      "from",
      "body",
      "status",
    ),
    outbound: pick(
      messages.filter(({ direction }) => direction === "outbound"),
      "to",
      "body",
      "status",
    ),
    tasks: pick(await rows("tasks"), "title", "status"),
    cursors: state.position?.cursors,
    effects: [...effects.values()]
      .map(({ to, body }) => ({ to, body }))
      .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    ruleRuns: Object.fromEntries(
      [...new Set(runs.map(({ status }) => status))]
        .sort()
        .map((status) => [status, runs.filter((run) => run.status === status).length]),
    ),
  };
}
