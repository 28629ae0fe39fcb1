/** What agents send: a batch of samples, each checked by itself, so that one wrong sample does not lose its neighbours. */

export interface PlaceInfo {
  /** The agent's own id of the place: the same place always has the same one on its device; other devices' ids are others. */
  id: string;
  name?: string;
  /** `home`, `work`, `gym`, … */
  placeType?: string;
  latitude?: number;
  longitude?: number;
  radiusMeters?: number;
}

interface SampleBase {
  /** Unique to the device: the same sample sent again has the same one. */
  id: string;
  /** RFC 3339: when it was sensed. */
  at: string;
}

export type Sample = SampleBase &
  (
    | {
        type: "location";
        latitude: number;
        longitude: number;
        accuracyMeters?: number;
        altitudeMeters?: number;
        speedMps?: number;
        headingDegrees?: number;
      }
    | { type: "place_arrived" | "place_left"; place: PlaceInfo }
    | { type: "battery"; percent: number; charging?: boolean }
    | {
        type: "activity";
        activityType: string;
        startedAt?: string;
        endedAt?: string;
        steps?: number;
        distanceMeters?: number;
      }
    | {
        type: "file";
        path: string;
        name?: string;
        size?: number;
        contentType?: string;
        modifiedAt?: string;
        hash?: string;
      }
  );

export interface Fault {
  index: number;
  reason: string;
}

export const maxSamples = 1000;
/** A clock may run ahead by so much. */
const aheadMs = 5 * 60 * 1000;

export function readSamples(given: unknown, now: number): { samples: Sample[]; faults: Fault[] } {
  const faults: Fault[] = [];
  const samples = (Array.isArray(given) ? given : []).flatMap((entry: unknown, index) => {
    const reason = faultOf(entry, now);
    if (reason === undefined) return [entry as Sample];
    faults.push({ index, reason });
    return [];
  });
  return { samples, faults };
}

function faultOf(entry: unknown, now: number): string | undefined {
  if (typeof entry !== "object" || entry === null) return "a sample is an object";
  const sample = entry as Record<string, unknown>;
  if (!isText(sample["id"], 200)) return "`id` must be a text of 1 to 200 characters";
  if (!isTime(sample["at"])) return "`at` must be an RFC 3339 time";
  if (Date.parse(sample["at"] as string) > now + aheadMs) return "`at` is in the future: set the device's clock";
  switch (sample["type"]) {
    case "location":
      return isWithin(sample["latitude"], 90) && isWithin(sample["longitude"], 180)
        ? undefined
        : "`latitude` and `longitude` must be degrees";
    case "place_arrived":
    case "place_left":
      return isText((sample["place"] as PlaceInfo | undefined)?.id, 200) ? undefined : "`place.id` is missing";
    case "battery":
      return isWithin(sample["percent"], 100) && (sample["percent"] as number) >= 0
        ? undefined
        : "`percent` must be 0 to 100";
    case "activity":
      if (!isText(sample["activityType"], 100)) return "`activityType` is missing";
      return ["startedAt", "endedAt"].every((name) => sample[name] === undefined || isTime(sample[name]))
        ? undefined
        : "`startedAt` and `endedAt` must be RFC 3339 times";
    case "file":
      return isText(sample["path"], 1000) ? undefined : "`path` is missing";
    default:
      return "`type` must be location, place_arrived, place_left, battery, activity or file";
  }
}

const isText = (value: unknown, max: number): boolean =>
  typeof value === "string" && value !== "" && value.length <= max;
const isWithin = (value: unknown, limit: number): boolean => typeof value === "number" && Math.abs(value) <= limit;
const isTime = (value: unknown): boolean =>
  typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) && !Number.isNaN(Date.parse(value));
