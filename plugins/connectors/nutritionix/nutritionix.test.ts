import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type HttpAnswer, type HttpScript, testPlugin } from "@backplane/plugin-api/testing";
import { syncer } from "../syncer.ts";
// Answers in the shapes of https://docx.syndigo.com/developers/docs/nutritionix-api-guide, with foods of our own.
import item from "./fixtures/item.json" with { type: "json" };
import nutrients from "./fixtures/nutrients.json" with { type: "json" };

const config = {
  appId: "app-1",
  appKey: "app-key-value",
  locale: "en_US",
  itemIds: [] as string[],
  upcs: [] as string[],
  commonFoods: [] as string[],
};
const at = (path: string, answer: HttpScript["answer"], times?: number): HttpScript => ({
  url: `https://trackapi.nutritionix.com/v2${path}`,
  answer,
  ...(times === undefined ? {} : { times }),
});
const unknown: HttpAnswer = { status: 404, body: { message: "resource not found", id: "1" } };
const limited: HttpAnswer = {
  status: 429,
  headers: { "retry-after": "3600" },
  body: { message: "usage limits exceeded" },
};

describe("functions", () => {
  test("item finds a food by its barcode, with the credentials in headers", async () => {
    await using plugin = await testPlugin({ config, http: [at("/search/item", { body: item })] });
    assert.deepEqual(await plugin.call("item", { upc: "000000000017" }), {
      food: {
        foodId: "bb11bb11",
        name: "Oat Bar",
        brand: "Fixture Foods",
        barcode: "000000000017",
        dataType: "branded",
        servingSize: 1,
        servingUnit: "bar",
        servingDescription: "1 bar",
        servingWeightGrams: 40,
        nutrientsPer: "serving",
        nutrients: {
          energyKcal: 170,
          proteinG: 4,
          fatG: 6,
          saturatedFatG: 1.5,
          carbohydrateG: 26,
          sugarG: 9,
          fiberG: 3,
          sodiumMg: 95,
          cholesterolMg: 0,
          calciumMg: 20,
        },
      },
    });
    const [request] = plugin.requests;
    assert.equal(request?.headers["x-app-id"], "app-1");
    assert.equal(request?.headers["x-app-key"], config.appKey);
    assert.equal(new URL(request?.url ?? "").search, "?upc=000000000017");
  });

  test("an unknown barcode is null; neither or both of id and barcode never reach the service", async () => {
    await using plugin = await testPlugin({ config, http: [at("/search/item", unknown)] });
    assert.deepEqual(await plugin.call("item", { upc: "000000000099" }), { food: null });
    await assert.rejects(plugin.call("item", {}), { message: /either itemId or upc/ });
    await assert.rejects(plugin.call("item", { itemId: "a", upc: "000000000017" }), { message: /either/ });
    await assert.rejects(plugin.call("item", { upc: "12 34" }), { code: "invalid_parameters" });
    assert.equal(plugin.requests.length, 1);
  });

  test("a sentence gives its foods; one without foods gives none", async () => {
    const scripts = [at("/natural/nutrients", { body: nutrients }, 1), at("/natural/nutrients", unknown)];
    await using plugin = await testPlugin({ config, http: scripts });
    const { foods } = await plugin.call<{ foods: Record<string, unknown>[] }>("nutrients", {
      query: "a cup of oats and an apple",
    });
    assert.deepEqual(
      foods.map((food) => [food["foodId"], food["dataType"]]),
      [
        ["common:oats", "common"],
        ["common:apple", "common"],
      ],
    );
    assert.deepEqual(await plugin.call("nutrients", { query: "the blue one" }), { foods: [] });
    assert.deepEqual(plugin.requests[0]?.json, { query: "a cup of oats and an apple", locale: "en_US" });
  });

  test("instant search tells common from branded foods", async () => {
    const body = {
      common: [{ food_name: "oats", serving_unit: "cup", serving_qty: 1, tag_id: "9" }],
      branded: [{ food_name: "Oat Bar", brand_name: "Fixture Foods", nix_item_id: "bb11bb11", nf_calories: 170 }],
    };
    await using plugin = await testPlugin({ config, http: [at("/search/instant", { body })] });
    const answer = await plugin.call<Record<"common" | "branded", Record<string, unknown>[]>>("instantSearch", {
      query: "oa",
      brandedType: 2,
    });
    assert.equal(answer.common[0]?.["foodId"], "common:oats");
    assert.deepEqual(answer.branded[0]?.["nutrients"], { energyKcal: 170 });
    assert.equal(
      new URL(plugin.requests[0]?.url ?? "").search,
      "?query=oa&branded=true&common=true&locale=en_US&branded_type=2",
    );
  });

  test("exercise is estimated for the person that is described", async () => {
    const body = { exercises: [{ name: "running", duration_min: 30.5, met: 9.8, nf_calories: 372.5 }] };
    await using plugin = await testPlugin({ config, http: [at("/natural/exercise", { body })] });
    assert.deepEqual(await plugin.call("exercise", { query: "ran 3 miles", weightKg: 70, age: 30 }), {
      exercises: [{ name: "running", durationSeconds: 1830, met: 9.8, energyKcal: 372.5 }],
    });
    assert.deepEqual(plugin.requests[0]?.json, { query: "ran 3 miles", weight_kg: 70, age: 30 });
  });

  test("too many requests fail the call with the status", async () => {
    await using plugin = await testPlugin({ config, http: [at("/search/item", limited)] });
    await assert.rejects(plugin.call("item", { itemId: "bb11bb11" }), { code: "plugin_error", message: /429/ });
  });
});

