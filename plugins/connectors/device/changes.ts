/**
 * What a batch means: rows for everything that was sensed, and events for what is news. Agents send late and out of order,
 * so a sample changes the device's present state only when it is newer than what is known, and what is too old publishes nothing.
 */
import type { IncomingChanges, RawItem } from "@backplane/plugin-api";
import type { Sample } from "./samples.ts";

/** The device's row: its present state, with the times it was sensed at. */
export interface DeviceState {
  id: string;
  batteryPercent?: number | null;
  batteryAt?: string | null;
  currentPlaceId?: string | null;
  currentPlaceType?: string | null;
  placeSince?: string | null;
  lastLocationAt?: string | null;
  lastActivityAt?: string | null;
  lastSeenAt?: string | null;
}

export interface Batch {
  device: DeviceState;
  samples: readonly Sample[];
  /** Ids in the data model of the places that the samples name, by the agent's ids. */
  places: ReadonlyMap<string, string>;
  batteryLowPercent: number;
  /** RFC 3339: what was sensed before publishes nothing. */
  freshSince: string;
}

export function changesOf({ device, samples, places, batteryLowPercent, freshSince }: Batch): IncomingChanges {
  const items: RawItem[] = [];
  const events: NonNullable<IncomingChanges["events"]> = [];
  const state: DeviceState = { ...device };
  const deviceId = device.id;
  let newest: Extract<Sample, { type: "location" }> | undefined;

  for (const sample of samples.toSorted((a, b) => timeOf(a) - timeOf(b) || (a.id < b.id ? -1 : 1))) {
    const at = new Date(sample.at).toISOString();
    const item = (data: object): RawItem => ({
      id: `${deviceId}:${sample.id}`,
      type: sample.type,
      updatedAt: at,
      data,
    });
    const publish = (type: string, data: object): void => {
      if (at >= freshSince)
        events.push({ type, data: { deviceId, at, ...data }, subject: deviceId, id: `${deviceId}:${sample.id}` });
    };
    if (isNews(at, state.lastSeenAt)) state.lastSeenAt = at;
    switch (sample.type) {
      case "location": {
        const { id: _id, at: _at, type: _type, ...fix } = sample;
        items.push(item({ deviceId, recordedAt: at, ...fix }));
        if (isNews(at, state.lastLocationAt)) {
          state.lastLocationAt = at;
          newest = sample;
        }
        break;
      }
      case "place_arrived": {
        if (!isNews(at, state.placeSince)) break;
        const place = placeOf(sample.place, places);
        const isThere = state.currentPlaceId === place.placeId;
        Object.assign(state, { currentPlaceId: place.placeId, currentPlaceType: place.placeType, placeSince: at });
        if (!isThere) publish("location.PlaceArrived", place);
        break;
      }
      case "place_left": {
        const place = placeOf(sample.place, places);
        const wasThere = state.currentPlaceId === place.placeId;
        // Having left another place than the present one is no news: the arrival here was sensed later.
        if (!isNews(at, state.placeSince) || (state.currentPlaceId && !wasThere)) break;
        Object.assign(state, { currentPlaceId: null, currentPlaceType: null, placeSince: at });
        if (wasThere) publish("location.PlaceLeft", place);
        break;
      }
      case "battery": {
        if (!isNews(at, state.batteryAt)) break;
        const before = state.batteryPercent ?? 100;
        Object.assign(state, { batteryPercent: sample.percent, charging: sample.charging ?? null, batteryAt: at });
        if (sample.percent <= batteryLowPercent && before > batteryLowPercent && !sample.charging)
          publish("device.BatteryLow", { batteryPercent: sample.percent });
        break;
      }
      case "activity": {
        const { id: _id, at: _at, type: _type, ...activity } = sample;
        items.push(item({ deviceId, startedAt: at, ...activity }));
        if (!isNews(at, state.lastActivityAt)) break;
        state.lastActivityAt = at;
        publish("activity.Detected", { activityType: sample.activityType });
        break;
      }
      case "file": {
        const { id: _id, at: _at, type: _type, ...file } = sample;
        // One row for a path, whichever sample told of it last.
        items.push({ ...item({ deviceId, name: nameOf(sample.path), ...file }), id: `${deviceId}:${sample.path}` });
        break;
      }
    }
  }
  if (newest && new Date(newest.at).toISOString() >= freshSince) {
    const { latitude, longitude, accuracyMeters } = newest;
    const data = { deviceId, at: newest.at, latitude, longitude, accuracyMeters: accuracyMeters ?? null };
    events.push({ type: "location.Updated", data, subject: deviceId, id: `${deviceId}:${newest.id}` });
  }
  items.push({ id: deviceId, type: "device", data: changed(device, state) });
  return { items, events };
}

const timeOf = (sample: Sample): number => Date.parse(sample.at);

const isNews = (at: string, known: string | null | undefined): boolean => !known || Date.parse(at) > Date.parse(known);

function placeOf(
  place: { id: string; name?: string; placeType?: string },
  ids: ReadonlyMap<string, string>,
): { placeId: string; placeType: string | null; placeName: string | null } {
  return {
    placeId: ids.get(place.id) ?? place.id,
    placeType: place.placeType ?? null,
    placeName: place.name ?? null,
  };
}

function changed(before: DeviceState, after: DeviceState): object {
  return Object.fromEntries(
    Object.entries(after).filter(([name, value]) => value !== (before as unknown as Record<string, unknown>)[name]),
  );
}

const nameOf = (path: string): string => path.split(/[\\/]/).at(-1) || path;
