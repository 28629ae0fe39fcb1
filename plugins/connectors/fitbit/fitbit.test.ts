import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type HttpAnswer, type HttpScript, type TestedPlugin, testPlugin } from "@backplane/plugin-api/testing";
import { syncer } from "../syncer.ts";
// Answers in the shapes of https://dev.fitbit.com/build/reference/web-api/, with people and numbers of our own.
import activities from "./fixtures/activities.json" with { type: "json" };
import body from "./fixtures/body.json" with { type: "json" };
import days from "./fixtures/days.json" with { type: "json" };
import sleep from "./fixtures/sleep.json" with { type: "json" };

const kinds = ["activity", "sleep", "steps", "distance", "calories", "heart", "weight", "body-fat"];
const config = {
  clientId: "ABC123",
  clientSecret: "fitbit-client-secret",
  verificationCode: "verify-me-0042",
  startDate: "2026-04-20",
  kinds,
};
const connections = { fitbit: "fitbit-token" };
const api = "https://api.fitbit.com";
const at = (url: string, answer: HttpScript["answer"], times?: number): HttpScript => ({
  url: `${api}${url}`,
  answer,
  ...(times === undefined ? {} : { times }),
});
const profile = (timezone: string): HttpScript =>
  at("/1/user/-/profile.json", { body: { user: { timezone, offsetFromUTCMillis: 7_200_000 } } });
const account: HttpScript[] = [
  at("/1/user/-/activities/list.json", { body: activities }),
  at("/1.2/user/-/sleep/list.json", { body: sleep }),
  at("/1/user/-/activities/*", { body: days }),
  at("/1/user/-/body/log/*", ({ url }) => ({ body: url.includes("2026-05-01") || covers(url) ? body : {} })),
  profile("Europe/Paris"),
];
/** Whether a range of days in an address holds the day of the fixtures. */
function covers(url: string): boolean {
  const [from = "", to = ""] = url.match(/\d{4}-\d{2}-\d{2}/g) ?? [];
  return from <= "2026-05-01" && "2026-05-01" <= to;
}

const samples = async (plugin: TestedPlugin): Promise<unknown[]> =>
  (await plugin.rows("health_samples"))
    .map(({ metric, value, unit, startedAt, endedAt }) => [metric, value, unit, startedAt, endedAt])
    .sort();

