import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type HttpAnswer, type HttpScript, type RecordedRequest, testPlugin } from "@backplane/plugin-api/testing";
import { syncer } from "../syncer.ts";
// Data points in the shapes of https://developers.google.com/health, with people and numbers of our own.
import exercise from "./fixtures/exercise.json" with { type: "json" };
import points from "./fixtures/points.json" with { type: "json" };
import sleep from "./fixtures/sleep.json" with { type: "json" };

const startDate = new Date(Date.now() - 20 * 86_400_000).toISOString().slice(0, 10);
const config = { clientId: "client-1", clientSecret: "client-secret-value", startDate, dataTypes: ["exercise"] };
const connections = { google: "ya29.token" };
const url = (dataType: string): string => `https://health.googleapis.com/v4/users/me/dataTypes/${dataType}/dataPoints`;
const at = (dataType: string, answer: HttpScript["answer"], times?: number): HttpScript => ({
  url: url(dataType),
  answer,
  ...(times === undefined ? {} : { times }),
});
const parameter = (request: RecordedRequest, name: string): string | null =>
  new URL(request.url).searchParams.get(name);

/** A service that holds one weight for each of the last `days` days, and gives `perPage` at a time, newest first. */
function scale(days: number, perPage: number, fail: (request: RecordedRequest) => HttpAnswer | undefined): HttpScript {
  const all = Array.from({ length: days }, (_, n) => new Date(Date.now() - n * 86_400_000 - 3_600_000).toISOString());
  return at("weight", (request) => {
    const broken = fail(request);
    if (broken) return broken;
    const [from = "", to = ""] = [...(parameter(request, "filter") ?? "").matchAll(/"([^"]+)"/g)].map((m) => m[1]!);
    const found = all.filter((time) => time >= from && time < to);
    const first = Number(parameter(request, "pageToken") ?? 0);
    const dataPoints = found.slice(first, first + perPage).map((physicalTime) => ({
      weight: { sampleTime: { physicalTime }, weightGrams: 70000 },
    }));
    const rest = first + perPage < found.length ? { nextPageToken: String(first + perPage) } : {};
    return { body: { dataPoints, ...rest } };
  });
}

describe("mapping", () => {
  test("a workout, a night and measurements become activities and samples in common units", async () => {
    const dataTypes = ["exercise", "sleep", "steps", "weight", "daily-resting-heart-rate"];
    const given: Record<string, unknown> = { ...points, exercise, sleep };
    await using plugin = await testPlugin({
      config: { ...config, dataTypes },
      connections,
      http: dataTypes.map((type) => at(type, { body: { dataPoints: [given[type]] } })),
    });
    await plugin.sync();
    const [activity] = await plugin.rows("activities");
    const { activityType, name, startedAt, durationSeconds, distanceMeters, steps, energyKcal } = activity ?? {};
    assert.deepEqual(
      [activityType, name, startedAt, durationSeconds, distanceMeters, steps, energyKcal],
      ["running", "Morning run", "2026-05-01T06:00:00.000Z", 2280, 6200, 6100, 410.5],
    );
    const samples = (await plugin.rows("health_samples")).map(({ metric, value, unit, startedAt: from, endedAt }) => [
      metric,
      value,
      unit,
      from,
      endedAt,
    ]);
    assert.deepEqual(samples.sort(), [
      ["resting_heart_rate", 54, "bpm", "2026-05-01T00:00:00.000Z", "2026-05-02T00:00:00.000Z"],
      ["sleep", 432, "min", "2026-04-30T21:30:00.000Z", "2026-05-01T05:30:00.000Z"],
      ["steps", 151, "count", "2026-05-01T06:00:00.000Z", "2026-05-01T06:01:00.000Z"],
      ["weight", 71.25, "kg", "2026-05-01T05:45:00.000Z", "2026-05-01T05:45:00.000Z"],
    ]);
    assert.equal(plugin.requests[0]?.headers["authorization"], `Bearer ${connections.google}`);
  });

  test("a point without a time is left out, and the rest is stored", async () => {
    const broken = { weight: { weightGrams: 1 } };
    await using plugin = await testPlugin({
      config: { ...config, dataTypes: ["weight"] },
      connections,
      http: [at("weight", { body: { dataPoints: [broken, points.weight] } })],
    });
    await plugin.sync();
    assert.equal((await plugin.rows("health_samples")).length, 1);
  });
});

