/** com.nutritionix against a description that others wrote from the public documentation; Nutritionix publishes none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestedPlugin } from "../../plugin-api/src/testing.ts";
import { createVendorMock, describeVendor, reply, throttled, type VendorMock } from "../kit/vendor-mock.ts";
import { bundledPlugin } from "../kit/vendor-mock-plugin.ts";

const file = "nutritionix/track-api-v2.openapi.json";
const start = bundledPlugin("plugins/connectors/nutritionix");
const config = {
  appId: "app-1",
  appKey: "app-key-value",
  locale: "en_US",
  itemIds: [] as string[],
  upcs: [] as string[],
  commonFoods: [] as string[],
};

const nutritionix = (): VendorMock => {
  const mock = createVendorMock({
    file,
    // Its examples have placeholders where photos should be.
    looseFormats: "all",
    accepts: ({ keys }) => keys["x-app-id"] === "app-1" && keys["x-app-key"] === config.appKey,
    unauthorized: reply(401, { message: "unauthorized", id: "1" }),
  });
  const published = (operation: string): unknown =>
    mock.examples().find((one) => one.operation === operation && one.status === "200")?.value;
  for (const operation of ["getNaturalNutrients", "getNaturalExercise", "searchInstant", "searchItem"])
    mock.on(operation, () => published(operation));
  return mock;
};

describeVendor("Nutritionix", [file], () => {
  const plugin = (mock: VendorMock, more: object = {}): Promise<TestedPlugin> =>
    start({ config: { ...config, ...more }, http: mock.scripts });

  test("every function sends what is described and reads the published example", async () => {
    const mock = nutritionix();
    await using tested = await plugin(mock);
    const { food } = await tested.call<{ food: Record<string, unknown> }>("item", {
      itemId: "513fc9e73fe3ffd40300109f",
    });
    assert.deepEqual([food["name"], food["brand"], food["servingDescription"]], ["Big Mac", "McDonald's", "1 burger"]);
    assert.equal((food["nutrients"] as Record<string, number>)["energyKcal"], 540);
    await tested.call("item", { upc: "049000028904" });
    const { common, branded } = await tested.call<Record<string, object[]>>("instantSearch", {
      query: "cheese",
      brandedType: 1,
    });
    assert.deepEqual([common?.length, branded?.length], [1, 1]);
    const { foods } = await tested.call<{ foods: object[] }>("nutrients", { query: "a big mac", rawFoods: true });
    assert.equal(foods.length, 1);
    const { exercises } = await tested.call<{ exercises: Record<string, unknown>[] }>("exercise", {
      query: "ran 3 miles",
      gender: "female",
      weightKg: 72.5,
      heightCm: 167.64,
      age: 30,
    });
    assert.deepEqual([exercises[0]?.["name"], exercises[0]?.["durationSeconds"]], ["running", 1800]);
    mock.assertClean();
  });

  test("a sync asks once for each configured food; past the day's requests it ends and keeps what it has", async () => {
    const mock = nutritionix();
    await using tested = await plugin(mock, {
      itemIds: ["513fc9e73fe3ffd40300109f"],
      upcs: ["049000028904"],
      commonFoods: ["oats"],
    });
    mock.on("getNaturalNutrients", () => throttled(3600, { message: "usage limits exceeded" }));
    await assert.rejects(tested.sync(), { message: /429/ });
    assert.equal((await tested.rows("foods")).length, 1);
    assert.deepEqual(
      mock.calls.map(({ operation }) => operation),
      ["searchItem", "searchItem", "getNaturalNutrients"],
    );
    assert.deepEqual(
      mock.violations.filter((text) => !text.includes("429")),
      [],
    );
  });

  test("credentials that the service refuses are told by health", async () => {
    const mock = nutritionix();
    await using tested = await start({ config: { ...config, appKey: "another-key" }, http: mock.scripts });
    assert.equal(((await tested.health()) as { status: string }).status, "unhealthy");
    mock.assertClean();
  });
});
