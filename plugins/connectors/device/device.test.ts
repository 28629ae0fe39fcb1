/** Tokens, batches in any order, and what becomes news; in the production sandbox but for the order of samples. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestedPlugin, type TestWebhookAnswer, testPlugin } from "@backplane/plugin-api/testing";
import { changesOf, type DeviceState } from "./changes.ts";
import fixtures from "./fixtures/samples.json" with { type: "json" };
import type { Sample } from "./samples.ts";

const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();

interface Registered {
  deviceId: string;
  token: string;
}

const register = (plugin: TestedPlugin): Promise<Registered> =>
  plugin.call<Registered>("registerDevice", { name: "Phone", platform: "android" });

const push = (plugin: TestedPlugin, token: string, samples: unknown): Promise<TestWebhookAnswer> =>
  plugin.webhook({
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: { samples },
  });

const arrived = (minutes: number, id = "s1"): object => ({
  id,
  type: "place_arrived",
  at: ago(minutes),
  place: fixtures.office,
});

test("a place belongs to its device: another device with the same id neither moves nor renames it", async () => {
  await using plugin = await testPlugin();
  const mine = await register(plugin);
  const other = await register(plugin);
  await push(plugin, mine.token, [arrived(3)]);
  const elsewhere = { ...fixtures.office, name: "Not the office", placeType: "home", latitude: 1, longitude: 1 };
  await push(plugin, other.token, [{ id: "s1", type: "place_arrived", at: ago(2), place: elsewhere }]);
  const places = await plugin.rows("places");
  assert.deepEqual(places.map(({ name, placeType }) => [name, placeType]).toSorted(), [
    ["Not the office", "home"],
    ["Office", "work"],
  ]);
  const devices = await plugin.rows("devices");
  const at = (id: string): unknown => devices.find((device) => device["id"] === id)?.["currentPlaceId"];
  assert.notEqual(at(mine.deviceId), at(other.deviceId));
});

test("a device arrives at the office: a place, its present state, and one event however often it is told", async () => {
  await using plugin = await testPlugin();
  const { deviceId, token } = await register(plugin);
  const batch = [
    arrived(2),
    { id: "s2", at: ago(1), ...fixtures.location },
    { id: "s3", at: ago(1), type: "battery", percent: 9 },
  ];
  for (let i = 0; i < 2; i++) {
    const answer = await push(plugin, token, batch);
    assert.deepEqual([answer.status, answer.body], [202, { accepted: 3, faults: [] }]);
  }
  const [place] = await plugin.rows("places");
  const [device] = await plugin.rows("devices");
  assert.deepEqual([place?.["name"], place?.["placeType"]], ["Office", "work"]);
  assert.deepEqual(
    [device?.["id"], device?.["currentPlaceId"], device?.["currentPlaceType"], device?.["batteryPercent"]],
    [deviceId, place?.["id"], "work", 9],
  );
  assert.equal((await plugin.rows("locations")).length, 1);
  assert.deepEqual(plugin.events.map(({ type }) => type).toSorted(), [
    "device.BatteryLow",
    "location.PlaceArrived",
    "location.Updated",
  ]);
  const event = plugin.events.find(({ type }) => type === "location.PlaceArrived")?.data as Record<string, unknown>;
  assert.deepEqual([event["placeId"], event["placeType"], event["deviceId"]], [place?.["id"], "work", deviceId]);
});

test("what is too old is stored and publishes nothing", async () => {
  await using plugin = await testPlugin({ config: { staleAfterMinutes: 10 } });
  const { token } = await register(plugin);
  await push(plugin, token, [arrived(60), { id: "s2", at: ago(59), ...fixtures.location }]);
  assert.deepEqual(plugin.events, []);
  assert.equal((await plugin.rows("locations")).length, 1);
  assert.equal((await plugin.rows("devices"))[0]?.["currentPlaceType"], "work");
});

test("no token, another's, a wrong one and a revoked one are refused, and cause nothing", async () => {
  await using plugin = await testPlugin();
  const { deviceId, token } = await register(plugin);
  const other = await register(plugin);
  const [, secret] = token.split(".");
  for (const wrong of ["", `${deviceId}.${"0".repeat(64)}`, `${other.deviceId}.${secret}`, "../x.y", `${deviceId}.`])
    assert.equal((await push(plugin, wrong, [arrived(1)])).status, 401, wrong);
  const next = await plugin.call<Registered>("rotateToken", { deviceId });
  assert.equal((await push(plugin, token, [arrived(1)])).status, 401);
  assert.equal((await push(plugin, next.token, [arrived(1)])).status, 202);
  assert.deepEqual(await plugin.call("revokeDevice", { deviceId }), { revoked: true });
  assert.equal((await push(plugin, next.token, [arrived(1, "s9")])).status, 401);
  await assert.rejects(plugin.call("rotateToken", { deviceId: "nobody" }), /no device/);
  assert.equal(plugin.events.length, 1);
});

test("wrong samples are named, and their neighbours are taken", async () => {
  await using plugin = await testPlugin();
  const { token } = await register(plugin);
  const answer = await push(plugin, token, [
    { id: "a", type: "location", at: ago(1), latitude: 91, longitude: 0 },
    { id: "b", type: "battery", at: ago(-60), percent: 50 },
    { id: "c", type: "teleport", at: ago(1) },
    "nonsense",
    { id: "e", type: "file", at: ago(1), path: "C:\\Secret\\x.txt" },
    arrived(1),
  ]);
  const { accepted, faults } = answer.body as { accepted: number; faults: { index: number }[] };
  assert.equal(accepted, 1);
  assert.deepEqual(
    faults.map(({ index }) => index),
    [0, 1, 2, 3, 4],
  );
  assert.equal((await push(plugin, token, Array(1001).fill(arrived(1)))).status, 413);
  assert.equal((await push(plugin, token, "x")).status, 400);
});

test("files are told of in granted folders only, and the agent is told which those are", async () => {
  const file = (path: string): object => ({ id: path, type: "file", at: ago(1), path, size: 3 });
  await using plugin = await testPlugin();
  const { token } = await register(plugin);
  const told = await plugin.webhook({ method: "GET", headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual((told.body as { folders: string[] }).folders, ["C:/Users/Public/Documents"]);
  const inside = "C:\\Users\\Public\\Documents\\plan.txt";
  await push(plugin, token, [file(inside), file("C:/Users/Public/Documents/../secret.txt")]);
  assert.deepEqual(
    (await plugin.rows("files")).map(({ path, name }) => [path, name]),
    [[inside, "plan.txt"]],
  );
});

/** Every order of a list. */
function orders<T>(list: readonly T[]): T[][] {
  if (list.length < 2) return [[...list]];
  return list.flatMap((first, i) => orders(list.toSpliced(i, 1)).map((rest) => [first, ...rest]));
}

