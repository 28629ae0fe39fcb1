/** Waits for the calls of instances that are to go. */
import type { HostedInstance } from "./hosted-instance.ts";

const lookEveryMs = 5;

/** Resolves when none has calls any more, or after `drainMs`. */
export async function drain(hosted: readonly HostedInstance[], drainMs: number): Promise<void> {
  const until = performance.now() + drainMs;
  while (hosted.some(isBusy) && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}

function isBusy({ queue, placement, former }: HostedInstance): boolean {
  if (queue.length > 0 || (placement?.calls.size ?? 0) > 0) return true;
  return [...former].some(({ calls }) => calls.size > 0);
}
