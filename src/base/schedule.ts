/** When a connector is due: cron expressions in UTC and intervals such as `every 15m`, each with some jitter. Pure but for chance. */
import { Cron } from "croner";

export type Schedule = { kind: "interval"; ms: number } | { kind: "cron"; pattern: string };

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const shortestMs = 10_000;
const longestMs = 366 * unitMs.d;
/** Of the time to the next turn, and never more than this. */
const jitterShare = 0.05;
const jitterCapMs = 60_000;

/** A schedule, or a sentence on what is wrong with it. */
export function parseSchedule(text: string): Schedule | string {
  const interval = /^every (\d{1,6})\s?(s|m|h|d)$/.exec(text.trim());
  if (interval) {
    const ms = Number(interval[1]) * unitMs[interval[2] as keyof typeof unitMs];
    if (ms < shortestMs || ms > longestMs) return "an interval is from `every 10s` to `every 366d`";
    return { kind: "interval", ms };
  }
  const pattern = text.trim();
  if (!/^@[a-z]+$|^\S+(?: \S+){4}$/.test(pattern))
    return "write five fields of cron, such as `0 3 * * *`, or an interval, such as `every 15m`";
  try {
    if (cronOf(pattern).nextRun() === null) return "it never comes";
    return { kind: "cron", pattern };
  } catch (error) {
    return error instanceof Error ? error.message.slice(0, 200) : "it is no cron expression";
  }
}

/** The next turn after `from`; `undefined` when there is none. */
export function nextTurn(schedule: Schedule, from: Date, random: () => number = Math.random): Date | undefined {
  if (schedule.kind === "interval") return new Date(from.getTime() + schedule.ms + jitter(schedule.ms, random));
  const next = cronOf(schedule.pattern).nextRun(from);
  return next === null ? undefined : new Date(next.getTime() + jitter(next.getTime() - from.getTime(), random));
}

/** So that connectors of one schedule do not all begin in the same second. */
function jitter(ms: number, random: () => number): number {
  return Math.floor(Math.min(ms * jitterShare, jitterCapMs) * random());
}

const cronOf = (pattern: string): Cron => new Cron(pattern, { timezone: "UTC", paused: true });
