/**
 * Hubs die in the middle of runs, at seeded points: before an operator began its work, or after it was done and before anybody
 * knew. What may run twice is done under one key and so counts once; what may not is never done twice: its run goes on, or ends
 * with `outcome_unknown`.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { type OperatorCall, openEngine } from "./test-engine.ts";

const seed = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** On each store; more with `CHAOS_SEEDS`. */
const rounds = 8 * Number(process.env["CHAOS_SEEDS"] ?? 1);

/** A small seeded generator, so that a run can be repeated. */
function mulberry32(from: number): () => number {
  let state = from >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const shapes: Record<string, string> = {
  sequence: `actions:
  - {id: a, operator: test.keyed, params: {text: a}}
  - {id: b, operator: test.bare, params: {text: b}}
  - {id: c, operator: test.keyed, params: {text: "{{ steps.a.text + steps.b.text }}"}}`,
  parallel: `actions:
  - parallel:
      - {id: a, operator: test.keyed, params: {text: a}}
      - {id: b, operator: test.bare, params: {text: b}}
      - sequence:
          - {id: c, operator: test.keyed, params: {text: c}}
          - {id: d, operator: test.keyed, params: {text: d}}
  - {id: e, operator: test.keyed, params: {text: "{{ steps.d.text }}"}}`,
  each: `actions:
  - {id: a, operator: test.keyed, params: {text: "{{ item.name }}"}}
  - {id: b, operator: test.bare, params: {text: "{{ item.name }}"}}`,
};
/** Effects of an undisturbed run, by key. */
const expected: Record<string, Record<string, string>> = {
  sequence: { a: "a", b: "b", c: "ab" },
  parallel: { a: "a", b: "b", c: "c", d: "d", e: "d" },
  each: { "a:0": "x", "a:1": "y", "b:0": "x", "b:1": "y" },
};

interface World {
  engine: Awaited<ReturnType<typeof openEngine>>;
  random: () => number;
}

const drivers = [
  { driver: "pglite" as const, skip: false as string | boolean },
  { driver: "postgres" as const, skip: process.env["TEST_DATABASE_URL"] ? false : "needs TEST_DATABASE_URL" },
];

for (const { driver, skip } of drivers)
  describe(`rules after a kill on ${driver} (seed ${seed})`, { skip }, () => {
    test("finished steps are not done again, and nothing that may not run twice does", {
      timeout: 300_000,
    }, async () => {
      const random = mulberry32(seed);
      /** Every time an effect happened: `<organisation>/<idempotency key>` → texts. */
      const effects = new Map<string, string[]>();
      let fuse = Number.POSITIVE_INFINITY;
      let dying: Promise<void> | undefined;
      const die = (call: OperatorCall): Promise<never> => {
        const node = engine.nodes.find(({ id }) => id === call.node)!;
        dying ??= node.kill();
        return new Promise(() => {});
      };
      const act = async (call: OperatorCall): Promise<unknown> => {
        const name = `${call.context.organization}/${call.context.run.idempotencyKey}`;
        if (--fuse === 0) await die(call);
        effects.set(name, [...(effects.get(name) ?? []), String(call.params["text"])]);
        if (--fuse === 0) await die(call);
        return { text: call.params["text"] };
      };
      let lists = 0;
      await using engine = await openEngine(
        {
          conditions: {
            "test.yes": async (call) => {
              if (--fuse === 0) await die(call);
              return true;
            },
          },
          actions: { "test.keyed": act, "test.bare": act },
          // A list that is another one each time it is asked: the run must keep its first.
          variables: {
            item: () => (lists++ % 2 === 0 ? [{ name: "x" }, { name: "y" }] : [{ name: "y" }, { name: "x" }]),
          },
          idempotent: ["test.keyed"],
        },
        { driver },
      );
      const world: World = { engine, random };
      let unknown = 0;
      for (let round = 0; round < rounds; round += 1) {
        const organization = await engine.organization();
        const shape = Object.keys(shapes)[Math.floor(random() * 3)]!;
        lists = 0;
        await engine.save(
          organization,
          `id: r\nname: R\ntrigger: {event: go.now}\nmode: parallel\nconditions: [{operator: test.yes}]\n${shapes[shape]}`,
        );
        fuse = Number.POSITIVE_INFINITY;
        await crashes(
          world,
          organization,
          (at) => {
            fuse = at;
            dying = undefined;
          },
          () => dying,
        );
        const [run] = await engine.ended(organization, "r");
        const context = `seed ${seed}, round ${round}, ${shape}: ${JSON.stringify(run)}`;
        const bare = run!.steps.filter(({ operator }) => operator === "test.bare");
        if (run!.status === "failed") {
          assert.equal(run!.reason, "outcome_unknown", context);
          assert.ok(
            bare.some(({ error }) => error?.["code"] === "outcome_unknown"),
            context,
          );
          unknown += 1;
        } else assert.equal(run!.status, "succeeded", context);
        for (const [key, text] of Object.entries(expected[shape]!)) {
          const times = effects.get(`${organization}/${run!.id}:${key}`) ?? [];
          const step = run!.steps.find((one) => one.step === key);
          if (step?.operator === "test.bare") assert.ok(times.length <= 1, `${key} twice, ${context}`);
          assert.ok(
            times.every((one) => one === text),
            `${key} with other params, ${context}`,
          );
          if (step?.status === "succeeded") assert.ok(times.length >= 1, `${key} not done, ${context}`);
          if (run!.status === "succeeded") assert.equal(step?.status, "succeeded", context);
        }
        assert.equal((await engine.runs(organization, "r")).length, 1, context);
      }
      assert.ok(unknown < rounds, "some runs came through");
    });
  });

/** One event; the hub that works on it dies up to three times, each time another takes over. */
async function crashes(
  { engine, random }: World,
  organization: string,
  arm: (calls: number) => void,
  dying: () => Promise<void> | undefined,
): Promise<void> {
  const kills = 1 + Math.floor(random() * 3);
  arm(1 + Math.floor(random() * 8));
  await engine.publish(organization, "go.now", {});
  for (let kill = 0; kill < kills; kill += 1) {
    for (const since = performance.now(); dying() === undefined && performance.now() - since < 20_000; ) {
      const runs = await engine.runs(organization, "r");
      if (runs.length > 0 && runs.every(({ endedAt }) => endedAt !== null)) {
        arm(Number.POSITIVE_INFINITY);
        if (engine.nodes.at(-1)!.dead) await engine.node();
        return;
      }
      await wait(5);
    }
    await dying();
    arm(kill + 1 < kills ? 1 + Math.floor(random() * 5) : Number.POSITIVE_INFINITY);
    await engine.node();
  }
}
