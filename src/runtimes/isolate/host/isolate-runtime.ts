/**
 * The isolate runtime: brings calls to instances, instances to runners, and what guests say back to the hub. Owns
 * deadlines, retries, strikes and eviction. Nothing a plugin does rejects here: it becomes an outcome.
 *
 * Longer than most: placing, calling and losing are one state machine (`loading` → `ready` → `leaving` → `gone`).
 */
import { backoffMs } from "../../../base/backoff.ts";
import { BackplaneError } from "../../../errors/error.ts";
import type {
  PluginInstance,
  PluginRuntime,
  RuntimeCall,
  RuntimeCallbacks,
  RuntimeFault,
  RuntimeOutcome,
  RuntimeStatus,
  RuntimeStream,
} from "../../runtime.ts";
import { scriptNameOf } from "../../runtime.ts";
import { CallFault, type Frame, FrameFlag, FrameType, ProtocolFault } from "../bridge/frame.ts";
import {
  decodeUsage,
  type FaultLabel,
  faultShape,
  type LoadLabel,
  parseLabel,
  type StatsLabel,
  statsShape,
  type Usage,
} from "../bridge/labels.ts";
import { ActiveCall } from "./active-call.ts";
import { errorForGuest, errorOfFault, errorOfGuest, readGuestError, runnerLost, unavailable } from "./call-error.ts";
import type { CodeCache } from "./code-cache.ts";
import { DeadlineWheel } from "./deadline-wheel.ts";
import type { HostedInstance, HostedPlacement, LifecycleStep } from "./hosted-instance.ts";
import { IsolateStream, streamWindow } from "./isolate-stream.ts";
import { mainThread } from "./main-thread.ts";
import { runnerFlags, wallsAround } from "./runner-command.ts";
import { RunnerFleet, type RunnerFleetOptions } from "./runner-fleet.ts";
import type { RunnerLink } from "./runner-link.ts";
import type { Wall } from "./runner-walls.ts";
import { type StrikeOptions, Strikes, StrikeWeight } from "./strikes.ts";

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

/** A guest has so long to end a cancelled call by itself. */
const cancelGraceMs = 25;
/** The runner has so long to say how a cancelled call ended. */
const stopWithinMs = 300;
/** A placement that only finishes what it has may take so long. */
const leaveWithinMs = 2000;
/** Innocent calls on a runner that must end may take so long. */
const poisonedWithinMs = 1000;
const stopHandlerMs = 2000;
const watchEveryMs = 50;
/** A runner with work that says nothing for so long is asked for a word. */
const silentMs = 100;
/** Looks in a row after which a main thread that was stopped, or waits for something else, is given up. */
const stoppedLooks = 2;
const waitingLooks = 5;
/** From this part of its limit on a runner lets idle isolates go, some at a time. */
const trimAbove = 0.75;
const trimEveryMs = 200;
/** What an instance may add while it loads before that counts as growth. */
const loadedMb = 24;
const suspectMs = 60_000;
/** Loading may cost more CPU than a call. */
const loadCpuMs = 2000;
/** One-way messages of one call; the guest's own quota, see guest/pump.ts. */
const oneWayMessages = 10_000;
/** Reports of errors nobody handled, for one isolate. */
const maxUncaught = 20;
const faultKinds: readonly FaultLabel["kind"][] = ["isolate", "poisoned", "inline_overrun", "uncaught"];
const faultCodes: readonly FaultLabel["code"][] = [
  "cpu_exceeded",
  "memory_exceeded",
  "limit_exceeded",
  "plugin_error",
  "runner_lost",
];

export class IsolateRuntime implements PluginRuntime {
  readonly kind = "isolate";
  readonly #parts: IsolateRuntimeParts;
  readonly #fleet: RunnerFleet;
  readonly #hosted = new Map<string, HostedInstance>();
  readonly #deadlines = new DeadlineWheel();
  readonly #watch: NodeJS.Timeout;
  #lastWatch = performance.now();
  #lateMs = 0;
  #looks = 0;
  #closed = false;
  #walls: readonly Wall[] = [];

