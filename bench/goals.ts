/**
 * The rows of the table, as data: what is measured, what we want, and how a value is judged. R is the round trip of a raw
 * unix-socket echo between two Node processes; E is the throughput of the same work in one process with bare isolated-vm
 * and the same bridge on one core. Both are measured in the same run.
 */

export interface Goal {
  what: string;
  /** In words, as the table prints it. */
  goal: string;
  unit: string;
  /** Missing: the row shows a number and asks for none. */
  atMost?: number;
  atLeast?: number;
  /** File in bench/ without `.bench.ts`. */
  benchmark: string;
}

const goal = (benchmark: string, what: string, words: string, unit: string, bound: Partial<Goal> = {}): Goal => ({
  benchmark,
  what,
  goal: words,
  unit,
  ...bound,
});

export const goals = {
  "lone-call": goal("lone-call", "lone warm call hub → isolate → hub, engine only, p50", "≤ 5 R", "R", { atMost: 5 }),
  "one-isolate": goal(
    "throughput",
    "async handler with one ability call, 1 isolate, 256 in flight, engine only",
    "≥ 0.85 E",
    "E",
    { atLeast: 0.85 },
  ),
  "hundred-one-runner": goal("throughput", "the same over 100 isolates, one runner", "≥ 0.75 E", "E", {
    atLeast: 0.75,
  }),
  "hundred-two-runners": goal("throughput", "the same over 100 isolates, two runners", "≥ 1.3 E", "E", {
    atLeast: 1.3,
  }),
  naive: goal(
    "throughput",
    "1 isolate against a naive design (IPC with objects, promises through `Reference.apply`)",
    "≥ 8×",
    "×",
    { atLeast: 8 },
  ),
  "governed-plain": goal(
    "governed",
    "governed `invoke` over engine only, embedded store, function without ability",
    "≥ 0.5×",
    "×",
    { atLeast: 0.5 },
  ),
  "governed-ability": goal("governed", "the same, function with one ability call", "≥ 0.5×", "×", { atLeast: 0.5 }),
  "governed-steps": goal("governed", "what each step of a governed call costs", "show", "µs"),
  "cold-warm-cache": goal(
    "cold-start",
    "cold start of a 26 KB plugin with a warm cache, against plain isolate + context + bundle",
    "≥ 3× faster",
    "× faster",
    { atLeast: 3 },
  ),
  "cold-pooled": goal("cold-start", "the same with a pooled isolate", "≥ 10× faster", "× faster", { atLeast: 10 }),
  "cold-worker": goal(
    "cold-start",
    "first call of a cold plugin, against a worker thread",
    "≥ 10× faster",
    "× faster",
    {
      atLeast: 10,
    },
  ),
  "cold-process": goal("cold-start", "the same, against a Node child process", "≥ 10× faster", "× faster", {
    atLeast: 10,
  }),
  "cold-deno": goal("cold-start", "the same, against a Deno process", "≥ 10× faster", "× faster", { atLeast: 10 }),
  "cold-quickjs": goal("cold-start", "the same, against quickjs-emscripten in the hub's process", "show", "× faster"),
  "peer-calls": goal(
    "peers",
    "warm lone call of peers, against ours (who is in the hub's process pays no wall)",
    "show",
    "×",
  ),
  "peer-memory": goal("peers", "memory per instance of peers, against ours", "show", "×"),
  "memory-ratio": goal("memory", "memory per idle small installation against a bare isolate", "≤ 1.6×", "×", {
    atMost: 1.6,
  }),
  "memory-per-gb": goal("memory", "idle small installations per GB in `shared`", "≥ 500", "", { atLeast: 500 }),
  "memory-thousand": goal("thousand", "installations live in one hub on this machine", "1 000", "", { atLeast: 1000 }),
  "memory-organization": goal(
    "memory",
    "cost of one organisation in the default mode (a runner of its own)",
    "show",
    "MB",
  ),
  runaway: goal("runaway", "runaway loop stopped after its budget", "≤ +50 ms", "ms", { atMost: 50 }),
  "innocents-same": goal(
    "bombs",
    "innocent plugins of the same organisation during any single bomb, p99",
    "≤ 50 ms",
    "ms",
    {
      atMost: 50,
    },
  ),
  "innocents-other": goal(
    "bombs",
    "plugins of another organisation during any single bomb, p99 against quiet",
    "≤ 2×",
    "×",
    {
      atMost: 2,
    },
  ),
  wedged: goal("wedged", "wedged runner → innocents served again", "≤ 300 ms", "ms", { atMost: 300 }),
  "events-pglite": goal(
    "events",
    "events accepted → handled by one sandboxed subscriber per second, against a bare consumer: PGlite",
    "≥ 0.5×",
    "×",
    { atLeast: 0.5 },
  ),
  "events-postgres": goal("events", "the same: PostgreSQL", "≥ 0.5×", "×", { atLeast: 0.5 }),
  "events-jetstream": goal("events", "the same: PostgreSQL and JetStream", "≥ 0.5×", "×", { atLeast: 0.5 }),
  "webhook-pglite": goal(
    "webhooks",
    "webhook accepted → its event, 200 signed requests a second for 60 s, p99, nothing lost: PGlite",
    "show",
    "ms",
  ),
  "webhook-postgres": goal("webhooks", "the same: PostgreSQL", "show", "ms"),
  "sync-pglite": goal(
    "sync",
    "entities a sandboxed connector's sync commits per second, against a bare `INSERT … ON CONFLICT` loop: PGlite",
    "≥ 0.6×",
    "×",
    { atLeast: 0.6 },
  ),
  "sync-postgres": goal("sync", "the same: PostgreSQL", "≥ 0.6×", "×", { atLeast: 0.6 }),
  "sync-memory": goal(
    "sync",
    "memory of hub and runners late in a sync of 1,000,000 items, against after 10,000",
    "≤ 1.2×",
    "×",
    { atMost: 1.2 },
  ),
  "ability-data": goal("abilities", "`data.getById` from a plugin against the same call made by the hub", "show", "×"),
  "ability-http": goal(
    "abilities",
    "`http.get` to loopback from a plugin against the same call made by the hub",
    "show",
    "×",
  ),
  "ability-events": goal("abilities", "`emitEvent` from a plugin against the same call made by the hub", "show", "×"),
  "rules-growth": goal(
    "rules",
    "finding the one rule of 10,000 that an event sets off, against the one of 10",
    "≤ 1.3×",
    "×",
    { atMost: 1.3 },
  ),
  "rules-peer": goal("rules", "the same with 10,000 rules, against json-rules-engine", "≥ 10× faster", "× faster", {
    atLeast: 10,
  }),
  replay: goal(
    "replay",
    "100,000 stored events through one draft rule, one in ten asked of a condition in its isolate",
    "≤ 60 s",
    "s",
    { atMost: 60 },
  ),
  "replay-asked": goal("replay", "the same, every event asked of the condition in its isolate", "≤ 60 s", "s", {
    atMost: 60,
  }),
  "rules-operator": goal(
    "replay",
    "what one answer of a condition in its isolate costs that replay, beside the same condition written in the rule",
    "show",
    "µs",
  ),
  "replay-live": goal("replay", "events per second of that replay, against the rule run live", "show", "×"),
} as const satisfies Record<string, Goal>;

export type GoalId = keyof typeof goals;
export const goalIds = Object.keys(goals) as GoalId[];

/** `met`, `missed`, `shown` for rows that ask for nothing, `not measured`. */
export function verdict(id: GoalId, value: number | undefined): "met" | "missed" | "shown" | "not measured" {
  const { atMost, atLeast }: Goal = goals[id];
  if (value === undefined || Number.isNaN(value)) return "not measured";
  if (atMost === undefined && atLeast === undefined) return "shown";
  return value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? Number.NEGATIVE_INFINITY)
    ? "met"
    : "missed";
}
