/** Takes what runners send and brings each frame to whom it is for. A frame that cannot be true is a ProtocolFault. */
import { CallFault, type Frame, FrameType } from "../bridge/frame.ts";
import { decodeUsage, parseLabel, type StatsLabel, statsShape } from "../bridge/labels.ts";
import type { AbilityCalls } from "./ability-calls.ts";
import { errorOfGuest, messageTooLarge, readGuestError } from "./call-error.ts";
import { stopCall } from "./call-steps.ts";
import type { CodeCache } from "./code-cache.ts";
import { copyBody } from "./copy-body.ts";
import type { HostedPlacement } from "./hosted-instance.ts";
import { placementOf, retirePlacement } from "./placements.ts";
import type { RunnerFaults } from "./runner-faults.ts";
import type { RunnerLink } from "./runner-link.ts";

export interface RunnerFramesOptions {
  abilities: AbilityCalls;
  faults: RunnerFaults;
  codeCache: CodeCache;
}

export class RunnerFrames {
  readonly #options: RunnerFramesOptions;

  constructor(options: RunnerFramesOptions) {
    this.#options = options;
  }

  take(link: RunnerLink, frame: Frame): void {
    const { abilities, faults, codeCache } = this.#options;
    switch (frame.type) {
      case FrameType.result:
      case FrameType.error:
        takeEnd(placementOf(link, frame), frame);
        return;
      case FrameType.abilityCall:
        abilities.take(placementOf(link, frame), frame);
        return;
      case FrameType.guestMessage:
        abilities.takeMessage(placementOf(link, frame), frame);
        return;
      case FrameType.chunk:
        takeChunk(placementOf(link, frame), frame);
        return;
      case FrameType.fault:
        faults.take(link, frame);
        return;
      case FrameType.stats:
        link.stats = parseLabel<StatsLabel>(frame.label, statsShape);
        return;
      case FrameType.codeCache: {
        const placement = link.placements.get(frame.instance);
        if (placement !== undefined) codeCache.put(placement.cacheName, copyBody(frame.body));
        return;
      }
    }
  }
}

function takeChunk(placement: HostedPlacement | undefined, frame: Frame): void {
  const call = placement?.calls.get(frame.call);
  if (call?.onChunk === undefined || call.stopping !== undefined) return;
  const { instance } = call.hosted;
  // The guest counts UTF-16 units; this is the limit in bytes.
  if (frame.body.length > instance.limits.messageBytes) stopCall(call, messageTooLarge(instance));
  else call.onChunk(copyBody(frame.body));
}

/** A result or an error: of a call, or of `init` or `stop`. */
function takeEnd(placement: HostedPlacement | undefined, frame: Frame): void {
  if (placement === undefined) return;
  const usage = decodeUsage(frame.label);
  if (placement.step?.id === frame.call) {
    takeStepEnd(placement, frame);
    return;
  }
  const call = placement.calls.get(frame.call);
  if (call === undefined) return;
  const { instance } = placement.hosted;
  if (frame.type === FrameType.result) {
    if (call.stopping !== undefined) call.fail(call.stopping, usage);
    else if (frame.body.length > instance.limits.messageBytes) call.fail(messageTooLarge(instance), usage);
    else call.succeed(copyBody(frame.body), usage);
    return;
  }
  if (frame.aux === CallFault.abandoned) retirePlacement(placement);
  call.fail(errorOfGuest(frame.aux, readGuestError(frame.body), instance, call.request.handler), usage);
}

function takeStepEnd({ step, hosted }: HostedPlacement, frame: Frame): void {
  if (frame.type === FrameType.result) {
    step?.ended(undefined);
    return;
  }
  const fault = frame.aux === CallFault.threw ? CallFault.loadFailed : frame.aux;
  step?.ended(errorOfGuest(fault, readGuestError(frame.body), hosted.instance, ["init"]));
}
