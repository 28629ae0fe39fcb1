/** One call on its way: waiting, sent, or stopping. Settles once; whoever loses the race is ignored. */
import type { BackplaneError } from "../../../errors/error.ts";
import type { RuntimeCall, RuntimeOutcome } from "../../runtime.ts";
import type { Usage } from "../bridge/labels.ts";
import type { Expiring } from "./deadline-wheel.ts";
import type { HostedInstance, HostedPlacement } from "./hosted-instance.ts";

export interface ActiveCallOptions {
  hosted: HostedInstance;
  request: RuntimeCall;
  /** Takes chunks: the call is a stream. */
  onChunk: ((chunk: Uint8Array) => void) | undefined;
  onSettled(call: ActiveCall, outcome: RuntimeOutcome): void;
  /** Deadline or abort: the runtime stops the call. */
  onStop(call: ActiveCall, why: "deadline" | "abort"): void;
}

export class ActiveCall implements Expiring {
  readonly hosted: HostedInstance;
  readonly request: RuntimeCall;
  readonly onChunk: ((chunk: Uint8Array) => void) | undefined;
  readonly expiresAt: number;
  readonly startedAt = performance.now();
  /** Where it was sent, under which id. */
  placement: HostedPlacement | undefined;
  id = 0;
  retries = 0;
  cold = false;
  settled = false;
  /** What the caller will be told once the runner has said how the call ended. */
  stopping: BackplaneError | undefined;
  stopTimer: NodeJS.Timeout | undefined;
  abilitiesUnderWay = 0;
  messages = 0;
  logBytes = 0;
  readonly #options: ActiveCallOptions;
  #controller: AbortController | undefined;

  constructor(options: ActiveCallOptions) {
    this.#options = options;
    this.hosted = options.hosted;
    this.request = options.request;
    this.onChunk = options.onChunk;
    this.expiresAt = options.request.deadline;
    options.request.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** CPU the call may use, ms. */
  get budgetMs(): number {
    return this.request.cpuMs ?? this.hosted.instance.limits.cpuMs;
  }

  /** It may be made once more when its isolate is lost. */
  get repeatable(): boolean {
    return this.request.idempotent && this.retries === 0 && this.stopping === undefined && this.onChunk === undefined;
  }

  /** Back among the calls that wait: its isolate is lost. */
  startOver(): void {
    this.retries += 1;
    this.placement = undefined;
    this.abilitiesUnderWay = 0;
    this.messages = 0;
    this.logBytes = 0;
  }

  /** Made when first asked for: most calls have no ability call that looks at it. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.settled) this.#controller.abort();
    return this.#controller.signal;
  }

  expire(): void {
    if (!this.settled) this.#options.onStop(this, "deadline");
  }

  succeed(result: Uint8Array, usage: Usage): void {
    this.#settle({ ok: true, result, usage: this.#usage(usage) });
  }

  fail(error: BackplaneError, usage?: Usage): void {
    this.#settle({ ok: false, error: this.stopping ?? error, usage: this.#usage(usage) });
  }

  #settle(outcome: RuntimeOutcome): void {
    if (this.settled) return;
    this.settled = true;
    clearTimeout(this.stopTimer);
    this.request.signal?.removeEventListener("abort", this.#onAbort);
    this.#controller?.abort();
    this.#options.onSettled(this, outcome);
  }

  #usage(usage: Usage | undefined): RuntimeOutcome["usage"] {
    return {
      cpuMs: (usage?.cpuMicros ?? 0) / 1000,
      wallMs: performance.now() - this.startedAt,
      peakMemoryBytes: usage?.peakBytes ?? 0,
      coldStart: this.cold,
    };
  }

  readonly #onAbort = (): void => {
    if (!this.settled) this.#options.onStop(this, "abort");
  };
}
