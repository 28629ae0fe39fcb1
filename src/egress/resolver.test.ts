import assert from "node:assert/strict";
import { test } from "node:test";
import { cacheResolver } from "./resolver.ts";

test("a name is asked for once while its answer is fresh, also when many want it at the same time", async () => {
  let asked = 0;
  let clock = 0;
  const resolve = cacheResolver(async (host) => [`${host}#${++asked}`], {
    ttlMs: 100,
    maxEntries: 2,
    now: () => clock,
  });
  const answers = await Promise.all([resolve("a"), resolve("a"), resolve("a")]);
  assert.deepEqual(answers.flat(), ["a#1", "a#1", "a#1"]);
  clock = 99;
  assert.deepEqual(await resolve("a"), ["a#1"]);
  clock = 100;
  assert.deepEqual(await resolve("a"), ["a#2"]);
  await resolve("b");
  await resolve("c");
  assert.deepEqual(await resolve("a"), ["a#5"], "the oldest name made room");
});

test("a failure is not remembered", async () => {
  let asked = 0;
  const resolve = cacheResolver(async () => {
    asked += 1;
    if (asked === 1) throw new Error("SERVFAIL");
    return ["8.8.8.8"];
  });
  await assert.rejects(resolve("a"), /SERVFAIL/);
  assert.deepEqual(await resolve("a"), ["8.8.8.8"]);
});
