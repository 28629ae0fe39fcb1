/** com.google.health against Google's discovery document: every request it sends holds, and so does all it is fed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestedPlugin } from "../../plugin-api/src/testing.ts";
import {
  createVendorMock,
  describeVendor,
  paged,
  reply,
  type VendorCall,
  type VendorMock,
} from "../kit/vendor-mock.ts";
import { bundledPlugin } from "../kit/vendor-mock-plugin.ts";

const file = "google-health/health-v4.discovery.json";
const start = bundledPlugin("plugins/connectors/google-health");
const list = "health.users.dataTypes.dataPoints.list";
const allTypes = [
  "exercise",
  "sleep",
  "steps",
  "floors",
  "distance",
  "active-energy-burned",
  "heart-rate",
  "oxygen-saturation",
  "weight",
  "body-fat",
  "daily-resting-heart-rate",
  "daily-heart-rate-variability",
];
const config = {
  clientId: "client-1",
  clientSecret: "client-secret-value",
  startDate: "2026-05-01",
  dataTypes: allTypes,
};

const google = (): VendorMock => createVendorMock({ file, accepts: ({ bearer }) => bearer === "tok-1" });
const plugin = (mock: VendorMock, more: object = {}): Promise<TestedPlugin> =>
  start({ config: { ...config, ...more }, connections: { google: "tok-1" }, http: mock.scripts });

const typeOf = ({ request }: VendorCall): string => /dataTypes\/([^/]+)\//.exec(request.url)?.[1] ?? "";
const filterOf = ({ query }: VendorCall): string => String(query["filter"]);

/** The filters that the document allows, by type. */
const filters: Record<string, RegExp> = {
  exercise:
    /^exercise\.interval\.civil_start_time >= "[\d-]{10}" AND exercise\.interval\.civil_start_time < "[\d-]{10}"$/,
  sleep: /^sleep\.interval\.end_time >= "[^"]+Z" AND sleep\.interval\.end_time < "[^"]+Z"$/,
  "daily-resting-heart-rate":
    /^daily_resting_heart_rate\.date >= "[\d-]{10}" AND daily_resting_heart_rate\.date < "[\d-]{10}"$/,
  "heart-rate":
    /^heart_rate\.sample_time\.physical_time >= "[^"]+Z" AND heart_rate\.sample_time\.physical_time < "[^"]+Z"$/,
  "active-energy-burned":
    /^active_energy_burned\.interval\.start_time >= "[^"]+Z" AND active_energy_burned\.interval\.start_time < "[^"]+Z"$/,
};

const interval = { startTime: "2026-05-01T06:00:00Z", startUtcOffset: "7200s", endTime: "2026-05-01T06:30:00Z" };
const sampleTime = { physicalTime: "2026-05-01T06:00:00Z", utcOffset: "7200s" };
const date = { year: 2026, month: 5, day: 1 };
const points: Record<string, object> = {
  exercise: {
    name: "users/u/dataTypes/exercise/dataPoints/e-1",
    exercise: {
      interval,
      exerciseType: "BIKING",
      displayName: "Ride",
      metricsSummary: { caloriesKcal: 300, distanceMillimeters: 9_000_000, steps: "0" },
    },
  },
  sleep: {
    name: "users/u/dataTypes/sleep/dataPoints/s-1",
    sleep: {
      interval,
      type: "STAGES",
      summary: { minutesAsleep: "25", stagesSummary: [{ type: "REM", minutes: "5", count: "1" }] },
    },
  },
  steps: { steps: { interval, count: "900" } },
  floors: { floors: { interval, count: "3" } },
  distance: { distance: { interval, millimeters: "700000" } },
  "active-energy-burned": { activeEnergyBurned: { interval, kcal: 41.5 } },
  "heart-rate": { heartRate: { sampleTime, beatsPerMinute: "61" } },
  "oxygen-saturation": { oxygenSaturation: { sampleTime, percentage: 97.5 } },
  weight: { weight: { sampleTime, weightGrams: 70_500 } },
  "body-fat": { bodyFat: { sampleTime, percentage: 18 } },
  "daily-resting-heart-rate": { dailyRestingHeartRate: { date, beatsPerMinute: "52" } },
  "daily-heart-rate-variability": {
    dailyHeartRateVariability: { date, averageHeartRateVariabilityMilliseconds: 44.2 },
  },
};

describeVendor("Google Health", [file], () => {
  test("every data type is asked for with a filter that the document allows, and read", async () => {
    const mock = google().on(list, (call) => ({ dataPoints: [points[typeOf(call)]] }));
    await using tested = await plugin(mock);
    await tested.sync();
    const metrics = (await tested.rows("health_samples")).map(
      ({ metric, value, unit }) => `${metric} ${value} ${unit}`,
    );
    assert.deepEqual(metrics.sort(), [
      "body_fat 18 %",
      "distance 700 m",
      "energy 41.5 kcal",
      "floors 3 count",
      "heart_rate 61 bpm",
      "heart_rate_variability 44.2 ms",
      "resting_heart_rate 52 bpm",
      "sleep 25 min",
      "spo2 97.5 %",
      "steps 900 count",
      "weight 70.5 kg",
    ]);
    assert.deepEqual(
      (await tested.rows("activities")).map((row) => [row["activityType"], row["distanceMeters"]]),
      [["biking", 9000]],
    );
    for (const call of mock.calls) assert.match(filterOf(call), filters[typeOf(call)] ?? /^\w+\.[\w.]+ >= "/);
    mock.assertClean();
  });

  test("pages are followed whatever the page token looks like, also when points come again on the next page", async () => {
    const items = Array.from({ length: 60 }, (_, n) => ({
      name: `users/u/dataTypes/sleep/dataPoints/s-${Math.floor(n / 2)}`,
      sleep: { interval },
    }));
    const mock = google().on(
      list,
      paged({
        items,
        size: 25,
        mark: ({ query }) => query["pageToken"],
        answer: (dataPoints, next) => ({ dataPoints, ...(next ? { nextPageToken: next } : {}) }),
      }),
    );
    await using tested = await plugin(mock, { dataTypes: ["sleep"] });
    await tested.sync();
    assert.equal((await tested.rows("health_samples")).length, 30);
    mock.assertClean();
  });

  test("a token that Google refuses is told by health", async () => {
    const mock = createVendorMock({
      file,
      accepts: () => false,
      unauthorized: reply(403, { error: { code: 403, message: "no", status: "PERMISSION_DENIED" } }),
    });
    await using tested = await plugin(mock);
    assert.equal(((await tested.health()) as { status: string }).status, "unhealthy");
    mock.assertClean();
  });
});
