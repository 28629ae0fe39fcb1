/** What the runtime keeps of one instance: its waiting calls, where it is placed now, and how it has behaved. */

import type { ExecutionId } from "../../../base/brands.ts";
import type { BackplaneError } from "../../../errors/error.ts";
import type { PluginInstance } from "../../runtime.ts";
import type { ActiveCall } from "./active-call.ts";
import type { RunnerLink } from "./runner-link.ts";
import type { Strikes } from "./strikes.ts";

export interface HostedInstance {
  readonly instance: PluginInstance;
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
