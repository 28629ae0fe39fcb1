/**
 * Data points of the Google Health API v4 (https://developers.google.com/health), one field of a union for each data type:
 * what they are called in filters, and how they read as readings and workouts.
 */
import {
  activityWord,
  daySpan,
  type HealthItem,
  type Metric,
  numberOf,
  type Reading,
  timeOf,
  type Workout,
} from "../health-model.ts";

export interface DataPoint {
  /** Only of types whose points have an identity. */
  name?: string;
  dataSource?: {
    platform?: string;
    device?: { displayName?: string };
    application?: { packageName?: string };
  };
  [field: string]: unknown;
}

interface Interval {
  startTime?: string;
  endTime?: string;
}

interface Sleep {
  interval?: Interval;
  summary?: { minutesAsleep?: string; stagesSummary?: { type?: string; minutes?: string }[] };
  metadata?: { nap?: boolean };
}

interface Exercise {
  interval?: Interval;
  exerciseType?: string;
  displayName?: string;
  /** Seconds with an `s`, such as `1800s`. */
  activeDuration?: string;
  metricsSummary?: {
    caloriesKcal?: number;
    distanceMillimeters?: number;
    steps?: string;
    averageHeartRateBeatsPerMinute?: string;
  };
}

/** How a simple type is read; `divide` leads to the metric's unit. */
interface SimpleType {
  shape: "interval" | "sample" | "daily";
  field: string;
  value: string;
  metric: Metric;
  divide?: number;
}

const simpleTypes: Readonly<Record<string, SimpleType>> = {
  steps: { shape: "interval", field: "steps", value: "count", metric: "steps" },
  floors: { shape: "interval", field: "floors", value: "count", metric: "floors" },
  distance: { shape: "interval", field: "distance", value: "millimeters", metric: "distance", divide: 1000 },
  "active-energy-burned": { shape: "interval", field: "activeEnergyBurned", value: "kcal", metric: "energy" },
  "heart-rate": { shape: "sample", field: "heartRate", value: "beatsPerMinute", metric: "heart_rate" },
  "oxygen-saturation": { shape: "sample", field: "oxygenSaturation", value: "percentage", metric: "spo2" },
  weight: { shape: "sample", field: "weight", value: "weightGrams", metric: "weight", divide: 1000 },
  "body-fat": { shape: "sample", field: "bodyFat", value: "percentage", metric: "body_fat" },
  "daily-resting-heart-rate": {
    shape: "daily",
    field: "dailyRestingHeartRate",
    value: "beatsPerMinute",
    metric: "resting_heart_rate",
  },
  "daily-heart-rate-variability": {
    shape: "daily",
    field: "dailyHeartRateVariability",
    value: "averageHeartRateVariabilityMilliseconds",
    metric: "heart_rate_variability",
  },
};

/** The filter for what began (sleep: ended) within a window, in the fields that each type may be filtered by. */
export function filterFor(dataType: string, { from, to }: { from: string; to: string }): string {
  const name = dataType.replaceAll("-", "_");
  const between = (field: string, a: string, b: string): string =>
    `${name}.${field} >= "${a}" AND ${name}.${field} < "${b}"`;
  if (dataType === "sleep") return between("interval.end_time", from, to);
  // Sessions have civil times only; the last day is taken whole.
  if (dataType === "exercise") return between("interval.civil_start_time", from.slice(0, 10), dayAfter(to));
  switch (simpleTypes[dataType]?.shape) {
    case "interval":
      return between("interval.start_time", from, to);
    case "sample":
      return between("sample_time.physical_time", from, to);
    default:
      return between("date", from.slice(0, 10), dayAfter(to));
  }
}

/** The day that begins at `time`, or the next one when `time` is within a day. */
const dayAfter = (time: string): string =>
  new Date(Math.ceil(Date.parse(time) / 86_400_000) * 86_400_000).toISOString().slice(0, 10);

