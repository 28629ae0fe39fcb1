/** Replays over the real log: what is counted, what is asked and what is remembered, time ranges, failures, cancelling. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { asOrganizationId } from "../base/brands.ts";
import type { ReplayRecord, ReplayRequest } from "./replays.ts";
import { type Operators, openEngine, type TestEngine } from "./test-engine.ts";

const minute = 60_000;

async function open(operators: Operators = {}): Promise<{
  engine: TestEngine;
  replay(request: ReplayRequest): Promise<ReplayRecord>;
  start(request: ReplayRequest): Promise<ReplayRecord>;
  publish(events: { type?: string; data: unknown; time?: Date }[]): Promise<void>;
  [Symbol.asyncDispose](): PromiseLike<void>;
}> {
  const engine = await openEngine({
    actions: { "test.note": () => assert.fail("a replay does nothing") },
    ...operators,
  });
  const organization = asOrganizationId(await engine.organization());
  const start = (request: ReplayRequest): Promise<ReplayRecord> =>
    engine.rules.replays.start({ organization, actor: "test" }, request);
  return {
    engine,
    start,
    async replay(request) {
      let record = await start(request);
      while (record.endedAt === null) {
        await wait(10);
        record = await engine.rules.replays.get(organization, record.id);
      }
      return record;
    },
    async publish(events) {
      await engine.store.transaction((tx) =>
        engine.log.publishAll(
          tx,
          events.map(({ type = "meter.read", data, time }) => ({ organization, type, data, source: "/test", time })),
        ),
      );
      // Asking for the log waits for positions.
      await engine.log.query({ organization });
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

const rule = (rest: string): string =>
  `name: Draft\ntrigger: {event: meter.read}\n${rest}\nactions: [{operator: test.note, params: {text: "{{ event.n }}"}}]`;

// biome-ignore lint/suspicious/noExplicitAny: a result is read field by field.
const resultOf = (record: ReplayRecord): any => {
  assert.equal(record.status, "succeeded", JSON.stringify(record.error));
  return record.result;
};

test("more events than a batch are counted once each, in range and of the types that the rules want", async () => {
  await using world = await open();
  await world.publish(Array.from({ length: 2_500 }, (_, n) => ({ data: { n } })));
  await world.publish(Array.from({ length: 50 }, (_, n) => ({ type: "other.thing", data: { n } })));
  const result = resultOf(await world.replay({ source: rule("conditions: [{cel: event.n < 700.0}]") }));
  assert.deepEqual(result.draft, { events: 2_500, matched: 700, notMet: 0, throttled: 0, failed: 0, wouldRun: 700 });
  assert.deepEqual(
    [result.live, result.difference, result.truncated, result.eventsInRange],
    [null, null, false, 2_550],
  );
  const none = resultOf(await world.replay({ source: rule(""), to: new Date(Date.now() - minute) }));
  assert.equal(none.draft.events, 0);
  const clock = `name: Clock\ntrigger: {cron: "@daily"}\nactions: [{operator: test.note, params: {text: x}}]`;
  assert.match(resultOf(await world.replay({ source: clock })).note, /no event trigger/);
});

test("an idempotent condition is asked once for equal params and event data, another once an event, for draft and live together", async () => {
  const asked = { same: 0, each: 0 };
  await using world = await open({
    conditions: {
      "test.same": () => ++asked.same > 0,
      "test.each": ({ paced }) => {
        assert.ok(paced, "a replay leaves the rate of the plugin to live calls");
        return ++asked.each > 0;
      },
    },
    idempotent: ["test.same"],
  });
  const conditions = "conditions: [{operator: test.same, params: {a: 1}}, {operator: test.each, params: {a: 1}}]";
  await world.engine.save("org-1", `id: draft\n${rule(conditions).replace("name: Draft", "name: Live")}`);
  await world.engine.rules.setEnabled({ organization: asOrganizationId("org-1"), actor: "test" }, "draft", false);
  await world.publish(Array.from({ length: 40 }, (_, n) => ({ data: { n: n % 2 } })));
  const result = resultOf(await world.replay({ source: `id: draft\n${rule(conditions)}` }));
  assert.deepEqual(result.difference, { onlyDraft: 0, onlyLive: 0, changed: 0, same: 40 });
  assert.deepEqual(asked, { same: 2, each: 40 });
});

test("a throttle counts by the time of the events, and filters and `now` see it", async () => {
  await using world = await open();
  const start = Date.parse("2026-01-31T10:00:00Z");
  await world.publish(Array.from({ length: 12 }, (_, n) => ({ data: { n }, time: new Date(start + n * 10 * minute) })));
  const result = resultOf(
    await world.replay({
      source: rule(
        `throttle: {per: 1h, count: 2}\nconditions: [{cel: "now.getHours() >= 10 && now.getFullYear() == 2026"}]`,
      ),
    }),
  );
  assert.deepEqual([result.draft.wouldRun, result.draft.throttled], [4, 8]);
});

test("what fails is counted and told, and the replay goes on", async () => {
  await using world = await open({
    conditions: {
      "test.odd": ({ params }) => {
        if (params["n"] === 3) throw new Error("three is too much");
        return Number(params["n"]) % 2 === 1;
      },
    },
  });
  await world.publish(Array.from({ length: 6 }, (_, n) => ({ data: { n } })));
  const record = await world.replay({
    source: rule('conditions: [{operator: test.odd, params: {n: "{{ event.n }}"}}]'),
  });
  assert.deepEqual(resultOf(record).draft, { events: 6, matched: 6, notMet: 3, throttled: 0, failed: 1, wouldRun: 2 });
  const { decisions } = await world.engine.rules.replays.decisions(asOrganizationId("org-1"), record.id, {
    draft: "failed",
  });
  assert.match(JSON.stringify(decisions[0]!.detail), /three is too much/);
});

test("a replay that is cancelled stops asking; one whose hub is lost begins again and counts once", async () => {
  let release = Promise.withResolvers<void>();
  let asked = 0;
  await using world = await open({
    conditions: {
      "test.slow": async () => {
        asked += 1;
        await release.promise;
        return true;
      },
    },
  });
  const { engine } = world;
  const organization = asOrganizationId("org-1");
  await world.publish(Array.from({ length: 500 }, (_, n) => ({ data: { n } })));
  const source = rule("conditions: [{operator: test.slow}]");
  const first = await world.start({ source });
  while (asked === 0) await wait(5);
  assert.equal((await engine.rules.replays.cancel(organization, first.id)).status, "cancelled");
  await wait(200);
  release.resolve();
  await wait(200);
  assert.ok(asked < 500, `${asked} were asked`);
  assert.equal((await engine.rules.replays.get(organization, first.id)).result, null);

  release = Promise.withResolvers();
  asked = 0;
  const second = await world.start({ source });
  while (asked === 0) await wait(5);
  await engine.nodes[0]!.kill();
  release.resolve();
  const other = await engine.node();
  let record = second;
  while (record.endedAt === null) {
    await wait(10);
    record = await other.rules.replays.get(organization, second.id);
  }
  assert.deepEqual([record.status, resultOf(record).draft.wouldRun], ["succeeded", 500]);
});

test("ranges, types and drafts that make no sense are refused", async () => {
  await using world = await open();
  const source = rule("");
  for (const [request, code] of [
    [{}, "invalid_input"],
    [{ source: "name: x" }, "invalid_rule"],
    [{ source, rule: "nothing" }, "not_found"],
    [{ source, from: new Date(), to: new Date(0) }, "invalid_input"],
    [{ source, days: 1_000 }, "invalid_input"],
    [{ source, type: "*.x" }, "invalid_input"],
  ] as const)
    await assert.rejects(world.start(request), { code });
});
