/** One entry into an isolate: whom it runs for, what it costs, and what it may cost. */
import type { FaultLabel, InstanceLimits } from "../bridge/labels.ts";
import { isOverdue, type LiveCall } from "./live-calls.ts";

export interface Entry {
  readonly calls: readonly LiveCall[];
  cpuMs: number;
  /** Resident memory of the process when it began. */
  readonly residentBefore: number;
  done(): void;
}

export interface Breach {
  code: FaultLabel["code"];
  reason: string;
}

export interface EntryLook {
  now: number;
  /** Resident memory of the process now. */
  residentBytes: number;
  limits: InstanceLimits;
  /** CPU that entries for no call have used since the last call, ms. */
  backgroundMs: number;
}

/**
 * The engine's heap limit reacts late, or not at all for what is not on the heap. So an entry during which the process
 * grows by more than its limit and this is given up. Entries of others are short: they do not see the growth.
 */
const growthSlackBytes = 96 * 1024 * 1024;

/** What a running entry is to be given up for. */
export function breachOf(entry: Entry, look: EntryLook): Breach | undefined {
  const grown = look.residentBytes - entry.residentBefore;
  if (grown > look.limits.memoryMb * 1024 * 1024 + growthSlackBytes) {
    return { code: "memory_exceeded", reason: `${Math.round(grown / 1024 / 1024)} MB in one entry` };
  }
  if (budgetLeft(entry, look) < 0) {
    return { code: "cpu_exceeded", reason: `${Math.round(entry.cpuMs)} ms in one entry` };
  }
  if (entry.calls.length > 0 && entry.calls.every((call) => isOverdue(call, look.now))) {
    return { code: "runner_lost", reason: "went on after it was cancelled" };
  }
  return undefined;
}

/** CPU that the call with the most left may still use, ms. */
function budgetLeft({ calls, cpuMs }: Entry, { limits, backgroundMs }: EntryLook): number {
  if (calls.length === 0) return limits.cpuMs - backgroundMs - cpuMs;
  return Math.max(...calls.map((call) => call.budgetMs - call.cpuMs - cpuMs));
}

/** Shares what the entry cost among its calls. Returns what was nobody's, ms. */
export function charge({ calls, cpuMs }: Entry): number {
  for (const call of calls) call.cpuMs += cpuMs / calls.length;
  return calls.length === 0 ? cpuMs : 0;
}
