/** Lets go of instances nobody calls: their isolates after a while or when memory is short, what is known of them later. */
import type { HostedInstance } from "./hosted-instance.ts";
import { dropPlacement, isIdle } from "./placements.ts";

export interface IdleOptions {
  now: number;
  /** An isolate without calls for so long goes. */
  idleInstanceMs: number;
  /** All runners hold more memory than they may together. */
  overBudget: boolean;
}

/** Strikes and failures of an instance are remembered so long beyond its isolate. */
const rememberMs = 3_600_000;

/** `hosted`: by key; those that are forgotten are taken out of it. */
export function evictIdle(hosted: Map<string, HostedInstance>, { now, idleInstanceMs, overBudget }: IdleOptions): void {
  const idle = [...hosted.values()]
    .filter(({ placement }) => placement !== undefined && isIdle(placement))
    .sort((a, b) => a.lastUsed - b.lastUsed);
  let surplus = overBudget ? Math.ceil(idle.length / 10) : 0;
  for (const one of idle) {
    if (now - one.lastUsed < idleInstanceMs && surplus <= 0) break;
    surplus -= 1;
    dropPlacement(one.placement!);
  }
  for (const [key, one] of hosted) {
    const forgotten = now - one.lastUsed > idleInstanceMs + rememberMs;
    if (forgotten && one.placement === undefined && one.queue.length === 0 && one.former.size === 0) hosted.delete(key);
  }
}
