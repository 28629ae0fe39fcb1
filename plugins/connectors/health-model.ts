/**
 * What the connectors of Fitbit, Google Fit and Google Health have in common: readings and workouts in one shape, with one
 * unit for each metric and one word for each kind of activity, as `health_samples` and `activities` of the data model.
 */
import type { Entity, RawItem } from "@backplane/plugin-api";

/** The unit that every connector gives a metric in. */
export const metricUnits = {
  steps: "count",
  floors: "count",
  distance: "m",
  energy: "kcal",
  heart_rate: "bpm",
  resting_heart_rate: "bpm",
  heart_rate_variability: "ms",
  spo2: "%",
  weight: "kg",
  body_fat: "%",
  sleep: "min",
} as const;

export type Metric = keyof typeof metricUnits;

export interface Reading {
  kind: "reading";
  metric: Metric;
  /** RFC 3339 UTC; equal to `endedAt` for what is measured in a moment. */
  startedAt: string;
  endedAt: string;
  /** In the metric's unit. */
  value: number;
  details?: Record<string, unknown>;
}

export interface Workout {
  kind: "workout";
  activityType: string;
  name?: string;
  startedAt: string;
  endedAt: string;
  /** Of movement, without pauses, where the service knows it. @default from start to end */
  durationSeconds?: number;
  distanceMeters?: number;
  steps?: number;
  energyKcal?: number;
  averageHeartRate?: number;
}

/** An item of a connector of health data; `data` is null for one that is gone. */
export type HealthItem = RawItem & { data: Reading | Workout | null };

/** A deleted item does not say what it was, so both entities of its id are deleted. One without data only marks a place. */
export function toEntities({ id, data, deleted }: RawItem): Entity[] {
  if (deleted)
    return [
      { type: "activities", externalId: id, data: {}, deleted },
      { type: "health_samples", externalId: id, data: {}, deleted },
    ];
  const record = data as Reading | Workout | null;
  if (!record) return [];
  return [record.kind === "workout" ? activityOf(id, record) : sampleOf(id, record)];
}

const sampleOf = (externalId: string, { metric, startedAt, endedAt, value, details }: Reading): Entity => ({
  type: "health_samples",
  externalId,
  data: { metric, startedAt, endedAt, value, unit: metricUnits[metric], details: details ?? {} },
});

const activityOf = (externalId: string, workout: Workout): Entity => ({
  type: "activities",
  externalId,
  data: {
    activityType: workout.activityType,
    name: workout.name ?? null,
    startedAt: workout.startedAt,
    endedAt: workout.endedAt,
    durationSeconds: workout.durationSeconds ?? secondsBetween(workout.startedAt, workout.endedAt),
    distanceMeters: workout.distanceMeters ?? null,
    steps: workout.steps ?? null,
    energyKcal: workout.energyKcal ?? null,
    averageHeartRate: workout.averageHeartRate ?? null,
  },
});

/** Words that the services use for the same thing; other words stay as they are, joined by `_`. */
const activityWords: Readonly<Record<string, string>> = {
  run: "running",
  treadmill: "running",
  walk: "walking",
  bike: "biking",
  outdoor_bike: "biking",
  cycling: "biking",
  spinning: "biking",
  swim: "swimming",
  hike: "hiking",
  weights: "weightlifting",
  interval_workout: "hiit",
};

export function activityWord(text: string): string {
  const word = text
    .trim()
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_|_$/g, "");
  return Object.hasOwn(activityWords, word) ? activityWords[word]! : word === "" ? "other" : word;
}

/** A value of a whole day, `YYYY-MM-DD`: the day in UTC, whatever zone the service counts in; `details.date` names it. */
export const daySpan = (date: string): { startedAt: string; endedAt: string } => ({
  startedAt: `${date}T00:00:00.000Z`,
  endedAt: `${addDays(date, 1)}T00:00:00.000Z`,
});

/** Numbers that a service sends as texts; what is no number is left out. */
export function numberOf(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

export const dateOf = (time: string): string => new Date(time).toISOString().slice(0, 10);

export const addDays = (date: string, days: number): string =>
  dateOf(new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString());

/** RFC 3339 UTC with milliseconds; undefined for what is no time. */
export function timeOf(text: string | undefined): string | undefined {
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : new Date(time).toISOString();
}

const secondsBetween = (from: string, to: string): number =>
  Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / 1000));
