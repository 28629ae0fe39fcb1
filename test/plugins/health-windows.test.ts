/** How the connectors of health data read in windows, and that three services tell of one morning in the same words. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RawItem, SyncOptions } from "../../plugin-api/src/connector.ts";
import { localTimes, readActivity } from "../../plugins/connectors/fitbit/readings.ts";
import { readSession } from "../../plugins/connectors/google-fit/readings.ts";
import { readPoint } from "../../plugins/connectors/google-health/data-points.ts";
import { activityWord, toEntities } from "../../plugins/connectors/health-model.ts";
import { syncWindows, type Window } from "../../plugins/connectors/health-windows.ts";

const day = 86_400_000;
const epoch = Date.parse("2026-01-01T00:00:00Z");

interface Point {
  id: string;
  kind: string;
  measuredAt: number;
  /** When the service knows of it. */
  knownAt: number;
}

interface Engine {
  cursors: Record<string, unknown>;
  stored: Set<string>;
}

interface Call {
  now: number;
  /** Items after which the call is ended where it may, or fails. */
  endAfter: number;
  fails: boolean;
}

/** One call as the hub makes it: a cursor counts once its item is stored, what is returned once all is. */
async function run(engine: Engine, points: readonly Point[], { now, endAfter, fails }: Call): Promise<boolean> {
  const read = async function* (kind: string, { from, to }: Window): AsyncGenerator<RawItem> {
    for (const point of points) {
      if (point.kind !== kind || point.knownAt > now) continue;
      if (point.measuredAt < Date.parse(from) || point.measuredAt >= Date.parse(to)) continue;
      yield { id: point.id, type: kind, data: null };
    }
  };
  const options: SyncOptions = { cursors: engine.cursors };
  const sync = syncWindows({
    kinds: ["a", "b", "c"],
    options,
    startDate: "2026-01-01",
    windowDays: (kind) => (kind === "a" ? 1 : kind === "b" ? 7 : 30),
    read,
    now,
  });
  for (let count = 0; ; count += 1) {
    const step = await sync.next();
    if (step.done) {
      Object.assign(engine.cursors, step.value.cursors);
      return true;
    }
    if (fails && count >= endAfter) return false;
    engine.stored.add(step.value.id);
    if (step.value.cursor === undefined) continue;
    engine.cursors[step.value.type] = step.value.cursor;
    if (count >= endAfter) return false;
  }
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe("reading in windows", () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    test(`cut off and failing calls lose nothing that came at most three days late (seed ${seed})`, async () => {
      const random = randomOf(seed);
      const points: Point[] = Array.from({ length: 300 }, (_, n) => {
        const measuredAt = epoch + Math.floor(random() * 100 * day);
        const knownAt = measuredAt + Math.floor(random() * 3 * day);
        return { id: `p${n}`, kind: "abc"[Math.floor(random() * 3)]!, measuredAt, knownAt };
      });
      const engine: Engine = { cursors: {}, stored: new Set() };
      for (let now = epoch + 10 * day; now < epoch + 104 * day; now += Math.floor(random() * 12 * day))
        await run(engine, points, { now, endAfter: Math.floor(random() * 60), fails: random() < 0.4 });
      let calls = 0;
      while (!(await run(engine, points, { now: epoch + 104 * day, endAfter: 20, fails: false }))) {
        calls += 1;
        assert.ok(calls < 200, "every call gets further");
      }
      const missing = points.filter(({ id }) => !engine.stored.has(id));
      assert.deepEqual(missing, []);
    });
  }

  test("cursors are of the last whole window, and none stands on a kind that is up to date", async () => {
    const now = epoch + 40 * day;
    const items: RawItem[] = [];
    const sync = syncWindows({
      kinds: ["behind", "current"],
      options: { cursors: { current: { upTo: new Date(now - day).toISOString() } } },
      startDate: "2026-01-01",
      windowDays: () => 10,
      async *read(kind, { from }) {
        yield { id: `${kind} ${from} 1`, type: kind, data: null };
        yield { id: `${kind} ${from} 2`, type: kind, data: null };
      },
      now,
    });
    for await (const item of sync) items.push(item);
    const own = items.filter(({ cursor }) => cursor !== undefined);
    assert.deepEqual(
      own.map(({ type, cursor }) => [type, (cursor as { upTo: string }).upTo.slice(0, 10)]),
      ["2026-01-11", "2026-01-21", "2026-01-31", "2026-02-10"].map((date) => ["behind", date]),
    );
    assert.equal(items.filter(({ type }) => type === "current").length, 2);
  });

  test("empty windows move the cursor of a kind that is behind, by items of no entities", async () => {
    const items: RawItem[] = [];
    const sync = syncWindows({
      kinds: ["a"],
      options: {},
      startDate: "2026-01-01",
      windowDays: () => 10,
      async *read() {},
      now: epoch + 25 * day,
    });
    for await (const item of sync) items.push(item);
    assert.deepEqual(
      items.map(({ cursor }) => (cursor as { upTo: string }).upTo.slice(0, 10)),
      ["2026-01-11", "2026-01-21", "2026-01-26"],
    );
    assert.deepEqual(items.flatMap(toEntities), []);
  });

  for (const cursor of [null, 7, "x", {}, { upTo: 5 }, { upTo: "soon" }, { upTo: "2999-01-01T00:00:00Z" }])
    test(`a cursor that somebody edited to ${JSON.stringify(cursor)} does no harm`, async () => {
      const asked: Window[] = [];
      const sync = syncWindows({
        kinds: ["a"],
        options: { cursors: { a: cursor } },
        startDate: "2026-01-01",
        windowDays: () => 10,
        // biome-ignore lint/correctness/useYield: there is nothing to give
        async *read(_kind, window) {
          asked.push(window);
        },
        now: epoch + 15 * day,
      });
      for await (const _ of sync);
      assert.ok(asked.length > 0 && asked.length <= 2);
      assert.equal(asked.at(-1)?.to, new Date(epoch + 15 * day).toISOString());
    });
});

