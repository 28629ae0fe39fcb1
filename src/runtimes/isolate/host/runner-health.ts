/** Tells whether a runner with work still lives: by what it sends, and by what the kernel says of its main thread. */
import { FrameType } from "../bridge/frame.ts";
import { mainThread } from "./main-thread.ts";
import { callsOn } from "./placements.ts";
import type { RunnerLink } from "./runner-link.ts";

export interface HealthLook {
  now: number;
  /** How much later than planned this look comes, ms. */
  lateMs: number;
  /** A runner with work that says nothing for so long is ended. */
  wedgedMs: number;
}

/** How often runners are looked at. */
export const watchEveryMs = 50;
/** A runner with work that says nothing for so long is asked for a word. */
const silentMs = 100;
/** Looks in a row after which a main thread that was stopped, or waits for something else, is given up. */
const stoppedLooks = 2;
const waitingLooks = 5;

/** A call was put on it. Who had nothing to do until now was not silent. */
export function noteCall(link: RunnerLink): void {
  link.lastUsed = performance.now();
  if (link.lastUsed - link.lastHeard > watchEveryMs && callsOn(link) === 1) link.lastHeard = link.lastUsed;
}

/** Kills the runner when it does not live. Only for one that has work. */
export function checkHealth(link: RunnerLink, { now, lateMs, wedgedMs }: HealthLook): void {
  const silent = now - link.lastHeard;
  if (silent < Math.min(silentMs, wedgedMs / 4)) {
    link.stillLooks = 0;
    return;
  }
  if (link.lastPing < link.lastHeard) {
    link.lastPing = now;
    link.stillLooks = 0;
    link.ticksAtLook = -1;
    link.send({ type: FrameType.ping });
  }
  const thread = mainThread(link.pid);
  const still = thread === undefined || thread.ticks === link.ticksAtLook;
  link.ticksAtLook = thread?.ticks ?? 0;
  // A thread that waits for a core is running to the kernel: only one that nobody lets run, or that ignores the ping
  // and waits for something else, is given up early. A look that comes late saw too little.
  if (thread?.state === "stopped") link.stillLooks += 1;
  else if (thread?.state !== "waiting" || !still) link.stillLooks = 0;
  else if (lateMs < watchEveryMs / 2) link.stillLooks += 1;
  const standsStill = link.stillLooks >= (thread?.state === "stopped" ? stoppedLooks : waitingLooks);
  // Starved for long is not wedged: the machine has to be given time.
  const patience = thread?.state === "running" && still ? wedgedMs * 4 : wedgedMs;
  if (standsStill || (silent > patience && now - link.lastPing > wedgedMs / 2)) {
    link.kill(`it said nothing for ${Math.round(silent)} ms`);
  }
}
