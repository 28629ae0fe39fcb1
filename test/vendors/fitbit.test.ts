/** com.fitbit against Fitbit's description with the answers' schemas that others added, fed with published answers. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestedPlugin } from "../../plugin-api/src/testing.ts";
import {
  createVendorMock,
  describeVendor,
  reply,
  type VendorCall,
  type VendorMock,
  vendorSpecs,
} from "../kit/vendor-mock.ts";
import { bundledPlugin } from "../kit/vendor-mock-plugin.ts";

const file = "fitbit/fitbit-web-api.with-response-schemas.openapi.json";
const folder = "fitbit/samples";
const start = bundledPlugin("plugins/connectors/fitbit");
const config = {
  clientId: "ABC123",
  clientSecret: "fitbit-client-secret",
  startDate: "2018-12-20",
  kinds: ["activity", "sleep", "steps", "distance", "calories", "heart", "weight", "body-fat"],
};
const read = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(vendorSpecs, folder, `${name}.json`), "utf8")) as Record<string, unknown>;

/** A published answer, for the range of days that holds `day`; else an empty one. */
const around =
  (day: string, answer: Record<string, unknown>, empty: object) =>
  ({ request }: VendorCall): object => {
    const [from = "", to = ""] = request.url.match(/\d{4}-\d{2}-\d{2}/g) ?? [];
    return from <= day && day <= to ? answer : empty;
  };

function fitbit(): VendorMock {
  const mock = createVendorMock({
    file,
    accepts: ({ bearer }) => bearer === "tok-1",
    // Written by others, from examples: answers hold more than it knows.
    unknownFields: "in answers",
    // Fitbit's times of day have no offset.
    looseFormats: ["date-time"],
    patch(document) {
      // A day with a period looks like a range of two days in an address; only ranges are asked for.
      const paths = document["paths"] as Record<string, unknown>;
      for (const path of Object.keys(paths)) if (path.endsWith("/{date}/{period}.json")) delete paths[path];
    },
  });
  const once = (answer: Record<string, unknown>) => ({
    ...answer,
    pagination: { ...(answer["pagination"] as object), next: "" },
  });
  return mock
    .on("getActivitiesLogList", () => once(read("activity_log_list")))
    .on("getSleepList", () => once(read("sleep_log_list")))
    .on("getActivitiesResourceByDateRange", (call) =>
      call.request.url.includes("/steps/")
        ? around("2018-12-27", read("activity_time_series_steps"), { "activities-steps": [] })(call)
        : call.request.url.includes("/calories/")
          ? around("2018-12-27", read("activity_time_series_calories"), { "activities-calories": [] })(call)
          : { "activities-distance": [] },
    )
    .on("getHeartByDateRange", around("2019-01-01", read("heart_rate_time_series"), { "activities-heart": [] }))
    .on("getWeightByDateRange", around("2023-01-01", read("weight_log_list"), { weight: [] }))
    .on("getBodyFatByDateRange", () => ({ fat: [] }))
    .on("getProfile", () => read("user_profile"));
}

const plugin = (mock: VendorMock, more: object = {}): Promise<TestedPlugin> =>
  start({ config: { ...config, ...more }, connections: { fitbit: "tok-1" }, http: mock.scripts });

describeVendor("Fitbit", [file, `${folder}/activity_log_list.json`], () => {
  test("a sync asks for what is described and reads the published answers", async () => {
    const mock = fitbit();
    await using tested = await plugin(mock);
    await tested.sync();
    const [walk] = await tested.rows("activities");
    assert.deepEqual(
      [walk?.["activityType"], walk?.["distanceMeters"], walk?.["steps"], walk?.["durationSeconds"]],
      ["walking", 12_500, 10_000, 3600],
    );
    const rows = await tested.rows("health_samples");
    const of = (metric: string): unknown[] => rows.filter((row) => row["metric"] === metric).map((row) => row["value"]);
    assert.deepEqual(of("steps").sort(), [1698, 2504, 3723, 4103, 7861, 8304, 837]);
    assert.deepEqual([of("resting_heart_rate"), of("sleep"), of("weight")], [[68], [480], [72.5]]);
    assert.ok(of("energy").length > 0);
    mock.assertClean();
  });

  test("subscriptions and the reading of a notified day hold against the description", async () => {
    const mock = fitbit().on("addSubscriptions", ({ path }) =>
      reply(201, {
        collectionType: path["collection-path"],
        ownerId: "ABC",
        ownerType: "user",
        subscriberId: "1",
        subscriptionId: path["subscription-id"],
      }),
    );
    await using tested = await plugin(mock);
    await tested.connector("registerRealtimeListener", "https://hub.example/webhooks/acme/com.fitbit");
    assert.equal(mock.calls.length, 3);
    const body = JSON.stringify([
      {
        collectionType: "body",
        date: "2023-01-01",
        ownerId: "ABC",
        ownerType: "user",
        subscriptionId: "backplane-body",
      },
      { collectionType: "activities", date: "2019-01-01", ownerId: "ABC", ownerType: "user", subscriptionId: "x" },
    ]);
    const signature = createHmac("sha1", `${config.clientSecret}&`).update(body).digest("base64");
    const { status } = await tested.webhook({ headers: { "x-fitbit-signature": signature }, body });
    assert.equal(status, 204);
    assert.deepEqual(
      new Set((await tested.rows("health_samples")).map((row) => row["metric"])),
      new Set(["weight", "resting_heart_rate"]),
    );
    mock.assertClean();
  });

  test("health says that the API ends", async () => {
    const mock = fitbit();
    await using tested = await plugin(mock);
    assert.equal(((await tested.health()) as { status: string }).status, "degraded");
    mock.assertClean();
  });
});
