/**
 * What goes wrong in runners: isolates that were given up, runners that must end, runners that are gone. Finds who is to
 * blame, ends their calls with the reason, and lets the calls of the innocent go on elsewhere.
 */
import { type Frame, ProtocolFault } from "../bridge/frame.ts";
import { type FaultLabel, faultShape, parseLabel, type Usage } from "../bridge/labels.ts";
import { errorOfFault, guestReason } from "./call-error.ts";
import { type HostedPlacement, loadFailed } from "./hosted-instance.ts";
import type { InstanceConduct } from "./instance-conduct.ts";
import { loadBudgetMs } from "./instance-start.ts";
import { forgetPlacement, leaveRunner, loseCalls } from "./placements.ts";
import type { RunnerLink } from "./runner-link.ts";
import { StrikeWeight } from "./strikes.ts";

/** Innocent calls on a runner that must end may take so long. */
const poisonedWithinMs = 1000;
const suspectMs = 60_000;
/** Reports of errors nobody handled, for one isolate. */
const maxUncaught = 20;
const faultKinds: readonly FaultLabel["kind"][] = ["isolate", "poisoned", "inline_overrun", "uncaught"];
const faultCodes: readonly FaultLabel["code"][] = [
  "cpu_exceeded",
  "memory_exceeded",
  "limit_exceeded",
  "plugin_error",
  "runner_lost",
];

export class RunnerFaults {
  readonly #conduct: InstanceConduct;

  constructor(conduct: InstanceConduct) {
    this.#conduct = conduct;
  }

  /** A runner says what went wrong in it. */
  take(link: RunnerLink, frame: Frame): void {
    const label = parseFault(frame.label);
    const placement = link.placements.get(frame.instance);
    const hosted = placement?.hosted ?? link.former.get(frame.instance);
    if (label.kind === "uncaught") {
      if (placement !== undefined) this.#uncaught(placement, label);
      return;
    }
    if (placement !== undefined) {
      forgetPlacement(placement);
      if (label.kind === "inline_overrun") placement.hosted.noInline = true;
      else blame(placement, label);
      // Cancelled and looping is no strike of its own: the caller asked for the end.
      if (label.kind === "isolate" && label.code !== "runner_lost") {
        this.#conduct.strike(placement.hosted, StrikeWeight.isolateLost, label.code, label.reason);
      }
      loseCalls(placement);
    }
    if (label.kind === "poisoned") {
      if (hosted !== undefined) this.#conduct.strike(hosted, StrikeWeight.runnerLost, label.code, label.reason);
      link.culprit = frame.instance;
      leaveRunner(link, `poisoned: ${label.reason}`, label.urgent ? 0 : poisonedWithinMs);
    }
  }

  #uncaught(placement: HostedPlacement, { reason }: FaultLabel): void {
    placement.uncaught += 1;
    if (placement.uncaught > maxUncaught) return;
    this.#conduct.report(placement.hosted, "unhandled_rejection", "plugin_error", guestReason(reason));
  }

  /** The process is gone. Finds who was to blame before the calls are dealt with. */
  lost(link: RunnerLink): void {
    const placements = [...link.placements.values()];
    const working = placements.filter((placement) => placement.calls.size > 0 || placement.step !== undefined);
    if (!link.retired && !link.leaving) this.#findCulprit(link, working);
    for (const placement of placements) {
      forgetPlacement(placement);
      if (link.culprit === placement.number) failCalls(placement, link.stoodStill);
      loseCalls(placement);
    }
    if (link.retired) return;
    for (const { hosted } of working) this.#conduct.report(hosted, "runner_lost", "runner_lost", link.endReason);
  }

  #findCulprit(link: RunnerLink, working: HostedPlacement[]): void {
    const named = link.placements.get(link.culprit);
    const culprit = named ?? (link.crashed && working.length === 1 ? working[0] : undefined);
    if (culprit !== undefined) {
      link.culprit = culprit.number;
      this.#conduct.strike(culprit.hosted, StrikeWeight.runnerLost, "runner_lost", link.endReason);
      return;
    }
    // Nobody knows whose fault it was: each runs alone for a while, so that the next time it is known. Nobody gets a
    // strike for a process that somebody else ended.
    for (const { hosted } of working) hosted.suspectUntil = performance.now() + suspectMs;
  }
}

/** Ends the calls that are to blame, each with what it had cost. */
function blame(placement: HostedPlacement, { code, reason, calls, cpuMicros }: FaultLabel): void {
  const { hosted, step } = placement;
  const { instance } = hosted;
  if (step !== undefined && !placement.loaded && calls.includes(step.id)) {
    const error = errorOfFault(code, reason, instance, loadBudgetMs(instance));
    for (const call of [...placement.calls.values()]) call.fail(error);
    loadFailed(hosted, error);
    return;
  }
  calls.forEach((id, index) => {
    const call = placement.calls.get(id);
    if (call === undefined) return;
    const micros = cpuMicros[index];
    const usage: Usage = { cpuMicros: typeof micros === "number" ? clamp(micros) : 0, peakBytes: 0 };
    if (code === "memory_exceeded") usage.peakBytes = instance.limits.memoryMb * 1024 * 1024;
    call.fail(errorOfFault(code, reason, instance, call.budgetMs), usage);
  });
}

/** Calls of the instance that brought its runner down are not tried again. */
function failCalls(placement: HostedPlacement, stoodStill: boolean): void {
  const { instance } = placement.hosted;
  const code = stoodStill ? "cpu_exceeded" : "runner_lost";
  for (const call of [...placement.calls.values()]) call.fail(errorOfFault(code, "", instance, call.budgetMs));
}

/** What a runner says of its faults is believed only in the words it has for them. */
function parseFault(bytes: Uint8Array): FaultLabel {
  const label = parseLabel<FaultLabel>(bytes, faultShape);
  if (!faultKinds.includes(label.kind)) throw new ProtocolFault("a fault of an unknown kind");
  if (!faultCodes.includes(label.code)) throw new ProtocolFault("a fault with an unknown code");
  return label.kind === "uncaught" ? label : { ...label, reason: label.reason.slice(0, 300) };
}

/** As usage is packed: a u32. */
function clamp(cpuMicros: number): number {
  return Math.min(Math.max(0, cpuMicros), 0xffffffff);
}
