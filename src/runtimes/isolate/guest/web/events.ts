/** `Event`, `CustomEvent` and `EventTarget`. There is no tree here, so events have one target and no bubbling. */
import { defineProperty, tag } from "./primordials.ts";

interface EventInit {
  bubbles?: boolean;
  cancelable?: boolean;
  composed?: boolean;
}

let reportListenerError: (error: unknown, where: string) => void = () => {};

/** Where errors of listeners go. Set once, when the web layer is installed. */
export function onListenerError(report: (error: unknown, where: string) => void): void {
  reportListenerError = report;
}

let dispatchTo: (event: Event, target: EventTarget | null) => void;
let isStopped: (event: Event) => boolean;

export class Event {
  #type: string;
  #init: EventInit;
  #target: EventTarget | null = null;
  #current: EventTarget | null = null;
  #prevented = false;
  #stopped = false;
  readonly timeStamp: number = Date.now();

  static {
    dispatchTo = (event, target) => {
      if (target !== null) {
        if (event.#current !== null) throw new TypeError("The event is being dispatched already");
        event.#target = target;
        event.#stopped = false;
      }
      event.#current = target;
    };
    isStopped = (event) => event.#stopped;
  }

  constructor(type: string, init: EventInit = {}) {
    if (type === undefined) throw new TypeError("An event needs a type");
    this.#type = `${type}`;
    this.#init = init ?? {};
  }

  get type(): string {
    return this.#type;
  }
  get target(): EventTarget | null {
    return this.#target;
  }
  get currentTarget(): EventTarget | null {
    return this.#current;
  }
  get bubbles(): boolean {
    return Boolean(this.#init.bubbles);
  }
  get cancelable(): boolean {
    return Boolean(this.#init.cancelable);
  }
  get composed(): boolean {
    return Boolean(this.#init.composed);
  }
  get defaultPrevented(): boolean {
    return this.#prevented;
  }
  get eventPhase(): number {
    return this.#current === null ? 0 : 2;
  }
  get isTrusted(): boolean {
    return false;
  }
  composedPath(): EventTarget[] {
    return this.#current === null ? [] : [this.#current];
  }
  preventDefault(): void {
    if (this.cancelable) this.#prevented = true;
  }
  stopPropagation(): void {
    // One target: there is nowhere further to go.
  }
  stopImmediatePropagation(): void {
    this.#stopped = true;
  }
}
tag(Event, "Event");

export class CustomEvent<T = unknown> extends Event {
  #detail: T;

  constructor(type: string, init: EventInit & { detail?: T } = {}) {
    super(type, init);
    this.#detail = (init?.detail ?? null) as T;
  }

  get detail(): T {
    return this.#detail;
  }
}
tag(CustomEvent, "CustomEvent");

type Listener = ((event: Event) => unknown) | { handleEvent(event: Event): unknown } | null;
interface Registration {
  type: string;
  listener: Exclude<Listener, null>;
  capture: boolean;
  once: boolean;
  removed: boolean;
}
interface SignalLike {
  readonly aborted: boolean;
}

/** Filled by abort.ts: calls `action` when the signal aborts. */
export const signalHook: { onAbort: (signal: SignalLike, action: () => void) => void } = { onAbort: () => {} };

/** Dispatches without a look-up on a prototype that a plugin could have changed. */
export let dispatch: (target: EventTarget, event: Event) => boolean;

export class EventTarget {
  #registrations: Registration[] = [];

  static {
    dispatch = (target, event) => {
      dispatchTo(event, target);
      const registrations = target.#registrations;
      const count = registrations.length;
      for (let i = 0; i < count && !isStopped(event); i++) {
        const registration = registrations[i] as Registration;
        if (registration.removed || registration.type !== event.type) continue;
        if (registration.once) registration.removed = true;
        try {
          const { listener } = registration;
          if (typeof listener === "function") Reflect.apply(listener, target, [event]);
          else listener.handleEvent(event);
        } catch (error) {
          reportListenerError(error, `a listener of '${event.type}'`);
        }
      }
      dispatchTo(event, null);
      // Copy-on-removal: a dispatch further up the stack goes on over its own, older list.
      const kept: Registration[] = [];
      for (let i = 0; i < target.#registrations.length; i++) {
        const registration = target.#registrations[i] as Registration;
        if (!registration.removed) kept[kept.length] = registration;
      }
      target.#registrations = kept;
      return !event.defaultPrevented;
    };
  }

  addEventListener(
    type: string,
    listener: Listener,
    options: boolean | { capture?: boolean; once?: boolean; signal?: SignalLike } = {},
  ): void {
    if (listener === null || listener === undefined) return;
    if (typeof listener !== "function" && typeof listener !== "object")
      throw new TypeError("A listener must be a function or an object");
    const details = typeof options === "object" && options !== null ? options : { capture: Boolean(options) };
    const { signal } = details;
    if (signal?.aborted) return;
    const name = `${type}`;
    const capture = Boolean(details.capture);
    for (let i = 0; i < this.#registrations.length; i++) {
      const known = this.#registrations[i] as Registration;
      if (!known.removed && known.type === name && known.listener === listener && known.capture === capture) return;
    }
    this.#registrations[this.#registrations.length] = {
      type: name,
      listener,
      capture,
      once: Boolean(details.once),
      removed: false,
    };
    if (signal) signalHook.onAbort(signal, () => this.removeEventListener(name, listener, capture));
  }

  removeEventListener(type: string, listener: Listener, options: boolean | { capture?: boolean } = {}): void {
    const name = `${type}`;
    const capture = Boolean(typeof options === "object" && options !== null ? options.capture : options);
    const kept: Registration[] = [];
    for (let i = 0; i < this.#registrations.length; i++) {
      const known = this.#registrations[i] as Registration;
      if (known.type === name && known.listener === listener && known.capture === capture) known.removed = true;
      else kept[kept.length] = known;
    }
    this.#registrations = kept;
  }

  dispatchEvent(event: Event): boolean {
    return dispatch(this, event);
  }
}
tag(EventTarget, "EventTarget");

/** An `on…` property: one listener that keeps its place. */
export function handlerProperty(prototype: object, type: string): void {
  const handlers = new WeakMap<object, { value: unknown }>();
  defineProperty(prototype, `on${type}`, {
    configurable: true,
    enumerable: true,
    get(this: EventTarget) {
      return handlers.get(this)?.value ?? null;
    },
    set(this: EventTarget, value: unknown) {
      const handler = handlers.get(this);
      if (handler !== undefined) {
        handler.value = value;
        return;
      }
      const fresh = { value };
      handlers.set(this, fresh);
      this.addEventListener(type, (event) => {
        if (typeof fresh.value === "function") Reflect.apply(fresh.value, this, [event]);
      });
    },
  });
}
