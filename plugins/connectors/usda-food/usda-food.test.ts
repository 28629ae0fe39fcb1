import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type HttpAnswer, type HttpScript, type RecordedRequest, testPlugin } from "@backplane/plugin-api/testing";
import { syncer } from "../syncer.ts";
// Answers in the shapes that https://fdc.nal.usda.gov/api-guide gives in fact, with foods of our own.
import abridged from "./fixtures/abridged.json" with { type: "json" };
import full from "./fixtures/full.json" with { type: "json" };
import found from "./fixtures/search.json" with { type: "json" };

const config = { apiKey: "k y&123", fdcIds: [] as number[], queries: [] as string[], maxFoodsPerQuery: 200 };
const at = (path: string, answer: HttpScript["answer"], times?: number): HttpScript => ({
  url: `https://api.nal.usda.gov/fdc/v1${path}`,
  answer,
  ...(times === undefined ? {} : { times }),
});
const body = (request: RecordedRequest | undefined): Record<string, unknown> =>
  request?.json as Record<string, unknown>;
const limited: HttpAnswer = {
  status: 429,
  headers: { "retry-after": "60" },
  body: { error: { code: "OVER_RATE_LIMIT", message: "slow down" } },
};

/** `foods` of the service: those with a full format, and those with the abridged one only. */
const details = at("/foods", (request) => {
  const { fdcIds, format } = request.json as { fdcIds: number[]; format: string };
  return { body: (format === "full" ? [full] : [full, abridged]).filter(({ fdcId }) => fdcIds.includes(fdcId)) };
});

/** `count` foods in pages. */
const pages = (count: number, broken?: { page: number; answer: HttpAnswer; times: number }): HttpScript => {
  let failures = broken?.times ?? 0;
  return at("/foods/search", (request) => {
    const { pageNumber = 1, pageSize = 50 } = request.json as { pageNumber?: number; pageSize?: number };
    if (broken?.page === pageNumber && failures-- > 0) return broken.answer;
    const from = (pageNumber - 1) * pageSize;
    const foods = Array.from({ length: Math.max(0, Math.min(pageSize, count - from)) }, (_, n) => ({
      fdcId: 1 + from + n,
      description: `FOOD ${1 + from + n}`,
      dataType: "Branded",
    }));
    return { body: { totalHits: count, currentPage: pageNumber, totalPages: Math.ceil(count / pageSize), foods } };
  });
};

describe("functions", () => {
  test("search puts the sealed key into the query and answers foods in the words of the data model", async () => {
    await using plugin = await testPlugin({ config, http: [at("/foods/search", { body: found })] });
    const answer = await plugin.call<{ totalHits: number; foods: Record<string, unknown>[] }>("search", {
      query: "oat drink",
      dataType: ["Branded"],
    });
    assert.equal(answer.totalHits, 3);
    assert.deepEqual(answer.foods[0], {
      fdcId: 9000001,
      name: "OAT DRINK",
      brand: "FIXTURE",
      barcode: "000000000017",
      category: "Plant Based Drinks",
      dataType: "Branded",
      ingredients: "WATER, OATS.",
      servingSize: 240,
      servingUnit: "ml",
      servingDescription: "1 cup",
      nutrientsPer: "100 ml",
      nutrients: { energyKcal: 46, proteinG: 1.1, sodiumMg: 42 },
    });
    const [request] = plugin.requests;
    assert.equal(new URL(request?.url ?? "").searchParams.get("api_key"), config.apiKey);
    assert.deepEqual(body(request), { query: "oat drink", dataType: ["Branded"] });
  });

  test("search takes the list that the specification promises as well", async () => {
    await using plugin = await testPlugin({ config, http: [at("/foods/search", { body: [found] })] });
    assert.equal((await plugin.call<{ foods: object[] }>("search", { query: "oat" })).foods.length, 3);
  });

  test("a food without a full format is read in the abridged one, and an unknown one is null", async () => {
    await using plugin = await testPlugin({
      config,
      http: [
        at("/food/9000004", (request) =>
          request.url.includes("format=abridged") ? { body: abridged } : { status: 404, body: "" },
        ),
        at("/food/1", { status: 404, body: "" }),
      ],
    });
    const { food } = await plugin.call<{ food: Record<string, unknown> }>("food", { fdcId: 9000004 });
    assert.deepEqual([food["name"], food["nutrients"]], ["Oats, whole grain, rolled", { fatG: 6.5 }]);
    assert.deepEqual(await plugin.call("food", { fdcId: 1 }), { food: null });
  });

  test("foods asks again, abridged, for what the full answer leaves out", async () => {
    await using plugin = await testPlugin({ config, http: [details] });
    const { foods } = await plugin.call<{ foods: Record<string, unknown>[] }>("foods", {
      fdcIds: [9000003, 9000004, 5],
    });
    assert.deepEqual(
      foods.map((food) => [food["fdcId"], food["category"]]),
      [
        [9000003, "Cereal Grains"],
        [9000004, null],
      ],
    );
    assert.deepEqual(foods[0]?.["nutrients"], { energyKcal: 379, proteinG: 13.2 });
    assert.deepEqual(body(plugin.requests[1]), { fdcIds: [9000004, 5], format: "abridged" });
  });

  test("list asks for a page; a page too large never reaches the service", async () => {
    await using plugin = await testPlugin({ config, http: [at("/foods/list", { body: [abridged] })] });
    const answer = await plugin.call<{ foods: object[] }>("list", {
      dataType: ["Foundation"],
      pageSize: 2,
      pageNumber: 3,
    });
    assert.equal(answer.foods.length, 1);
    assert.deepEqual(body(plugin.requests[0]), { dataType: ["Foundation"], pageSize: 2, pageNumber: 3 });
    await assert.rejects(plugin.call("list", { pageSize: 500 }), { code: "invalid_parameters" });
    assert.equal(plugin.requests.length, 1);
  });
});

