/**
 * One plugin instance in a runner: its isolate and its entries. Puts messages into entries, reads what comes out, counts
 * what it costs, and says when the isolate has to be given up.
 *
 * States: `loading` → `ready` → `gone`. An entry is under way or not; messages that come meanwhile wait for the next one.
 * Longer than most, because these are one state machine.
 */
import { CallFault, FrameType } from "../bridge/frame.ts";
import type { OutgoingFrame } from "../bridge/frame-writer.ts";
import { encodeUsage, type FaultLabel, type InstanceLimits } from "../bridge/labels.ts";
import { Inbound, type PumpLimits } from "../guest/message-kind.ts";
import type { CpuMeter } from "./cpu-meter.ts";
import { BundleError, type BundleSource, type EngineIsolate } from "./engine.ts";
import { breachOf, charge, type Entry } from "./entry.ts";
import type { EntryJob, EntryQueue } from "./entry-queue.ts";
import { GuestRecords } from "./guest-records.ts";
import { GuestTimers } from "./guest-timers.ts";
import { HeapSamples } from "./heap-samples.ts";
import { type Batch, Inbox, messagesIn } from "./inbox.ts";
import { enterInline } from "./inline-entry.ts";
import { InlineProof } from "./inline-proof.ts";
import { blame, type LiveCall, LiveCalls } from "./live-calls.ts";
import { describeLoadError } from "./load-error.ts";
import { readOutbox } from "./outbox.ts";
import { PendingAbilities } from "./pending-abilities.ts";
import { StuckThread } from "./stuck-thread.ts";

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

export class Instance implements EntryJob {
  readonly number: number;
  readonly limits: InstanceLimits;
  readonly isolate: EngineIsolate;
  readonly #options: InstanceOptions;
  readonly #calls = new LiveCalls();
  readonly #inbox = new Inbox();
  readonly #abilities: PendingAbilities;
  readonly #timers: GuestTimers;
  readonly #records: GuestRecords;
  readonly #proof = new InlineProof();
  readonly #heap: HeapSamples;
  #queued = false;
  #loading: BundleSource | undefined;
  #loadCall = 0;
  #entry: Entry | undefined;
  /** The isolate's busy time when it was looked at last, ms. */
  #busySeen = 0;
  #gone = false;
  /** Disposed of while a thread was inside. */
  #stuck: StuckThread | undefined;
  #outgrown = false;
  /** CPU of entries that were for no call, since the last call came. */
  #backgroundMs = 0;
  callsDone = 0;