describe("sync", () => {
  test("logs and time series become activities and samples, local times by the zone of the profile", async () => {
    await using plugin = await testPlugin({ config, connections, http: account });
    await plugin.sync();
    const workouts = await plugin.rows("activities");
    assert.deepEqual(
      workouts
        .map((row) => [row["activityType"], row["startedAt"], row["durationSeconds"], row["distanceMeters"]])
        .sort(),
      [
        ["running", "2026-05-01T06:00:00.000Z", 2280, 6200],
        ["walking", "2026-05-01T16:30:00.000Z", 1200, 1500],
      ],
    );
    const day = ["2026-05-01T00:00:00.000Z", "2026-05-02T00:00:00.000Z"];
    const morning = "2026-05-01T05:45:00.000Z";
    assert.deepEqual(await samples(plugin), [
      ["body_fat", 18.5, "%", morning, morning],
      ["distance", 8100, "m", ...day],
      ["energy", 2510, "kcal", ...day],
      ["resting_heart_rate", 54, "bpm", ...day],
      ["sleep", 432, "min", "2026-04-30T21:30:00.000Z", "2026-05-01T05:30:00.000Z"],
      ["steps", 10412, "count", ...day],
      ["weight", 71.25, "kg", morning, morning],
    ]);
    assert.ok(plugin.requests.every(({ headers }) => headers["authorization"] === `Bearer ${connections.fitbit}`));
    assert.ok(plugin.logs.some(({ level, message }) => level === "warn" && message.includes("com.google.health")));
  });

  test("an unknown zone falls back to the profile's offset", async () => {
    await using plugin = await testPlugin({
      config: { ...config, kinds: ["sleep"] },
      connections,
      http: [at("/1.2/user/-/sleep/list.json", { body: sleep }), profile("Middle/Earth")],
    });
    await plugin.sync();
    assert.equal((await plugin.rows("health_samples"))[0]?.["startedAt"], "2026-04-30T21:30:00.000Z");
  });

  test("pages of logs are followed by Fitbit's own links, and to no other host", async () => {
    const log = (logId: number): object => ({ ...activities.activities[0], logId });
    const page = (logs: object[], next: string): HttpAnswer => ({ body: { activities: logs, pagination: { next } } });
    await using plugin = await testPlugin({
      config: { ...config, kinds: ["activity"] },
      connections,
      http: [
        at(`/1/user/-/activities/list.json`, ({ url }) =>
          url.includes("offset=0")
            ? page(
                [log(1), log(2)],
                `${api}/1/user/-/activities/list.json?offset=2&limit=2&sort=asc&afterDate=2026-04-19`,
              )
            : page([log(3)], "https://elsewhere.example/1/user/-/activities/list.json?offset=3"),
        ),
        profile("Europe/Paris"),
      ],
    });
    await plugin.sync();
    assert.equal((await plugin.rows("activities")).length, 3);
    assert.ok(plugin.requests.every(({ url }) => url.startsWith(api)));
  });

  test("too many requests end the run with Fitbit's own time to wait, and the next goes on", async () => {
    const limited: HttpAnswer = { status: 429, headers: { "fitbit-rate-limit-reset": "1234" }, body: { errors: [] } };
    await using plugin = await testPlugin({
      config: { ...config, kinds: ["activity", "sleep"] },
      connections,
      http: [at("/1.2/user/-/sleep/list.json", limited, 1), ...account],
    });
    const sync = syncer(plugin);
    await assert.rejects(sync(), { message: /wait 1234 s/ });
    assert.equal((await plugin.rows("activities")).length, 2);
    await sync();
    assert.equal((await samples(plugin)).length, 1);
  });

  test("a log without a time, and numbers that are none, are left out", async () => {
    await using plugin = await testPlugin({
      config: { ...config, kinds: ["activity", "steps"] },
      connections,
      http: [
        at("/1/user/-/activities/list.json", { body: { activities: [{ logId: 9, startTime: "soon" }] } }),
        at("/1/user/-/activities/*", { body: { "activities-steps": [{ dateTime: "2026-05-01", value: "many" }] } }),
        profile("Europe/Paris"),
      ],
    });
    assert.deepEqual((await plugin.sync()).counts, { created: 0, updated: 0, deleted: 0, unchanged: 0 });
  });
});

