import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type HttpAnswer, type HttpScript, testPlugin } from "@backplane/plugin-api/testing";
import { syncer } from "../syncer.ts";
// Answers in the shapes of https://developers.google.com/fit/rest/v1/reference, with people and numbers of our own.
import sessions from "./fixtures/sessions.json" with { type: "json" };
import steps from "./fixtures/steps.json" with { type: "json" };
import weight from "./fixtures/weight.json" with { type: "json" };

const recently = new Date(Date.now() - 5 * 86_400_000).toISOString().slice(0, 10);
const config = {
  clientId: "client-1",
  clientSecret: "client-secret-value",
  startDate: "2026-04-25",
  kinds: ["session"],
};
const connections = { google: "ya29.token" };
const base = "https://fitness.googleapis.com/fitness/v1/users/me";

/** The list of a span, and the list of changes with its tokens. */
const sessionList = (changes: (token: string | null) => HttpAnswer): HttpScript => ({
  url: `${base}/sessions`,
  answer: ({ url }) => {
    const { searchParams } = new URL(url);
    if (!searchParams.has("startTime")) return changes(searchParams.get("pageToken"));
    const [from, to] = [searchParams.get("startTime") ?? "", searchParams.get("endTime") ?? ""].map(Date.parse);
    const within = sessions.session.filter(
      ({ startTimeMillis }) => Number(startTimeMillis) >= from! && Number(startTimeMillis) < to!,
    );
    return { body: { session: within } };
  },
});
const noChanges = (): HttpAnswer => ({ body: { session: [], deletedSession: [], nextPageToken: "t1" } });
const stream = (part: string, answer: HttpScript["answer"], times?: number): HttpScript => ({
  url: new RegExp(`/dataSources/[^/]*${part}[^/]*/datasets/`),
  answer,
  ...(times === undefined ? {} : { times }),
});
/** A data set, for the window that holds it. */
const within =
  (dataset: typeof weight) =>
  ({ url }: { url: string }): HttpAnswer => {
    const [from = "0", to = "0"] = /datasets\/(\d+)-(\d+)/.exec(url)?.slice(1) ?? [];
    const point = dataset.point.filter(
      ({ startTimeNanos }) => BigInt(startTimeNanos) >= BigInt(from) && BigInt(startTimeNanos) < BigInt(to),
    );
    return { body: { ...dataset, minStartTimeNs: from, maxEndTimeNs: to, point } };
  };