describe("sync", () => {
  test("keeps configured foods with their details, and the results of searches", async () => {
    await using plugin = await testPlugin({
      config: { ...config, fdcIds: [9000003, 9000004], queries: ["oat drink"], dataTypes: ["Branded"] },
      http: [details, at("/foods/search", { body: found })],
    });
    const sync = syncer(plugin);
    await sync();
    const rows = await plugin.rows("foods");
    assert.deepEqual(rows.map((row) => row["externalId"]).sort(), ["9000001", "9000002", "9000003", "9000004"]);
    // The search names 9000003 too, with less.
    assert.equal(rows.find((row) => row["externalId"] === "9000003")?.["category"], "Cereal Grains");
    assert.deepEqual(body(plugin.requests.at(-1)), {
      query: "oat drink",
      dataType: ["Branded"],
      pageSize: 200,
      pageNumber: 1,
    });
    await sync();
    assert.ok(
      (await plugin.rows("foods")).every((row) => row["version"] === 1),
      "nothing changed, nothing is written",
    );
  });

  test("a configured food that is gone is deleted", async () => {
    let isThere = true;
    const vanishing = at("/foods", () => ({ body: isThere ? [full] : [] }));
    await using plugin = await testPlugin({ config: { ...config, fdcIds: [9000003] }, http: [vanishing] });
    const sync = syncer(plugin);
    await sync();
    assert.equal((await plugin.rows("foods")).length, 1);
    isThere = false;
    await sync();
    assert.deepEqual(await plugin.rows("foods"), []);
  });

  test("pages end at the number of foods that are wanted", async () => {
    await using plugin = await testPlugin({
      config: { ...config, queries: ["x"], maxFoodsPerQuery: 450 },
      http: [pages(10_000)],
    });
    const sync = syncer(plugin);
    const { items } = await sync();
    assert.equal(items.length, 450);
    assert.equal(plugin.requests.length, 3);
  });

  test("a run that the service cuts off goes on at the page it stood at, and the run after that begins anew", async () => {
    await using plugin = await testPlugin({
      config: { ...config, queries: ["x"], maxFoodsPerQuery: 1000 },
      http: [pages(600, { page: 3, answer: limited, times: 1 })],
    });
    const sync = syncer(plugin);
    await assert.rejects(sync());
    await sync();
    assert.deepEqual(
      plugin.requests.map((request) => body(request)["pageNumber"]),
      [1, 2, 3, 3],
    );
    await sync();
    assert.equal(body(plugin.requests[4])["pageNumber"], 1);
  });

  test("an answer that is no JSON fails the run with a reason and stores nothing", async () => {
    const html: HttpAnswer = { status: 502, headers: { "content-type": "text/html" }, body: "<h1>Bad gateway</h1>" };
    await using plugin = await testPlugin({ config: { ...config, queries: ["x"] }, http: [at("/foods/search", html)] });
    const sync = syncer(plugin);
    await assert.rejects(sync(), { message: /502/ });
    assert.deepEqual(await plugin.rows("foods"), []);
  });
});

test("health says whether the key is taken", async () => {
  const answers: HttpAnswer[] = [{ body: [abridged] }, { status: 403, body: {} }, limited];
  await using plugin = await testPlugin({ config, http: [at("/foods/list", () => answers.shift()!)] });
  assert.deepEqual(await plugin.health(), { status: "healthy" });
  assert.deepEqual(await plugin.health(), {
    status: "unhealthy",
    message: "FoodData Central refuses the API key.",
  });
  assert.deepEqual(await plugin.health(), { status: "degraded", message: "The requests of this hour are used up." });
});
