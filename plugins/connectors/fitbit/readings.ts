/**
 * What the Fitbit Web API answers (https://dev.fitbit.com/build/reference/web-api/), as readings and workouts. Time series
 * carry their numbers as texts; times of logs are local to the person, without an offset.
 */
import { activityWord, daySpan, type HealthItem, type Metric, numberOf } from "../health-model.ts";

export interface ActivityLog {
  logId: number;
  activityName?: string;
  activityParentName?: string;
  name?: string;
  /** `2026-05-01T08:00:00.000+02:00`, or a time of day beside `startDate`. */
  startTime?: string;
  startDate?: string;
  /** ms, with pauses. */
  duration?: number;
  /** ms, without. */
  activeDuration?: number;
  /** km. */
  distance?: number;
  steps?: number;
  calories?: number;
  averageHeartRate?: number;
}

export interface SleepLog {
  logId: number;
  startTime: string;
  endTime: string;
  minutesAsleep?: number;
  minutesAwake?: number;
  efficiency?: number;
  isMainSleep?: boolean;
  levels?: { summary?: Record<string, { minutes?: number }> };
}

export interface BodyLog {
  logId: number;
  date: string;
  time?: string;
  /** kg. */
  weight?: number;
  /** %. */
  fat?: number;
}

export interface DayValue {
  dateTime: string;
  value: unknown;
}

/** Turns a person's local time, `2026-05-01T08:00:00`, into RFC 3339 UTC; undefined for what is no time. */
export type ToUtc = (local: string) => string | undefined;

export function readActivity(log: ActivityLog, toUtc: ToUtc): HealthItem | undefined {
  const { startTime = "", startDate } = log;
  const startedAt = toUtc(startTime.includes("T") || !startDate ? startTime : `${startDate}T${startTime}`);
  if (startedAt === undefined) return undefined;
  const duration = log.duration ?? log.activeDuration ?? 0;
  const name = log.activityName ?? log.name ?? log.activityParentName;
  return {
    id: `activity:${log.logId}`,
    type: "activity",
    data: {
      kind: "workout",
      activityType: activityWord(log.activityParentName ?? name ?? ""),
      ...(name ? { name } : {}),
      startedAt,
      endedAt: new Date(Date.parse(startedAt) + duration).toISOString(),
      durationSeconds: Math.round((log.activeDuration ?? duration) / 1000),
      ...(log.distance === undefined ? {} : { distanceMeters: meters(log.distance) }),
      ...(log.steps === undefined ? {} : { steps: log.steps }),
      ...(log.calories === undefined ? {} : { energyKcal: log.calories }),
      ...(log.averageHeartRate === undefined ? {} : { averageHeartRate: log.averageHeartRate }),
    },
  };
}

export function readSleep(log: SleepLog, toUtc: ToUtc): HealthItem | undefined {
  const startedAt = toUtc(log.startTime);
  const endedAt = toUtc(log.endTime);
  if (startedAt === undefined || endedAt === undefined) return undefined;
  const stages = Object.entries(log.levels?.summary ?? {}).map(([stage, { minutes }]) => [stage, minutes ?? 0]);
  return {
    id: `sleep:${log.logId}`,
    type: "sleep",
    data: {
      kind: "reading",
      metric: "sleep",
      startedAt,
      endedAt,
      value: log.minutesAsleep ?? Math.round((Date.parse(endedAt) - Date.parse(startedAt)) / 60_000),
      details: {
        stages: Object.fromEntries(stages),
        nap: log.isMainSleep === false,
        efficiency: log.efficiency ?? null,
      },
    },
  };
}

export function readBody(kind: "weight" | "body-fat", log: BodyLog, toUtc: ToUtc): HealthItem | undefined {
  const at = toUtc(`${log.date}T${log.time ?? "00:00:00"}`);
  const value = kind === "weight" ? log.weight : log.fat;
  if (at === undefined || value === undefined) return undefined;
  const metric = kind === "weight" ? "weight" : "body_fat";
  return {
    id: `${kind}:${log.logId}`,
    type: kind,
    data: { kind: "reading", metric, startedAt: at, endedAt: at, value },
  };
}

const daily: Readonly<Record<string, { metric: Metric; scale?: number }>> = {
  steps: { metric: "steps" },
  distance: { metric: "distance", scale: 1000 },
  calories: { metric: "energy" },
};

/** Days without any are 0 in the series, and no reading. */
export function readDay(kind: string, { dateTime, value }: DayValue): HealthItem | undefined {
  if (kind === "heart") {
    const resting = numberOf((value as { restingHeartRate?: unknown } | null)?.restingHeartRate);
    return resting === undefined ? undefined : dayItem(kind, dateTime, "resting_heart_rate", resting);
  }
  const read = daily[kind];
  const number = numberOf(value);
  if (!read || number === undefined || number === 0) return undefined;
  return dayItem(kind, dateTime, read.metric, read.scale === undefined ? number : meters(number));
}

const dayItem = (kind: string, date: string, metric: Metric, value: number): HealthItem => ({
  id: `${kind}:${date}`,
  type: kind,
  data: { kind: "reading", metric, ...daySpan(date), value, details: { date } },
});

/** To the millimetre, so that 5.1 km are not 5099.999 m. */
const meters = (kilometers: number): number => Math.round(kilometers * 1_000_000) / 1000;

/** For a zone such as `Europe/Paris`; an unknown one falls back to a fixed offset. */
export function localTimes(zone: string | undefined, offsetMs = 0): ToUtc {
  const clock = clockOf(zone);
  return (local) => {
    if (/(Z|[+-]\d\d:?\d\d)$/.test(local)) return utcOf(Date.parse(local));
    const asUtc = Date.parse(`${local}Z`);
    if (Number.isNaN(asUtc)) return undefined;
    if (!clock) return utcOf(asUtc - offsetMs);
    // The offset at the guess is the one at the time itself, but for the hours around a change of clocks.
    const guess = asUtc - clock(asUtc);
    return utcOf(asUtc - clock(guess));
  };
}

const utcOf = (time: number): string | undefined => (Number.isNaN(time) ? undefined : new Date(time).toISOString());

/** How far a zone is ahead of UTC at a time, ms. */
function clockOf(zone: string | undefined): ((time: number) => number) | undefined {
  if (zone === undefined) return undefined;
  try {
    const format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    return (time) => {
      const parts = new Map(format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
      const part = (name: Intl.DateTimeFormatPartTypes): number => parts.get(name) ?? 0;
      const shown = Date.UTC(
        part("year"),
        part("month") - 1,
        part("day"),
        part("hour"),
        part("minute"),
        part("second"),
      );
      return shown - Math.floor(time / 1000) * 1000;
    };
  } catch {
    return undefined;
  }
}
