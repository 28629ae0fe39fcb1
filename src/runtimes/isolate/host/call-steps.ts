/** The steps of one call: refused or let in, sent to its placement, stopped, over. */
import { BackplaneError } from "../../../errors/error.ts";
import { FrameFlag, FrameType } from "../bridge/frame.ts";
import type { ActiveCall } from "./active-call.ts";
import { messageTooLarge, unavailable } from "./call-error.ts";
import type { HostedPlacement } from "./hosted-instance.ts";
import { streamWindow } from "./isolate-stream.ts";
import { callsOn, dropPlacement, retirePlacement } from "./placements.ts";
import { noteCall } from "./runner-health.ts";

/** A guest has so long to end a cancelled call by itself. */
const cancelGraceMs = 25;
/** The runner has so long to say how a cancelled call ended. */
const stopWithinMs = 300;
/** Characters of handler and environment. */
const maxCallLabel = 20_000;

/** Why a call is not let in. `queueLength`: calls of the instance that may wait. */
export function refusalOf(call: ActiveCall, queueLength: number): BackplaneError | undefined {
  const { hosted } = call;
  const { instance } = hosted;
  if (hosted.owner.closed()) return new BackplaneError("shutting_down");
  if (call.request.signal?.aborted) return new BackplaneError("cancelled");
  if (call.expiresAt <= Date.now()) return stopError(call, "deadline");
  if (hosted.disabled !== undefined) {
    return new BackplaneError("plugin_quarantined", { plugin: instance.plugin, reason: hosted.disabled });
  }
  if (hosted.releasing) return unavailable(instance, "it is being released");
  if (hosted.queue.length >= queueLength) {
    return new BackplaneError("concurrency_exceeded", {
      plugin: instance.plugin,
      limit: instance.limits.concurrency,
      retryAfter: 1,
    });
  }
  return call.request.args.length > instance.limits.messageBytes ? messageTooLarge(instance) : undefined;
}

export function sendCall(placement: HostedPlacement, call: ActiveCall): void {
  const { link, number } = placement;
  const { request } = call;
  link.lastCall += 1;
  call.id = link.lastCall;
  call.placement = placement;
  placement.calls.set(call.id, call);
  if (!placement.loaded) call.cold = true;
  const label = JSON.stringify({ handler: request.handler, environment: request.environment });
  if (label.length > maxCallLabel) {
    call.fail(new BackplaneError("limit_exceeded", { plugin: call.hosted.instance.plugin, what: "call environment" }));
    return;
  }
  noteCall(link);
  link.send({
    type: FrameType.call,
    flags:
      (call.onChunk === undefined ? FrameFlag.none : FrameFlag.stream) |
      (call.repeatable ? FrameFlag.idempotent : FrameFlag.none),
    instance: number,
    call: call.id,
    aux: call.budgetMs,
    label,
    body: request.args,
  });
  if (call.onChunk !== undefined) {
    link.send({ type: FrameType.credit, instance: number, call: call.id, aux: request.window ?? streamWindow });
  }
}

/** Cancel or deadline. The caller hears as soon as the runner has said what the call had cost. */
export function stopCall(call: ActiveCall, error: BackplaneError): void {
  if (call.settled || call.stopping !== undefined) return;
  call.stopping = error;
  const { placement } = call;
  if (placement === undefined) {
    call.fail(error);
    return;
  }
  placement.link.send({ type: FrameType.cancel, instance: placement.number, call: call.id, aux: cancelGraceMs });
  call.stopTimer = setTimeout(() => {
    if (call.settled) return;
    retirePlacement(placement);
    call.fail(error);
  }, stopWithinMs);
}

export function stopError(call: ActiveCall, why: "deadline" | "abort"): BackplaneError {
  if (why === "abort") return new BackplaneError("cancelled");
  return new BackplaneError("deadline_exceeded", {
    plugin: call.hosted.instance.plugin,
    limit: Math.max(0, Math.round(performance.now() - call.startedAt)),
  });
}

/** A call is over, however that came: it leaves where it was, and others may follow. */
export function leaveCall(call: ActiveCall): void {
  const { hosted, placement } = call;
  hosted.lastUsed = performance.now();
  if (placement === undefined) {
    const at = hosted.queue.indexOf(call);
    if (at >= 0) hosted.queue.splice(at, 1);
    return;
  }
  const { link } = placement;
  placement.calls.delete(call.id);
  if (placement.state === "leaving" && placement.calls.size === 0) dropPlacement(placement);
  if (link.leaving && callsOn(link) === 0) link.kill(link.endReason);
  hosted.owner.advance(hosted);
}