describe("sync", () => {
  const weights = { ...config, dataTypes: ["weight"] };

  test("the first sync reads all days, page by page; the next only the last three", async () => {
    await using plugin = await testPlugin({ config: weights, connections, http: [scale(30, 4, () => undefined)] });
    const sync = syncer(plugin);
    await sync();
    // One a day, an hour ago: whether the first day has one depends on the hour.
    const stored = (await plugin.rows("health_samples")).length;
    assert.ok(stored === 20 || stored === 21, `${stored}`);
    const before = plugin.requests.length;
    await sync();
    const from = /"([^"]+)"/.exec(parameter(plugin.requests[before]!, "filter") ?? "")?.[1] ?? "";
    const days = (Date.now() - Date.parse(from)) / 86_400_000;
    assert.ok(days >= 3 && days < 4.1, `read again from ${from}`);
    assert.equal((await plugin.rows("health_samples")).length, stored);
  });

  test("a page token that is refused in the middle has the window read again, once", async () => {
    let refusals = 1;
    const expired: HttpAnswer = { status: 400, body: { error: { code: 400, status: "INVALID_ARGUMENT" } } };
    const fail = (request: RecordedRequest): HttpAnswer | undefined =>
      parameter(request, "pageToken") === "8" && refusals-- > 0 ? expired : undefined;
    await using plugin = await testPlugin({ config: weights, connections, http: [scale(20, 4, fail)] });
    await plugin.sync();
    assert.ok((await plugin.rows("health_samples")).length >= 19);
    refusals = 99;
    await assert.rejects(plugin.sync(), { message: /400/ });
  });

  test("a token that expires in the middle of the pages ends the run, and what was read stays", async () => {
    let refusals = 5;
    const expired: HttpAnswer = { status: 401, body: { error: { code: 401, status: "UNAUTHENTICATED" } } };
    const fail = (request: RecordedRequest): HttpAnswer | undefined =>
      parameter(request, "pageToken") === "8" && refusals-- > 0 ? expired : undefined;
    await using plugin = await testPlugin({ config: weights, connections, http: [scale(20, 4, fail)] });
    const sync = syncer(plugin);
    await assert.rejects(sync());
    assert.equal((await plugin.rows("health_samples")).length, 8);
  });

  test("a filter that Google refuses on the first page is an error, not a loop", async () => {
    await using plugin = await testPlugin({
      config: weights,
      connections,
      http: [at("weight", { status: 400, body: {} })],
    });
    await assert.rejects(plugin.sync(), { message: /400/ });
    assert.equal(plugin.requests.length, 1);
  });

  test("too many requests end the run; kinds that were read stay read, and the rest follows", async () => {
    const limited: HttpAnswer = { status: 429, headers: { "retry-after": "20" }, body: {} };
    await using plugin = await testPlugin({
      config: { ...config, dataTypes: ["exercise", "sleep"] },
      connections,
      http: [
        at("exercise", { body: { dataPoints: [exercise] } }),
        at("sleep", limited, 1),
        at("sleep", { body: { dataPoints: [sleep] } }),
      ],
    });
    const sync = syncer(plugin);
    await assert.rejects(sync(), { message: /429/ });
    assert.equal((await plugin.rows("activities")).length, 1);
    await sync();
    assert.equal((await plugin.rows("health_samples")).length, 1);
  });

  test("a kind that the service does not have any data of is asked for and leaves nothing", async () => {
    await using plugin = await testPlugin({ config, connections, http: [at("exercise", { body: {} })] });
    const { items, next } = await plugin.sync();
    assert.deepEqual(
      items.flatMap(({ entities }) => entities),
      [],
    );
    const upTo = (next.cursors?.["exercise"] as { upTo?: string } | undefined)?.upTo ?? "";
    assert.ok(Date.now() - Date.parse(upTo) < 60_000, upTo);
  });
});

test("health tells whether Google takes the token", async () => {
  const identity = "https://health.googleapis.com/v4/users/me/identity";
  const scripts: HttpScript[] = [
    { url: identity, answer: { body: { name: "users/me/identity" } }, times: 1 },
    { url: identity, answer: { status: 403, body: {} } },
  ];
  await using plugin = await testPlugin({ config, connections, http: scripts });
  assert.deepEqual(await plugin.health(), { status: "healthy" });
  assert.deepEqual(await plugin.health(), {
    status: "unhealthy",
    message: "Google refuses the token: connect the account again.",
  });
});
