/**
 * The hub's Prometheus metrics: every name in one table, all under `backplane_`. Labels take only values of bounded number
 * (kinds, codes, route patterns), never ids of organisations, plugins or hosts.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

const fast = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export interface MetricsOptions {
  /** Node's own metrics (heap, event loop, garbage collection) as well. @default true */
  defaults?: boolean;
}

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics({ defaults = true }: MetricsOptions = {}) {
  const registry = new Registry();
  if (defaults) collectDefaultMetrics({ register: registry });
  const scrapes: (() => void | Promise<void>)[] = [];

  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
    new Counter({ name: `backplane_${name}`, help, labelNames, registers: [registry] });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
    new Gauge({ name: `backplane_${name}`, help, labelNames, registers: [registry] });
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Histogram<L> =>
    new Histogram({ name: `backplane_${name}`, help, labelNames, buckets: fast, registers: [registry] });

  return {
    registry,
    contentType: registry.contentType,
    /** Called before each scrape, to set gauges from what is true now. A failing one leaves its gauges as they were. */
    onScrape(read: () => void | Promise<void>): Disposable {
      scrapes.push(read);
      return { [Symbol.dispose]: () => void scrapes.splice(scrapes.indexOf(read) >>> 0, 1) };
    },
    /** The text of `/metrics`. */
    async render(): Promise<string> {
      await Promise.allSettled(scrapes.map(async (read) => await read()));
      return await registry.metrics();
    },

    httpRequests: counter("http_requests_total", "Requests answered by the hub.", ["method", "route", "status"]),
    httpDuration: histogram("http_request_duration_seconds", "Time until a request was answered.", ["method", "route"]),

    executions: counter("executions_total", "Calls of contributions that ended.", ["kind", "mode", "status", "code"]),
    executionDuration: histogram("execution_duration_seconds", "Wall time of calls of contributions.", ["kind"]),
    executionCpu: counter("execution_cpu_seconds_total", "CPU time that plugin code used.", ["kind"]),
    executionsRunning: gauge("executions_running", "Calls under way on this hub."),

    abilityCalls: counter("ability_calls_total", "Calls of abilities by plugins.", ["ability", "outcome"]),
    abilityDuration: histogram("ability_call_duration_seconds", "Time of ability calls.", ["ability"]),

    egressRequests: counter("egress_requests_total", "Outgoing requests of plugins: status class or error code.", [
      "outcome",
    ]),
    egressDuration: histogram("egress_request_duration_seconds", "Time of outgoing requests, redirects included."),
    egressBytes: counter("egress_bytes_total", "Body bytes of outgoing requests.", ["direction"]),

    runners: gauge("runners", "Runner processes by role.", ["role"]),
    runnerMemory: gauge("runner_resident_bytes", "Resident memory of all runner processes."),
    runnersStarted: gauge("runners_started", "Runner processes started since the hub started."),
    runnersLost: gauge("runners_lost", "Runner processes lost since the hub started."),
    instances: gauge("instances", "Installations loaded in a runner."),
    faults: counter("runtime_faults_total", "Faults of plugin code that the runtime acted on.", ["kind", "code"]),

    eventsPublished: counter(
      "events_published_total",
      "Events given to the log: accepted, or a duplicate of one that is there.",
      ["outcome"],
    ),
    deliveries: counter("deliveries_total", "Tries of deliveries that ended: done, retry or dead.", [
      "kind",
      "outcome",
    ]),
    deliveryDelay: histogram("delivery_delay_seconds", "Time from enqueued to the first try."),
    deliveriesPending: gauge("deliveries_pending", "Deliveries waiting."),
    deadLetters: gauge("dead_letters", "Deliveries given up."),

    ruleRuns: counter("rule_runs_total", "Runs of rules that ended, and what set them off.", [
      "trigger",
      "status",
      "reason",
    ]),
    ruleRunDuration: histogram("rule_run_duration_seconds", "Time from when a run was taken up to its end."),

    installations: gauge("installations", "Installations by status.", ["status"]),
    storeUp: gauge("store_up", "1 while the database answers."),
  };
}

/** The label of an exchange's outcome: `2xx` and the like, or the error's code. */
export function outcomeLabel(outcome: number | string): string {
  return typeof outcome === "number" ? `${Math.floor(outcome / 100)}xx` : outcome;
}
