/**
 * The one way into and out of an isolate. `enter` takes a batch of messages and runs whatever they cause; `drain` gives
 * back, as one text, what the guest wants to say. Every piece of plugin code, continuations included, runs inside an
 * `enter`, under the runner's watch. Results and errors become text here, so nothing of the guest is touched outside.
 *
 * Longer than most: the state of calls, timers and the outbox is one state machine.
 */
import { CallFault } from "../bridge/frame.ts";
import { textOfChunk } from "./connector-batches.ts";
import { describeError } from "./describe-error.ts";
import { findHandler } from "./find-handler.ts";
import { Inbound, Outbound, type PumpLimits } from "./message-kind.ts";
import {
  apply,
  asyncIterator,
  defineProperty,
  emptyTable,
  NativeError,
  NativePromise,
  now,
  parse,
  rejectedWithZero,
  split,
} from "./primordials.ts";
import { stringifyForWire } from "./stringify-for-wire.ts";
import { AbortController } from "./web/abort.ts";

/** What trusted guest code (web APIs, `ctx`) may use. One per call, and one for the global scope. */
export interface GuestHost {
  /** Resolves with the parsed answer of the hub; rejects with an Error that has the hub's `code`. */
  call(ability: string, args: unknown[]): Promise<unknown>;
  /** Nobody answers. What exceeds the quota is dropped. */
  send(ability: string, args: unknown[]): void;
  setTimer(ms: number, run: () => void): number;
  clearTimer(timer: number): void;
  /** Epoch ms. */
  now(): number;
}

export type BuildContext = (environment: never, host: GuestHost, execution: never) => object;

interface GuestCall {
  id: number;
  ended: boolean;
  cancelled: boolean;
  controller: { signal: unknown; abort(reason?: unknown): void } | undefined;
  logLeft: number;
  messagesLeft: number;
  /** Numbers of ability calls under way. */
  pending: Record<number, true>;
  credit: number;
  wake: (() => void) | undefined;
}

interface PendingAbility {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  call: number;
}

const oneWayMessages = 10_000;

