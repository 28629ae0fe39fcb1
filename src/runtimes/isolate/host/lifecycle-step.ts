/** `init` and `stop` of an instance: calls of the runtime's own, with the identity of the call that caused them. */
import { BackplaneError } from "../../../errors/error.ts";
import type { RuntimeCall } from "../../runtime.ts";
import { FrameFlag, FrameType } from "../bridge/frame.ts";
import type { HostedPlacement, LifecycleStep } from "./hosted-instance.ts";

export interface StepOptions {
  cause: Pick<RuntimeCall, "execution" | "context"> | undefined;
  withinMs: number;
  /** Once; undefined when it went well. `deadline_exceeded` when it took too long. */
  onEnd(error: BackplaneError | undefined): void;
}

const stopHandlerMs = 2000;

/** Takes the next call id of the runner; whoever calls sends the frame that bears it. */
export function beginStep(placement: HostedPlacement, { cause, withinMs, onEnd }: StepOptions): LifecycleStep {
  placement.link.lastCall += 1;
  const { plugin } = placement.hosted.instance;
  const step: LifecycleStep = {
    id: placement.link.lastCall,
    execution: cause?.execution ?? ("" as RuntimeCall["execution"]),
    context: cause?.context,
    controller: new AbortController(),
    abilitiesUnderWay: 0,
    messages: 0,
    logBytes: 0,
    timer: undefined,
    ended: (error) => {
      if (placement.step !== step) return;
      placement.step = undefined;
      clearTimeout(step.timer);
      step.controller.abort();
      onEnd(error);
    },
  };
  step.timer = setTimeout(
    () => step.ended(new BackplaneError("deadline_exceeded", { plugin, limit: withinMs })),
    withinMs,
  );
  placement.step = step;
  return step;
}

/** Runs the plugin's `stop`. Resolves when it is over, however that came. */
export function runStop(placement: HostedPlacement): Promise<void> {
  return new Promise((resolve) => {
    const step = beginStep(placement, { cause: undefined, withinMs: stopHandlerMs, onEnd: () => resolve() });
    placement.link.send({
      type: FrameType.release,
      flags: FrameFlag.runStop,
      instance: placement.number,
      call: step.id,
      aux: placement.hosted.instance.limits.cpuMs,
    });
  });
}