describe("sync", () => {
  const wanted = { ...config, itemIds: ["bb11bb11"], upcs: ["000000000099"], commonFoods: ["oats and apple"] };
  const byId = (known: () => boolean): HttpScript =>
    at("/search/item", ({ url }) => (url.includes("nix_item_id") && known() ? { body: item } : unknown));

  test("keeps what the configuration names, and deletes an id that is gone", async () => {
    let isKnown = true;
    await using plugin = await testPlugin({
      config: wanted,
      http: [byId(() => isKnown), at("/natural/nutrients", { body: nutrients })],
    });
    const sync = syncer(plugin);
    await sync();
    const ids = async (): Promise<unknown[]> => (await plugin.rows("foods")).map((row) => row["externalId"]).sort();
    assert.deepEqual(await ids(), ["bb11bb11", "common:apple", "common:oats"]);
    assert.ok(plugin.logs.some(({ message }) => message.includes("no food has this barcode")));
    isKnown = false;
    await sync();
    assert.deepEqual(await ids(), ["common:apple", "common:oats"]);
  });

  test("a run that is cut off goes on with the food it stood at, and the next begins anew", async () => {
    const scripts = [
      byId(() => true),
      at("/natural/nutrients", limited, 1),
      at("/natural/nutrients", { body: nutrients }),
    ];
    await using plugin = await testPlugin({ config: { ...wanted, upcs: [] }, http: scripts });
    const sync = syncer(plugin);
    await assert.rejects(sync());
    assert.equal((await plugin.rows("foods")).length, 1);
    await sync();
    assert.equal(plugin.requests.length, 3);
    await sync();
    assert.equal(plugin.requests.length, 5);
  });
});

test("health says whether the credentials are taken", async () => {
  const answers: HttpAnswer[] = [{ body: { common: [] } }, { status: 401, body: { message: "unauthorized" } }, limited];
  await using plugin = await testPlugin({ config, http: [at("/search/instant", () => answers.shift()!)] });
  assert.deepEqual(await plugin.health(), { status: "healthy" });
  assert.deepEqual(await plugin.health(), { status: "unhealthy", message: "Nutritionix refuses the credentials." });
  assert.deepEqual(await plugin.health(), { status: "degraded", message: "The requests of this day are used up." });
});
