/** Brings an instance up: its bundle, a runner, an isolate in it, the load frame, `init`. */
import { BackplaneError } from "../../../errors/error.ts";
import { type PluginInstance, scriptNameOf } from "../../runtime.ts";
import { FrameFlag, FrameType } from "../bridge/frame.ts";
import type { LoadLabel } from "../bridge/labels.ts";
import type { GuestPrelude } from "./build-guest.ts";
import { unavailable } from "./call-error.ts";
import type { CodeCache } from "./code-cache.ts";
import { failQueue, type HostedInstance, type HostedPlacement, loadFailed } from "./hosted-instance.ts";
import { beginStep } from "./lifecycle-step.ts";
import { dropPlacement, openPlacement } from "./placements.ts";
import { runnerFlags } from "./runner-command.ts";
import type { RunnerFleet } from "./runner-fleet.ts";
import type { RunnerLink } from "./runner-link.ts";

export interface InstanceStartOptions {
  fleet: RunnerFleet;
  prelude: Promise<GuestPrelude>;
  codeCache: CodeCache;
  /** Plugins with proved short slices may be entered on the runner's main thread. */
  inline: boolean;
}

/** Loading may cost more CPU than a call. */
const loadCpuMs = 2000;

/** CPU that loading the instance may use, ms. */
export function loadBudgetMs({ limits }: PluginInstance): number {
  return Math.max(loadCpuMs, limits.cpuMs);
}

export class InstanceStart {
  readonly #options: InstanceStartOptions;

  constructor(options: InstanceStartOptions) {
    this.#options = options;
  }

  /** Starts the instance for the calls that wait for it; they fail when it cannot be started. */
  begin(hosted: HostedInstance): void {
    if (hosted.loadError !== undefined && performance.now() < hosted.retryLoadAt) {
      failQueue(hosted, hosted.loadError);
      return;
    }
    hosted.starting = true;
    for (const call of hosted.queue) call.cold = true;
    this.#start(hosted).catch((error: unknown) => {
      hosted.starting = false;
      // That there is no runner is not the plugin's doing: its next call may try again at once.
      if (error instanceof BackplaneError) loadFailed(hosted, error);
      else failQueue(hosted, unavailable(hosted.instance, error instanceof Error ? error.message : "unknown"));
    });
  }

  async #start(hosted: HostedInstance): Promise<void> {
    const { instance } = hosted;
    const { codeCache, fleet } = this.#options;
    const [bundle, prelude] = await Promise.all([instance.loadBundle(), this.#options.prelude]);
    const link = await this.#runnerFor(hosted, fleet);
    if (hosted.owner.closed()) throw new BackplaneError("shutting_down");
    const first = hosted.queue[0];
    // An instance that is being released still starts for the calls it had taken: a release waits for them.
    if (first === undefined) {
      hosted.starting = false;
      return;
    }
    const cacheName = codeCache.nameOf({
      code: bundle.code,
      group: instance.isolationGroup,
      engine: link.engine,
      flags: runnerFlags,
      preludeHash: prelude.hash,
    });
    const cache = await codeCache.get(cacheName);
    hosted.starting = false;
    if (hosted.releasing && hosted.queue.length === 0) return;
    if (link.ended || link.leaving) {
      hosted.owner.advance(hosted);
      return;
    }
    const placement = openPlacement(hosted, link, cacheName);
    const step = beginStep(placement, {
      cause: first.request,
      withinMs: instance.limits.timeoutMs,
      onEnd: (error) => onLoaded(placement, error),
    });
    this.#sendLoad(placement, step.id, Buffer.from(bundle.code), cache);
    hosted.owner.advance(hosted);
  }

  /** The quarantine runner of its own for who has strikes, or may be to blame for a lost runner. */
  #runnerFor({ instance, strikes, suspectUntil }: HostedInstance, fleet: RunnerFleet): Promise<RunnerLink> {
    const alone = strikes.standing() !== "good" || performance.now() < suspectUntil;
    const group = alone ? `quarantine ${instance.key}` : instance.isolationGroup;
    return fleet.acquire({ group, quarantine: alone });
  }

  #sendLoad(placement: HostedPlacement, call: number, code: Uint8Array, cache: Uint8Array | undefined): void {
    const { hosted } = placement;
    const { guest, limits } = hosted.instance;
    const environment = Buffer.from(JSON.stringify(guest));
    const { memoryMb, cpuMs, concurrency, pendingAbilityCalls, timers, messageBytes, logBytes } = limits;
    const label: LoadLabel = {
      limits: { memoryMb, cpuMs, concurrency, pendingAbilityCalls, timers, messageBytes, logBytes },
      filename: scriptNameOf(hosted.instance),
      environmentBytes: environment.length,
      codeBytes: code.length,
      cacheBytes: cache?.length ?? 0,
    };
    placement.link.send({
      type: FrameType.load,
      flags:
        (cache === undefined ? FrameFlag.wantCache : FrameFlag.none) |
        (this.#options.inline && !hosted.noInline ? FrameFlag.mayInline : FrameFlag.none),
      instance: placement.number,
      call,
      aux: loadBudgetMs(hosted.instance),
      label: JSON.stringify(label),
      body: cache === undefined ? [environment, code] : [environment, code, cache],
    });
  }
}

/** The bundle ran and `init` is over, or one of them failed. */
function onLoaded(placement: HostedPlacement, error: BackplaneError | undefined): void {
  const { hosted } = placement;
  if (placement.state !== "loading") return;
  if (error !== undefined) {
    loadFailed(hosted, error);
    for (const call of [...placement.calls.values()]) call.fail(error);
    dropPlacement(placement);
    return;
  }
  placement.state = "ready";
  placement.loaded = true;
  hosted.loadFailures = 0;
  hosted.loadError = undefined;
  hosted.owner.advance(hosted);
}
