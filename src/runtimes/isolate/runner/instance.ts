/**
 * One plugin instance in a runner: its isolate, its calls, its inbox. Puts messages into entries, reads what comes out,
 * counts what it costs, and says when the isolate has to be given up.
 *
 * States: `loading` → `ready` → `gone`. An entry is under way or not; messages that come meanwhile wait for the next one.
 * Longer than most, because these are one state machine.
 */
import { CallFault, FrameType } from "../bridge/frame.ts";
import type { OutgoingFrame } from "../bridge/frame-writer.ts";
import { encodeUsage, type FaultLabel, type InstanceLimits } from "../bridge/labels.ts";
import { Inbound, Outbound, type PumpLimits } from "../guest/message-kind.ts";
import type { CpuMeter } from "./cpu-meter.ts";
import { BundleError, type BundleSource, type EngineIsolate } from "./engine.ts";
import type { EntryJob, EntryQueue } from "./entry-queue.ts";
import { GuestTimers } from "./guest-timers.ts";
import { type OutboxRecord, readOutbox } from "./outbox.ts";

export interface InstanceOptions {
  number: number;
  limits: InstanceLimits;
  isolate: EngineIsolate;
  queue: EntryQueue;
  meter: CpuMeter;
  send(frame: OutgoingFrame): void;
  fault(instance: Instance, fault: FaultLabel): void;
  /** It may be entered on the main thread after it has proved itself. */
  mayInline: boolean;
  /** Told before and after an entry on the main thread. */
  inside(instance: number): void;
}

interface Entry {
  calls: LiveCall[];
  cpuMs: number;
  /** Resident memory of the process when it began. */
  residentBefore: number;
  done(): void;
}

interface LiveCall {
  id: number;
  budgetMs: number;
  cpuMs: number;
  peakBytes: number;
  cancelBy: number;
  stream: boolean;
  idempotent: boolean;
}

/** Messages one entry takes at most, whatever they cost. */
const maxBatch = 128;
/** What an entry should cost at most; batches shrink to it, so that a culprit is not hidden among many. */
const entryGoalMs = 10;
/** How long an interrupted isolate may take to stop before the process is given up, and how much CPU each thread may use. */
const stuckAfterMs = 200;
const stuckCpuMs = 150;
/** The same, however little CPU the machine gave us. */
const stuckAnywayMs = 3000;
/**
 * The engine's heap limit reacts late, or not at all for what is not on the heap. So an entry during which the process
 * grows by more than its limit and this is given up. Entries of others are short: they do not see the growth.
 */
const growthSlackBytes = 96 * 1024 * 1024;
/** What describe-error.ts gives is smaller. */
const maxErrorText = 80_000;
/** Entries in a row of which at most one in a hundred may be slow before the main thread is lent. */
const proofEntries = 200;
const slowEntryMs = 1;
const shortMessageMs = 0.1;
/** What an entry on the main thread may take. */
const inlineSliceMs = 40;
const tickMs = 5;
const abilityName = /^[A-Za-z][\w.]{0,63}$/;

export class Instance implements EntryJob {
  readonly number: number;
  readonly limits: InstanceLimits;
  readonly isolate: EngineIsolate;
  readonly #options: InstanceOptions;
  readonly #timers: GuestTimers;
  readonly #calls = new Map<number, LiveCall>();
  /** Ability call → call. */
  readonly #abilities = new Map<number, number>();
  #inbox: (number | string)[] = [];
  #queued = false;
  #loading: BundleSource | undefined;
  #entry: Entry | undefined;
  #busySeen = 0;
  #gone = false;
  #disposedAt = 0;
  #poolMsAtDispose = 0;
  #stuck = false;
  #outgrown = false;
  #messageCostMs = 1;
  #backgroundMs = 0;
  #heapBytes = 0;
  #heapAt = 0;
  #loadCall = 0;
  #uncaught = 0;
  #provenEntries = 0;
  #slowEntries = 0;
  /** Live calls that must not be made again. */
  #unrepeatable = 0;
  /** Live calls that were cancelled. */
  #cancelled = 0;
  callsDone = 0;

