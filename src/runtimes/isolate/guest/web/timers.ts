/** `setTimeout` and its kin over the pump's timers; `queueMicrotask`. A callback that throws is logged, never fatal. */
import type { GuestHost } from "./host-port.ts";
import { apply, promiseThen, resolved } from "./primordials.ts";

type Callback = (...args: unknown[]) => unknown;

export interface Timers {
  setTimeout(callback: Callback, ms?: number, ...args: unknown[]): number;
  setInterval(callback: Callback, ms?: number, ...args: unknown[]): number;
  clearTimeout(id?: number): void;
  clearInterval(id?: number): void;
  queueMicrotask(callback: () => void): void;
}

const longest = 2 ** 31 - 1;

export function createTimers(host: GuestHost, report: (error: unknown, where: string) => void): Timers {
  const { setTimer, clearTimer } = host;
  /** Our id → the pump's. A null-prototype object: no method of it can be poisoned. */
  const live: Record<number, number> = { __proto__: null } as never;
  let lastId = 0;

  function run(callback: Callback, args: unknown[], where: string): void {
    try {
      apply(callback, undefined, args);
    } catch (error) {
      report(error, where);
    }
  }

  function start(callback: Callback, ms: unknown, args: unknown[], repeat: boolean): number {
    if (typeof callback !== "function") throw new TypeError("A timer needs a function");
    let delay = Number(ms ?? 0);
    if (!(delay >= 1)) delay = repeat ? 1 : 0;
    if (delay > longest) delay = 1;
    const id = ++lastId;
    const fire = (): void => {
      if (repeat) live[id] = setTimer(delay, fire);
      else delete live[id];
      run(callback, args, repeat ? "setInterval" : "setTimeout");
    };
    live[id] = setTimer(delay, fire);
    return id;
  }

  function stop(id?: number): void {
    const key = Number(id);
    const timer = live[key];
    if (timer === undefined) return;
    delete live[key];
    clearTimer(timer);
  }

  return {
    setTimeout: (callback, ms, ...args) => start(callback, ms, args, false),
    setInterval: (callback, ms, ...args) => start(callback, ms, args, true),
    clearTimeout: (id) => stop(id),
    clearInterval: (id) => stop(id),
    queueMicrotask(callback) {
      if (typeof callback !== "function") throw new TypeError("A microtask needs a function");
      promiseThen(resolved, () => run(callback, [], "queueMicrotask"));
    },
  };
}
