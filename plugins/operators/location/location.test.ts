/** Where the user is, by event, by device and by distance, in the production sandbox. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestedPlugin, testPlugin } from "@backplane/plugin-api/testing";

const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();
const open = (): Promise<TestedPlugin> =>
  testPlugin({
    data: {
      places: [
        { id: "office", name: "The Office", placeType: "work", latitude: 52.52, longitude: 13.405 },
        { id: "nowhere", name: "Nowhere" },
      ],
      devices: [
        { id: "phone", currentPlaceId: "office", currentPlaceType: "work", lastSeenAt: ago(1) },
        { id: "tablet", currentPlaceId: "home", currentPlaceType: "home", lastSeenAt: ago(600) },
      ],
      locations: [
        { id: "1", deviceId: "phone", recordedAt: ago(30), latitude: 0, longitude: 0 },
        { id: "2", deviceId: "phone", recordedAt: ago(5), latitude: 52.5201, longitude: 13.405 },
        { id: "3", deviceId: "tablet", recordedAt: ago(600), latitude: 52.52, longitude: 13.405 },
      ],
    },
  });
const event = (type: string, data: object): object => ({ event: { type: `location.${type}`, data } });

test("IsUserAtPlace: the device that was last heard of, or the one that is named", async () => {
  await using plugin = await open();
  const at = (params: object): Promise<boolean> => plugin.condition("location.IsUserAtPlace", params);
  assert.equal(await at({ placeType: "work" }), true);
  assert.equal(await at({ placeType: "home" }), false, "the tablet was left there");
  assert.equal(await at({ placeType: "home", deviceId: "tablet" }), true);
  assert.equal(await at({ placeId: "office" }), true);
  assert.equal(await at({ placeId: "office", placeType: "gym" }), false);
  assert.equal(await at({}), true);
  assert.equal(await at({ deviceId: "none" }), false);
});

test("IsUserAtPlace: an arrival or a leaving counts for its own device, before what is stored", async () => {
  await using plugin = await open();
  const at = (params: object, context: object): Promise<boolean> =>
    plugin.condition("location.IsUserAtPlace", params, context);
  const home = { deviceId: "phone", placeId: "home", placeType: "home", placeName: "Home" };
  assert.equal(await at({ placeType: "home" }, event("PlaceArrived", home)), true);
  assert.equal(await at({ placeType: "work" }, event("PlaceArrived", home)), false);
  assert.equal(await at({ placeType: "work" }, event("PlaceLeft", { ...home, deviceId: "phone" })), false);
  assert.equal(await at({ placeType: "home", deviceId: "tablet" }, event("PlaceLeft", home)), true);
  assert.equal(await at({ placeType: "work" }, event("Updated", { deviceId: "phone" })), true);
  assert.equal(await at({ placeType: "work" }, event("Updated", { deviceId: "tablet" })), false);
});

test("IsUserAtVenue: by the place's name", async () => {
  await using plugin = await open();
  const at = (venue: string, context?: object): Promise<boolean> =>
    plugin.condition("location.IsUserAtVenue", { venue }, context);
  assert.equal(await at("the office"), true);
  assert.equal(await at("Home"), false);
  assert.equal(await at("Home", event("PlaceArrived", { deviceId: "phone", placeId: "x", placeName: "Home" })), true);
});

test("DistanceTo: the latest position that is not too old", async () => {
  await using plugin = await open();
  const near = (params: object): Promise<boolean> => plugin.condition("location.DistanceTo", params);
  assert.equal(await near({ placeId: "office", meters: 12 }), true);
  assert.equal(await near({ placeId: "office", meters: 10 }), false);
  assert.equal(await near({ latitude: 52.52, longitude: 13.405, meters: 12 }), true);
  assert.equal(await near({ placeId: "office", meters: 1000, deviceId: "tablet" }), false, "ten hours old");
  assert.equal(await near({ placeId: "office", meters: 1000, deviceId: "tablet", maxAgeMinutes: 700 }), true);
  assert.equal(await near({ placeId: "office", meters: 1000, maxAgeMinutes: 1 }), false);
  await assert.rejects(near({ meters: 1 }), /Name a `placeId`/);
  await assert.rejects(near({ meters: 1, latitude: 1 }), /Name a `placeId`/);
  await assert.rejects(near({ meters: 1, placeId: "none" }), /no place 'none'/);
  await assert.rejects(near({ meters: 1, placeId: "nowhere" }), /'Nowhere' has no position/);
});
