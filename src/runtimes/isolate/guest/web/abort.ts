/** `AbortController` and `AbortSignal`. The pump makes signals with {@link createAbort}, which no prototype change reaches. */
import { DOMException } from "./dom-exception.ts";
import { dispatch, Event, EventTarget, handlerProperty, signalHook } from "./events.ts";
import { promiseThen, tag } from "./primordials.ts";

const token = {};
let abortSignal: (signal: AbortSignal, reason?: unknown) => void;
let onAbort: (signal: AbortSignal, action: () => void) => void;
let forget: (signal: AbortSignal, action: () => void) => void;
let isAborted: (signal: AbortSignal) => boolean;
let reasonOf: (signal: AbortSignal) => unknown;
let startTimer: (ms: number, fn: () => void) => unknown = () => {
  throw new DOMException("Timers are not ready", "InvalidStateError");
};

/** Gives `AbortSignal.timeout` its timers. Called once, when the web layer is installed. */
export function useTimers(start: (ms: number, fn: () => void) => unknown): void {
  startTimer = start;
}

export class AbortSignal extends EventTarget {
  #aborted = false;
  #reason: unknown = undefined;
  #actions: (() => void)[] = [];
  declare onabort: ((event: Event) => unknown) | null;

  static {
    isAborted = (signal) => signal.#aborted;
    reasonOf = (signal) => signal.#reason;
    onAbort = (signal, action) => {
      signal.#actions[signal.#actions.length] = action;
    };
    forget = (signal, action) => {
      const kept: (() => void)[] = [];
      for (let i = 0; i < signal.#actions.length; i++) {
        const known = signal.#actions[i] as () => void;
        if (known !== action) kept[kept.length] = known;
      }
      signal.#actions = kept;
    };
    abortSignal = (signal, reason) => {
      if (signal.#aborted) return;
      signal.#aborted = true;
      signal.#reason = reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
      const actions = signal.#actions;
      signal.#actions = [];
      for (let i = 0; i < actions.length; i++) (actions[i] as () => void)();
      dispatch(signal, new Event("abort"));
    };
    signalHook.onAbort = (signal, action) => {
      if (!(#aborted in (signal as object))) throw new TypeError("`signal` must be an AbortSignal");
      onAbort(signal as AbortSignal, action);
    };
  }

  constructor(key?: object) {
    super();
    if (key !== token) throw new TypeError("Illegal constructor: use AbortController");
  }

  static abort(reason?: unknown): AbortSignal {
    const signal = new AbortSignal(token);
    abortSignal(signal, reason);
    return signal;
  }

  static timeout(ms: number): AbortSignal {
    const signal = new AbortSignal(token);
    startTimer(ms, () => abortSignal(signal, new DOMException("The operation timed out", "TimeoutError")));
    return signal;
  }

  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const result = new AbortSignal(token);
    const sources = [...signals];
    for (const source of sources) {
      if (!(#aborted in source)) throw new TypeError("AbortSignal.any takes AbortSignals");
      if (source.#aborted) {
        abortSignal(result, source.#reason);
        return result;
      }
    }
    for (const source of sources) onAbort(source, () => abortSignal(result, source.#reason));
    return result;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }
}
tag(AbortSignal, "AbortSignal");
handlerProperty(AbortSignal.prototype, "abort");

export class AbortController {
  #signal = new AbortSignal(token);

  get signal(): AbortSignal {
    return this.#signal;
  }

  abort(reason?: unknown): void {
    abortSignal(this.#signal, reason);
  }
}
tag(AbortController, "AbortController");

/** A signal and the function that aborts it, for trusted code. */
export function createAbort(): { signal: AbortSignal; abort(reason?: unknown): void } {
  const signal = new AbortSignal(token);
  return { signal, abort: (reason) => abortSignal(signal, reason) };
}

/**
 * The promise, or a rejection with the signal's reason, whichever comes first; `onStop` is told in the second case. What the
 * promise does later is ignored.
 */
export function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | null | undefined,
  onStop: () => void = () => {},
): Promise<T> {
  if (!signal) return promise;
  if (isAborted(signal)) {
    onStop();
    return Promise.reject(reasonOf(signal));
  }
  return new Promise((resolve, reject) => {
    const action = (): void => {
      onStop();
      reject(reasonOf(signal));
    };
    onAbort(signal, action);
    promiseThen(
      promise,
      (value) => {
        forget(signal, action);
        resolve(value as T);
      },
      (reason) => {
        forget(signal, action);
        reject(reason);
      },
    );
  });
}