test("one run, told by three services, is one workout", () => {
  const data = [
    readPoint("exercise", {
      exercise: {
        interval: { startTime: "2026-05-01T06:00:00Z", endTime: "2026-05-01T06:40:00Z" },
        exerciseType: "RUNNING",
        displayName: "Run",
        activeDuration: "2280s",
      },
    }),
    readActivity(
      {
        logId: 1,
        activityName: "Run",
        startTime: "2026-05-01T08:00:00.000+02:00",
        duration: 2_400_000,
        activeDuration: 2_280_000,
      },
      (text) => new Date(text).toISOString(),
    ),
    readSession({
      id: "s",
      name: "Run",
      activityType: 8,
      startTimeMillis: "1777615200000",
      endTimeMillis: "1777617600000",
      activeTimeMillis: "2280000",
    }),
  ].map((item) => toEntities(item!)[0]?.data);
  assert.deepEqual(data[0], data[1]);
  assert.deepEqual(data[1], data[2]);
});

test("words of activities are those of the model, and a stranger's word stays its own", () => {
  assert.deepEqual(
    ["RUNNING", "Run", "Outdoor Bike", "Aerobic Workout", "STRENGTH_TRAINING", "constructor", " ", "¡Fútbol!"].map(
      activityWord,
    ),
    ["running", "running", "biking", "aerobic_workout", "strength_training", "constructor", "other", "f_tbol"],
  );
});

test("local times become UTC, also on the days when the clocks change", () => {
  const paris = localTimes("Europe/Paris");
  const cases = [
    ["2026-01-15T08:00:00", "2026-01-15T07:00:00.000Z"],
    ["2026-07-15T08:00:00.000", "2026-07-15T06:00:00.000Z"],
    ["2026-03-29T01:59:59", "2026-03-29T00:59:59.000Z"],
    ["2026-03-29T03:00:00", "2026-03-29T01:00:00.000Z"],
    ["2026-10-25T04:00:00", "2026-10-25T03:00:00.000Z"],
    ["2026-05-01T08:00:00.000-07:00", "2026-05-01T15:00:00.000Z"],
    ["2026-05-01T08:00:00Z", "2026-05-01T08:00:00.000Z"],
  ];
  for (const [local, utc] of cases) assert.equal(paris(local!), utc, local);
  assert.equal(localTimes("Asia/Kolkata")("2026-05-01T00:10:00"), "2026-04-30T18:40:00.000Z");
  assert.equal(localTimes(undefined, -3_600_000)("2026-05-01T00:10:00"), "2026-05-01T01:10:00.000Z");
  assert.equal(paris("soon"), undefined);
  assert.equal(paris(""), undefined);
});