  constructor(options: InstanceOptions) {
    this.#options = options;
    this.number = options.number;
    this.limits = options.limits;
    this.isolate = options.isolate;
    this.#timers = new GuestTimers({
      max: options.limits.timers,
      onDue: (timers) => this.#post(Inbound.timers, 0, 0, timers.join(","), ""),
    });
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Something of it wants watching: an entry, or a call that should have stopped. */
  get busy(): boolean {
    return this.#entry !== undefined || this.#disposedAt !== 0 || (this.#cancelled > 0 && !this.#gone);
  }

  get liveCalls(): number {
    return this.#calls.size;
  }

  // ---- from the hub

  load(
    call: number,
    source: { code: string; filename: string; cache: Uint8Array | undefined; environment: string; budgetMs: number },
  ): void {
    const limits: PumpLimits = {
      pendingAbilityCalls: this.limits.pendingAbilityCalls,
      timers: this.limits.timers,
      messageBytes: this.limits.messageBytes,
      logBytes: this.limits.logBytes,
      outboxBytes: this.#outboxBytes,
    };
    this.#begin(call, source.budgetMs, false);
    this.#loading = source;
    this.#loadCall = call;
    this.#post(Inbound.load, call, 0, source.environment, JSON.stringify(limits));
  }

  call(
    id: number,
    options: { label: string; args: string; budgetMs: number; stream: boolean; idempotent: boolean },
  ): void {
    this.#backgroundMs = 0;
    this.#begin(id, options.budgetMs, options.stream, options.idempotent);
    this.#post(Inbound.call, id, options.stream ? 1 : 0, options.label, options.args);
  }

  cancel(id: number, graceMs: number): void {
    const call = this.#calls.get(id);
    if (call === undefined || call.cancelBy !== 0) return;
    call.cancelBy = performance.now() + graceMs;
    this.#cancelled += 1;
    this.#post(Inbound.cancel, id, 0, "", "");
  }

  answer(id: number, ability: number, failed: boolean, body: string): void {
    if (this.#abilities.get(ability) !== id) return;
    this.#abilities.delete(ability);
    this.#post(Inbound.answer, id, ability, failed ? "1" : "", body);
  }

  credit(id: number, chunks: number): void {
    if (this.#calls.get(id)?.stream) this.#post(Inbound.credit, id, chunks, "", "");
  }

  stop(id: number, budgetMs: number): void {
    this.#begin(id, budgetMs, false);
    this.#post(Inbound.stop, id, 0, "", "");
  }

  // ---- entries

  /** Proved, and nothing is lost when the slice runs out: every live call may be made again. */
  get inline(): boolean {
    return (
      this.#options.mayInline &&
      this.#provenEntries >= proofEntries &&
      this.#unrepeatable === 0 &&
      this.#cancelled === 0 &&
      this.#loading === undefined
    );
  }

  runInline(): void {
    this.#queued = false;
    if (this.#gone || this.#inbox.length === 0) return;
    // A call that must not be cut short may have come since.
    if (!this.inline) {
      this.#enqueue();
      return;
    }
    const batch = this.#takeBatch();
    const calls = this.#callsIn(batch);
    const entry: Entry = { calls, cpuMs: 0, residentBefore: this.#options.meter.residentBytes, done: () => {} };
    this.#entry = entry;
    this.#options.inside(this.number);
    const startedAt = performance.now();
    const before = process.threadCpuUsage();
    let text: string | undefined;
    let failure: unknown;
    try {
      text = this.isolate.enterInline(batch, inlineSliceMs);
    } catch (error) {
      failure = error;
    }
    const used = process.threadCpuUsage(before);
    this.#options.inside(0);
    // Many kernels count a thread's CPU in ticks of some milliseconds: below that the clock is the better measure.
    const elapsed = performance.now() - startedAt;
    entry.cpuMs = elapsed < tickMs ? elapsed : Math.min(elapsed, Math.max(tickMs, (used.user + used.system) / 1000));
    this.#entry = undefined;
    if (text !== undefined) {
      this.#finished(entry, batch.length / 5, text);
      return;
    }
    if (this.#gone) return;
    this.#charge(entry);
    if (isDisposed(failure)) this.#giveUp("memory_exceeded", "the heap limit", calls);
    else this.#giveUp("runner_lost", "held the main thread too long", calls, "inline_overrun");
  }

  #takeBatch(): (number | string)[] {
    // The load has a budget of its own: it goes alone.
    const most = this.#loading === undefined ? Math.min(maxBatch, Math.floor(entryGoalMs / this.#messageCostMs)) : 1;
    const size = Math.max(1, most) * 5;
    const batch = this.#inbox.length <= size ? this.#inbox : this.#inbox.slice(0, size);
    this.#inbox = batch === this.#inbox ? [] : this.#inbox.slice(size);
    return batch;
  }

  startEntry(done: () => void): void {
    this.#queued = false;
    if (this.#gone || this.#inbox.length === 0) {
      done();
      return;
    }
    const batch = this.#takeBatch();
    this.#busySeen = this.isolate.busyMs();
    this.#entry = {
      calls: this.#callsIn(batch),
      cpuMs: 0,
      residentBefore: this.#options.meter.residentBytes,
      done,
    };
    const load = this.#loading;
    this.#loading = undefined;
    const run = load === undefined ? this.isolate.enter(batch) : this.isolate.load(load, batch);
    run.then(
      (text) => this.#finish(batch.length / 5, text),
      (error: unknown) => this.#ended(error),
    );
  }

  /** The bundle does not compile, or threw while it ran. */
  #loadFailed(call: number, error: unknown): void {
    const message = withoutEngine(error instanceof Error ? error.message : String(error));
    // Below the boundary the engine adds our own frames: they are nobody's business.
    const full = error instanceof Error ? withoutEngine(error.stack ?? "") : "";
    const stack = full.split("\n    at (<isolated-vm boundary>)")[0]!;
    const body = JSON.stringify({
      name: error instanceof Error ? error.name.slice(0, 100) : "Error",
      message: message.slice(0, 4000),
      stack: stack.slice(0, 8000),
    });
    const live = this.#calls.get(call);
    if (live !== undefined) this.#endCall(live, FrameType.error, CallFault.loadFailed, body);
    this.dispose();
  }

  #finish(messages: number, text: string): void {
    const entry = this.#entry!;
    this.account();
    this.#entry = undefined;
    entry.done();
    if (this.#gone) {
      this.#disposedAt = 0;
      return;
    }
    this.#prove(entry.cpuMs, messages);
    this.#finished(entry, messages, text);
  }

  /** Counts towards the proof; too many slow ones and it begins again. */
  #prove(cpuMs: number, messages: number): void {
    this.#provenEntries += 1;
    // A full entry may take as long as many short messages do.
    if (cpuMs < slowEntryMs + messages * shortMessageMs) return;
    this.#slowEntries += 1;
    if (this.#slowEntries > this.#provenEntries / 100 + 2) {
      this.#slowEntries = 0;
      this.#provenEntries = 0;
    }
  }

  #finished(entry: Entry, messages: number, text: string): void {
    this.#charge(entry);
    this.#messageCostMs += (Math.max(0.02, entry.cpuMs / messages) - this.#messageCostMs) * 0.2;
    if (text.length > this.#outboxBytes + (this.limits.concurrency + 1) * (this.limits.messageBytes + 10_000)) {
      this.#giveUp("limit_exceeded", "bytes sent at once", entry.calls);
      return;
    }
    const fine = typeof text === "string" && readOutbox(text, (record) => this.#take(record));
    if (!fine && !this.#gone) this.#giveUp("limit_exceeded", "messages the platform understands", entry.calls);
    if (this.#gone) return;
    this.#sampleHeap();
    if (this.#inbox.length > 0) this.#enqueue();
  }

  /** The isolate ended during the entry: we ended it, or its heap limit did. */
  #ended(error: unknown): void {
    const entry = this.#entry;
    this.account();
    this.#entry = undefined;
    this.#disposedAt = 0;
    entry?.done();
    if (this.#gone) return;
    if (entry !== undefined) this.#charge(entry);
    if (error instanceof BundleError && !isDisposed(error.cause)) {
      this.#loadFailed(this.#loadCall, error.cause);
      return;
    }
    this.#giveUp("memory_exceeded", error instanceof Error ? error.message : "ended", entry?.calls ?? []);
  }

  /** Adds what the running entry cost since the last look. Returns the time inside since then, ms. */
  account(): number {
    const entry = this.#entry;
    if (entry === undefined) return 0;
    let busy: number;
    try {
      busy = this.isolate.busyMs();
    } catch {
      // The engine has disposed of the isolate for its memory. The thread may go on all the same: code that was
      // optimised around calls of built-ins has loops without a check for interrupts.
      if (!this.#gone) {
        this.#charge(entry);
        this.#giveUp("memory_exceeded", "the heap limit", entry.calls);
      }
      return 0;
    }
    const inside = Math.max(0, busy - this.#busySeen);
    this.#busySeen = busy;
    entry.cpuMs += inside * this.#options.meter.share;
    return inside;
  }

  /** Looks whether the running entry is past what its calls may cost. Called every few milliseconds. */
  watch(now: number): void {
    if (this.#disposedAt !== 0) {
      const since = now - this.#disposedAt;
      const cpuMs = this.#options.meter.poolMs - this.#poolMsAtDispose;
      const { active, full } = this.#options.queue;
      // Nobody else gets anywhere while all threads are held.
      const pace = full ? 0.5 : 1;
      const overdue = since > stuckAfterMs * pace && cpuMs > stuckCpuMs * pace * Math.max(1, active);
      if (!this.#stuck && (overdue || since > stuckAnywayMs)) {
        this.#stuck = true;
        this.#options.fault(this, {
          kind: "poisoned",
          code: this.#outgrown ? "memory_exceeded" : "cpu_exceeded",
          reason: "code that cannot be interrupted",
          ...blame([]),
          urgent: this.#outgrown || full,
        });
      }
      return;
    }
    const entry = this.#entry;
    if (this.#gone) return;
    if (entry === undefined) {
      this.#abandon(now);
      return;
    }
    let left = Number.NEGATIVE_INFINITY;
    let cancelled = entry.calls.length > 0;
    for (const call of entry.calls) {
      left = Math.max(left, call.budgetMs - call.cpuMs - entry.cpuMs);
      if (call.cancelBy === 0 || now < call.cancelBy) cancelled = false;
    }
    if (entry.calls.length === 0) left = this.limits.cpuMs - this.#backgroundMs - entry.cpuMs;
    const grown = this.#options.meter.residentBytes - entry.residentBefore;
    const outgrown = grown > this.limits.memoryMb * 1024 * 1024 + growthSlackBytes;
    if (left >= 0 && !cancelled && !outgrown) {
      this.#abandon(now);
      return;
    }
    this.#charge(entry);
    if (outgrown) this.#giveUp("memory_exceeded", `${Math.round(grown / 1024 / 1024)} MB in one entry`, entry.calls);
    else if (left < 0) this.#giveUp("cpu_exceeded", `${Math.round(entry.cpuMs)} ms in one entry`, entry.calls);
    else this.#giveUp("runner_lost", "went on after it was cancelled", entry.calls);
  }

  /** Ends calls that were cancelled, wait for something, and did not react. */
  #abandon(now: number): void {
    if (this.#cancelled === 0) return;
    for (const call of this.#calls.values()) {
      if (call.cancelBy === 0 || now < call.cancelBy || this.#entry?.calls.includes(call)) continue;
      this.#endCall(call, FrameType.error, CallFault.abandoned, '{"name":"AbortError","message":"cancelled"}');
    }
  }

  /** The engine lost the isolate; its thread is parked for good. */
  catastrophe(message: string): void {
    const outOfMemory = message.includes("memory");
    const calls = this.#entry?.calls ?? [...this.#calls.values()];
    if (this.#entry !== undefined && !this.#gone) this.#charge(this.#entry);
    this.#gone = true;
    this.#timers.close();
    this.#options.fault(this, {
      kind: "poisoned",
      code: outOfMemory ? "memory_exceeded" : "cpu_exceeded",
      reason: message.slice(0, 200),
      ...blame(calls),
    });
  }

  dispose(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#timers.close();
    this.#inbox = [];
    if (this.#entry !== undefined) {
      this.#disposedAt = performance.now();
      this.#poolMsAtDispose = this.#options.meter.poolMs;
    }
    this.isolate.dispose();
  }

  // ---- what comes out

  #take(record: OutboxRecord): void {
    const { kind, id, aux, body } = record;
    if (this.#gone) return;
    switch (kind) {
      case Outbound.ability:
        if (!this.#calls.has(id)) return;
        if (!abilityName.test(record.name)) {
          this.#giveUp("limit_exceeded", "messages the platform understands", []);
          return;
        }
        if (this.#abilities.size >= this.limits.pendingAbilityCalls) {
          this.#giveUp("limit_exceeded", "pending ability calls", [this.#calls.get(id)!]);
          return;
        }
        this.#abilities.set(aux, id);
        this.#options.send({
          type: FrameType.abilityCall,
          instance: this.number,
          call: id,
          aux,
          label: record.name,
          body,
        });
        return;
      case Outbound.message:
        if (!abilityName.test(record.name)) return;
        this.#options.send({ type: FrameType.guestMessage, instance: this.number, call: id, label: record.name, body });
        return;
      case Outbound.chunk:
        if (this.#calls.get(id)?.stream) {
          this.#options.send({ type: FrameType.chunk, instance: this.number, call: id, body });
        }
        return;
      case Outbound.timer:
        if (!this.#timers.set(aux, id)) this.#giveUp("limit_exceeded", "timers", []);
        return;
      case Outbound.clearTimer:
        this.#timers.clear(aux);
        return;
      case Outbound.uncaught:
        this.#uncaught += 1;
        if (this.#uncaught <= 20) {
          this.#options.fault(this, {
            kind: "uncaught",
            code: "plugin_error",
            reason: body.slice(0, 1500),
            calls: [id],
            cpuMicros: [0],
            urgent: false,
          });
        }
        return;
      case Outbound.result:
      case Outbound.error: {
        const call = this.#calls.get(id);
        if (call === undefined) return;
        if (kind === Outbound.result && tooLarge(body, this.limits.messageBytes)) {
          const message = `${this.limits.messageBytes} bytes for one message`;
          this.#endCall(call, FrameType.error, CallFault.limit, JSON.stringify({ name: "Error", message }));
        } else {
          const text = kind === Outbound.error && body.length > maxErrorText ? '{"message":"too large"}' : body;
          this.#endCall(call, kind === Outbound.result ? FrameType.result : FrameType.error, aux, text);
        }
        return;
      }
      default:
        this.#giveUp("limit_exceeded", "messages the platform understands", []);
    }
  }

  #endCall(call: LiveCall, type: typeof FrameType.result | typeof FrameType.error, aux: number, body: string): void {
    this.#calls.delete(call.id);
    this.callsDone += 1;
    if (call.cancelBy !== 0) this.#cancelled -= 1;
    if (!call.idempotent) this.#unrepeatable -= 1;
    if (this.#abilities.size > 0) {
      for (const [ability, owner] of this.#abilities) if (owner === call.id) this.#abilities.delete(ability);
    }
    this.#options.send({
      type,
      instance: this.number,
      call: call.id,
      aux,
      label: encodeUsage({ cpuMicros: call.cpuMs * 1000, peakBytes: Math.max(call.peakBytes, this.#heapBytes) }),
      body,
    });
  }

  #giveUp(
    code: FaultLabel["code"],
    reason: string,
    calls: readonly LiveCall[],
    kind: FaultLabel["kind"] = "isolate",
  ): void {
    if (this.#gone) return;
    this.#outgrown = code === "memory_exceeded";
    this.dispose();
    this.#options.fault(this, { kind, code, reason, ...blame(calls) });
  }

  // ---- small steps

  #begin(id: number, budgetMs: number, stream: boolean, idempotent = false): void {
    if (!idempotent) this.#unrepeatable += 1;
    this.#calls.set(id, { id, budgetMs, cpuMs: 0, peakBytes: this.#heapBytes, cancelBy: 0, stream, idempotent });
  }

  #post(kind: number, id: number, aux: number, a: string, b: string): void {
    if (this.#gone) return;
    this.#inbox.push(kind, id, aux, a, b);
    if (this.#entry === undefined) this.#enqueue();
  }

  #enqueue(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.#options.queue.add(this);
  }

  #callsIn(batch: readonly (number | string)[]): LiveCall[] {
    const found = new Set<LiveCall>();
    for (let i = 0; i < batch.length; i += 5) {
      const call = this.#calls.get(batch[i + 1] as number);
      if (call !== undefined) found.add(call);
      else if (batch[i] === Inbound.timers) for (const live of this.#calls.values()) found.add(live);
    }
    return [...found];
  }

  #charge(entry: { calls: LiveCall[]; cpuMs: number }): void {
    if (entry.calls.length === 0) this.#backgroundMs += entry.cpuMs;
    for (const call of entry.calls) call.cpuMs += entry.cpuMs / entry.calls.length;
  }

  #sampleHeap(): void {
    const now = performance.now();
    if (now - this.#heapAt < 100) return;
    this.#heapAt = now;
    if (this.inline) {
      try {
        this.#noteHeap(this.isolate.heapBytesNow());
      } catch {
        // It ended meanwhile.
      }
      return;
    }
    this.isolate.heapBytes().then(
      (bytes) => this.#noteHeap(bytes),
      () => {},
    );
  }

  #noteHeap(bytes: number): void {
    this.#heapBytes = bytes;
    for (const call of this.#calls.values()) call.peakBytes = Math.max(call.peakBytes, bytes);
  }

  get #outboxBytes(): number {
    return Math.max(1_000_000, this.limits.messageBytes * 2);
  }
}

function tooLarge(text: string, bytes: number): boolean {
  return text.length > bytes || (text.length * 3 > bytes && Buffer.byteLength(text) > bytes);
}

function blame(calls: readonly LiveCall[]): Pick<FaultLabel, "calls" | "cpuMicros" | "urgent"> {
  const named = calls.slice(0, 200);
  return {
    calls: named.map((call) => call.id),
    cpuMicros: named.map((call) => Math.round(call.cpuMs * 1000)),
    urgent: false,
  };
}

/** The engine says where an error began; when that is nowhere in the bundle it names itself. */
function withoutEngine(text: string): string {
  return text.replaceAll(/ \[<isolated-vm>:\d+:\d+\]/g, "");
}

function isDisposed(error: unknown): boolean {
  return error instanceof Error && /dispos/i.test(error.message);
}
