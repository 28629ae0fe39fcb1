/** Runs on the real store and bus: modes, throttle, retries, parallel branches, loops, clocks, plugins that pause. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { asOrganizationId } from "../base/brands.ts";
import { newTrace } from "../telemetry/trace.ts";
import { type OperatorCall, type Operators, openEngine, type TestEngine } from "./test-engine.ts";

interface World {
  engine: TestEngine;
  organization: string;
  /** What actions did, in order. */
  done: { text: unknown; key: string; steps: Record<string, unknown>; at: number }[];
  /** Ends calls of `test.hold`. */
  release(): void;
  holding(): Promise<void>;
}

const drivers = [
  { driver: "pglite" as const, skip: false },
  {
    driver: "postgres" as const,
    skip: process.env["TEST_DATABASE_URL"] ? false : ("needs TEST_DATABASE_URL" as string | boolean),
  },
];

for (const { driver, skip } of drivers)
  describe(`runs of rules on ${driver}`, { skip }, () => {
    const on = (title: string, check: (world: World) => Promise<void>, more: { patienceMs?: number } = {}): void =>
      void test(title, { timeout: 60_000 }, async () => {
        const done: World["done"] = [];
        const held: { resolve: () => void }[] = [];
        let release = Promise.withResolvers<void>();
        const note = ({ params, context }: OperatorCall): unknown => {
          done.push({
            text: params["text"],
            key: context.run.idempotencyKey,
            steps: context.steps,
            at: performance.now(),
          });
          return { noted: params["text"] };
        };
        const failures = new Map<string, number>();
        const operators: Operators = {
          conditions: {
            "test.yes": () => true,
            "test.no": () => false,
            "test.falls": () => {
              throw new Error("fell over");
            },
          },
          actions: {
            "test.note": note,
            async "test.hold"(call) {
              held.push({ resolve: () => {} });
              await release.promise;
              return note(call);
            },
            async "test.wait"(call) {
              await wait(Number(call.params["ms"]));
              return note(call);
            },
            "test.fail": ({ params }) => {
              throw new Error(String(params["text"] ?? "as asked"));
            },
            "test.failUntil"(call) {
              const { name, times } = call.params as { name: string; times: number };
              const tries = (failures.get(name) ?? 0) + 1;
              failures.set(name, tries);
              if (tries < times) throw new Error(`try ${tries}`);
              return { tries };
            },
            async "test.emit"({ params, context }) {
              const { type, data } = params as { type: string; data: unknown };
              const { depth, traceparent } = params as { depth: number; traceparent: string };
              await engine.publish(context.organization, type, data, { depth, traceparent });
            },
          },
          variables: {
            items: () => [{ n: 1 }, { n: 2 }, { n: 3 }],
            none: () => [],
            many: () => Array.from({ length: 201 }, (_, n) => ({ n })),
          },
          idempotent: ["test.note"],
        };
        await using engine = await openEngine(operators, { driver, ...more });
        await check({
          engine,
          organization: await engine.organization(),
          done,
          release() {
            release.resolve();
            release = Promise.withResolvers();
          },
          async holding() {
            while (held.length === 0) await wait(5);
            held.shift();
          },
        });
      });

    const rule = (id: string, rest: string): string =>
      `id: ${id}\nname: Rule ${id}\ntrigger: {event: ${id}.go}\n${rest}`;

    on(
      "an event that is delivered again, or comes by two patterns, is one run",
      async ({ engine, organization, done }) => {
        await engine.save(
          organization,
          rule("once", `actions: [{operator: test.note, params: {text: "{{ event.n }}"}}]`),
        );
        await engine.save(
          organization,
          `id: wide\nname: Wide\ntriggers: [{event: "once.*"}, {event: once.go}]\nactions: [{operator: test.note, params: {text: wide}}]`,
        );
        const id = await engine.publish(organization, "once.go", { n: 1 });
        await engine.ended(organization, "once");
        await engine.ended(organization, "wide");
        await engine.nodes[0]!.deliveries.replay({ organization, consumer: "hub:rules#once.*", from: new Date(0) });
        const last = await engine.publish(organization, "once.go", { n: 2 });
        const runs = await engine.ended(organization, "once", 2);
        assert.deepEqual(runs.map(({ eventId }) => eventId).sort(), [id, last].sort());
        assert.deepEqual(done.map(({ text }) => text).sort(), [1, 2, "wide", "wide"].sort());
      },
    );

    on("consumers follow the enabled rules, the widest pattern only", async ({ engine, organization }) => {
      const consumers = async (): Promise<string[]> =>
        (
          await engine.store.db
            .selectFrom("consumers")
            .select("consumer")
            .where("organization_id", "=", organization)
            .orderBy("consumer")
            .execute()
        ).map(({ consumer }) => consumer);
      const by = { organization: asOrganizationId(organization), actor: "test" };
      const act = "actions: [{operator: test.note, params: {text: x}}]";
      await engine.save(organization, `id: a\nname: A\ntrigger: {event: shop.door.opened}\n${act}`);
      await engine.save(
        organization,
        `id: b\nname: B\ntriggers: [{event: shop.door.opened}, {event: bank.opened}]\n${act}`,
      );
      assert.deepEqual(await consumers(), ["hub:rules#bank.opened", "hub:rules#shop.door.opened"]);
      await engine.save(organization, `id: c\nname: C\ntrigger: {event: "shop.*"}\n${act}`);
      assert.deepEqual(await consumers(), ["hub:rules#bank.opened", "hub:rules#shop.*"]);
      await engine.rules.setEnabled(by, "b", false);
      assert.deepEqual(await consumers(), ["hub:rules#shop.*"]);
      await engine.rules.remove(by, "c");
      assert.deepEqual(await consumers(), ["hub:rules#shop.door.opened"]);
      await engine.rules.remove(by, "a");
      assert.deepEqual(await consumers(), []);
    });

    on(
      "mode single: what comes while it runs is recorded as skipped",
      async ({ engine, organization, release, holding }) => {
        await engine.save(
          organization,
          rule("one", "mode: single\nactions: [{operator: test.hold, params: {text: x}}]"),
        );
        await engine.publish(organization, "one.go", {});
        await holding();
        await engine.publish(organization, "one.go", {});
        while ((await engine.runs(organization, "one")).length < 2) await wait(10);
        release();
        const runs = await engine.ended(organization, "one", 2);
        assert.deepEqual(
          runs.map(({ status, reason }) => [status, reason]),
          [
            ["succeeded", null],
            ["skipped", "already_running"],
          ],
        );
        assert.match(String((runs[1]!.trace as { stopped: string }).stopped), /mode is single/);
      },
    );

    on(
      "mode queued: one after the other, in order, over two nodes; more than `max` waiting are skipped",
      async ({ engine, organization, done, release, holding }) => {
        await engine.node();
        await engine.save(
          organization,
          rule("line", `mode: queued\nmax: 3\nactions: [{operator: test.hold, params: {text: "{{ event.n }}"}}]`),
        );
        await engine.publish(organization, "line.go", { n: 0 }, { subject: "s" });
        await holding();
        for (let n = 1; n <= 5; n += 1) await engine.publish(organization, "line.go", { n }, { subject: "s" });
        while ((await engine.runs(organization, "line")).length < 6) await wait(10);
        for (let n = 0; n <= 3; n += 1) {
          release();
          if (n < 3) await holding();
        }
        const runs = await engine.ended(organization, "line", 6);
        assert.deepEqual(
          done.map(({ text }) => text),
          [0, 1, 2, 3],
        );
        assert.equal(runs.filter(({ reason }) => reason === "queue_full").length, 2);
      },
    );

    on("mode parallel: at most `max` at once", async ({ engine, organization, done }) => {
      await engine.save(
        organization,
        rule(
          "many",
          `mode: parallel\nmax: 3\nactions: [{operator: test.wait, params: {ms: 150, text: "{{ event.n }}"}}]`,
        ),
      );
      for (let n = 0; n < 9; n += 1) await engine.publish(organization, "many.go", { n });
      const runs = await engine.ended(organization, "many", 9);
      assert.ok(runs.every(({ status }) => status === "succeeded"));
      const spans = runs.map(({ startedAt, endedAt }) => [Date.parse(startedAt!), Date.parse(endedAt!)] as const);
      const most = Math.max(...spans.map(([at]) => spans.filter(([from, to]) => from <= at && at < to).length));
      assert.ok(most > 1 && most <= 3, `${most} at once`);
      assert.equal(done.length, 9);
    });

    on("mode restart: a newer run cancels the one before", async ({ engine, organization, done, release, holding }) => {
      await engine.save(
        organization,
        rule(
          "again",
          `mode: restart\nactions:\n  - {operator: test.hold, params: {text: "{{ event.n }}"}}\n  - {operator: test.note, params: {text: "after {{ event.n }}"}}`,
        ),
      );
      await engine.publish(organization, "again.go", { n: 1 });
      await holding();
      await engine.publish(organization, "again.go", { n: 2 });
      await holding();
      release();
      const [first, second] = await engine.ended(organization, "again", 2);
      assert.deepEqual([first!.status, first!.reason], ["cancelled", "restarted"]);
      assert.equal(second!.status, "succeeded");
      assert.ok(!done.some(({ text }) => text === "after 1"));
    });

    on(
      "throttle counts runs that act, for each value of its key; runs whose conditions are not met do not count",
      async ({ engine, organization, done }) => {
        await engine.save(
          organization,
          rule(
            "slow",
            `throttle: {per: 1h, count: 2, key: event.who}\nconditions: [{cel: event.really}, {operator: test.yes}]\nactions: [{operator: test.note, params: {text: "{{ event.who }}"}}]`,
          ),
        );
        for (const [who, really] of [
          ["ada", false],
          ["ada", true],
          ["ada", true],
          ["ada", true],
          ["bob", true],
        ] as const)
          await engine.publish(organization, "slow.go", { who, really }, { subject: "s" });
        const runs = await engine.ended(organization, "slow", 4);
        assert.deepEqual(
          done.map(({ text }) => text),
          ["ada", "ada", "bob"],
        );
        const throttled = runs.filter(({ reason }) => reason === "throttled");
        assert.equal(throttled.length, 1);
        assert.deepEqual(
          { ...(throttled[0]!.trace as { throttle: object }).throttle, until: "" },
          { key: "ada", acted: 2, count: 2, until: "" },
        );
      },
    );

    on(
      "results reach later steps; a step that may fail leaves null; one that may not ends the run with its error",
      async ({ engine, organization, done }) => {
        await engine.save(
          organization,
          rule(
            "chain",
            `actions:
  - {id: first, operator: test.note, params: {text: a}}
  - {id: second, operator: test.fail, params: {text: never mind}, continueOnError: true}
  - {operator: test.note, params: {text: "{{ steps.first.noted }} and {{ steps.second == null }}"}}
  - {operator: test.fail, params: {text: the end}}
  - {operator: test.note, params: {text: not reached}}`,
          ),
        );
        await engine.publish(organization, "chain.go", {});
        const [run] = await engine.ended(organization, "chain");
        assert.deepEqual([run!.status, run!.reason, run!.stepsDone, run!.stepsTotal], ["failed", "plugin_error", 4, 5]);
        assert.match(String(run!.error!["message"]), /the end/);
        assert.deepEqual(
          run!.steps.map(({ step, status }) => `${step} ${status}`),
          ["first succeeded", "second failed", "3 succeeded", "4 failed"],
        );
        assert.deepEqual(
          done.map(({ text }) => text),
          ["a", "a and true"],
        );
      },
    );

    on(
      "a template that has no value ends the run with its place, before the operator is asked",
      async ({ engine, organization, done }) => {
        await engine.save(
          organization,
          rule("gap", `actions: [{operator: test.note, params: {text: "{{ event.not.there }}"}}]`),
        );
        await engine.publish(organization, "gap.go", {});
        const [run] = await engine.ended(organization, "gap");
        assert.deepEqual([run!.status, run!.reason], ["failed", "template_missing"]);
        assert.deepEqual(done, []);
      },
    );

    on("retry tries again with the same key, and waits longer each time", async ({ engine, organization }) => {
      await engine.save(
        organization,
        rule(
          "retry",
          "actions: [{id: it, operator: test.failUntil, params: {name: a, times: 3}, retry: {attempts: 5, backoff: 20ms}}]",
        ),
      );
      await engine.publish(organization, "retry.go", {});
      const [run] = await engine.ended(organization, "retry");
      assert.equal(run!.status, "succeeded");
      assert.deepEqual([run!.steps[0]!.attempts, run!.steps[0]!.result], [3, { tries: 3 }]);
      await engine.save(
        organization,
        rule(
          "tired",
          "actions: [{operator: test.failUntil, params: {name: b, times: 9}, retry: {attempts: 2, backoff: 1200ms}}]",
        ),
      );
      const since = performance.now();
      await engine.publish(organization, "tired.go", {});
      const [tired] = await engine.ended(organization, "tired");
      assert.deepEqual([tired!.status, tired!.steps[0]!.attempts], ["failed", 2]);
      assert.ok(performance.now() - since > 1_100, "the longer wait gave the slot back and came again");
    });

    on(
      "parallel branches run beside one another; when one fails the others end first",
      async ({ engine, organization, done }) => {
        await engine.save(
          organization,
          rule(
            "fork",
            `actions:
  - parallel:
      - {operator: test.fail, params: {text: one branch}}
      - sequence:
          - {operator: test.wait, params: {ms: 80, text: slow}}
          - {operator: test.note, params: {text: after slow}}
  - {operator: test.note, params: {text: not reached}}`,
          ),
        );
        await engine.publish(organization, "fork.go", {});
        const [run] = await engine.ended(organization, "fork");
        assert.deepEqual([run!.status, run!.reason], ["failed", "plugin_error"]);
        assert.deepEqual(
          done.map(({ text }) => text),
          ["slow", "after slow"],
        );
      },
    );

    on(
      "a variable makes an action run once for each value; none is no run of it; more than 200 are refused",
      async ({ engine, organization, done }) => {
        await engine.save(
          organization,
          rule(
            "each",
            `actions:\n  - {id: e, operator: test.note, params: {text: "{{ items.n }}"}}\n  - {operator: test.note, params: {text: "{{ none.n }}"}}\n  - {operator: test.note, params: {text: "{{ size(steps.e) }}"}}`,
          ),
        );
        await engine.publish(organization, "each.go", {});
        const [run] = await engine.ended(organization, "each");
        assert.deepEqual([run!.status, run!.stepsDone], ["succeeded", 3]);
        assert.deepEqual(
          done.map(({ text, key }) => [text, key.slice(run!.id.length)]),
          [
            [1, ":e:0"],
            [2, ":e:1"],
            [3, ":e:2"],
            [3, ":3"],
          ],
        );
        await engine.save(
          organization,
          rule("flood", `actions: [{operator: test.note, params: {text: "{{ many.n }}"}}]`),
        );
        await engine.publish(organization, "flood.go", {});
        const [flood] = await engine.ended(organization, "flood");
        assert.deepEqual([flood!.status, flood!.reason], ["failed", "result_invalid"]);
      },
    );

    on("conditions: any and not; what fails ends the run and is no answer", async ({ engine, organization, done }) => {
      await engine.save(
        organization,
        rule(
          "tree",
          `conditions:\n  any:\n    - not: {operator: test.yes}\n    - {operator: test.yes}\n    - {operator: test.falls}\nactions: [{operator: test.note, params: {text: met}}]`,
        ),
      );
      await engine.save(
        organization,
        rule(
          "fell",
          `conditions: [{not: {operator: test.falls}}]\nactions: [{operator: test.note, params: {text: wrong}}]`,
        ),
      );
      await engine.publish(organization, "tree.go", {});
      await engine.publish(organization, "fell.go", {});
      assert.equal((await engine.ended(organization, "tree"))[0]!.status, "succeeded");
      const [fell] = await engine.ended(organization, "fell");
      assert.deepEqual([fell!.status, fell!.reason], ["failed", "plugin_error"]);
      assert.deepEqual(
        done.map(({ text }) => text),
        ["met"],
      );
    });

    on(
      "a rule that sets itself off is stopped after five turns and says so; many events of one cause are no loop",
      async ({ engine, organization, done }) => {
        const trace = newTrace();
        const traceparent = `00-${trace.traceId}-${trace.spanId}-01`;
        await engine.save(
          organization,
          rule(
            "loop",
            `actions:\n  - {operator: test.note, params: {text: turn}}\n  - {operator: test.emit, params: {type: loop.go, depth: "{{ int(event.depth) + 1 }}", traceparent: "${traceparent}", data: {depth: "{{ int(event.depth) + 1 }}"}}}`,
          ),
        );
        await engine.publish(organization, "loop.go", { depth: 0 }, { traceparent });
        const runs = await engine.ended(organization, "loop", 6);
        assert.deepEqual(
          runs.map(({ status, reason }) => reason ?? status),
          [...Array<string>(5).fill("succeeded"), "loop"],
        );
        assert.match(String((runs[5]!.trace as { stopped: string }).stopped), /'loop' ran 5 times already/);
        assert.equal(done.length, 5);
        await engine.save(organization, rule("batch", "actions: [{operator: test.note, params: {text: b}}]"));
        for (let n = 0; n < 8; n += 1) await engine.publish(organization, "batch.go", { n }, { traceparent, depth: 1 });
        assert.ok((await engine.ended(organization, "batch", 8)).every(({ status }) => status === "succeeded"));
        await engine.save(organization, rule("deep", "actions: [{operator: test.note, params: {text: d}}]"));
        await engine.publish(organization, "deep.go", {}, { depth: 16 });
        assert.equal((await engine.ended(organization, "deep"))[0]!.reason, "loop");
      },
    );

    on(
      "cron: each due time once over two nodes, and missed ones at most once",
      async ({ engine, organization, done }) => {
        await engine.node();
        await engine.save(
          organization,
          `id: clock\nname: Clock\ntrigger: {cron: "* * * * *"}\nmode: parallel\nactions: [{operator: test.note, params: {text: "{{ event.cron }}"}}]`,
        );
        assert.deepEqual(await engine.runs(organization, "clock"), []);
        const due = new Date(Date.now() - 3_600_000);
        await engine.store.db.updateTable("rule_schedules").set({ next_at: due }).execute();
        const [run] = await engine.ended(organization, "clock");
        assert.deepEqual([run!.trigger, run!.status], ["cron", "succeeded"]);
        await wait(200);
        assert.equal((await engine.runs(organization, "clock")).length, 1, "an hour of missed minutes is one run");
        assert.equal(done.length, 1);
        const { next_at: next } = await engine.store.db
          .selectFrom("rule_schedules")
          .select("next_at")
          .executeTakeFirstOrThrow();
        assert.ok(next.getTime() > Date.now() && next.getTime() <= Date.now() + 60_000);
        await engine.rules.setEnabled({ organization: asOrganizationId(organization), actor: "test" }, "clock", false);
        assert.equal((await engine.store.db.selectFrom("rule_schedules").selectAll().execute()).length, 0);
      },
    );

    on(
      "a plugin that is not active is waited for, but not for ever",
      async ({ engine, organization, done }) => {
        await engine.save(organization, rule("paused", "actions: [{operator: test.note, params: {text: late}}]"));
        engine.setStatus("disabled");
        await engine.publish(organization, "paused.go", {});
        const [run] = await engine.ended(organization, "paused");
        assert.deepEqual([run!.status, run!.reason], ["failed", "plugin_not_active"]);
        assert.match(run!.explanation ?? "", /disabled/);
        assert.deepEqual(done, []);
      },
      { patienceMs: 0 },
    );

    on(
      "cancelling stops what is under way, and no further step begins",
      async ({ engine, organization, done, release, holding }) => {
        const organizationId = asOrganizationId(organization);
        await engine.save(
          organization,
          rule(
            "stop",
            "actions:\n  - {operator: test.hold, params: {text: held}}\n  - {operator: test.note, params: {text: not reached}}",
          ),
        );
        await engine.publish(organization, "stop.go", {});
        await holding();
        const [open] = await engine.runs(organization, "stop");
        const cancelled = await engine.rules.runs.cancel(organizationId, open!.id);
        assert.deepEqual(
          [cancelled.status, cancelled.reason, cancelled.steps[0]!.status],
          ["cancelled", "cancelled", "cancelled"],
        );
        release();
        await wait(100);
        assert.ok(!done.some(({ text }) => text === "not reached"));
        assert.equal((await engine.rules.runs.get(organizationId, open!.id)).status, "cancelled");
        await assert.rejects(engine.rules.runs.cancel(organizationId, open!.id), { code: "conflict" });
        await assert.rejects(engine.rules.runs.cancel(asOrganizationId("other"), open!.id), { code: "not_found" });
      },
    );

    on("deleting a rule ends its runs and keeps their records", async ({ engine, organization, release, holding }) => {
      await engine.save(organization, rule("brief", "actions: [{operator: test.hold, params: {text: x}}]"));
      await engine.publish(organization, "brief.go", {});
      await holding();
      await engine.rules.remove({ organization: asOrganizationId(organization), actor: "test" }, "brief");
      release();
      const [run] = await engine.ended(organization, "brief");
      assert.deepEqual([run!.status, run!.reason, run!.ruleName], ["cancelled", "rule_deleted", "Rule brief"]);
    });

    on(
      "a run goes by the version that was set off, whatever is saved meanwhile",
      async ({ engine, organization, done, release, holding }) => {
        const source = (text: string): string =>
          rule(
            "moving",
            `actions:\n  - {operator: test.hold, params: {text: first}}\n  - {operator: test.note, params: {text: ${text}}}`,
          );
        await engine.save(organization, source("old"));
        await engine.publish(organization, "moving.go", {});
        await holding();
        await engine.rules.update({ organization: asOrganizationId(organization), actor: "test" }, "moving", {
          source: source("new"),
        });
        release();
        const [run] = await engine.ended(organization, "moving");
        assert.equal(run!.ruleVersion, 1);
        assert.deepEqual(
          done.map(({ text }) => text),
          ["first", "old"],
        );
      },
    );

    on("two organisations with the same rules and event ids never meet", async ({ engine, organization, done }) => {
      const other = await engine.organization("other");
      for (const owner of [organization, other])
        await engine.save(
          owner,
          rule("same", `actions: [{operator: test.note, params: {text: "${owner} {{ event.n }}"}}]`),
        );
      await engine.publish(organization, "same.go", { n: 1 }, { id: "e" });
      await engine.publish(other, "same.go", { n: 2 }, { id: "e" });
      const [mine] = await engine.ended(organization, "same");
      const [theirs] = await engine.ended(other, "same");
      assert.deepEqual(done.map(({ text }) => text).sort(), [`${organization} 1`, "other 2"].sort());
      await assert.rejects(engine.rules.runs.get(asOrganizationId(other), mine!.id), { code: "not_found" });
      assert.ok(theirs);
    });
  });
