/**
 * What the Google Fit REST API answers (https://developers.google.com/fit/rest/v1/reference), as readings and workouts. Its
 * int64 numbers travel as texts: milliseconds in sessions, nanoseconds in data points.
 */
import { type HealthItem, type Metric, numberOf } from "../health-model.ts";

export interface Session {
  id: string;
  name?: string;
  activityType?: number;
  startTimeMillis?: string;
  endTimeMillis?: string;
  activeTimeMillis?: string;
  application?: { packageName?: string };
}

export interface FitPoint {
  startTimeNanos?: string;
  endTimeNanos?: string;
  originDataSourceId?: string;
  value?: { intVal?: number; fpVal?: number }[];
}

/** What is read of each kind: Google's own merged stream, so that two apps of one person do not count twice. */
export const streams: Readonly<Record<string, { source: string; metric: Metric }>> = {
  steps: { source: "derived:com.google.step_count.delta:com.google.android.gms:estimated_steps", metric: "steps" },
  distance: {
    source: "derived:com.google.distance.delta:com.google.android.gms:merge_distance_delta",
    metric: "distance",
  },
  calories: {
    source: "derived:com.google.calories.expended:com.google.android.gms:merge_calories_expended",
    metric: "energy",
  },
  "heart-rate": {
    source: "derived:com.google.heart_rate.bpm:com.google.android.gms:merge_heart_rate_bpm",
    metric: "heart_rate",
  },
  weight: { source: "derived:com.google.weight:com.google.android.gms:merge_weight", metric: "weight" },
  "body-fat": {
    source: "derived:com.google.body.fat.percentage:com.google.android.gms:merged",
    metric: "body_fat",
  },
};

/** https://developers.google.com/fit/rest/v1/reference/activity-types */
const activityTypes: Readonly<Record<number, string>> = {
  1: "biking",
  7: "walking",
  8: "running",
  9: "aerobics",
  14: "handbike",
  15: "mountain_biking",
  16: "biking",
  17: "biking",
  18: "biking",
  22: "circuit_training",
  24: "dancing",
  25: "elliptical",
  35: "hiking",
  39: "jump_rope",
  45: "meditation",
  49: "pilates",
  53: "rock_climbing",
  54: "rowing",
  56: "running",
  57: "running",
  58: "running",
  65: "skiing",
  77: "stair_climbing",
  80: "strength_training",
  82: "swimming",
  83: "swimming",
  84: "swimming",
  87: "tennis",
  93: "walking",
  94: "walking",
  95: "walking",
  97: "weightlifting",
  100: "yoga",
  113: "crossfit",
  114: "hiit",
};

const sleepType = 72;

export function readSession(session: Session): HealthItem | undefined {
  const start = numberOf(session.startTimeMillis);
  const end = numberOf(session.endTimeMillis);
  if (start === undefined || end === undefined) return undefined;
  const span = { startedAt: new Date(start).toISOString(), endedAt: new Date(end).toISOString() };
  const active = numberOf(session.activeTimeMillis);
  const id = sessionId(session.id);
  if (session.activityType === sleepType) {
    const value = Math.round((active ?? end - start) / 60_000);
    return { id, type: "session", data: { kind: "reading", metric: "sleep", ...span, value } };
  }
  return {
    id,
    type: "session",
    data: {
      kind: "workout",
      activityType: activityTypes[session.activityType ?? -1] ?? "other",
      ...(session.name ? { name: session.name } : {}),
      ...span,
      ...(active === undefined ? {} : { durationSeconds: Math.round(active / 1000) }),
    },
  };
}

export const sessionId = (id: string): string => `session:${id}`.slice(0, 250);

export function readFitPoint(kind: string, point: FitPoint): HealthItem | undefined {
  const { startTimeNanos = "", endTimeNanos = startTimeNanos, originDataSourceId = "" } = point;
  const startedAt = timeOfNanos(startTimeNanos);
  const endedAt = timeOfNanos(endTimeNanos);
  const [first] = point.value ?? [];
  const value = first?.fpVal ?? first?.intVal;
  const metric = streams[kind]?.metric;
  if (startedAt === undefined || endedAt === undefined || value === undefined || metric === undefined) return undefined;
  return {
    id: `${kind}:${startTimeNanos}-${endTimeNanos}:${originDataSourceId}`.slice(0, 250),
    type: kind,
    data: {
      kind: "reading",
      metric,
      startedAt,
      endedAt,
      value: Math.round(value * 1000) / 1000,
      ...(originDataSourceId === "" ? {} : { details: { source: originDataSourceId } }),
    },
  };
}

/** Nanoseconds are beyond what a number holds exactly; the model keeps milliseconds. */
export const nanosOf = (time: string): string => `${BigInt(Date.parse(time)) * 1_000_000n}`;

function timeOfNanos(nanos: string): string | undefined {
  if (!/^\d{1,19}$/.test(nanos)) return undefined;
  return new Date(Number(BigInt(nanos) / 1_000_000n)).toISOString();
}
