/**
 * Flow runs: in an organisation of its own, a sync, inbound webhooks, outbound messages and rule runs are under way when hubs
 * are killed with SIGKILL. Once all has settled, tables, cursors and what reached the vendor must equal what an undisturbed run
 * leaves. Four organisations are under way at each moment of killing: a run is one of them, a round all four. A round of
 * seed s is the same in whatever place it comes: when it kills, whom, and what the vendor answers wrongly.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CrashHub, mulberry32, sleep, startHub } from "./crash-hub.ts";
import { assertWhole, differencesOf, type Fields, type Outcome, pendingDeliveries, readOutcome } from "./flow-judge.ts";
import { ask, type Phase, setUp, stepCount, stepsOf } from "./flow-work.ts";
import { startVendor, type Vendor } from "./vendor.ts";

export interface FlowRunsOptions {
  /** Of the first round; the next has the next. */
  seed: number;
  runs: number;
  /** Shared services; without them one hub on the embedded store. */
  env?: Record<string, string>;
  /** More than one needs a shared database. @default 1 */
  hubs?: number;
  /** How long a difference may go away by itself once nothing is pending, ms. @default 20000 */
  patienceMs?: number;
}

export interface Difference {
  organization: string;
  seed: number;
  fields: Fields;
}

export interface FlowRunsResult {
  runs: number;
  kills: number;
  differences: Difference[];
  /** Sends that the vendor knew again by their key. */
  repeats: number;
  /** How far each run was at each kill. */
  phases: Phase[];
}

export const runsPerRound = 4;

