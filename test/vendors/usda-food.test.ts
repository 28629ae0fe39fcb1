/** gov.usda.fdc against the USDA's description, with the service's recorded answers: they differ, and both are taken. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestedPlugin } from "../../plugin-api/src/testing.ts";
import { createVendorMock, describeVendor, reply, type VendorMock, vendorSpecs } from "../kit/vendor-mock.ts";
import type { Json } from "../kit/vendor-mock-description.ts";
import { bundledPlugin } from "../kit/vendor-mock-plugin.ts";

const file = "usda-fdc/fdc_api.openapi.json";
const searchSample = "usda-fdc/samples/foods-search.cheddar-cheese.first3.json";
const detailSample = "usda-fdc/samples/food-328637.detail-abridged.json";
const start = bundledPlugin("plugins/connectors/usda-food");
const config = { apiKey: "fdc-key-42", fdcIds: [] as number[], queries: [] as string[], maxFoodsPerQuery: 200 };
const sample = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(vendorSpecs, name), "utf8")) as Record<string, unknown>;

const fdc = (): VendorMock =>
  createVendorMock({
    file,
    // The service gives more than is described, and its nutrients are named otherwise.
    unknownFields: "in answers",
    notRequired: ["id", "nutrientNumber", "unit"],
    accepts: ({ keys }) => keys["api_key"] === config.apiKey,
    unauthorized: reply(403, { error: { code: "API_KEY_INVALID", message: "An invalid api_key was supplied." } }),
    patch(document) {
      const paths = document["paths"] as Record<string, Record<string, Json>>;
      const schemas = (document["components"] as Json)["schemas"] as Record<string, Json>;
      // One object, not a list of them.
      const answers = paths["/v1/foods/search"]!["post"]!["responses"] as Record<string, Json>;
      answers["200"]!["content"] = { "application/json": { schema: { $ref: "#/components/schemas/SearchResult" } } };
      // `number` is a text, `0E-8` and decimals are numbers.
      const nutrient = schemas["AbridgedFoodNutrient"]!["properties"] as Record<string, Json>;
      nutrient["number"] = { type: "string" };
      // The formats of one food are told apart by what they hold, which `oneOf` cannot.
      const food = paths["/v1/food/{fdcId}"]!["get"]!["responses"] as Record<string, Json>;
      food["200"]!["content"] = { "application/json": { schema: { $ref: "#/components/schemas/AbridgedFoodItem" } } };
    },
  });

describeVendor("USDA FoodData Central", [file, searchSample, detailSample], () => {
  const plugin = (mock: VendorMock, more: object = {}): Promise<TestedPlugin> =>
    start({ config: { ...config, ...more }, http: mock.scripts });

  test("a recorded search is read: names, brands, servings and nutrients", async () => {
    const mock = fdc().on("postFoodsSearch", () => sample(searchSample));
    await using tested = await plugin(mock);
    const { totalHits, foods } = await tested.call<{ totalHits: number; foods: Record<string, unknown>[] }>("search", {
      query: "cheddar cheese",
      dataType: ["Branded"],
      brandOwner: "Grafton Village Cheese Co, LLC",
      pageSize: 3,
      pageNumber: 1,
    });
    assert.ok(totalHits > 60_000);
    const [cheese] = foods;
    assert.deepEqual(
      [
        cheese?.["name"],
        cheese?.["brand"],
        cheese?.["category"],
        cheese?.["servingSize"],
        cheese?.["servingDescription"],
      ],
      ["CHEDDAR CHEESE", "GRAFTON VILLAGE", "Cheese", 28, "1 ONZ"],
    );
    const { proteinG, fatG } = (cheese?.["nutrients"] ?? {}) as Record<string, number>;
    assert.deepEqual([proteinG, fatG], [21.4, 28.6]);
    mock.assertClean();
  });

  test("a record that exists in the abridged format only is read there", async () => {
    const mock = fdc().on("getFood", ({ query }) =>
      query["format"] === "abridged" ? sample(detailSample) : reply(404),
    );
    await using tested = await plugin(mock);
    const { food } = await tested.call<{ food: Record<string, unknown> }>("food", { fdcId: 328637 });
    assert.equal(food["name"], "Cheese, cheddar");
    assert.ok(Object.keys(food["nutrients"] as object).length >= 5);
    mock.assertClean();
  });

  test("lists, details of several foods and a sync hold against the description", async () => {
    const detail = sample(detailSample);
    const mock = fdc()
      .on("postFoodsList", () => [detail])
      .on("postFoodsSearch", () => sample(searchSample))
      .on("postFoods", ({ body }) => ((body as { format: string }).format === "abridged" ? [detail] : []));
    await using tested = await plugin(mock, {
      fdcIds: [328637, 1],
      queries: ["cheddar cheese"],
      dataTypes: ["Branded", "Survey (FNDDS)"],
    });
    await tested.call("list", { dataType: ["Foundation"], pageSize: 1, pageNumber: 1 });
    await tested.sync();
    const rows = await tested.rows("foods");
    assert.equal(rows.length, 4);
    assert.ok(rows.every((row) => row["nutrientsPer"] === "100 g"));
    mock.assertClean();
  });

  test("a key that the service refuses is told by health", async () => {
    const mock = fdc();
    mock.accepts = () => false;
    await using tested = await plugin(mock);
    assert.equal(((await tested.health()) as { status: string }).status, "unhealthy");
    mock.assertClean();
  });
});
