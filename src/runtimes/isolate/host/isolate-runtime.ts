/**
 * The isolate runtime: the port of a hub to its plugins. Lets calls in, keeps their order and deadlines, and puts the parts
 * together that do the rest: starting instances, runners and their frames, faults, looking after it all. Nothing a plugin
 * does rejects here: it becomes an outcome.
 */
import { BackplaneError } from "../../../errors/error.ts";
import type {
  PluginInstance,
  PluginRuntime,
  RuntimeCall,
  RuntimeCallbacks,
  RuntimeOutcome,
  RuntimeStatus,
  RuntimeStream,
} from "../../runtime.ts";
import { FrameType } from "../bridge/frame.ts";
import { AbilityCalls } from "./ability-calls.ts";
import { ActiveCall } from "./active-call.ts";
import { unavailable } from "./call-error.ts";
import { leaveCall, refusalOf, sendCall, stopCall, stopError } from "./call-steps.ts";
import type { CodeCache } from "./code-cache.ts";
import { DeadlineWheel } from "./deadline-wheel.ts";
import { drain } from "./drain.ts";
import { guardCallbacks } from "./guard-callbacks.ts";
import { createHosted, type HostedInstance, type InstanceOwner } from "./hosted-instance.ts";
import { InstanceConduct } from "./instance-conduct.ts";
import { InstanceStart } from "./instance-start.ts";
import { IsolateStream, streamWindow } from "./isolate-stream.ts";
import { runStop } from "./lifecycle-step.ts";
import { callsOn, dropPlacement } from "./placements.ts";
import { wallsAround } from "./runner-command.ts";
import { RunnerFaults } from "./runner-faults.ts";
import { RunnerFleet, type RunnerFleetOptions } from "./runner-fleet.ts";
import { RunnerFrames } from "./runner-frames.ts";
import type { Wall } from "./runner-walls.ts";
import { RunnerWatch } from "./runner-watch.ts";
import type { StrikeOptions } from "./strikes.ts";

export interface IsolateRuntimeParts {
  callbacks: RuntimeCallbacks;
  codeCache: CodeCache;
  idleInstanceMs: number;
  residentLimitBytes: number;
  memoryBudgetBytes: number;
  queueLength: number;
  wedgedMs: number;
  inline: boolean;
  strikes: StrikeOptions;
  log(message: string, details: Record<string, unknown>): void;
  fleet: Omit<RunnerFleetOptions, "onFrame" | "onLost" | "load" | "log">;
}

export class IsolateRuntime implements PluginRuntime {
  readonly kind = "isolate";
  readonly #parts: IsolateRuntimeParts;
  readonly #fleet: RunnerFleet;
  readonly #start: InstanceStart;
  readonly #hosted = new Map<string, HostedInstance>();
  readonly #deadlines = new DeadlineWheel();
  readonly #watch: RunnerWatch;
  readonly #owner: InstanceOwner;
  #closed = false;
  #walls: readonly Wall[] = [];

