/**
 * The life of a placement, one isolate of an instance in a runner: `loading` → `ready` → `leaving` → `gone`. It is retired
 * when it may finish what it has, dropped when it must go, forgotten when it is gone already. Who loses calls here is told
 * nothing of it where the call may be made again.
 */
import { type Frame, FrameType, ProtocolFault } from "../bridge/frame.ts";
import type { ActiveCall } from "./active-call.ts";
import { runnerLost } from "./call-error.ts";
import type { HostedInstance, HostedPlacement } from "./hosted-instance.ts";
import type { RunnerLink } from "./runner-link.ts";

/** A placement that only finishes what it has may take so long. */
const leaveWithinMs = 2000;
/** Times a call that came with a load may wait for another. */
const loadRetries = 2;
/** Former instances a link remembers. */
const maxFormer = 64;

/** The instance's next isolate, which takes its new calls from now on. */
export function openPlacement(hosted: HostedInstance, link: RunnerLink, cacheName: string): HostedPlacement {
  link.lastInstance += 1;
  link.lastUsed = performance.now();
  const placement: HostedPlacement = {
    hosted,
    link,
    number: link.lastInstance,
    state: "loading",
    loaded: false,
    calls: new Map(),
    step: undefined,
    uncaught: 0,
    cacheName,
  };
  link.placements.set(placement.number, placement);
  hosted.placement = placement;
  return placement;
}

/** New calls go to a fresh isolate; this one finishes what it has, but not for long. */
export function retirePlacement(placement: HostedPlacement): void {
  if (placement.state !== "ready") return;
  const { hosted } = placement;
  placement.state = "leaving";
  if (hosted.placement === placement) hosted.placement = undefined;
  hosted.former.add(placement);
  setTimeout(() => {
    if (placement.state === "leaving") dropPlacement(placement);
  }, leaveWithinMs).unref();
}

/** The isolate goes now. Calls still in it are lost. */
export function dropPlacement(placement: HostedPlacement): void {
  if (placement.state === "gone") return;
  forgetPlacement(placement);
  placement.link.send({ type: FrameType.release, instance: placement.number });
  loseCalls(placement);
}

/** The isolate is gone: the runner said so, or went with it. */
export function forgetPlacement(placement: HostedPlacement): void {
  const { hosted, link } = placement;
  placement.state = "gone";
  link.placements.delete(placement.number);
  link.former.set(placement.number, hosted);
  if (link.former.size > maxFormer) link.former.delete(link.former.keys().next().value!);
  if (hosted.placement === placement) hosted.placement = undefined;
  hosted.former.delete(placement);
}

/** Calls of a lost isolate: once more where that is harmless, else a typed, retryable error. */
export function loseCalls(placement: HostedPlacement): void {
  const { hosted } = placement;
  placement.step?.ended(runnerLost(hosted.instance));
  const again: ActiveCall[] = [];
  for (const call of [...placement.calls.values()]) {
    if (mayGoOn(hosted) && mayStartOver(call, placement)) {
      placement.calls.delete(call.id);
      call.startOver();
      again.push(call);
    } else {
      call.fail(runnerLost(hosted.instance));
    }
  }
  if (again.length > 0) hosted.queue.unshift(...again);
  hosted.owner.advance(hosted);
}

function mayGoOn(hosted: HostedInstance): boolean {
  return !hosted.owner.closed() && !hosted.releasing && hosted.disabled === undefined;
}

/** What came with the load has not begun. */
function mayStartOver(call: ActiveCall, placement: HostedPlacement): boolean {
  return call.repeatable || (!placement.loaded && call.stopping === undefined && call.retries < loadRetries);
}

/** Nothing runs in it, and it takes calls. */
export function isIdle(placement: HostedPlacement): boolean {
  return placement.state === "ready" && placement.calls.size === 0 && placement.step === undefined;
}

/** Calls and lifecycle steps under way on a runner. */
export function callsOn(link: RunnerLink): number {
  let calls = 0;
  for (const placement of link.placements.values()) {
    calls += placement.calls.size + (placement.step === undefined ? 0 : 1);
  }
  return calls;
}

/** Where a runner's frame belongs; undefined for what is gone. A ProtocolFault for what never was. */
export function placementOf(link: RunnerLink, frame: Frame): HostedPlacement | undefined {
  if (frame.instance > link.lastInstance || frame.call > link.lastCall) {
    throw new ProtocolFault(`a frame for instance ${frame.instance}, call ${frame.call}, which never were`);
  }
  return link.placements.get(frame.instance);
}

/**
 * The runner must end, but others may finish first: it is killed after `withinMs`, or when nothing runs on it. Their next
 * calls go elsewhere at once.
 */
export function leaveRunner(link: RunnerLink, reason: string, withinMs = leaveWithinMs): void {
  link.leaving = true;
  link.endReason = reason;
  for (const placement of [...link.placements.values()]) {
    if (placement.state === "loading") dropPlacement(placement);
    else retirePlacement(placement);
    if (placement.calls.size === 0) dropPlacement(placement);
  }
  if (withinMs === 0 || callsOn(link) === 0) link.kill(reason);
  else setTimeout(() => link.kill(reason), withinMs);
}
