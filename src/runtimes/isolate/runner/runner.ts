/**
 * A runner: takes frames from the hub, feeds instances, sends what they say. It parses no bodies, opens nothing, and keeps
 * nothing: whatever happens to it, the hub starts another.
 */
import { type Frame, FrameFlag, FrameType, ProtocolFault, protocolVersion } from "../bridge/frame.ts";
import type { FrameWriter } from "../bridge/frame-writer.ts";
import {
  type FaultLabel,
  type HelloLabel,
  helloShape,
  type InstanceLimits,
  type LoadLabel,
  loadShape,
  parseLabel,
  type ReadyLabel,
  type StatsLabel,
} from "../bridge/labels.ts";
import { CpuMeter } from "./cpu-meter.ts";
import { createEngine, type EngineIsolate } from "./engine.ts";
import { EntryQueue } from "./entry-queue.ts";
import { Instance } from "./instance.ts";
import { IsolatePool } from "./isolate-pool.ts";

export interface RunnerOptions {
  addon: string;
  writer: FrameWriter;
  /** Called while there is work, every few milliseconds, and once with false when there is none. */
  beat(active: boolean, entries: number): void;
  /** Told which instance the main thread enters, and 0 when it is back. */
  inside(instance: number): void;
}

const lookEveryMs = 5;
const heartbeatEvery = 10;
const statsEvery = 40;
/** Looks without work before the runner falls asleep. */
const restAfter = 40;
/** Calls an instance has answered before its code cache is made: then the functions it uses are compiled. */
const cacheAfterCalls = 3;