/** Undefined for a point without what makes it one. */
export function readPoint(dataType: string, point: DataPoint): HealthItem | undefined {
  const data =
    dataType === "exercise"
      ? readExercise(point)
      : dataType === "sleep"
        ? readSleep(point)
        : readSimple(dataType, point);
  if (!data) return undefined;
  const own = point.name?.split("/").at(-1);
  const id = own ? `${dataType}:${own}` : [dataType, data.startedAt, data.endedAt, sourceOf(point)].join(":");
  return { id, type: dataType, data };
}

function readExercise(point: DataPoint): Workout | undefined {
  const exercise = (point["exercise"] ?? {}) as Exercise;
  const span = spanOf(exercise.interval);
  if (!span) return undefined;
  const summary = exercise.metricsSummary ?? {};
  const distance = numberOf(summary.distanceMillimeters);
  return {
    kind: "workout",
    activityType: activityWord((exercise.exerciseType ?? "").replace("EXERCISE_TYPE_UNSPECIFIED", "")),
    ...(exercise.displayName ? { name: exercise.displayName } : {}),
    ...span,
    ...defined({
      durationSeconds: numberOf(exercise.activeDuration?.replace(/s$/, "")),
      distanceMeters: distance === undefined ? undefined : distance / 1000,
      steps: numberOf(summary.steps),
      energyKcal: numberOf(summary.caloriesKcal),
      averageHeartRate: numberOf(summary.averageHeartRateBeatsPerMinute),
    }),
  };
}

function readSleep(point: DataPoint): Reading | undefined {
  const sleep = (point["sleep"] ?? {}) as Sleep;
  const span = spanOf(sleep.interval);
  if (!span) return undefined;
  const { minutesAsleep, stagesSummary = [] } = sleep.summary ?? {};
  const stages = stagesSummary.map(({ type = "", minutes }) => [type.toLowerCase(), numberOf(minutes) ?? 0]);
  return {
    kind: "reading",
    metric: "sleep",
    ...span,
    value: numberOf(minutesAsleep) ?? Math.round((Date.parse(span.endedAt) - Date.parse(span.startedAt)) / 60_000),
    details: { stages: Object.fromEntries(stages), nap: sleep.metadata?.nap ?? false, ...detailsOf(point) },
  };
}

function readSimple(dataType: string, point: DataPoint): Reading | undefined {
  const type = simpleTypes[dataType];
  if (!type) return undefined;
  const fields = (point[type.field] ?? {}) as Record<string, unknown>;
  const value = numberOf(fields[type.value]);
  const span = simpleSpan(type, fields);
  if (value === undefined || !span) return undefined;
  return {
    kind: "reading",
    metric: type.metric,
    startedAt: span.startedAt,
    endedAt: span.endedAt,
    value: value / (type.divide ?? 1),
    details: { ...(span.date ? { date: span.date } : {}), ...detailsOf(point) },
  };
}

function simpleSpan(
  { shape }: SimpleType,
  fields: Record<string, unknown>,
): { startedAt: string; endedAt: string; date?: string } | undefined {
  if (shape === "interval") return spanOf(fields["interval"] as Interval | undefined);
  if (shape === "sample") {
    const at = timeOf((fields["sampleTime"] as { physicalTime?: string } | undefined)?.physicalTime);
    return at === undefined ? undefined : { startedAt: at, endedAt: at };
  }
  const { year, month, day } = (fields["date"] ?? {}) as { year?: number; month?: number; day?: number };
  if (!year || !month || !day) return undefined;
  const date = `${year}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
  return { ...daySpan(date), date };
}

function spanOf(interval: Interval | undefined): { startedAt: string; endedAt: string } | undefined {
  const startedAt = timeOf(interval?.startTime);
  const endedAt = timeOf(interval?.endTime);
  return startedAt === undefined || endedAt === undefined ? undefined : { startedAt, endedAt };
}

const sourceOf = ({ dataSource = {} }: DataPoint): string =>
  [dataSource.platform, dataSource.device?.displayName ?? dataSource.application?.packageName]
    .filter((part) => part !== undefined)
    .join("/")
    .slice(0, 100);

const detailsOf = (point: DataPoint): Record<string, unknown> => {
  const source = sourceOf(point);
  return source === "" ? {} : { source };
};

const defined = <T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