  constructor(options: InstanceOptions) {
    const { number, limits, isolate, send } = options;
    this.#options = options;
    this.number = number;
    this.limits = limits;
    this.isolate = isolate;
    this.#abilities = new PendingAbilities(limits.pendingAbilityCalls);
    this.#timers = new GuestTimers({
      max: limits.timers,
      onDue: (timers) => this.#post(Inbound.timers, 0, 0, timers.join(","), ""),
    });
    this.#heap = new HeapSamples(isolate, (bytes) => this.#calls.noteHeap(bytes));
    this.#records = new GuestRecords({
      number,
      limits,
      calls: this.#calls,
      abilities: this.#abilities,
      timers: this.#timers,
      send,
      onEnd: (call, end) => this.#endCall(call, end.type, end.aux, end.body),
      onUncaught: (fault) => options.fault(this, fault),
      onBreach: (what, calls) => this.#giveUp("limit_exceeded", what, calls),
    });
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Something of it wants watching: an entry, or a call that should have stopped. */
  get busy(): boolean {
    return this.#entry !== undefined || this.#stuck !== undefined || (this.#calls.someCancelled && !this.#gone);
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
    this.#calls.begin(call, { budgetMs: source.budgetMs, stream: false, idempotent: false });
    this.#loading = source;
    this.#loadCall = call;
    this.#post(Inbound.load, call, 0, source.environment, JSON.stringify(limits));
  }

  call(
    id: number,
    options: { label: string; args: string; budgetMs: number; stream: boolean; idempotent: boolean },
  ): void {
    const { label, args, budgetMs, stream, idempotent } = options;
    this.#backgroundMs = 0;
    this.#calls.begin(id, { budgetMs, stream, idempotent });
    this.#post(Inbound.call, id, stream ? 1 : 0, label, args);
  }

  cancel(id: number, graceMs: number): void {
    if (this.#calls.cancel(id, performance.now() + graceMs)) this.#post(Inbound.cancel, id, 0, "", "");
  }

  answer(id: number, ability: number, failed: boolean, body: string): void {
    if (this.#abilities.settle(ability, id)) this.#post(Inbound.answer, id, ability, failed ? "1" : "", body);
  }

  credit(id: number, chunks: number): void {
    if (this.#calls.get(id)?.stream) this.#post(Inbound.credit, id, chunks, "", "");
  }

  stop(id: number, budgetMs: number): void {
    this.#calls.begin(id, { budgetMs, stream: false, idempotent: false });
    this.#post(Inbound.stop, id, 0, "", "");
  }

  #post(kind: number, id: number, aux: number, a: string, b: string): void {
    if (this.#gone) return;
    this.#inbox.add(kind, id, aux, a, b);
    if (this.#entry === undefined) this.#enqueue();
  }

  #enqueue(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.#options.queue.add(this);
  }

  // ---- entries

  /** Proved, and nothing is lost when the slice runs out: every live call may be made again. */
  get inline(): boolean {
    return this.#options.mayInline && this.#proof.given && this.#calls.expendable && this.#loading === undefined;
  }

  runInline(): void {
    this.#queued = false;
    if (this.#gone || this.#inbox.isEmpty) return;
    // A call that must not be cut short may have come since.
    if (!this.inline) {
      this.#enqueue();
      return;
    }
    const batch = this.#inbox.take(false);
    const entry = this.#enter(batch, () => {});
    this.#options.inside(this.number);
    const { text, failure, cpuMs } = enterInline(this.isolate, batch);
    this.#options.inside(0);
    entry.cpuMs = cpuMs;
    this.#entry = undefined;
    if (text !== undefined) {
      this.#finished(entry, messagesIn(batch), text);
      return;
    }
    if (this.#gone) return;
    this.#charge(entry);
    if (isDisposed(failure)) this.#giveUp("memory_exceeded", "the heap limit", entry.calls);
    else this.#giveUp("runner_lost", "held the main thread too long", entry.calls, "inline_overrun");
  }

  startEntry(done: () => void): void {
    this.#queued = false;
    if (this.#gone || this.#inbox.isEmpty) {
      done();
      return;
    }
    // The load has a budget of its own: it goes alone.
    const batch = this.#inbox.take(this.#loading !== undefined);
    this.#busySeen = this.isolate.busyMs();
    this.#enter(batch, done);
    const load = this.#loading;
    this.#loading = undefined;
    const run = load === undefined ? this.isolate.enter(batch) : this.isolate.load(load, batch);
    run.then(
      (text) => this.#finish(messagesIn(batch), text),
      (error: unknown) => this.#ended(error),
    );
  }

  #enter(batch: Batch, done: () => void): Entry {
    const calls = this.#calls.namedIn(batch);
    const entry: Entry = { calls, cpuMs: 0, residentBefore: this.#options.meter.residentBytes, done };
    this.#entry = entry;
    return entry;
  }

  #finish(messages: number, text: string): void {
    const entry = this.#entry!;
    this.account();
    this.#entry = undefined;
    entry.done();
    if (this.#gone) {
      this.#stuck = undefined;
      return;
    }
    this.#proof.note(entry.cpuMs, messages);
    this.#finished(entry, messages, text);
  }

  #finished(entry: Entry, messages: number, text: string): void {
    this.#charge(entry);
    this.#inbox.noteCost(entry.cpuMs, messages);
    if (text.length > this.#outboxBytes + (this.limits.concurrency + 1) * (this.limits.messageBytes + 10_000)) {
      this.#giveUp("limit_exceeded", "bytes sent at once", entry.calls);
      return;
    }
    const fine =
      typeof text === "string" &&
      readOutbox(text, (record) => {
        if (!this.#gone) this.#records.take(record);
      });
    if (!fine && !this.#gone) this.#giveUp("limit_exceeded", "messages the platform understands", entry.calls);
    if (this.#gone) return;
    this.#heap.take(this.inline);
    if (!this.#inbox.isEmpty) this.#enqueue();
  }

  /** The isolate ended during the entry: we ended it, or its heap limit did. */
  #ended(error: unknown): void {
    const entry = this.#entry;
    this.account();
    this.#entry = undefined;
    this.#stuck = undefined;
    entry?.done();
    if (this.#gone) return;
    if (entry !== undefined) this.#charge(entry);
    if (error instanceof BundleError && !isDisposed(error.cause)) {
      this.#loadFailed(this.#loadCall, error.cause);
      return;
    }
    this.#giveUp("memory_exceeded", error instanceof Error ? error.message : "ended", entry?.calls ?? []);
  }

  /** The bundle does not compile, or threw while it ran. */
  #loadFailed(call: number, error: unknown): void {
    const live = this.#calls.get(call);
    if (live !== undefined) this.#endCall(live, FrameType.error, CallFault.loadFailed, describeLoadError(error));
    this.dispose();
  }

  #endCall(call: LiveCall, type: typeof FrameType.result | typeof FrameType.error, aux: number, body: string): void {
    const peakBytes = this.#calls.end(call);
    this.callsDone += 1;
    this.#abilities.dropOf(call.id);
    const label = encodeUsage({ cpuMicros: call.cpuMs * 1000, peakBytes });
    this.#options.send({ type, instance: this.number, call: call.id, aux, label, body });
  }

  #charge(entry: Entry): void {
    this.#backgroundMs += charge(entry);
  }

  get #outboxBytes(): number {
    return Math.max(1_000_000, this.limits.messageBytes * 2);
  }

  // ---- watching, and the end

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
    if (this.#stuck !== undefined) {
      if (this.#stuck.isStuck(now, this.#options.queue)) this.#poisoned();
      return;
    }
    if (this.#gone) return;
    const entry = this.#entry;
    const { residentBytes } = this.#options.meter;
    const look = { now, residentBytes, limits: this.limits, backgroundMs: this.#backgroundMs };
    const breach = entry === undefined ? undefined : breachOf(entry, look);
    if (entry === undefined || breach === undefined) {
      this.#abandon(now);
      return;
    }
    this.#charge(entry);
    this.#giveUp(breach.code, breach.reason, entry.calls);
  }

  /** Ends calls that were cancelled, wait for something, and did not react. */
  #abandon(now: number): void {
    for (const call of this.#calls.overdue(now)) {
      if (this.#entry?.calls.includes(call)) continue;
      this.#endCall(call, FrameType.error, CallFault.abandoned, '{"name":"AbortError","message":"cancelled"}');
    }
  }

  #poisoned(): void {
    this.#options.fault(this, {
      kind: "poisoned",
      code: this.#outgrown ? "memory_exceeded" : "cpu_exceeded",
      reason: "code that cannot be interrupted",
      ...blame([]),
      urgent: this.#outgrown || this.#options.queue.full,
    });
  }

  /** The engine lost the isolate; its thread is parked for good. */
  catastrophe(message: string): void {
    const calls = this.#entry?.calls ?? this.#calls.all();
    if (this.#entry !== undefined && !this.#gone) this.#charge(this.#entry);
    this.#gone = true;
    this.#timers.close();
    this.#options.fault(this, {
      kind: "poisoned",
      code: message.includes("memory") ? "memory_exceeded" : "cpu_exceeded",
      reason: message.slice(0, 200),
      ...blame(calls),
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

  dispose(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#timers.close();
    this.#inbox.clear();
    if (this.#entry !== undefined) this.#stuck = new StuckThread(this.#options.meter);
    this.isolate.dispose();
  }
}

function isDisposed(error: unknown): boolean {
  return error instanceof Error && /dispos/i.test(error.message);
}
