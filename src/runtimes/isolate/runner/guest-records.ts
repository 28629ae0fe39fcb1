/** What a guest has to say, record by record: turned into frames for the hub, timers, and ends of calls. */
import { CallFault, FrameType } from "../bridge/frame.ts";
import type { OutgoingFrame } from "../bridge/frame-writer.ts";
import type { FaultLabel, InstanceLimits } from "../bridge/labels.ts";
import { Outbound } from "../guest/message-kind.ts";
import type { GuestTimers } from "./guest-timers.ts";
import type { LiveCall, LiveCalls } from "./live-calls.ts";
import type { OutboxRecord } from "./outbox.ts";
import type { PendingAbilities } from "./pending-abilities.ts";

export interface CallEnd {
  type: typeof FrameType.result | typeof FrameType.error;
  aux: number;
  body: string;
}

export interface GuestRecordsOptions {
  /** Of the instance. */
  number: number;
  limits: InstanceLimits;
  calls: LiveCalls;
  abilities: PendingAbilities;
  timers: GuestTimers;
  send(frame: OutgoingFrame): void;
  onEnd(call: LiveCall, end: CallEnd): void;
  /** An error that nobody handled. */
  onUncaught(fault: FaultLabel): void;
  /** No honest guest says this: the isolate is to be given up for it. */
  onBreach(what: string, calls: readonly LiveCall[]): void;
}

/** What describe-error.ts gives is smaller. */
const maxErrorText = 80_000;
const maxUncaught = 20;
const abilityName = /^[A-Za-z][\w.]{0,63}$/;
const nonsense = "messages the platform understands";

export class GuestRecords {
  readonly #options: GuestRecordsOptions;
  #uncaught = 0;

  constructor(options: GuestRecordsOptions) {
    this.#options = options;
  }

  take(record: OutboxRecord): void {
    const { number: instance, calls, timers, send } = this.#options;
    const { kind, id, aux, body } = record;
    switch (kind) {
      case Outbound.ability:
        this.#takeAbility(record);
        return;
      case Outbound.message:
        if (!abilityName.test(record.name)) return;
        send({ type: FrameType.guestMessage, instance, call: id, label: record.name, body });
        return;
      case Outbound.chunk:
        if (calls.get(id)?.stream) send({ type: FrameType.chunk, instance, call: id, body });
        return;
      case Outbound.timer:
        if (!timers.set(aux, id)) this.#options.onBreach("timers", []);
        return;
      case Outbound.clearTimer:
        timers.clear(aux);
        return;
      case Outbound.uncaught:
        this.#takeUncaught(record);
        return;
      case Outbound.result:
      case Outbound.error:
        this.#takeEnd(record);
        return;
      default:
        this.#options.onBreach(nonsense, []);
    }
  }

  #takeAbility({ id, aux, name, body }: OutboxRecord): void {
    const { number: instance, calls, abilities, send, onBreach } = this.#options;
    const call = calls.get(id);
    if (call === undefined) return;
    if (!abilityName.test(name)) onBreach(nonsense, []);
    else if (!abilities.add(aux, id)) onBreach("pending ability calls", [call]);
    else send({ type: FrameType.abilityCall, instance, call: id, aux, label: name, body });
  }

  #takeUncaught({ id, body }: OutboxRecord): void {
    this.#uncaught += 1;
    if (this.#uncaught > maxUncaught) return;
    this.#options.onUncaught({
      kind: "uncaught",
      code: "plugin_error",
      reason: body.slice(0, 1500),
      calls: [id],
      cpuMicros: [0],
      urgent: false,
    });
  }

  #takeEnd({ kind, id, aux, body }: OutboxRecord): void {
    const { calls, limits, onEnd } = this.#options;
    const call = calls.get(id);
    if (call === undefined) return;
    if (kind === Outbound.error) {
      onEnd(call, { type: FrameType.error, aux, body: body.length > maxErrorText ? '{"message":"too large"}' : body });
    } else if (tooLarge(body, limits.messageBytes)) {
      const message = `${limits.messageBytes} bytes for one message`;
      onEnd(call, { type: FrameType.error, aux: CallFault.limit, body: JSON.stringify({ name: "Error", message }) });
    } else {
      onEnd(call, { type: FrameType.result, aux, body });
    }
  }
}

function tooLarge(text: string, bytes: number): boolean {
  return text.length > bytes || (text.length * 3 > bytes && Buffer.byteLength(text) > bytes);
}