describe("notifications", () => {
  const encoder = new TextEncoder();
  async function sign(text: string, key = `${config.clientSecret}&`): Promise<string> {
    const algorithm = { name: "HMAC", hash: "SHA-1" };
    const imported = await crypto.subtle.importKey("raw", encoder.encode(key), algorithm, false, ["sign"]);
    const signature = await crypto.subtle.sign("HMAC", imported, encoder.encode(text));
    return btoa(String.fromCharCode(...new Uint8Array(signature)));
  }
  const notification = (collectionType: string, date?: string): object => ({
    collectionType,
    ...(date === undefined ? {} : { date }),
    ownerId: "ABC",
    ownerType: "user",
    subscriptionId: "backplane-sleep",
  });
  const post = (plugin: TestedPlugin, text: string, signature: string): ReturnType<TestedPlugin["webhook"]> =>
    plugin.webhook({ headers: { "x-fitbit-signature": signature, "content-type": "application/json" }, body: text });

  test("the right verification code is answered with 204, a wrong one and none with 404", async () => {
    await using plugin = await testPlugin({ config, connections });
    const verify = async (code: string): Promise<number> =>
      (await plugin.webhook({ method: "GET", path: `?verify=${code}` })).status;
    assert.deepEqual([await verify(config.verificationCode), await verify("wrong"), await verify("")], [204, 404, 404]);
    const { verificationCode: _, ...without } = config;
    await plugin.configure(without);
    assert.equal(await verify(""), 404);
  });

  test("a signed notification reads its own day, however old", async () => {
    await using plugin = await testPlugin({ config, connections, http: account });
    const text = JSON.stringify([notification("sleep", "2026-05-01"), notification("body", "2026-05-01")]);
    const answer = await post(plugin, text, await sign(text));
    assert.equal(answer.status, 204);
    assert.equal(answer.accepted.length, 2);
    assert.deepEqual(
      (await samples(plugin)).map((row) => (row as unknown[])[0]),
      ["body_fat", "sleep", "weight"],
    );
    assert.ok(plugin.requests.some(({ url }) => url.endsWith("/body/log/weight/date/2026-05-01/2026-05-01.json")));
  });

  test("the same notification again is read again: it tells of a new change", async () => {
    await using plugin = await testPlugin({ config, connections, http: account });
    const text = JSON.stringify([notification("sleep", "2026-05-01")]);
    const ids = [];
    for (let n = 0; n < 2; n += 1)
      ids.push(((await post(plugin, text, await sign(text))).accepted[0] as { id: string }).id);
    assert.notEqual(ids[0], ids[1]);
  });

  test("one changed character of body or signature is refused, and so is another key", async () => {
    await using plugin = await testPlugin({ config, connections });
    const text = JSON.stringify([notification("sleep", "2026-05-01")]);
    const good = await sign(text);
    for (let place = 0; place < good.length; place += 1) {
      const changed = good.slice(0, place) + (good[place] === "A" ? "B" : "A") + good.slice(place + 1);
      assert.equal((await post(plugin, text, changed)).status, 404, changed);
    }
    assert.equal((await post(plugin, text.replace("sleep", "Sleep"), good)).status, 404);
    assert.equal((await post(plugin, text, await sign(text, config.clientSecret))).status, 404, "key without the &");
    assert.equal((await post(plugin, text, "")).status, 404);
    assert.deepEqual(plugin.requests, []);
  });

  test("an agreement that was taken back becomes an event", async () => {
    await using plugin = await testPlugin({ config, connections });
    const text = JSON.stringify([notification("userRevokedAccess")]);
    await post(plugin, text, await sign(text));
    assert.deepEqual(
      plugin.events.map(({ type, data }) => [type, data]),
      [["connector.NeedsReconnect", { plugin: "com.fitbit", connection: "fitbit", reason: "userRevokedAccess" }]],
    );
  });

  test("subscriptions are made for the collections that are read, and again without harm", async () => {
    const scripts = [{ method: "POST", url: `${api}/1/user/-/*`, answer: { status: 201, body: {} } }];
    await using plugin = await testPlugin({
      config: { ...config, kinds: ["sleep", "steps"] },
      connections,
      http: scripts,
    });
    await plugin.connector("registerRealtimeListener", "https://hub.test/webhooks/acme/com.fitbit");
    assert.deepEqual(
      plugin.requests.map(({ method, url }) => [method, new URL(url).pathname]),
      [
        ["POST", "/1/user/-/activities/apiSubscriptions/backplane-activities.json"],
        ["POST", "/1/user/-/sleep/apiSubscriptions/backplane-sleep.json"],
      ],
    );
  });
});

test("health says that the API ends, and that a token is refused", async () => {
  const refused = at("/1/user/-/profile.json", { status: 401, body: { errors: [{ errorType: "invalid_token" }] } });
  await using plugin = await testPlugin({ config, connections, http: account });
  const { status, message } = (await plugin.health()) as { status: string; message: string };
  assert.equal(status, "degraded");
  assert.match(message, /September 2026.*com\.google\.health/);
  await using other = await testPlugin({ config, connections, http: [refused] });
  assert.match(JSON.stringify(await other.health()), /unhealthy.*connect the account again/);
});