test("whatever the order of batches, the present state is that of the newest samples", () => {
  const at = (minute: number): string => `2026-01-01T10:0${minute}:00.000Z`;
  const home = { id: "home", placeType: "home" };
  const office = { id: "office", placeType: "work" };
  const samples: Sample[] = [
    { id: "1", type: "place_arrived", at: at(1), place: home },
    { id: "2", type: "place_left", at: at(2), place: home },
    { id: "3", type: "place_arrived", at: at(3), place: office },
    { id: "4", type: "battery", at: at(4), percent: 40 },
    { id: "5", type: "battery", at: at(5), percent: 10 },
  ];
  const ends = orders(samples).map((order) => {
    let device: DeviceState = { id: "d" };
    for (const sample of order) {
      const { items } = changesOf({
        device,
        samples: [sample],
        places: new Map(),
        batteryLowPercent: 15,
        freshSince: at(0),
      });
      device = { ...device, ...(items!.at(-1)!.data as object) };
    }
    return device;
  });
  for (const end of ends) assert.deepEqual(end, ends[0]);
  assert.deepEqual([ends[0]?.currentPlaceId, ends[0]?.batteryPercent, ends[0]?.lastSeenAt], ["office", 10, at(5)]);
  const left: DeviceState = { id: "d", placeSince: at(2), currentPlaceId: null };
  const late = changesOf({
    device: left,
    samples: [samples[0]!],
    places: new Map(),
    batteryLowPercent: 15,
    freshSince: at(0),
  });
  assert.deepEqual(late.events, []);
});