  constructor(parts: IsolateRuntimeParts) {
    this.#parts = parts;
    parts.fleet.command.then(
      ({ walls }) => {
        this.#walls = walls;
      },
      () => {},
    );
    this.#fleet = new RunnerFleet({
      ...parts.fleet,
      onFrame: (link, frame) => this.#take(link, frame),
      onLost: (link) => this.#lost(link),
      load: callsOn,
      log: parts.log,
    });
    this.#watch = setInterval(() => this.#look(), watchEveryMs);
    this.#watch.unref();
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
        if (active !== undefined && !active.settled) this.#stop(active, new BackplaneError("cancelled"));
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
    await this.#drain([hosted], options.drainMs ?? 0);
    const placement = hosted.placement;
    if (placement?.state === "ready" && !placement.link.ended) await this.#runStop(placement);
    for (const call of [...hosted.queue]) call.fail(unavailable(hosted.instance, "it is being released"));
    hosted.queue = [];
    if (placement !== undefined) this.#dropPlacement(placement);
    for (const former of [...hosted.former]) this.#dropPlacement(former);
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
    await this.#drain([...this.#hosted.values()], options.drainMs ?? 0);
    clearInterval(this.#watch);
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
        this.#settled(settled);
        resolve(outcome);
      },
      onStop: (stopped, why) => this.#stop(stopped, stopError(stopped, why)),
    });
    const refusal = this.#refusal(hosted, call);
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

  #refusal(hosted: HostedInstance, call: ActiveCall): BackplaneError | undefined {
    const { instance } = hosted;
    if (this.#closed) return new BackplaneError("shutting_down");
    if (call.request.signal?.aborted) return new BackplaneError("cancelled");
    if (call.expiresAt <= Date.now()) return stopError(call, "deadline");
    if (hosted.disabled !== undefined) {
      return new BackplaneError("plugin_quarantined", { plugin: instance.plugin, reason: hosted.disabled });
    }
    if (hosted.releasing) return unavailable(instance, "it is being released");
    if (hosted.queue.length >= this.#parts.queueLength) {
      return new BackplaneError("concurrency_exceeded", {
        plugin: instance.plugin,
        limit: instance.limits.concurrency,
        retryAfter: 1,
      });
    }
    if (call.request.args.length > instance.limits.messageBytes) {
      return new BackplaneError("limit_exceeded", {
        plugin: instance.plugin,
        what: `${instance.limits.messageBytes} bytes for one message`,
      });
    }
    return undefined;
  }

  #host(instance: PluginInstance): HostedInstance {
    let hosted = this.#hosted.get(instance.key);
    if (hosted === undefined) {
      hosted = {
        instance,
        strikes: new Strikes(this.#parts.strikes),
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
      this.#hosted.set(instance.key, hosted);
    }
    return hosted;
  }

  /** Sends what may run now, and starts the instance when it is not up. */
  #advance(hosted: HostedInstance): void {
    const placement = hosted.placement;
    if (placement === undefined) {
      if (hosted.queue.length > 0 && !hosted.starting) this.#startHosted(hosted);
      return;
    }
    // A loading isolate takes calls too: they wait in the guest for `init`, which saves a round trip.
    while (hosted.queue.length > 0 && placement.calls.size < hosted.instance.limits.concurrency) {
      this.#dispatch(placement, hosted.queue.shift()!);
      if (hosted.placement !== placement) return;
    }
  }

  #dispatch(placement: HostedPlacement, call: ActiveCall): void {
    const { link, number } = placement;
    const { request } = call;
    link.lastCall += 1;
    call.id = link.lastCall;
    call.placement = placement;
    placement.calls.set(call.id, call);
    if (!placement.loaded) call.cold = true;
    const label = JSON.stringify({ handler: request.handler, environment: request.environment });
    if (label.length > 20_000) {
      call.fail(
        new BackplaneError("limit_exceeded", { plugin: call.hosted.instance.plugin, what: "call environment" }),
      );
      return;
    }
    link.lastUsed = performance.now();
    if (link.lastUsed - link.lastHeard > watchEveryMs && callsOn(link) === 1) link.lastHeard = link.lastUsed;
    link.send({
      type: FrameType.call,
      flags:
        (call.onChunk === undefined ? FrameFlag.none : FrameFlag.stream) |
        (mayRepeat(call) ? FrameFlag.idempotent : FrameFlag.none),
      instance: number,
      call: call.id,
      aux: budgetOf(call),
      label,
      body: request.args,
    });
    if (call.onChunk !== undefined) {
      link.send({ type: FrameType.credit, instance: number, call: call.id, aux: request.window ?? streamWindow });
    }
  }

  /** A call is over, however that came. */
  #settled(call: ActiveCall): void {
    const { hosted, placement } = call;
    hosted.lastUsed = performance.now();
    if (placement === undefined) {
      const at = hosted.queue.indexOf(call);
      if (at >= 0) hosted.queue.splice(at, 1);
      return;
    }
    placement.calls.delete(call.id);
    if (placement.state === "leaving" && placement.calls.size === 0) this.#dropPlacement(placement);
    if (placement.link.leaving && callsOn(placement.link) === 0) placement.link.kill(placement.link.endReason);
    this.#advance(hosted);
  }

  /** Cancel or deadline. The caller hears as soon as the runner has said what the call had cost. */
  #stop(call: ActiveCall, error: BackplaneError): void {
    if (call.settled || call.stopping !== undefined) return;
    call.stopping = error;
    const { placement } = call;
    if (placement === undefined) {
      call.fail(error);
      return;
    }
    placement.link.send({ type: FrameType.cancel, instance: placement.number, call: call.id, aux: cancelGraceMs });
    call.stopTimer = setTimeout(() => {
      if (call.settled) return;
      this.#retirePlacement(placement);
      call.fail(error);
    }, stopWithinMs);
  }

  // ---- starting an instance

  #startHosted(hosted: HostedInstance): void {
    if (hosted.loadError !== undefined && performance.now() < hosted.retryLoadAt) {
      this.#failQueue(hosted, hosted.loadError);
      return;
    }
    hosted.starting = true;
    for (const call of hosted.queue) call.cold = true;
    this.#start(hosted).catch((error: unknown) => {
      hosted.starting = false;
      // That there is no runner is not the plugin's doing: its next call may try again at once.
      if (error instanceof BackplaneError) this.#loadFailed(hosted, error);
      else this.#failQueue(hosted, unavailable(hosted.instance, reasonOf(error)));
    });
  }

  #failQueue(hosted: HostedInstance, error: BackplaneError): void {
    for (const call of hosted.queue.splice(0)) call.fail(error);
  }

  #loadFailed(hosted: HostedInstance, error: BackplaneError): void {
    hosted.loadFailures += 1;
    hosted.loadError = error;
    hosted.retryLoadAt = performance.now() + backoffMs(hosted.loadFailures, { baseMs: 50, capMs: 5000 });
    this.#failQueue(hosted, error);
  }

  async #start(hosted: HostedInstance): Promise<void> {
    const { instance } = hosted;
    const [bundle, prelude] = await Promise.all([instance.loadBundle(), this.#parts.fleet.prelude]);
    const alone = hosted.strikes.standing() !== "good" || performance.now() < hosted.suspectUntil;
    const link = await this.#fleet.acquire({
      group: alone ? `quarantine ${instance.key}` : instance.isolationGroup,
      quarantine: alone,
    });
    if (this.#closed) throw new BackplaneError("shutting_down");
    const first = hosted.queue[0];
    // An instance that is being released still starts for the calls it had taken: a release waits for them.
    if (first === undefined) {
      hosted.starting = false;
      return;
    }
    const cacheName = this.#parts.codeCache.nameOf({
      code: bundle.code,
      group: instance.isolationGroup,
      engine: link.engine,
      flags: runnerFlags,
      preludeHash: prelude.hash,
    });
    const cache = await this.#parts.codeCache.get(cacheName);
    if (hosted.releasing && hosted.queue.length === 0) {
      hosted.starting = false;
      return;
    }
    if (link.ended || link.leaving) {
      hosted.starting = false;
      this.#advance(hosted);
      return;
    }
    link.lastInstance += 1;
    link.lastUsed = performance.now();
    const placement: HostedPlacement = {
      hosted,
      link,
      number: link.lastInstance,
      state: "loading",
      loaded: false,
      calls: new Map(),
      step: undefined,
      uncaught: 0,
      cacheName,
    };
    link.placements.set(placement.number, placement);
    hosted.placement = placement;
    hosted.starting = false;
    placement.step = this.#beginStep(placement, first.request, instance.limits.timeoutMs, (error) => {
      if (placement.state !== "loading") return;
      if (error !== undefined) {
        this.#loadFailed(hosted, error);
        for (const call of [...placement.calls.values()]) call.fail(error);
        this.#dropPlacement(placement);
        return;
      }
      placement.state = "ready";
      placement.loaded = true;
      hosted.loadFailures = 0;
      hosted.loadError = undefined;
      this.#advance(hosted);
    });
    const environment = Buffer.from(JSON.stringify(instance.guest));
    const code = Buffer.from(bundle.code);
    const { memoryMb, cpuMs, concurrency, pendingAbilityCalls, timers, messageBytes, logBytes } = instance.limits;
    const label: LoadLabel = {
      limits: { memoryMb, cpuMs, concurrency, pendingAbilityCalls, timers, messageBytes, logBytes },
      filename: scriptNameOf(instance),
      environmentBytes: environment.length,
      codeBytes: code.length,
      cacheBytes: cache?.length ?? 0,
    };
    link.send({
      type: FrameType.load,
      flags:
        (cache === undefined ? FrameFlag.wantCache : FrameFlag.none) |
        (this.#parts.inline && !hosted.noInline ? FrameFlag.mayInline : FrameFlag.none),
      instance: placement.number,
      call: placement.step.id,
      aux: Math.max(cpuMs, loadCpuMs),
      label: JSON.stringify(label),
      body: cache === undefined ? [environment, code] : [environment, code, cache],
    });
    this.#advance(hosted);
  }

  /** `init` or `stop`: a call of its own, with the identity of the one that caused it. */
  #beginStep(
    placement: HostedPlacement,
    cause: Pick<RuntimeCall, "execution" | "context"> | undefined,
    withinMs: number,
    ended: (error: BackplaneError | undefined) => void,
  ): LifecycleStep {
    placement.link.lastCall += 1;
    const { plugin } = placement.hosted.instance;
    const step: LifecycleStep = {
      id: placement.link.lastCall,
      execution: cause?.execution ?? ("" as RuntimeCall["execution"]),
      context: cause?.context,
      controller: new AbortController(),
      abilitiesUnderWay: 0,
      messages: 0,
      logBytes: 0,
      timer: undefined,
      ended: (error) => {
        if (placement.step !== step) return;
        placement.step = undefined;
        clearTimeout(step.timer);
        step.controller.abort();
        ended(error);
      },
    };
    step.timer = setTimeout(
      () => step.ended(new BackplaneError("deadline_exceeded", { plugin, limit: withinMs })),
      withinMs,
    );
    return step;
  }

  async #runStop(placement: HostedPlacement): Promise<void> {
    await new Promise<void>((resolve) => {
      placement.step = this.#beginStep(placement, undefined, stopHandlerMs, () => resolve());
      placement.link.send({
        type: FrameType.release,
        flags: FrameFlag.runStop,
        instance: placement.number,
        call: placement.step.id,
        aux: placement.hosted.instance.limits.cpuMs,
      });
    });
  }

  // ---- letting go

  async #drain(hosted: HostedInstance[], drainMs: number): Promise<void> {
    const until = performance.now() + drainMs;
    const busy = (): boolean =>
      hosted.some(
        (one) =>
          one.queue.length > 0 ||
          (one.placement?.calls.size ?? 0) > 0 ||
          [...one.former].some((placement) => placement.calls.size > 0),
      );
    while (busy() && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** New calls go to a fresh isolate; this one finishes what it has, but not for long. */
  #retirePlacement(placement: HostedPlacement): void {
    if (placement.state !== "ready") return;
    const { hosted } = placement;
    placement.state = "leaving";
    if (hosted.placement === placement) hosted.placement = undefined;
    hosted.former.add(placement);
    setTimeout(() => {
      if (placement.state === "leaving") this.#dropPlacement(placement);
    }, leaveWithinMs).unref();
  }

  /** The isolate goes now. Calls still in it are lost. */
  #dropPlacement(placement: HostedPlacement): void {
    if (placement.state === "gone") return;
    this.#forgetPlacement(placement);
    placement.link.send({ type: FrameType.release, instance: placement.number });
    this.#loseCalls(placement);
  }

  #forgetPlacement(placement: HostedPlacement): void {
    const { hosted, link } = placement;
    placement.state = "gone";
    link.placements.delete(placement.number);
    link.former.set(placement.number, hosted);
    if (link.former.size > 64) link.former.delete(link.former.keys().next().value!);
    if (hosted.placement === placement) hosted.placement = undefined;
    hosted.former.delete(placement);
  }

  /** Calls of a lost isolate: once more where that is harmless, else a typed, retryable error. */
  #loseCalls(placement: HostedPlacement): void {
    const { hosted } = placement;
    placement.step?.ended(runnerLost(hosted.instance));
    const again: ActiveCall[] = [];
    for (const call of [...placement.calls.values()]) {
      // What came with the load has not begun.
      const repeatable = mayRepeat(call) || (!placement.loaded && call.stopping === undefined && call.retries < 2);
      if (repeatable && !this.#closed && !hosted.releasing && hosted.disabled === undefined) {
        placement.calls.delete(call.id);
        call.retries += 1;
        call.placement = undefined;
        call.abilitiesUnderWay = 0;
        call.messages = 0;
        call.logBytes = 0;
        again.push(call);
      } else {
        call.fail(runnerLost(hosted.instance));
      }
    }
    if (again.length > 0) hosted.queue.unshift(...again);
    this.#advance(hosted);
  }

  // ---- frames of a runner

  #take(link: RunnerLink, frame: Frame): void {
    switch (frame.type) {
      case FrameType.result:
      case FrameType.error:
        this.#ended(link, frame);
        return;
      case FrameType.abilityCall:
        this.#abilityCall(link, frame);
        return;
      case FrameType.guestMessage:
        this.#guestMessage(link, frame);
        return;
      case FrameType.chunk: {
        const call = this.#callOf(link, frame);
        if (call?.onChunk === undefined || call.stopping !== undefined) return;
        const { instance } = call.hosted;
        // The guest counts UTF-16 units; this is the limit in bytes.
        if (frame.body.length > instance.limits.messageBytes) this.#stop(call, tooLarge(instance));
        else call.onChunk(copyOf(frame.body));
        return;
      }
      case FrameType.fault:
        this.#fault(link, frame);
        return;
      case FrameType.stats:
        link.stats = parseLabel<StatsLabel>(frame.label, statsShape);
        return;
      case FrameType.codeCache: {
        const placement = link.placements.get(frame.instance);
        if (placement !== undefined) this.#parts.codeCache.put(placement.cacheName, copyOf(frame.body));
        return;
      }
    }
  }

  #placementOf(link: RunnerLink, frame: Frame): HostedPlacement | undefined {
    if (frame.instance > link.lastInstance || frame.call > link.lastCall) {
      throw new ProtocolFault(`a frame for instance ${frame.instance}, call ${frame.call}, which never were`);
    }
    return link.placements.get(frame.instance);
  }

  #callOf(link: RunnerLink, frame: Frame): ActiveCall | undefined {
    return this.#placementOf(link, frame)?.calls.get(frame.call);
  }

  #ended(link: RunnerLink, frame: Frame): void {
    const placement = this.#placementOf(link, frame);
    if (placement === undefined) return;
    const { instance } = placement.hosted;
    const usage = decodeUsage(frame.label);
    if (placement.step?.id === frame.call) {
      const failed = frame.type === FrameType.error;
      placement.step.ended(
        failed
          ? errorOfGuest(
              frame.aux === CallFault.threw ? CallFault.loadFailed : frame.aux,
              readGuestError(frame.body),
              instance,
              ["init"],
            )
          : undefined,
      );
      return;
    }
    const call = placement.calls.get(frame.call);
    if (call === undefined) return;
    if (frame.type === FrameType.result) {
      if (call.stopping !== undefined) call.fail(call.stopping, usage);
      else if (frame.body.length > instance.limits.messageBytes) call.fail(tooLarge(instance), usage);
      else call.succeed(copyOf(frame.body), usage);
      return;
    }
    if (frame.aux === CallFault.abandoned) this.#retirePlacement(placement);
    call.fail(errorOfGuest(frame.aux, readGuestError(frame.body), instance, call.request.handler), usage);
  }

  #abilityCall(link: RunnerLink, frame: Frame): void {
    const placement = this.#placementOf(link, frame);
    const owner = this.#ownerOf(placement, frame.call);
    if (placement === undefined || owner === undefined) return;
    const { instance } = placement.hosted;
    if (frame.body.length > instance.limits.messageBytes) {
      // The guest was told in UTF-16 units; this is the limit in bytes.
      this.#answer(placement, frame, true, errorForGuest(tooLarge(instance)));
      return;
    }
    const ability = Buffer.from(frame.label).toString("latin1");
    if (!instance.guest.abilities.includes(ability)) {
      // A guest never names one it was not given, but a runner that was taken over may.
      const unknown = new BackplaneError("ability_unknown", { ability: ability.slice(0, 64) });
      this.#answer(placement, frame, true, errorForGuest(unknown));
      return;
    }
    owner.abilitiesUnderWay += 1;
    if (owner.abilitiesUnderWay > instance.limits.pendingAbilityCalls) {
      throw new ProtocolFault("more ability calls under way than allowed");
    }
    const run = async (): Promise<void> => {
      let failed = false;
      let body: Uint8Array | string;
      try {
        body = await this.#parts.callbacks.onAbilityCall({
          context: owner.context,
          instance,
          execution: owner.execution,
          ability,
          args: copyOf(frame.body),
          get signal() {
            return owner.signal;
          },
        });
        if (body.length > instance.limits.messageBytes) {
          failed = true;
          body = errorForGuest(tooLarge(instance));
        }
      } catch (error) {
        failed = true;
        body = errorForGuest(error);
      }
      owner.release();
      this.#answer(placement, frame, failed, body);
    };
    void run();
  }

  /** Whose ability call or message this is: a call's, or that of `init` or `stop`. */
  #ownerOf(placement: HostedPlacement | undefined, id: number): AbilityOwner | undefined {
    const call = placement?.calls.get(id);
    if (call !== undefined) {
      return call.stopping === undefined ? new CallOwner(call) : undefined;
    }
    const step = placement?.step;
    return step?.id === id ? new StepOwner(step) : undefined;
  }

  #answer(placement: HostedPlacement, frame: Frame, failed: boolean, body: Uint8Array | string): void {
    if (placement.state === "gone") return;
    placement.link.send({
      type: FrameType.abilityAnswer,
      flags: failed ? FrameFlag.failed : FrameFlag.none,
      instance: placement.number,
      call: frame.call,
      aux: frame.aux,
      body,
    });
  }

  #guestMessage(link: RunnerLink, frame: Frame): void {
    const placement = this.#placementOf(link, frame);
    const owner = this.#ownerOf(placement, frame.call);
    if (placement === undefined || owner === undefined) return;
    const { instance } = placement.hosted;
    const ability = Buffer.from(frame.label).toString("latin1");
    if (frame.body.length > instance.limits.messageBytes || !instance.guest.abilities.includes(ability)) return;
    // The guest keeps these quotas itself; they are kept here for a runner that was taken over.
    owner.messages += 1;
    if (owner.messages > oneWayMessages) throw new ProtocolFault("more messages of one call than allowed");
    if (ability === "log.write") {
      owner.logBytes += frame.body.length;
      if (owner.logBytes > instance.limits.logBytes * 3 + 1000) return;
    }
    this.#safely(() =>
      this.#parts.callbacks.onGuestMessage({
        context: owner.context,
        instance,
        execution: owner.execution,
        ability,
        args: copyOf(frame.body),
      }),
    );
  }

  // ---- faults

  #fault(link: RunnerLink, frame: Frame): void {
    const label = parseFault(frame.label);
    const placement = link.placements.get(frame.instance);
    const hosted = placement?.hosted ?? link.former.get(frame.instance);
    if (label.kind === "uncaught") {
      if (placement === undefined) return;
      placement.uncaught += 1;
      if (placement.uncaught > maxUncaught) return;
      if (hosted !== undefined) this.#report(hosted, "unhandled_rejection", "plugin_error", guestReason(label.reason));
      return;
    }
    if (placement !== undefined) {
      this.#forgetPlacement(placement);
      if (label.kind === "inline_overrun") placement.hosted.noInline = true;
      else this.#blame(placement, label);
      // Cancelled and looping is no strike of its own: the caller asked for the end.
      if (hosted !== undefined && label.kind === "isolate" && label.code !== "runner_lost") {
        this.#strike(hosted, StrikeWeight.isolateLost, label.code, label.reason);
      }
      this.#loseCalls(placement);
    }
    if (label.kind === "poisoned") {
      if (hosted !== undefined) this.#strike(hosted, StrikeWeight.runnerLost, label.code, label.reason);
      link.culprit = frame.instance;
      this.#leaveRunner(link, `poisoned: ${label.reason}`, label.urgent ? 0 : poisonedWithinMs);
    }
  }

  /** Ends the calls that are to blame, each with what it had cost. */
  #blame(placement: HostedPlacement, label: FaultLabel): void {
    const { hosted, step } = placement;
    const { instance } = hosted;
    if (step !== undefined && !placement.loaded && label.calls.includes(step.id)) {
      const error = errorOfFault(label.code, label.reason, instance, Math.max(loadCpuMs, instance.limits.cpuMs));
      for (const call of [...placement.calls.values()]) call.fail(error);
      this.#loadFailed(hosted, error);
      return;
    }
    label.calls.forEach((id, index) => {
      const call = placement.calls.get(id);
      if (call === undefined) return;
      const cpuMicros = label.cpuMicros[index];
      const usage: Usage = { cpuMicros: typeof cpuMicros === "number" ? clamp(cpuMicros) : 0, peakBytes: 0 };
      if (label.code === "memory_exceeded") usage.peakBytes = instance.limits.memoryMb * 1024 * 1024;
      call.fail(errorOfFault(label.code, label.reason, instance, budgetOf(call)), usage);
    });
  }

  /** The runner must end, but others may finish first. Their next calls go elsewhere at once. */
  #leaveRunner(link: RunnerLink, reason: string, withinMs: number): void {
    link.leaving = true;
    link.endReason = reason;
    for (const placement of [...link.placements.values()]) {
      if (placement.state === "loading") this.#dropPlacement(placement);
      else this.#retirePlacement(placement);
      if (placement.calls.size === 0) this.#dropPlacement(placement);
    }
    if (withinMs === 0 || callsOn(link) === 0) link.kill(reason);
    else setTimeout(() => link.kill(reason), withinMs);
  }

  /** The process is gone. Finds who was to blame before the calls are dealt with. */
  #lost(link: RunnerLink): void {
    const placements = [...link.placements.values()];
    const working = placements.filter((placement) => placement.calls.size > 0 || placement.step !== undefined);
    if (!link.retired && !link.leaving) this.#findCulprit(link, working);
    for (const placement of placements) {
      this.#forgetPlacement(placement);
      if (link.culprit === placement.number) this.#failAll(placement, link.stoodStill);
      this.#loseCalls(placement);
    }
    if (!link.retired) {
      for (const placement of working) this.#report(placement.hosted, "runner_lost", "runner_lost", link.endReason);
    }
  }

  #findCulprit(link: RunnerLink, working: HostedPlacement[]): void {
    const named = link.placements.get(link.culprit);
    const culprit = named ?? (link.crashed && working.length === 1 ? working[0] : undefined);
    if (culprit !== undefined) {
      link.culprit = culprit.number;
      this.#strike(culprit.hosted, StrikeWeight.runnerLost, "runner_lost", link.endReason);
      return;
    }
    // Nobody knows whose fault it was: each runs alone for a while, so that the next time it is known. Nobody gets a
    // strike for a process that somebody else ended.
    for (const { hosted } of working) hosted.suspectUntil = performance.now() + suspectMs;
  }

  /** Calls of the instance that brought its runner down are not tried again. */
  #failAll(placement: HostedPlacement, stoodStill: boolean): void {
    const { instance } = placement.hosted;
    const code = stoodStill ? "cpu_exceeded" : "runner_lost";
    for (const call of [...placement.calls.values()]) call.fail(errorOfFault(code, "", instance, budgetOf(call)));
  }

  #strike(hosted: HostedInstance, weight: number, code: string, reason: string): void {
    const standing = hosted.strikes.add(weight);
    this.#report(hosted, "strike", code, reason);
    if (standing !== "disabled" || hosted.disabled !== undefined) return;
    hosted.disabled = `it broke its limits too often, last: ${code}`;
    this.#report(hosted, "quarantined", code, hosted.disabled);
    this.#failQueue(
      hosted,
      new BackplaneError("plugin_quarantined", { plugin: hosted.instance.plugin, reason: hosted.disabled }),
    );
  }

  #report(hosted: HostedInstance, kind: RuntimeFault["kind"], code: string, reason: string): void {
    this.#safely(() => this.#parts.callbacks.onFault({ kind, instance: hosted.instance, code, reason }));
  }

  #safely(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#parts.log("a runtime callback threw", { reason: reasonOf(error) });
    }
  }

  // ---- looking after runners

  #look(): void {
    const now = performance.now();
    const late = now - this.#lastWatch > watchEveryMs * 4;
    this.#lateMs = now - this.#lastWatch - watchEveryMs;
    this.#lastWatch = now;
    this.#looks += 1;
    for (const link of this.#fleet.links) {
      if (!link.isReady) continue;
      const calls = callsOn(link);
      if (late) link.lastHeard = now;
      if (calls > 0 && !link.leaving) {
        link.lastUsed = now;
        this.#checkHealth(link, now);
      }
      // Short calls are seldom under way at a look, but what they loaded stays.
      const loaded = link.lastInstance !== link.lastInstanceMeasured;
      link.lastInstanceMeasured = link.lastInstance;
      if (calls > 0 || loaded || link.leaving || this.#looks % 20 === 0) this.#checkMemory(link, now);
      if (this.#looks % 20 === 0) {
        link.residentBefore = link.resident;
        link.lastInstanceBefore = link.lastInstance;
      }
    }
    if (this.#looks % 20 === 0) {
      this.#evictIdle(now);
      this.#fleet.evictIdle(now);
    }
  }

  /** What grows fast is a bomb. What grew slowly holds many isolates: those that rest make room in time. */
  #checkMemory(link: RunnerLink, now: number): void {
    const limit = this.#parts.residentLimitBytes;
    const resident = link.measure();
    if (resident < limit * trimAbove) return;
    if (now - link.lastTrim > trimEveryMs) {
      link.lastTrim = now;
      const idle = [...link.placements.values()].filter(isIdle).sort((a, b) => a.hosted.lastUsed - b.hosted.lastUsed);
      const part = resident / limit - trimAbove + 0.1;
      for (const placement of idle.slice(0, Math.ceil(idle.length * part))) this.#dropPlacement(placement);
    }
    if (resident < limit || link.leaving) return;
    const reason = `it used ${Math.round(resident / 1024 / 1024)} MB of memory`;
    const loaded = (link.lastInstance - link.lastInstanceBefore) * loadedMb * 1024 * 1024;
    link.crashed = resident - link.residentBefore > limit / 8 + loaded;
    if (link.crashed || resident > limit * 1.25) {
      link.kill(reason);
      return;
    }
    // Nobody is to blame: what runs may finish, and goes on elsewhere.
    link.retired = true;
    this.#leaveRunner(link, reason, leaveWithinMs);
  }

  #checkHealth(link: RunnerLink, now: number): void {
    const { wedgedMs } = this.#parts;
    const silent = now - link.lastHeard;
    if (silent < Math.min(silentMs, wedgedMs / 4)) {
      link.stillLooks = 0;
      return;
    }
    if (link.lastPing < link.lastHeard) {
      link.lastPing = now;
      link.stillLooks = 0;
      link.ticksAtLook = -1;
      link.send({ type: FrameType.ping });
    }
    const thread = mainThread(link.pid);
    const still = thread === undefined || thread.ticks === link.ticksAtLook;
    link.ticksAtLook = thread?.ticks ?? 0;
    // A thread that waits for a core is running to the kernel: only one that nobody lets run, or that ignores the ping
    // and waits for something else, is given up early. A look that comes late saw too little.
    if (thread?.state === "stopped") link.stillLooks += 1;
    else if (thread?.state !== "waiting" || !still) link.stillLooks = 0;
    else if (this.#lateMs < watchEveryMs / 2) link.stillLooks += 1;
    const standsStill = link.stillLooks >= (thread?.state === "stopped" ? stoppedLooks : waitingLooks);
    // Starved for long is not wedged: the machine has to be given time.
    const patience = thread?.state === "running" && still ? wedgedMs * 4 : wedgedMs;
    if (standsStill || (silent > patience && now - link.lastPing > wedgedMs / 2)) {
      link.kill(`it said nothing for ${Math.round(silent)} ms`);
    }
  }

  #evictIdle(now: number): void {
    let resident = 0;
    for (const link of this.#fleet.links) resident += link.resident;
    const idle = [...this.#hosted.values()]
      .filter((hosted) => hosted.placement !== undefined && isIdle(hosted.placement))
      .sort((a, b) => a.lastUsed - b.lastUsed);
    let surplus = resident > this.#parts.memoryBudgetBytes ? Math.ceil(idle.length / 10) : 0;
    for (const hosted of idle) {
      if (now - hosted.lastUsed < this.#parts.idleInstanceMs && surplus <= 0) break;
      surplus -= 1;
      this.#dropPlacement(hosted.placement!);
    }
    for (const [key, hosted] of this.#hosted) {
      const forgotten = now - hosted.lastUsed > this.#parts.idleInstanceMs + 3_600_000;
      if (forgotten && hosted.placement === undefined && hosted.queue.length === 0 && hosted.former.size === 0) {
        this.#hosted.delete(key);
      }
    }
  }
}

interface AbilityOwner {
  readonly context: unknown;
  readonly execution: RuntimeCall["execution"];
  readonly signal: AbortSignal;
  abilitiesUnderWay: number;
  /** One-way messages so far, and the bytes of log lines among them. */
  messages: number;
  logBytes: number;
  release(): void;
}

class CallOwner implements AbilityOwner {
  readonly #call: ActiveCall;
  readonly #retries: number;

  constructor(call: ActiveCall) {
    this.#call = call;
    this.#retries = call.retries;
  }

  get context(): unknown {
    return this.#call.request.context;
  }

  get execution(): RuntimeCall["execution"] {
    return this.#call.request.execution;
  }

  get signal(): AbortSignal {
    return this.#call.signal;
  }

  get abilitiesUnderWay(): number {
    return this.#call.abilitiesUnderWay;
  }

  set abilitiesUnderWay(count: number) {
    this.#call.abilitiesUnderWay = count;
  }

  get messages(): number {
    return this.#call.messages;
  }

  set messages(count: number) {
    this.#call.messages = count;
  }

  get logBytes(): number {
    return this.#call.logBytes;
  }

  set logBytes(bytes: number) {
    this.#call.logBytes = bytes;
  }

  release(): void {
    // An answer to an earlier attempt says nothing about this one.
    if (this.#call.retries === this.#retries) this.#call.abilitiesUnderWay -= 1;
  }
}

class StepOwner implements AbilityOwner {
  readonly #step: LifecycleStep;

  constructor(step: LifecycleStep) {
    this.#step = step;
  }

  get context(): unknown {
    return this.#step.context;
  }

  get execution(): RuntimeCall["execution"] {
    return this.#step.execution;
  }

  get signal(): AbortSignal {
    return this.#step.controller.signal;
  }

  get abilitiesUnderWay(): number {
    return this.#step.abilitiesUnderWay;
  }

  set abilitiesUnderWay(count: number) {
    this.#step.abilitiesUnderWay = count;
  }

  get messages(): number {
    return this.#step.messages;
  }

  set messages(count: number) {
    this.#step.messages = count;
  }

  get logBytes(): number {
    return this.#step.logBytes;
  }

  set logBytes(bytes: number) {
    this.#step.logBytes = bytes;
  }

  release(): void {
    this.#step.abilitiesUnderWay -= 1;
  }
}

function isIdle(placement: HostedPlacement): boolean {
  return placement.state === "ready" && placement.calls.size === 0 && placement.step === undefined;
}

/** CPU the call may use, ms. */
function budgetOf(call: ActiveCall): number {
  return call.request.cpuMs ?? call.hosted.instance.limits.cpuMs;
}

/** The call may be made once more when its isolate is lost. */
function mayRepeat(call: ActiveCall): boolean {
  return call.request.idempotent && call.retries === 0 && call.stopping === undefined && call.onChunk === undefined;
}

function callsOn(link: RunnerLink): number {
  let calls = 0;
  for (const placement of link.placements.values())
    calls += placement.calls.size + (placement.step === undefined ? 0 : 1);
  return calls;
}

function stopError(call: ActiveCall, why: "deadline" | "abort"): BackplaneError {
  if (why === "abort") return new BackplaneError("cancelled");
  return new BackplaneError("deadline_exceeded", {
    plugin: call.hosted.instance.plugin,
    limit: Math.max(0, Math.round(performance.now() - call.startedAt)),
  });
}

function tooLarge(instance: PluginInstance): BackplaneError {
  const what = `${instance.limits.messageBytes} bytes for one message`;
  return new BackplaneError("limit_exceeded", { plugin: instance.plugin, what });
}

/** What a runner says of its faults is believed only in the words it has for them. */
function parseFault(bytes: Uint8Array): FaultLabel {
  const label = parseLabel<FaultLabel>(bytes, faultShape);
  if (!faultKinds.includes(label.kind)) throw new ProtocolFault("a fault of an unknown kind");
  if (!faultCodes.includes(label.code)) throw new ProtocolFault("a fault with an unknown code");
  return label.kind === "uncaught" ? label : { ...label, reason: label.reason.slice(0, 300) };
}

/** As usage is packed: a u32. */
function clamp(cpuMicros: number): number {
  return Math.min(Math.max(0, cpuMicros), 0xffffffff);
}

/** A small body must not keep a whole read of the socket alive, nor show what else was in it. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.prototype.slice.call(bytes);
}

function guestReason(text: string): string {
  const { name, message } = readGuestError(Buffer.from(text));
  return `${name}: ${message}`.slice(0, 500);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : "unknown";
}
