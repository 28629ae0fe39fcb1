/** Keeps a runner below its resident memory. What grows fast is a bomb; what grew slowly holds many isolates. */
import { dropPlacement, isIdle, leaveRunner } from "./placements.ts";
import type { RunnerLink } from "./runner-link.ts";

/** From this part of its limit on a runner lets idle isolates go, some at a time. */
const trimAbove = 0.75;
const trimEveryMs = 200;
/** What an instance may add while it loads before that counts as growth. */
const loadedMb = 24;

/** Lets idle isolates go in time; ends the runner when that was not enough. */
export function checkMemory(link: RunnerLink, now: number, limitBytes: number): void {
  const resident = link.measure();
  if (resident < limitBytes * trimAbove) return;
  if (now - link.lastTrim > trimEveryMs) {
    link.lastTrim = now;
    trim(link, resident / limitBytes - trimAbove + 0.1);
  }
  if (resident < limitBytes || link.leaving) return;
  const reason = `it used ${Math.round(resident / 1024 / 1024)} MB of memory`;
  const loaded = (link.lastInstance - link.lastInstanceBefore) * loadedMb * 1024 * 1024;
  link.crashed = resident - link.residentBefore > limitBytes / 8 + loaded;
  if (link.crashed || resident > limitBytes * 1.25) {
    link.kill(reason);
    return;
  }
  // Nobody is to blame: what runs may finish, and goes on elsewhere.
  link.retired = true;
  leaveRunner(link, reason);
}

/** `part`: how much of what is idle goes, those that rest longest first. */
function trim(link: RunnerLink, part: number): void {
  const idle = [...link.placements.values()].filter(isIdle).sort((a, b) => a.hosted.lastUsed - b.hosted.lastUsed);
  for (const placement of idle.slice(0, Math.ceil(idle.length * part))) dropPlacement(placement);
}

/** What the runner holds now is what its growth is measured against. */
export function noteMemory(link: RunnerLink): void {
  link.residentBefore = link.resident;
  link.lastInstanceBefore = link.lastInstance;
}