export async function flowRuns(options: FlowRunsOptions): Promise<FlowRunsResult> {
  const { seed, runs, hubs = 1, patienceMs } = options;
  const folder = await mkdtemp(join(tmpdir(), "backplane-flows-"));
  const result: FlowRunsResult = { runs: 0, kills: 0, differences: [], repeats: 0, phases: [] };
  const steps = new Steps();
  await using vendor = await startVendor({ onStep: () => steps.more() });
  const env = {
    ...options.env,
    BACKPLANE_EGRESS_OVERRIDE: JSON.stringify({ "vendor.test": vendor.origin }),
    // One process for the code of all organisations: to start one for each after every kill would take most of the time.
    BACKPLANE_ISOLATION: "shared",
  };
  const set: HubSet = { running: [], env, died: undefined };
  try {
    await beginAll(
      set,
      Array.from({ length: hubs }, (_, n) => ({ n, dataDir: join(folder, `hub-${n}`) })),
    );
    const expected = await undisturbed(set, vendor, `undisturbed-${seed}`);
    const all: { organization: string; seed: number }[] = [];
    for (let n = 0; all.length < runs; n++) {
      const round = { seed: seed + n, organizations: namesOf(seed + n, Math.min(runsPerRound, runs - all.length)) };
      all.push(...round.organizations.map((organization) => ({ organization, seed: round.seed })));
      await oneRound({ set, vendor, steps, result, round });
      await judge({ set, vendor, expected, result, all: all.slice(-round.organizations.length), patienceMs });
      if (result.differences.length > 0) break;
    }
    // What comes late, after an organisation was judged, is a difference too.
    if (result.differences.length === 0) await judge({ set, vendor, expected, result, all, patienceMs });
    result.runs = all.length;
    result.repeats = all.reduce((sum, { organization }) => sum + vendor.of(organization).repeats, 0);
    return result;
  } finally {
    set.died = undefined;
    for (const { child } of set.running.filter(Boolean)) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

const namesOf = (seed: number, count: number): string[] => Array.from({ length: count }, (_, n) => `run-${seed}-${n}`);

/** Counts what can be seen of the work from outside, and wakes who waits for a count. */
class Steps {
  #count = 0;
  #changed = Promise.withResolvers<void>();

  more(): void {
    this.#count += 1;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Comes back once `count` more steps are done, or when `stuckMs` went by without any: retries may wait long. */
  async reach(count: number, stuckMs = 10_000): Promise<void> {
    for (const until = this.#count + count; this.#count < until; ) {
      const before = this.#count;
      await Promise.race([this.#changed.promise, sleep(stuckMs)]);
      if (this.#count === before) return;
    }
  }
}

// ---- hubs

interface HubSet {
  running: CrashHub[];
  env: Record<string, string>;
  /** A hub that ended though nobody killed it. */
  died: string | undefined;
}

async function begin(set: HubSet, n: number, dataDir: string): Promise<void> {
  const hub = await startHub(dataDir, set.env);
  set.running[n] = hub;
  hub.child.once("exit", (code, signal) => {
    if (signal !== "SIGKILL") set.died = `a hub ended by itself (${code ?? signal}):\n${hub.output()}`;
  });
}

/** Waits for all of them even when one fails, so that the end of the run finds every process. */
async function beginAll(set: HubSet, hubs: readonly { n: number; dataDir: string }[]): Promise<void> {
  const begun = await Promise.allSettled(hubs.map(({ n, dataDir }) => begin(set, n, dataDir)));
  for (const { status, ...rest } of begun) if (status === "rejected" && "reason" in rest) throw rest.reason;
}

async function kill(set: HubSet, victims: readonly number[]): Promise<void> {
  const ended = victims.map((victim) => {
    const { child } = set.running[victim]!;
    const exit = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    return exit;
  });
  await Promise.all(ended);
}

// ---- a round

interface Plan {
  /** When each organisation begins, ms. */
  begins: number[];
  /** Steps of all organisations together after which the first kill comes, and ms after that. */
  afterSteps: number;
  afterMs: number;
  victims: number[];
  /** A second kill while the hubs recover, ms after they are back. */
  again: { afterMs: number; victims: number[] } | undefined;
}

function planOf(seed: number, { organizations, hubs }: { organizations: number; hubs: number }): Plan {
  const random = mulberry32(seed);
  const all = Array.from({ length: hubs }, (_, n) => n);
  const victims = (): number[] => (random() < 0.2 ? all : [Math.floor(random() * hubs)]);
  return {
    begins: Array.from({ length: organizations }, () => random() * 500),
    afterSteps: Math.floor(random() * (organizations * stepCount + 1)),
    afterMs: random() * 60,
    victims: victims(),
    again: random() < 0.35 ? { afterMs: random() * 1_500, victims: victims() } : undefined,
  };
}

interface Round {
  set: HubSet;
  vendor: Vendor;
  steps: Steps;
  result: FlowRunsResult;
  round: { seed: number; organizations: string[] };
}

async function oneRound({ set, vendor, steps, result, round: { seed, organizations } }: Round): Promise<void> {
  const { running } = set;
  const plan = planOf(seed, { organizations: organizations.length, hubs: running.length });
  const accepted = new Map(organizations.map((org) => [org, { webhooks: 0, messages: 0 }]));
  for (const [n, org] of organizations.entries()) await setUp(running[n % running.length]!.url, org);
  const reached = steps.reach(plan.afterSteps);
  const asking = Promise.all(
    organizations.map(async (org, n) => {
      await sleep(plan.begins[n]!);
      const random = mulberry32(seed * 31 + n);
      await ask({
        ...{ org, running, random },
        onAccepted(kind) {
          accepted.get(org)![kind] += 1;
          steps.more();
        },
      });
    }),
  );
  const strike = async (victims: readonly number[]): Promise<void> => {
    for (const org of organizations) {
      const { pages, effects } = vendor.of(org);
      result.phases.push({ ...accepted.get(org)!, pages: pages.size, sends: effects.size });
    }
    result.kills += victims.length;
    await kill(set, victims);
    await beginAll(
      set,
      victims.map((n) => ({ n, dataDir: running[n]!.dataDir })),
    );
  };
  const killing = async (): Promise<void> => {
    await reached;
    await sleep(plan.afterMs);
    await strike(plan.victims);
    if (!plan.again) return;
    await sleep(plan.again.afterMs);
    await strike(plan.again.victims);
  };
  await Promise.all([asking, killing()]);
}

async function undisturbed(set: HubSet, vendor: Vendor, org: string): Promise<Outcome> {
  const [{ url }] = set.running as [CrashHub];
  await setUp(url, org);
  await ask({ org, running: set.running, random: mulberry32(1), onAccepted() {} });
  const effects = vendor.of(org).effects;
  for (const until = Date.now() + 60_000; ; await sleep(200)) {
    const found = await readOutcome(url, org, effects);
    try {
      assertWhole(found);
      return found;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
  }
}

// ---- judging

interface Judging {
  set: HubSet;
  vendor: Vendor;
  expected: Outcome;
  result: FlowRunsResult;
  all: readonly { organization: string; seed: number }[];
  patienceMs: number | undefined;
}

/** Longest that work may be pending after the hubs are back, ms. */
const settleMs = 120_000;

async function judge({ set, vendor, expected, result, all, patienceMs = 20_000 }: Judging): Promise<void> {
  const [{ url }] = set.running as [CrashHub];
  const differences = async (): Promise<Difference[]> => {
    const found: Difference[] = [];
    for (const { organization, seed } of all) {
      const fields = differencesOf(expected, await readOutcome(url, organization, vendor.of(organization).effects));
      if (Object.keys(fields).length > 0) found.push({ organization, seed, fields });
    }
    return found;
  };
  const last = Date.now() + settleMs;
  while ((await pendingDeliveries(url)) > 0 && Date.now() < last) await sleep(100);
  let found = await differences();
  // Nothing is pending between an event's commit and its deliveries either, and a hub that died may hold an execution a while.
  for (const until = Date.now() + patienceMs; found.length > 0 && Date.now() < until; found = await differences())
    await sleep(200);
  if (set.died !== undefined) throw new Error(set.died);
  result.differences.push(...found);
}

// ---- where kills fell

export interface Spread {
  /** Runs by the quarter of their steps in which a kill met them, and those that it met before the first step and after the last. */
  quarters: [number, number, number, number];
  before: number;
  after: number;
  /** How many different phases kills met. */
  phases: number;
  /** By webhooks accepted, pages given, and sends that took effect. */
  webhooks: Record<number, number>;
  pages: Record<number, number>;
  sends: Record<number, number>;
}

export function spreadOf(phases: readonly Phase[]): Spread {
  const spread: Spread = {
    ...{
      quarters: [0, 0, 0, 0],
      before: 0,
      after: 0,
      phases: new Set(phases.map((phase) => JSON.stringify(phase))).size,
    },
    ...{ webhooks: {}, pages: {}, sends: {} },
  };
  for (const phase of phases) {
    const steps = stepsOf(phase);
    if (steps === 0) spread.before += 1;
    else if (steps >= stepCount) spread.after += 1;
    else spread.quarters[Math.floor((4 * steps) / stepCount) as 0 | 1 | 2 | 3] += 1;
    for (const name of ["webhooks", "pages", "sends"] as const)
      spread[name][phase[name]] = (spread[name][phase[name]] ?? 0) + 1;
  }
  return spread;
}

/** Why these kills did not look into the whole of the work; `undefined` when they did, or are too few to tell. */
export function spreadFault({ quarters, before, after, phases }: Spread): string | undefined {
  const inside = quarters.reduce((sum, count) => sum + count, 0);
  const all = inside + before + after;
  if (all < 40) return undefined;
  if (inside < all / 2) return `only ${inside} of ${all} kills met a run under way`;
  if (Math.min(...quarters) < all / 20) return `a quarter of the work saw hardly a kill: ${quarters.join(" ")}`;
  if (phases < all / 4) return `kills met only ${phases} different phases`;
  return undefined;
}
