/**
 * Automation rules of organisations: kept with their versions, set off by events, the clock, hooks and people, run durably with
 * a trace, tried dry and replayed over past events. This file puts the parts together; each says in its first lines what it does.
 * Called by the HTTP edge and composed in main.ts.
 */
import type { Audit } from "../audit/audit.ts";
import type { OrganizationId } from "../base/brands.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { Installations } from "../installations/installations.ts";
import type { Invoker } from "../invocation/invoker.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Packages } from "../packages/packages.ts";
import type { Store } from "../store/store.ts";
import type { Subscriptions } from "../subscriptions/subscriptions.ts";
import { createBundledOffers } from "./bundled-offers.ts";
import { type DryRunAnswer, type DryRunRequest, dryRun } from "./dry-run.ts";
import { createOperatorCalls } from "./operator-calls.ts";
import { createOperatorCatalogs, type OperatorInfo } from "./operator-catalog.ts";
import { createHistory } from "./operator-holders.ts";
import { createRedaction, type RedactorOf } from "./redaction.ts";
import { createReplays, type Replays } from "./replays.ts";
import type { RunStatus, TriggerKind } from "./rule-record.ts";
import { createRuleRecords, featureName, type RuleRecords, rulesChannel } from "./rule-records.ts";
import { createRuleRuns, type RuleRuns } from "./rule-runs.ts";
import { createRuleSets } from "./rule-sets.ts";
import { type MessagesOf, withMessages } from "./run-messages.ts";
import { registerRunWorker } from "./run-worker.ts";
import { createTriggers, type Triggers } from "./triggers.ts";

export interface EndedRun {
  trigger: TriggerKind;
  status: RunStatus;
  /** Why it stopped; codes of a bounded number. */
  reason: string | null;
  /** From the first look to the end. */
  ms?: number;
}

export interface RulesOptions {
  store: Store;
  audit: Audit;
  eventLog: EventLog;
  deliveries: Deliveries;
  subscriptions: Pick<Subscriptions, "onHub">;
  installations: Pick<Installations, "list" | "onChange">;
  packages: Pick<Packages, "resolve" | "list" | "get">;
  invoker: Pick<Invoker, "run">;
  jobs: Pick<Jobs, "every">;
  redactorOf: RedactorOf;
  messagesOf: MessagesOf;
  onRunEnded?(run: EndedRun): void;
  /** An active plugin offers an id that another one holds. */
  onHeld?(organization: OrganizationId, held: OperatorInfo): void;
  /** How long a run waits for a plugin that is not active, ms. @default 3600000 */
  patienceMs?: number;
  /** How often due times are looked for, ms. @default 1000 */
  tickMs?: number;
}

export interface Rules extends RuleRecords, Disposable {
  runs: Pick<RuleRuns, "list" | "get" | "cancel">;
  replays: Omit<Replays, "deleteEndedBefore">;
  /** What rules of the organisation can name. */
  operators(organization: OrganizationId): Promise<readonly OperatorInfo[]>;
  run: Triggers["manual"];
  hook: Triggers["hook"];
  dryRun(request: DryRunRequest): Promise<DryRunAnswer>;
  /** Removes ended runs and replays; returns how many. */
  deleteEndedBefore(before: Date): Promise<number>;
}

export async function createRules(options: RulesOptions): Promise<Rules> {
  const { store, audit, eventLog, deliveries, subscriptions, installations, invoker, jobs } = options;
  const onEnded = (run: EndedRun): void => options.onRunEnded?.(run);
  const catalogs = createOperatorCatalogs({
    installations,
    readHistory: createHistory({ store, packages: options.packages }),
    bundledOffers: createBundledOffers({ packages: options.packages }),
    onHeld: (organization, held) => options.onHeld?.(organization, held),
  });
  const sets = createRuleSets({ store, catalogs });
  const calls = createOperatorCalls({ invoker });
  const redactionOf = createRedaction(options.redactorOf);
  const runs = createRuleRuns({ store, deliveries, eventLog, onEnded });
  const triggers = createTriggers({ store, sets, runs, eventLog });
  registerRunWorker({
    store,
    deliveries,
    eventLog,
    sets,
    catalogs,
    calls,
    redactionOf,
    onEnded,
    ...(options.patienceMs === undefined ? {} : { patienceMs: options.patienceMs }),
  });
  const replays = createReplays({ store, deliveries, catalogs, sets, calls, redactionOf });
  const records = createRuleRecords({
    store,
    audit,
    catalogs,
    sets,
    subscription: subscriptions.onHub(featureName, triggers.onEvent, { concurrency: 16 }),
    async cancelRuns(tx, organization, rule) {
      await runs.cancelAll(tx, organization, rule, "rule_deleted");
    },
  });
  // Compiled before the first event needs it; which revision counts is asked again with every event.
  const changes = await store.listen(rulesChannel, (organization) => {
    if (organization !== "") void sets.current(organization as OrganizationId).catch(() => {});
  });
  const plans = [
    jobs.every("rule schedules", options.tickMs ?? 1_000, triggers.tick, { everyNode: true }),
    jobs.every("lost rule runs", 60_000, runs.failLost),
  ];

  return {
    ...records,
    runs: withMessages(runs, { store, messagesOf: options.messagesOf }),
    replays,
    operators: async (organization) => (await catalogs.of(organization)).list,
    run: triggers.manual,
    hook: triggers.hook,
    dryRun: (request) => dryRun({ sets, catalogs, calls, redactionOf, eventLog }, request),
    deleteEndedBefore: async (before) =>
      (await runs.deleteEndedBefore(before)) + (await replays.deleteEndedBefore(before)),
    [Symbol.dispose]() {
      for (const plan of plans) plan[Symbol.dispose]();
      changes[Symbol.dispose]();
      catalogs[Symbol.dispose]();
      sets[Symbol.dispose]();
    },
  };
}