export function createPump(
  scope: Record<string, unknown>,
  buildContext: BuildContext,
): { enter: (...batch: (number | string)[]) => void; drain: () => string; host: GuestHost } {
  let limits: PumpLimits = { pendingAbilityCalls: 0, timers: 0, messageBytes: 0, logBytes: 0, outboxBytes: 0 };
  let environment: object = {};
  let definition: object | undefined;
  /** `init` under way: calls that came with the load wait for it. */
  let initialising: Promise<void> | undefined;
  let outbox = "";
  let outboxLeft = 0;
  const held = emptyTable<unknown>();

  const calls = emptyTable<GuestCall>();
  const abilities = emptyTable<PendingAbility>();
  let abilitiesUnderWay = 0;
  let lastAbility = 0;
  const timers = emptyTable<() => void>();
  let liveTimers = 0;
  let lastTimer = 0;
  /** The call whose message is being handled, else the last one that began: what global web APIs are counted to. */
  let current: GuestCall | undefined;

  // ---- leaving

  function emit(kind: string, id: number, aux: number, name: string, body: string): void {
    outbox += `${kind} ${id} ${aux} ${name.length} ${body.length}\n${name}${body}`;
  }

  function fault(code: string, message: string): Error {
    const error = new NativeError(message);
    defineProperty(error, "code", { value: code, enumerable: true, configurable: true, writable: true });
    return error;
  }

  function callAbility(call: GuestCall | undefined, ability: string, args: unknown[]): Promise<unknown> {
    return new NativePromise((resolve, reject) => {
      if (call === undefined || call.ended) throw fault("cancelled", `${ability} was used outside a call.`);
      if (call.cancelled) throw aborted();
      if (abilitiesUnderWay >= limits.pendingAbilityCalls) {
        throw fault("limit_exceeded", `No more than ${limits.pendingAbilityCalls} ability calls may be under way.`);
      }
      const body = stringifyForWire(args) as string;
      if (body.length > limits.messageBytes) {
        throw fault("limit_exceeded", `The arguments of ${ability} are larger than ${limits.messageBytes} bytes.`);
      }
      if (body.length > outboxLeft) throw fault("limit_exceeded", "Too much was sent at once.");
      outboxLeft -= body.length;
      lastAbility += 1;
      abilitiesUnderWay += 1;
      abilities[lastAbility] = { resolve, reject, call: call.id };
      call.pending[lastAbility] = true;
      emit(Outbound.ability, call.id, lastAbility, ability, body);
    });
  }

  function sendMessage(call: GuestCall | undefined, ability: string, args: unknown[]): void {
    if (call === undefined || call.ended || call.messagesLeft <= 0) return;
    call.messagesLeft -= 1;
    let body: string;
    try {
      body = stringifyForWire(args) as string;
    } catch {
      return;
    }
    if (body.length > limits.messageBytes || body.length > outboxLeft) return;
    if (ability === "log.write") {
      if (call.logLeft <= 0) return;
      if (body.length > call.logLeft) {
        call.logLeft = 0;
        body = '["warn","The log of this call is longer than allowed; the rest is left out."]';
      } else {
        call.logLeft -= body.length;
      }
    }
    outboxLeft -= body.length;
    emit(Outbound.message, call.id, 0, ability, body);
  }

  function setTimer(ms: number, run: () => void): number {
    if (liveTimers >= limits.timers) throw fault("limit_exceeded", `No more than ${limits.timers} timers may be set.`);
    const delay = ms >= 1 && ms <= 2_147_483_647 ? ms - (ms % 1) : 1;
    lastTimer += 1;
    liveTimers += 1;
    timers[lastTimer] = run;
    emit(Outbound.timer, delay, lastTimer, "", "");
    return lastTimer;
  }

  function clearTimer(timer: number): void {
    if (timers[timer] === undefined) return;
    delete timers[timer];
    liveTimers -= 1;
    emit(Outbound.clearTimer, 0, timer, "", "");
  }

  function hostOf(call: GuestCall): GuestHost {
    return {
      call: (ability, args) => callAbility(call, ability, args),
      send: (ability, args) => sendMessage(call, ability, args),
      setTimer,
      clearTimer,
      now,
    };
  }

  const host: GuestHost = {
    call: (ability, args) => callAbility(current, ability, args),
    send: (ability, args) => sendMessage(current, ability, args),
    setTimer,
    clearTimer,
    now,
  };

  // ---- calls

  function begin(id: number): GuestCall {
    const call: GuestCall = {
      id,
      ended: false,
      cancelled: false,
      controller: undefined,
      logLeft: limits.logBytes,
      messagesLeft: oneWayMessages,
      pending: emptyTable(),
      credit: 0,
      wake: undefined,
    };
    calls[id] = call;
    current = call;
    return call;
  }

  /** Says how a call ended, once. */
  function end(call: GuestCall, kind: string, aux: number, body: string): void {
    if (call.ended) return;
    call.ended = true;
    delete calls[call.id];
    for (const ability in call.pending) forget(+ability);
    if (current === call) current = undefined;
    emit(kind, call.id, aux, "", body);
  }

  function forget(ability: number): PendingAbility | undefined {
    const pending = abilities[ability];
    if (pending === undefined) return undefined;
    delete abilities[ability];
    abilitiesUnderWay -= 1;
    const call = calls[pending.call];
    if (call !== undefined) delete call.pending[ability];
    return pending;
  }

  function endWithError(call: GuestCall, aux: number, error: unknown): void {
    end(call, Outbound.error, aux, describeError(error));
  }

  function endWithResult(call: GuestCall, value: unknown): void {
    const body = serialise(call, value);
    if (body !== undefined) end(call, Outbound.result, 0, body);
  }

  function serialise(call: GuestCall, value: unknown): string | undefined {
    let body: string | undefined;
    // Not worth the memory of a second copy.
    const huge = typeof value === "string" && value.length > limits.messageBytes;
    try {
      if (!huge) body = textOfChunk(value) ?? stringifyForWire(value);
    } catch (error) {
      endWithError(call, CallFault.resultInvalid, error);
      return undefined;
    }
    if (huge || (body !== undefined && body.length > limits.messageBytes)) {
      endWithError(call, CallFault.limit, fault("limit_exceeded", `${limits.messageBytes} bytes for one message`));
      return undefined;
    }
    return body ?? "null";
  }

  function contextOf(call: GuestCall, execution: Record<string, unknown>): object {
    defineProperty(execution, "signal", {
      enumerable: true,
      configurable: true,
      get: () => {
        if (call.controller === undefined) {
          call.controller = new AbortController();
          if (call.cancelled) call.controller.abort();
        }
        return call.controller.signal;
      },
    });
    return buildContext(environment as never, hostOf(call), execution as never);
  }

  async function run(call: GuestCall, label: string, args: string, stream: boolean): Promise<void> {
    try {
      if (initialising !== undefined) await initialising;
      if (call.ended) return;
      const { handler, environment: execution } = parse(label) as {
        handler: string[];
        environment: Record<string, unknown>;
      };
      const found = definition === undefined ? undefined : findHandler(definition, handler);
      if (found === undefined) {
        endWithError(call, CallFault.handlerMissing, fault("handler_missing", "There is no such handler."));
        return;
      }
      const list = parse(args) as unknown[];
      defineProperty(list, list.length, {
        value: contextOf(call, execution),
        enumerable: true,
        configurable: true,
        writable: true,
      });
      const value = await apply(found.run, found.self, list);
      const iterator = iteratorOf(value);
      if (iterator === undefined) endWithResult(call, value);
      else if (stream) await feed(call, iterator);
      else
        endWithError(
          call,
          CallFault.resultInvalid,
          fault("result_invalid", "the handler yields chunks, but the caller takes one result"),
        );
    } catch (error) {
      endWithError(call, CallFault.threw, error);
    }
  }

  function iteratorOf(value: unknown): AsyncIterator<unknown> | undefined {
    if (typeof value !== "object" || value === null) return undefined;
    const make = (value as Record<symbol, unknown>)[asyncIterator];
    if (typeof make !== "function") return undefined;
    return apply(make as () => AsyncIterator<unknown>, value, []) as AsyncIterator<unknown>;
  }

  /** Takes chunks only while there is credit, so a slow reader slows the guest and nothing piles up. */
  async function feed(call: GuestCall, iterator: AsyncIterator<unknown>): Promise<void> {
    while (!call.ended) {
      if (call.credit <= 0) {
        await new NativePromise<void>((resolve) => {
          call.wake = resolve;
        });
      }
      if (call.cancelled) {
        const stop = iterator.return;
        if (typeof stop === "function") await apply(stop, iterator, []);
        endWithError(call, CallFault.threw, aborted());
        return;
      }
      const step = await iterator.next();
      if (step.done === true) {
        endWithResult(call, step.value);
        return;
      }
      const body = serialise(call, step.value);
      if (body === undefined || call.ended) return;
      call.credit -= 1;
      emit(Outbound.chunk, call.id, 0, "", body);
    }
  }

  function aborted(): Error {
    const error = fault("cancelled", "The call was cancelled.");
    defineProperty(error, "name", { value: "AbortError", configurable: true, writable: true });
    return error;
  }

  function cancel(call: GuestCall): void {
    call.cancelled = true;
    for (const ability in call.pending) forget(+ability)?.reject(aborted());
    call.wake?.();
    call.controller?.abort();
  }

  async function lifecycle(call: GuestCall, step: "init" | "stop", faultCode: number): Promise<void> {
    try {
      const handler = definition === undefined ? undefined : findHandler(definition, [step]);
      if (handler !== undefined) {
        const context = contextOf(call, { id: step, deadline: "9999-12-31T23:59:59.999Z" });
        await apply(handler.run, handler.self, [context]);
      }
      end(call, Outbound.result, 0, "null");
    } catch (error) {
      endWithError(call, faultCode, error);
    }
  }

  async function initialise(call: GuestCall): Promise<void> {
    await lifecycle(call, "init", CallFault.loadFailed);
    initialising = undefined;
  }

  function load(id: number, environmentText: string, limitsText: string): void {
    limits = parse(limitsText) as PumpLimits;
    outboxLeft = limits.outboxBytes;
    environment = parse(environmentText) as object;
    const call = begin(id);
    const left = scope["__backplanePlugin"];
    delete scope["__backplanePlugin"];
    if ((typeof left !== "object" && typeof left !== "function") || left === null) {
      endWithError(
        call,
        CallFault.loadFailed,
        fault("plugin_load_failed", "the bundle's default export is not what definePlugin() gives"),
      );
      return;
    }
    definition = left;
    initialising = initialise(call);
  }

  // ---- entering

  function handle(kind: number, id: number, aux: number, a: string, b: string): void {
    if (kind === Inbound.answer) {
      const pending = forget(aux);
      if (pending === undefined) return;
      current = calls[pending.call] ?? current;
      const value = parse(b);
      if (a === "1") pending.reject(revive(value as Record<string, unknown>));
      else pending.resolve(value);
      return;
    }
    if (kind === Inbound.call) {
      void run(begin(id), a, b, aux === 1);
      return;
    }
    if (kind === Inbound.timers) {
      const due = split(a, ",");
      for (let i = 0; i < due.length; i++) fire(+due[i]!);
      return;
    }
    if (kind === Inbound.load) {
      load(id, a, b);
      return;
    }
    if (kind === Inbound.stop) {
      void lifecycle(begin(id), "stop", CallFault.threw);
      return;
    }
    const call = calls[id];
    if (call === undefined) return;
    current = call;
    if (kind === Inbound.cancel) cancel(call);
    else if (kind === Inbound.credit) {
      call.credit += aux;
      const wake = call.wake;
      call.wake = undefined;
      wake?.();
    }
  }

  function fire(timer: number): void {
    const run = timers[timer];
    if (run === undefined) return;
    delete timers[timer];
    liveTimers -= 1;
    try {
      run();
    } catch (error) {
      uncaught(error);
    }
  }

  function uncaught(error: unknown): void {
    const body = describeError(error);
    if (body.length > outboxLeft) return;
    outboxLeft -= body.length;
    emit(Outbound.uncaught, current?.id ?? 0, 0, "", body);
  }

  /** An error of the hub as the guest sees it: the hub's fields on an ordinary Error. */
  function revive(fields: Record<string, unknown>): Error {
    const error = new NativeError(typeof fields["message"] === "string" ? fields["message"] : "");
    for (const name in fields) {
      if (name === "message" || name === "stack" || name === "__proto__") continue;
      defineProperty(error, name, {
        value: fields[name],
        enumerable: name !== "name",
        configurable: true,
        writable: true,
      });
    }
    return error;
  }

  function enter(...batch: (number | string)[]): void {
    // isolated-vm copies the first rejection nobody handled, which runs its getters outside every limit. So the first
    // one is always ours.
    held["rejection"] = rejectedWithZero();
    outboxLeft = limits.outboxBytes;
    for (let i = 0; i + 4 < batch.length; i += 5) {
      try {
        handle(
          batch[i] as number,
          batch[i + 1] as number,
          batch[i + 2] as number,
          batch[i + 3] as string,
          batch[i + 4] as string,
        );
      } catch (error) {
        uncaught(error);
      }
    }
  }

  function drain(): string {
    held["rejection"] = undefined;
    const text = outbox;
    outbox = "";
    return text;
  }

  return { enter, drain, host };
}
