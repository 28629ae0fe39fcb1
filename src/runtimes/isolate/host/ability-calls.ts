/**
 * What guests ask of abilities, as a runner's frames bring it: checked against what the instance was given, counted for
 * the call that asks, handed to the hub as bytes, answered. What the guest's own side keeps to already is checked here
 * once more, for a runner that was taken over.
 */
import { BackplaneError } from "../../../errors/error.ts";
import type { PluginInstance, RuntimeCall, RuntimeCallbacks } from "../../runtime.ts";
import { type Frame, FrameFlag, FrameType, ProtocolFault } from "../bridge/frame.ts";
import { errorForGuest, messageTooLarge } from "./call-error.ts";
import { copyBody } from "./copy-body.ts";
import type { HostedPlacement } from "./hosted-instance.ts";

/** One-way messages of one call; the guest's own quota, see guest/pump.ts. */
const oneWayMessages = 10_000;

/** Who asks: a call, or the `init` or `stop` that is under way. */
interface AbilityOwner {
  readonly context: unknown;
  readonly execution: RuntimeCall["execution"];
  readonly signal: AbortSignal;
  /** Where it is counted what was asked. */
  readonly counts: { abilitiesUnderWay: number; messages: number; logBytes: number };
  /** An ability call of it was answered. */
  release(): void;
}

export class AbilityCalls {
  readonly #callbacks: RuntimeCallbacks;

  /** `callbacks`: those for one-way messages must not throw. */
  constructor(callbacks: RuntimeCallbacks) {
    this.#callbacks = callbacks;
  }

  take(placement: HostedPlacement | undefined, frame: Frame): void {
    const owner = ownerOf(placement, frame.call);
    if (placement === undefined || owner === undefined) return;
    const { instance } = placement.hosted;
    const refusal = refusalOf(instance, frame);
    if (refusal !== undefined) {
      answer(placement, frame, true, errorForGuest(refusal));
      return;
    }
    owner.counts.abilitiesUnderWay += 1;
    if (owner.counts.abilitiesUnderWay > instance.limits.pendingAbilityCalls) {
      throw new ProtocolFault("more ability calls under way than allowed");
    }
    void this.#run(placement, frame, owner);
  }

  async #run(placement: HostedPlacement, frame: Frame, owner: AbilityOwner): Promise<void> {
    const { instance } = placement.hosted;
    let failed = false;
    let body: Uint8Array | string;
    try {
      body = await this.#callbacks.onAbilityCall({
        context: owner.context,
        instance,
        execution: owner.execution,
        ability: nameIn(frame),
        args: copyBody(frame.body),
        get signal() {
          return owner.signal;
        },
      });
      if (body.length > instance.limits.messageBytes) {
        failed = true;
        body = errorForGuest(messageTooLarge(instance));
      }
    } catch (error) {
      failed = true;
      body = errorForGuest(error);
    }
    owner.release();
    answer(placement, frame, failed, body);
  }

  /** A log line or another message nobody waits for. */
  takeMessage(placement: HostedPlacement | undefined, frame: Frame): void {
    const owner = ownerOf(placement, frame.call);
    if (placement === undefined || owner === undefined) return;
    const { instance } = placement.hosted;
    const ability = nameIn(frame);
    if (frame.body.length > instance.limits.messageBytes || !instance.guest.abilities.includes(ability)) return;
    owner.counts.messages += 1;
    if (owner.counts.messages > oneWayMessages) throw new ProtocolFault("more messages of one call than allowed");
    if (ability === "log.write") {
      owner.counts.logBytes += frame.body.length;
      if (owner.counts.logBytes > instance.limits.logBytes * 3 + 1000) return;
    }
    this.#callbacks.onGuestMessage({
      context: owner.context,
      instance,
      execution: owner.execution,
      ability,
      args: copyBody(frame.body),
    });
  }
}

/** Undefined when the call is over or stopping: then nobody wants the answer. */
function ownerOf(placement: HostedPlacement | undefined, id: number): AbilityOwner | undefined {
  const call = placement?.calls.get(id);
  if (call !== undefined) {
    if (call.stopping !== undefined) return undefined;
    const { context, execution } = call.request;
    const attempt = call.retries;
    return {
      context,
      execution,
      counts: call,
      get signal() {
        return call.signal;
      },
      release() {
        // An answer to an earlier attempt says nothing about this one.
        if (call.retries === attempt) call.abilitiesUnderWay -= 1;
      },
    };
  }
  const step = placement?.step;
  if (step?.id !== id) return undefined;
  const { context, execution, controller } = step;
  return {
    context,
    execution,
    counts: step,
    signal: controller.signal,
    release() {
      step.abilitiesUnderWay -= 1;
    },
  };
}

function refusalOf(instance: PluginInstance, frame: Frame): BackplaneError | undefined {
  // The guest was told in UTF-16 units; this is the limit in bytes.
  if (frame.body.length > instance.limits.messageBytes) return messageTooLarge(instance);
  const ability = nameIn(frame);
  if (instance.guest.abilities.includes(ability)) return undefined;
  // A guest never names one it was not given, but a runner that was taken over may.
  return new BackplaneError("ability_unknown", { ability: ability.slice(0, 64) });
}

function nameIn(frame: Frame): string {
  return Buffer.from(frame.label).toString("latin1");
}

function answer(placement: HostedPlacement, frame: Frame, failed: boolean, body: Uint8Array | string): void {
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