export class Runner {
  readonly #options: RunnerOptions;
  readonly #writer: FrameWriter;
  readonly #instances = new Map<number, Instance>();
  /** Given up while a thread is still inside: watched until it leaves. */
  readonly #leaving = new Set<Instance>();
  readonly #owners = new Map<EngineIsolate, Instance>();
  readonly #wantCache = new Set<Instance>();
  readonly #meter = new CpuMeter();
  #pool: IsolatePool | undefined;
  #queue: EntryQueue | undefined;
  #look: NodeJS.Timeout | undefined;
  #looks = 0;
  #restful = 0;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#writer = options.writer;
  }

  handle(frame: Frame): void {
    if (frame.type === FrameType.hello) {
      this.#hello(frame);
      return;
    }
    if (this.#queue === undefined) throw new ProtocolFault("a frame before hello");
    if (frame.type === FrameType.ping) {
      this.#heartbeat();
      return;
    }
    this.#watch();
    if (frame.type === FrameType.load) {
      this.#load(frame);
      return;
    }
    // An instance may have ended while the frame was on its way; the hub learns that from the fault frame.
    const instance = this.#instances.get(frame.instance);
    if (instance === undefined) {
      if (frame.type === FrameType.release) this.#writer.send({ type: FrameType.released, instance: frame.instance });
      return;
    }
    switch (frame.type) {
      case FrameType.call:
        instance.call(frame.call, {
          label: text(frame.label),
          args: text(frame.body),
          budgetMs: frame.aux,
          stream: (frame.flags & FrameFlag.stream) !== 0,
          idempotent: (frame.flags & FrameFlag.idempotent) !== 0,
        });
        return;
      case FrameType.cancel:
        instance.cancel(frame.call, frame.aux);
        return;
      case FrameType.abilityAnswer:
        instance.answer(frame.call, frame.aux, (frame.flags & FrameFlag.failed) !== 0, text(frame.body));
        return;
      case FrameType.credit:
        instance.credit(frame.call, frame.aux);
        return;
      case FrameType.release:
        if ((frame.flags & FrameFlag.runStop) !== 0 && frame.call !== 0) instance.stop(frame.call, frame.aux);
        else {
          this.#remove(instance);
          instance.dispose();
          this.#writer.send({ type: FrameType.released, instance: frame.instance });
        }
        return;
    }
  }

  #hello(frame: Frame): void {
    if (this.#queue !== undefined) throw new ProtocolFault("a second hello");
    const hello = parseLabel<HelloLabel>(frame.label, helloShape);
    if (hello.version !== protocolVersion) throw new ProtocolFault(`protocol version ${hello.version}`);
    const engine = createEngine(this.#options.addon, text(frame.body));
    this.#queue = new EntryQueue(Math.max(1, hello.maxEntries), () => this.#watch());
    this.#pool = new IsolatePool({
      engine,
      memoryMb: hello.poolMemoryMb,
      size: hello.poolSize,
      onCatastrophe: (isolate, message) => this.#catastrophe(isolate, message),
    });
    const ready: ReadyLabel = {
      version: protocolVersion,
      pid: process.pid,
      engine: `v8 ${process.versions.v8} ${process.arch} ${process.execArgv.filter((flag) => flag.startsWith("--no-node-snapshot")).join(" ")}`,
    };
    this.#writer.send({ type: FrameType.ready, label: JSON.stringify(ready) });
  }

  #load(frame: Frame): void {
    if (this.#instances.has(frame.instance)) throw new ProtocolFault(`instance ${frame.instance} loaded twice`);
    const label = parseLabel<LoadLabel>(frame.label, loadShape);
    const { environmentBytes, codeBytes, cacheBytes } = label;
    if (environmentBytes + codeBytes + cacheBytes !== frame.body.length) throw new ProtocolFault("parts of a load");
    const limits: InstanceLimits = label.limits;
    const isolate = this.#pool!.take(limits.memoryMb);
    const instance = new Instance({
      number: frame.instance,
      limits,
      isolate,
      queue: this.#queue!,
      meter: this.#meter,
      send: (outgoing) => {
        this.#writer.send(outgoing);
        if (outgoing.type === FrameType.result) this.#maybeMakeCache(instance);
      },
      fault: (faulty, fault) => this.#fault(faulty, fault),
      mayInline: (frame.flags & FrameFlag.mayInline) !== 0,
      inside: this.#options.inside,
    });
    this.#instances.set(frame.instance, instance);
    this.#owners.set(isolate, instance);
    if ((frame.flags & FrameFlag.wantCache) !== 0) this.#wantCache.add(instance);
    instance.load(frame.call, {
      environment: text(frame.body.subarray(0, environmentBytes)),
      code: text(frame.body.subarray(environmentBytes, environmentBytes + codeBytes)),
      cache: cacheBytes > 0 ? frame.body.subarray(environmentBytes + codeBytes) : undefined,
      filename: label.filename,
      budgetMs: frame.aux,
    });
  }

  #maybeMakeCache(instance: Instance): void {
    if (instance.callsDone === 1 && instance.isolate.cacheRejected) this.#wantCache.add(instance);
    if (instance.callsDone < cacheAfterCalls || !this.#wantCache.delete(instance)) return;
    // Later, when the burst that made it warm is over: nobody waits for the cache.
    setTimeout(() => {
      if (instance.gone) return;
      instance.isolate.produceCache().then(
        (cache) => {
          if (cache !== undefined && !instance.gone) {
            this.#writer.send({ type: FrameType.codeCache, instance: instance.number, body: cache });
          }
        },
        () => {},
      );
    }, 50).unref();
  }

  #fault(instance: Instance, fault: FaultLabel): void {
    if (fault.kind !== "uncaught") this.#remove(instance);
    this.#writer.send({ type: FrameType.fault, instance: instance.number, label: JSON.stringify(fault) });
  }

  #remove(instance: Instance): void {
    this.#instances.delete(instance.number);
    this.#wantCache.delete(instance);
    this.#owners.delete(instance.isolate);
    this.#leaving.add(instance);
  }

  #catastrophe(isolate: EngineIsolate | undefined, message: string): void {
    const instance = isolate === undefined ? undefined : this.#owners.get(isolate);
    if (instance !== undefined) {
      instance.catastrophe(message);
      return;
    }
    for (const leaving of this.#leaving) {
      if (leaving.isolate === isolate) {
        leaving.catastrophe(message);
        return;
      }
    }
    const fault: FaultLabel = {
      kind: "poisoned",
      code: "runner_lost",
      reason: message.slice(0, 200),
      calls: [],
      cpuMicros: [],
      urgent: false,
    };
    this.#writer.send({ type: FrameType.fault, label: JSON.stringify(fault) });
  }

  // ---- looking after what runs

  #watch(): void {
    this.#restful = 0;
    if (this.#look !== undefined) return;
    this.#options.beat(true, 0);
    this.#look = setInterval(this.#onLook, lookEveryMs);
  }

  readonly #onLook = (): void => {
    this.#options.beat(true, this.#queue!.active);
    this.#looks += 1;
    let inside = 0;
    let work = this.#queue!.active > 0 || this.#queue!.waiting > 0;
    const now = performance.now();
    for (const instance of this.#instances.values()) {
      if (!instance.busy) continue;
      work = true;
      inside += instance.account();
      instance.watch(now);
    }
    for (const instance of this.#leaving) {
      if (!instance.busy) {
        this.#leaving.delete(instance);
        continue;
      }
      work = true;
      instance.watch(now);
    }
    if (inside > 0 || this.#leaving.size > 0) this.#meter.sample(inside);
    if (this.#looks % heartbeatEvery === 0) this.#heartbeat();
    if (this.#looks % statsEvery === 0) this.#stats();
    this.#restful = work ? 0 : this.#restful + 1;
    if (this.#restful > restAfter) {
      clearInterval(this.#look);
      this.#look = undefined;
      this.#stats();
      this.#options.beat(false, 0);
    }
  };

  #heartbeat(): void {
    this.#writer.send({ type: FrameType.heartbeat, aux: this.#queue!.active });
  }

  #stats(): void {
    const stats: StatsLabel = {
      blanks: this.#pool!.size,
      instances: this.#instances.size,
      entries: this.#queue!.active,
      inlineInstances: [...this.#instances.values()].filter((instance) => instance.inline).length,
      cpuMicros: this.#meter.totalMicros,
    };
    this.#writer.send({ type: FrameType.stats, label: JSON.stringify(stats) });
  }
}

function text(bytes: Uint8Array): string {
  return (bytes as Buffer).toString("utf8");
}