  constructor(parts: IsolateRuntimeParts) {
    this.#parts = parts;
    const { codeCache, fleet, log } = parts;
    this.#owner = { closed: () => this.#closed, advance: (hosted) => this.#advance(hosted) };
    fleet.command.then(
      ({ walls }) => {
        this.#walls = walls;
      },
      () => {},
    );
    const callbacks = guardCallbacks(parts.callbacks, log);
    const faults = new RunnerFaults(new InstanceConduct(callbacks.onFault));
    const frames = new RunnerFrames({ abilities: new AbilityCalls(callbacks), faults, codeCache });
    this.#fleet = new RunnerFleet({
      ...fleet,
      onFrame: (link, frame) => frames.take(link, frame),
      onLost: (link) => faults.lost(link),
      load: callsOn,
      log,
    });
    this.#start = new InstanceStart({
      fleet: this.#fleet,
      prelude: fleet.prelude,
      codeCache,
      inline: parts.inline,
    });
    this.#watch = new RunnerWatch({
      fleet: this.#fleet,
      hosted: this.#hosted,
      idleInstanceMs: parts.idleInstanceMs,
      residentLimitBytes: parts.residentLimitBytes,
      memoryBudgetBytes: parts.memoryBudgetBytes,
      wedgedMs: parts.wedgedMs,
    });
  }

  // ---- the port

  call(instance: PluginInstance, request: RuntimeCall): Promise<RuntimeOutcome> {
    return new Promise((resolve) => this.#submit(instance, request, undefined, resolve));
  }

  stream(instance: PluginInstance, request: RuntimeCall): RuntimeStream {
    let active: ActiveCall | undefined;
    const stream = new IsolateStream({
      window: request.window ?? streamWindow,
      onCredit: (chunks) => {
        const placement = active?.placement;
        if (active !== undefined && !active.settled && placement !== undefined) {
          placement.link.send({ type: FrameType.credit, instance: placement.number, call: active.id, aux: chunks });
        }
      },
      onAbandon: () => {
        if (active !== undefined && !active.settled) stopCall(active, new BackplaneError("cancelled"));
      },
    });
    const onChunk = (chunk: Uint8Array): void => {
      if (!stream.push(chunk)) active?.placement?.link.kill("it sent chunks without credit");
    };
    active = this.#submit(instance, request, onChunk, (outcome) => stream.end(outcome));
    return stream;
  }

  async release(key: string, options: { drainMs?: number } = {}): Promise<void> {
    const hosted = this.#hosted.get(key);
    if (hosted === undefined) return;
    hosted.releasing = true;
    await drain([hosted], options.drainMs ?? 0);
    const placement = hosted.placement;
    if (placement?.state === "ready" && !placement.link.ended) await runStop(placement);
    for (const call of [...hosted.queue]) call.fail(unavailable(hosted.instance, "it is being released"));
    hosted.queue = [];
    if (placement !== undefined) dropPlacement(placement);
    for (const former of [...hosted.former]) dropPlacement(former);
    if (this.#hosted.get(key) === hosted) this.#hosted.delete(key);
  }

  status(): RuntimeStatus {
    const runners = [...this.#fleet.links].map((link) => ({
      id: link.id,
      pid: link.pid,
      group: link.group,
      role: link.role,
      instances: link.placements.size,
      residentBytes: link.measure(),
    }));
    return {
      runners,
      instances: runners.reduce((sum, runner) => sum + runner.instances, 0),
      runnersStarted: this.#fleet.started,
      runnersLost: this.#fleet.lost,
      walls: wallsAround(
        this.#walls,
        runners.map(({ pid }) => pid),
      ),
    };
  }

  /** Instances that runners enter on their main thread at present. */
  get inlineInstances(): number {
    let count = 0;
    for (const link of this.#fleet.links) count += link.stats?.inlineInstances ?? 0;
    return count;
  }

  async close(options: { drainMs?: number } = {}): Promise<void> {
    this.#closed = true;
    await drain([...this.#hosted.values()], options.drainMs ?? 0);
    this.#watch.close();
    for (const hosted of this.#hosted.values()) {
      for (const call of [...hosted.queue]) call.fail(new BackplaneError("shutting_down"));
    }
    for (const link of [...this.#fleet.links]) {
      for (const placement of [...link.placements.values()]) {
        for (const call of [...placement.calls.values()]) call.fail(new BackplaneError("shutting_down"));
      }
    }
    this.#fleet.close();
    this.#deadlines.close();
    this.#hosted.clear();
  }

  // ---- calls

  #submit(
    instance: PluginInstance,
    request: RuntimeCall,
    onChunk: ((chunk: Uint8Array) => void) | undefined,
    resolve: (outcome: RuntimeOutcome) => void,
  ): ActiveCall {
    const hosted = this.#host(instance);
    const call = new ActiveCall({
      hosted,
      request,
      onChunk,
      onSettled: (settled, outcome) => {
        this.#deadlines.delete(settled);
        leaveCall(settled);
        resolve(outcome);
      },
      onStop: (stopped, why) => stopCall(stopped, stopError(stopped, why)),
    });
    const refusal = refusalOf(call, this.#parts.queueLength);
    if (refusal !== undefined) {
      call.fail(refusal);
      return call;
    }
    this.#deadlines.add(call);
    hosted.lastUsed = performance.now();
    hosted.queue.push(call);
    this.#advance(hosted);
    return call;
  }

  #host(instance: PluginInstance): HostedInstance {
    let hosted = this.#hosted.get(instance.key);
    if (hosted === undefined) {
      hosted = createHosted(instance, this.#owner, this.#parts.strikes);
      this.#hosted.set(instance.key, hosted);
    }
    return hosted;
  }

  /** Sends what may run now, and starts the instance when it is not up. */
  #advance(hosted: HostedInstance): void {
    const placement = hosted.placement;
    if (placement === undefined) {
      if (hosted.queue.length > 0 && !hosted.starting) this.#start.begin(hosted);
      return;
    }
    // A loading isolate takes calls too: they wait in the guest for `init`, which saves a round trip.
    while (hosted.queue.length > 0 && placement.calls.size < hosted.instance.limits.concurrency) {
      sendCall(placement, hosted.queue.shift()!);
      if (hosted.placement !== placement) return;
    }
  }
}
