/** com.google.fit against Google's discovery document, with answers of real accounts that others published. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestedPlugin } from "../../plugin-api/src/testing.ts";
import { createVendorMock, describeVendor, type VendorMock, vendorSpecs } from "../kit/vendor-mock.ts";
import { bundledPlugin } from "../kit/vendor-mock-plugin.ts";

const file = "google-fit/fitness-v1.discovery.json";
const stepsSample = "google-fit/samples/googlefit-merge-step-deltas.json";
const weightSample = "google-fit/samples/googlefit-merge-weight.json";
const emptySample = "google-fit/samples/googlefit-empty.json";
const start = bundledPlugin("plugins/connectors/google-fit");
const config = {
  clientId: "client-1",
  clientSecret: "client-secret-value",
  // The published points are of 2015; windows of all the years since would be hundreds of requests.
  startDate: new Date(Date.now() - 10 * 86_400_000).toISOString().slice(0, 10),
  kinds: ["session", "steps", "distance", "calories", "heart-rate", "weight", "body-fat"],
};

const read = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(vendorSpecs, name), "utf8")) as Record<string, unknown>;

const google = (): VendorMock => createVendorMock({ file, accepts: ({ bearer }) => bearer === "tok-1" });
const plugin = (mock: VendorMock, more: object = {}): Promise<TestedPlugin> =>
  start({ config: { ...config, ...more }, connections: { google: "tok-1" }, http: mock.scripts });

describeVendor("Google Fit", [file, stepsSample, weightSample, emptySample], () => {
  test("sessions and streams are asked for as described; published points are read", async () => {
    const steps = read(stepsSample);
    const weights = read(weightSample);
    const now = Date.now();
    const mock = google()
      .on("fitness.users.sessions.list", ({ query }) => ({
        session:
          query["startTime"] === undefined
            ? []
            : [
                {
                  id: "s-1",
                  activityType: 82,
                  startTimeMillis: `${now - 7_200_000}`,
                  endTimeMillis: `${now - 3_600_000}`,
                  application: { packageName: "fit.example" },
                },
              ],
        ...(query["startTime"] === undefined ? { nextPageToken: "t-1" } : {}),
      }))
      .on("fitness.users.dataSources.datasets.get", ({ path }) => {
        const source = String(path["dataSourceId"]);
        return source.includes("step_count") ? steps : source.includes("weight") ? weights : read(emptySample);
      });
    await using tested = await plugin(mock);
    await tested.sync();
    const rows = await tested.rows("health_samples");
    const points = (steps["point"] as object[]).length + (weights["point"] as object[]).length;
    assert.equal(rows.length, points);
    const weight = rows.find(({ metric }) => metric === "weight");
    assert.deepEqual([weight?.["value"], weight?.["startedAt"]], [72.1, "2015-02-13T00:00:00.000Z"]);
    assert.deepEqual(
      (await tested.rows("activities")).map((row) => row["activityType"]),
      ["swimming"],
    );
    const datasets = mock.calls.filter(({ operation }) => operation.endsWith("datasets.get"));
    assert.ok(datasets.every(({ path }) => /^\d{19}-\d{19}$/.test(String(path["datasetId"]))));
    mock.assertClean();
  });

  test("health asks for the data sources", async () => {
    const mock = google().on("fitness.users.dataSources.list", () => ({ dataSource: [] }));
    await using tested = await plugin(mock);
    assert.equal(((await tested.health()) as { status: string }).status, "degraded");
    mock.assertClean();
  });
});
