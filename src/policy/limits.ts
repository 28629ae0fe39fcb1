/** The limits of one installation: what its manifest asks for, cut to the hub's ceiling; defaults where it asks nothing. */
import type { ManifestResources } from "../../plugin-api/src/manifest.ts";

/** Structurally the `RuntimeLimits` of src/runtimes/runtime.ts, which this floor may not import; a test keeps both equal. */
export interface Limits {
  memoryMb: number;
  cpuMs: number;
  timeoutMs: number;
  concurrency: number;
  pendingAbilityCalls: number;
  timers: number;
  messageBytes: number;
  logBytes: number;
}

/** What the hub admin set; what is missing is as in `defaultCeiling`. */
export type LimitCeiling = Partial<Limits>;

/** What a plugin gets that asks for nothing. */
export const defaultLimits: Readonly<Limits> = Object.freeze({
  memoryMb: 64,
  cpuMs: 2000,
  timeoutMs: 30_000,
  concurrency: 32,
  pendingAbilityCalls: 256,
  timers: 256,
  messageBytes: 4 * 1024 * 1024,
  logBytes: 64 * 1024,
});

/** What no plugin gets more of, unless the hub admin sets another ceiling. */
export const defaultCeiling: Readonly<Limits> = Object.freeze({
  memoryMb: 512,
  cpuMs: 60_000,
  timeoutMs: 900_000,
  concurrency: 256,
  pendingAbilityCalls: 1024,
  timers: 1024,
  messageBytes: 16 * 1024 * 1024,
  logBytes: 1024 * 1024,
});

/**
 * Messages that a plugin may ask for by event in a minute, over all hubs: what it gets that asks for nothing, what none gets more
 * of, and how many minutes' worth it may ask for at once. Channels cost money, and whoever may publish `comms.*` may use them.
 */
export const messageQuota = Object.freeze({ perMinute: 60, ceiling: 600, burstMinutes: 5 });

/** `resources` come from a validated manifest; numbers that are none are ignored all the same. */
export function cutMessagesPerMinute(resources: ManifestResources | undefined): number {
  const wanted = resources?.messagesPerMinute;
  if (typeof wanted !== "number" || !Number.isFinite(wanted)) return messageQuota.perMinute;
  return Math.min(messageQuota.ceiling, Math.max(1, Math.floor(wanted)));
}

const floor = { memoryMb: 8, cpuMs: 10, timeoutMs: 50, concurrency: 1 } as const;

/** `resources` come from a validated manifest; numbers that are none are ignored all the same. */
export function cutLimits(resources: ManifestResources | undefined, ceiling: LimitCeiling = {}): Limits {
  const top = { ...defaultCeiling, ...ceiling };
  const limits: Limits = { ...defaultLimits };
  for (const name of Object.keys(floor) as (keyof typeof floor)[]) {
    const wanted = resources?.[name];
    if (typeof wanted === "number" && Number.isFinite(wanted)) limits[name] = Math.max(floor[name], Math.floor(wanted));
  }
  for (const name of Object.keys(limits) as (keyof Limits)[]) limits[name] = Math.min(limits[name], top[name]);
  return limits;
}