describe("sync", () => {
  test("sessions and streams become activities and samples; nanoseconds as texts lose nothing on the way out", async () => {
    await using plugin = await testPlugin({
      config: { ...config, kinds: ["session", "steps", "weight"] },
      connections,
      http: [
        sessionList(noChanges),
        stream("step_count", within(steps as unknown as typeof weight)),
        stream("weight", within(weight)),
      ],
    });
    await plugin.sync();
    const [run, ...rest] = await plugin.rows("activities");
    assert.equal(rest.length, 0);
    assert.deepEqual(
      [run?.["activityType"], run?.["startedAt"], run?.["endedAt"], run?.["durationSeconds"]],
      ["running", "2026-05-01T06:00:00.000Z", "2026-05-01T06:40:00.000Z", 2280],
    );
    const samples = (await plugin.rows("health_samples")).map(({ metric, value, unit, startedAt }) => [
      metric,
      value,
      unit,
      startedAt,
    ]);
    assert.deepEqual(samples.sort(), [
      ["sleep", 480, "min", "2026-04-30T21:30:00.000Z"],
      ["steps", 151, "count", "2026-05-01T06:00:00.123Z"],
      ["weight", 71.25, "kg", "2026-05-01T05:45:00.000Z"],
    ]);
    const addresses = plugin.requests.map(({ url }) => url).filter((url) => url.includes("/datasets/"));
    assert.ok(addresses.every((url) => /\/datasets\/\d{19}-\d{19}\?limit=1000$/.test(url)));
    assert.equal(addresses.filter((url) => url.includes("/datasets/1777075200000000000-")).length, 2);
    assert.equal(plugin.requests[0]?.headers["authorization"], `Bearer ${connections.google}`);
  });

  test("a deleted session is deleted, be it a workout or a night; the token of the changes is kept", async () => {
    const asked: (string | null)[] = [];
    const changes = (token: string | null): HttpAnswer => {
      asked.push(token);
      if (token === "t1")
        return { body: { deletedSession: [{ id: "run-1" }, { id: "night-1" }], nextPageToken: "t2" } };
      return { body: { nextPageToken: token ?? "t1" } };
    };
    await using plugin = await testPlugin({ config, connections, http: [sessionList(changes)] });
    const sync = syncer(plugin);
    await sync();
    assert.equal((await plugin.rows("activities")).length + (await plugin.rows("health_samples")).length, 2);
    await sync();
    assert.equal((await plugin.rows("activities")).length + (await plugin.rows("health_samples")).length, 0);
    assert.deepEqual(asked, [null, "t1", "t2"]);
  });

  test("a token of the changes that Google has forgotten is given up", async () => {
    const changes = (token: string | null): HttpAnswer =>
      token === "old" ? { status: 400, body: { error: { code: 400 } } } : noChanges();
    await using plugin = await testPlugin({ config, connections, http: [sessionList(changes)] });
    const { next } = await plugin.sync({ cursors: { "session-changes": { token: "old" } } });
    assert.deepEqual(next.cursors?.["session-changes"], { token: "t1" });
  });

  test("pages are followed; a page token that is refused has the window read again; a missing stream is empty", async () => {
    const page = (id: number, nextPageToken?: string): HttpAnswer => {
      const nanos = `${BigInt(Date.now() - id * 60_000) * 1_000_000n}`;
      const point = [{ ...weight.point[0], startTimeNanos: nanos, endTimeNanos: nanos }];
      return { body: { ...weight, point, ...(nextPageToken ? { nextPageToken } : {}) } };
    };
    let refusals = 1;
    await using plugin = await testPlugin({
      config: { ...config, startDate: recently, kinds: ["weight", "body-fat"] },
      connections,
      http: [
        stream("weight", ({ url }) => {
          const token = new URL(url).searchParams.get("pageToken");
          if (token === "b" && refusals-- > 0) return { status: 400, body: {} };
          return token === null ? page(1, "a") : token === "a" ? page(2, "b") : page(3);
        }),
        stream("fat", { status: 404, body: {} }),
      ],
    });
    await plugin.sync();
    const asked = plugin.requests.map(({ url }) => new URL(url).searchParams.get("pageToken"));
    assert.deepEqual(asked, [null, "a", "b", null, "a", "b", null]);
    assert.ok((await plugin.rows("health_samples")).length >= 3);
  });

  test("too many requests end the run; the next goes on with what is behind", async () => {
    const limited: HttpAnswer = { status: 429, headers: { "retry-after": "20" }, body: {} };
    await using plugin = await testPlugin({
      config: { ...config, kinds: ["session", "weight"] },
      connections,
      http: [sessionList(noChanges), stream("weight", limited, 1), stream("weight", within(weight))],
    });
    const sync = syncer(plugin);
    await assert.rejects(sync(), { message: /429/ });
    assert.equal((await plugin.rows("activities")).length, 1);
    await sync();
    assert.equal((await plugin.rows("health_samples")).length, 2);
  });

  test("points without time or value, and sessions without times, are left out", async () => {
    const point = [{ startTimeNanos: "soon", value: [{ fpVal: 1 }] }, { startTimeNanos: "1777614300000000000" }];
    await using plugin = await testPlugin({
      config: { ...config, startDate: recently, kinds: ["session", "weight"] },
      connections,
      http: [
        { url: `${base}/sessions`, answer: { body: { session: [{ id: "x", activityType: 8 }] } } },
        stream("weight", { body: { ...weight, point } }),
      ],
    });
    assert.deepEqual((await plugin.sync()).counts, { created: 0, updated: 0, deleted: 0, unchanged: 0 });
  });
});

test("health says that the API ends, and that a token is refused", async () => {
  const sources: HttpScript[] = [
    { url: `${base}/dataSources`, answer: { body: { dataSource: [] } }, times: 1 },
    { url: `${base}/dataSources`, answer: { status: 401, body: {} } },
  ];
  await using plugin = await testPlugin({ config, connections, http: sources });
  const { status, message } = (await plugin.health()) as { status: string; message: string };
  assert.deepEqual([status, message.includes("com.google.health")], ["degraded", true]);
  assert.match(JSON.stringify(await plugin.health()), /unhealthy.*connect the account again/);
});
