/**
 * What the runtime keeps of one instance: its waiting calls, where it is placed now, and how it has behaved. State only;
 * what happens to it is in placements.ts, instance-start.ts and call-steps.ts.
 */
import { backoffMs } from "../../../base/backoff.ts";
import type { ExecutionId } from "../../../base/brands.ts";
import type { BackplaneError } from "../../../errors/error.ts";
import type { PluginInstance } from "../../runtime.ts";
import type { ActiveCall } from "./active-call.ts";
import type { RunnerLink } from "./runner-link.ts";
import { type StrikeOptions, Strikes } from "./strikes.ts";

/** What is asked of the runtime about one of its instances. */
export interface InstanceOwner {
  /** The runtime takes no work any more. */
  closed(): boolean;
  /** Sends what may run now, and starts the instance when it is not up. */
  advance(hosted: HostedInstance): void;
}

export interface HostedInstance {
  readonly instance: PluginInstance;
  readonly owner: InstanceOwner;
  readonly strikes: Strikes;
  queue: ActiveCall[];
  /** Takes new calls, or will when it has loaded. */
  placement: HostedPlacement | undefined;
  /** A start is on its way, from bundle to loaded. */
  starting: boolean;
  /** Placements that only finish what they have. */
  readonly former: Set<HostedPlacement>;
  loadFailures: number;
  /** Until then calls fail with `loadError` without another try. */
  retryLoadAt: number;
  loadError: BackplaneError | undefined;
  /** Its runner was lost and nobody knows through whom: it runs alone until it has shown that it can. */
  suspectUntil: number;
  disabled: string | undefined;
  /** It was trusted with a runner's main thread and held it too long: never again. */
  noInline: boolean;
  releasing: boolean;
  lastUsed: number;
}

/** One isolate of an instance in a runner. */
export interface HostedPlacement {
  readonly hosted: HostedInstance;
  readonly link: RunnerLink;
  readonly number: number;
  state: "loading" | "ready" | "leaving" | "gone";
  /** The bundle ran and `init` is over. */
  loaded: boolean;
  readonly calls: Map<number, ActiveCall>;
  /** `init` or `stop` under way: it has the identity of the call that caused it. */
  step: LifecycleStep | undefined;
  /** Errors nobody handled that were reported of it. */
  uncaught: number;
  cacheName: string;
}

export interface LifecycleStep {
  readonly id: number;
  readonly execution: ExecutionId;
  readonly context: unknown;
  readonly controller: AbortController;
  abilitiesUnderWay: number;
  messages: number;
  logBytes: number;
  timer: NodeJS.Timeout | undefined;
  ended(error: BackplaneError | undefined): void;
}

export function createHosted(instance: PluginInstance, owner: InstanceOwner, strikes: StrikeOptions): HostedInstance {
  return {
    instance,
    owner,
    strikes: new Strikes(strikes),
    queue: [],
    placement: undefined,
    starting: false,
    former: new Set(),
    loadFailures: 0,
    retryLoadAt: 0,
    loadError: undefined,
    suspectUntil: 0,
    disabled: undefined,
    noInline: false,
    releasing: false,
    lastUsed: performance.now(),
  };
}

/** Ends all calls that wait. */
export function failQueue(hosted: HostedInstance, error: BackplaneError): void {
  for (const call of hosted.queue.splice(0)) call.fail(error);
}

/** The plugin does not load: calls fail at once, for longer each time, before it is tried again. */
export function loadFailed(hosted: HostedInstance, error: BackplaneError): void {
  hosted.loadFailures += 1;
  hosted.loadError = error;
  hosted.retryLoadAt = performance.now() + backoffMs(hosted.loadFailures, { baseMs: 50, capMs: 5000 });
  failQueue(hosted, error);
}
