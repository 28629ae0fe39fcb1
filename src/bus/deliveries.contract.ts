/** The contract of deliveries: run on every driver (embedded, PostgreSQL, JetStream), because callers must not be able to tell them apart. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import fc from "fast-check";
import { sql } from "kysely";
import { type BusDriver, type BusFixture, openBus, Recorder, until } from "./bus-fixture.ts";
import { DeadLetter, type Delivery, RetryLater } from "./delivery.ts";
import { claimDeliveries } from "./delivery-sql.ts";
import { positionOfEvent } from "./event-positions.ts";

const fast = { baseMs: 20, capMs: 40 };

async function pending(bus: BusFixture): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from deliveries where state = 'pending'`.execute(
    bus.store.db,
  );
  return rows[0]!.n;
}

const drained = (bus: BusFixture): Promise<void> =>
  until(async () => (await pending(bus)) === 0, "all deliveries settled", 20_000);

export function deliveriesContract(driver: BusDriver): void {
  describe(`deliveries on ${driver.name}`, { skip: driver.skip ?? false }, () => {
    const on = (title: string, test: (bus: BusFixture) => Promise<void>): void => {
      it(title, { timeout: 40_000 }, async () => {
        await using bus = await openBus(driver);
        await test(bus);
      });
    };

    on("an event reaches each matching consumer once, with its record", async (bus) => {
      const got: Delivery[] = [];
      await bus.node({}, (node) => node.handle("event", async (delivery) => void got.push(delivery)));
      await bus.subscribe("a", "plugin:p:order.*", "order.*");
      await bus.subscribe("a", "plugin:q:order.created", "order.created");
      await bus.subscribe("a", "plugin:r:other.*", "other.*");
      await bus.subscribe("b", "plugin:p:order.*", "order.*");
      await bus.publish("a", "order.created", { subject: "o1", id: "e1", data: { n: 1 } });
      await bus.publish("a", "order.line.added", { id: "e2" });
      await bus.publish("a", "order", { id: "e3" });
      await bus.publish("a", "order.created", { id: "e1", data: { n: 2 } });
      await until(() => got.length >= 3, "three deliveries");
      await drained(bus);
      assert.deepEqual(got.map((d) => [d.consumer, d.itemId]).sort(), [
        ["plugin:p:order.*", "e1"],
        ["plugin:p:order.*", "e2"],
        ["plugin:q:order.created", "e1"],
      ]);
      const first = got.find((d) => d.itemId === "e1")!;
      assert.deepEqual(
        { ...first.event, time: "" },
        {
          specversion: "1.0",
          id: "e1",
          source: "/test",
          type: "order.created",
          subject: "o1",
          time: "",
          datacontenttype: "application/json",
          data: { n: 1 },
          organization: "a",
        },
      );
      assert.equal(first.key, "o1");
    });

    on(
      "items of one key run strictly one after the other, in order, over two nodes and under failures",
      async (bus) => {
        const recorder = new Recorder();
        let n = 0;
        const handler = recorder.handler(async () => {
          await wait(Math.random() * 3);
          if (++n % 17 === 0) throw new Error("now and then");
        });
        for (let i = 0; i < 2; i += 1)
          await bus.node({}, (node) => node.handle("message", handler, { backoff: fast, maxAttempts: 50 }));
        const expected = new Map<string, string[]>();
        for (let batch = 0; batch < 20; batch += 1) {
          const inputs = Array.from({ length: 20 }, (_, i) => ({
            itemId: `${String(batch).padStart(2, "0")}-${String(i).padStart(2, "0")}`,
            key: `k${i % 7}`,
          }));
          for (const { itemId, key } of inputs) expected.set(key, [...(expected.get(key) ?? []), itemId]);
          await bus.enqueue(...inputs);
        }
        await drained(bus);
        assert.deepEqual(recorder.overlaps, []);
        for (const [key, items] of recorder.byKey()) {
          assert.deepEqual([...new Set(items)], expected.get(key), `order of ${key}`);
          // A failed one is tried again before its followers: repeats are always neighbours.
          assert.deepEqual(
            items.filter((item, i) => item !== items[i - 1]),
            expected.get(key),
            `retries of ${key}`,
          );
        }
        assert.equal(recorder.byKey().size, 7);
      },
    );

    on("each unordered item is handled once and settled once, many at a time", async (bus) => {
      const recorder = new Recorder();
      for (let i = 0; i < 2; i += 1)
        await bus.node({}, (node) =>
          node.handle(
            "message",
            recorder.handler(() => wait(2)),
          ),
        );
      for (let batch = 0; batch < 10; batch += 1)
        await bus.enqueue(...Array.from({ length: 100 }, (_, i) => ({ itemId: `${batch}-${i}` })));
      await drained(bus);
      assert.equal(recorder.seen.length, 1000);
      assert.equal(new Set(recorder.items()).size, 1000);
      assert.ok(recorder.mostRunning > 1, "ran in parallel");
    });

    on("an item id is taken once for each consumer, also after it is done", async (bus) => {
      const recorder = new Recorder();
      const node = await bus.node({}, (n) => n.handle("webhook", recorder.handler()));
      const input = {
        organization: "a",
        consumer: "c",
        kind: "webhook" as const,
        itemId: "i",
        payload: { text: "a\u0000b" },
      };
      const first = await bus.transaction((tx) => node.enqueue(tx, [input, input, { ...input, consumer: "d" }]));
      assert.deepEqual(
        first.map((r) => r.accepted),
        [true, false, true],
      );
      await drained(bus);
      const second = await bus.transaction((tx) => node.enqueue(tx, [input]));
      assert.deepEqual(second, [{ itemId: "i", accepted: false }]);
      await wait(150);
      assert.equal(recorder.seen.length, 2);
    });

    on("names and payloads at their limits are taken, beyond them refused", async (bus) => {
      const got: Delivery[] = [];
      const node = await bus.node({}, (n) => {
        n.handle("event", async (delivery) => void got.push(delivery));
        n.handle("message", async (delivery) => void got.push(delivery));
      });
      // Unlike letters, so that the database cannot compress the index row.
      const text = (bytes: number): string => randomBytes(bytes).toString("base64url").slice(0, bytes);
      const consumer = text(800);
      await bus.subscribe("o".repeat(64), consumer, "x.*");
      await bus.publish("o".repeat(64), `x.${text(254).replaceAll("=", "_")}`, { id: text(256), subject: text(512) });
      const input = {
        organization: text(64),
        consumer: text(800),
        kind: "message" as const,
        key: text(800),
        itemId: text(800),
        payload: "x".repeat(1_000_000),
      };
      await bus.transaction((tx) => node.enqueue(tx, [input]));
      await until(() => got.length === 2, "both are delivered");
      const refuse = (wrong: object, code: string) =>
        assert.rejects(
          bus.transaction((tx) => node.enqueue(tx, [{ ...input, ...wrong }])),
          { code },
        );
      await refuse({ key: "é".repeat(401) }, "invalid_input");
      await refuse({ itemId: "" }, "invalid_input");
      await refuse({ consumer: "a\u0000" }, "invalid_input");
      await refuse({ payload: "x".repeat(1_100_000) }, "payload_too_large");
      await refuse({ payload: 1n }, "invalid_input");
    });

    on("work enqueued in a transaction that rolls back never runs", async (bus) => {
      const recorder = new Recorder();
      const node = await bus.node({}, (n) => n.handle("message", recorder.handler()));
      await assert.rejects(
        bus.transaction(async (tx) => {
          await node.enqueue(tx, [{ organization: "a", consumer: "c", kind: "message", itemId: "gone", payload: 1 }]);
          throw new Error("no");
        }),
      );
      await bus.enqueue({ itemId: "kept" });
      await drained(bus);
      assert.deepEqual(recorder.items(), ["kept"]);
    });

    on("while a key's head backs off its followers wait and other keys go on", async (bus) => {
      const recorder = new Recorder();
      const handler = recorder.handler(({ itemId, attempt }) => {
        if (itemId === "a1" && attempt < 3) throw new Error("not yet");
      });
      await bus.node({}, (node) => node.handle("message", handler, { backoff: { baseMs: 150, capMs: 150 } }));
      await bus.enqueue(
        { itemId: "a1", key: "a" },
        { itemId: "a2", key: "a" },
        { itemId: "b1", key: "b" },
        { itemId: "b2", key: "b" },
      );
      await drained(bus);
      assert.deepEqual(recorder.byKey().get("a"), ["a1", "a1", "a1", "a2"]);
      assert.deepEqual(recorder.byKey().get("b"), ["b1", "b2"]);
      assert.ok(recorder.items().lastIndexOf("a1") > recorder.items().indexOf("b2"), "b did not wait for a");
    });

    on(
      "after its last attempt an item is a dead letter with its reason, and a retried one comes before what waits of its key",
      async (bus) => {
        const recorder = new Recorder();
        let broken = true;
        const handler = recorder.handler(({ key }) => {
          if (broken && key === "k") throw Object.assign(new Error("disk on fire"), { code: "fire" });
        });
        const node = await bus.node({}, (n) => n.handle("message", handler, { backoff: fast, maxAttempts: 3 }));
        await bus.enqueue(
          { itemId: "k1", key: "k", payload: { x: 1 } },
          { itemId: "k2", key: "k" },
          { itemId: "fine" },
        );
        await drained(bus);
        assert.deepEqual(
          recorder.items().filter((i) => i !== "fine"),
          ["k1", "k1", "k1", "k2", "k2", "k2"],
        );
        const { deadLetters, nextCursor } = await node.deadLetters.list({ organization: "a", limit: 1 });
        assert.equal(deadLetters[0]!.itemId, "k2");
        const rest = await node.deadLetters.list({ organization: "a", limit: 1, cursor: nextCursor! });
        assert.deepEqual(
          [
            rest.deadLetters[0]!.itemId,
            rest.deadLetters[0]!.error,
            rest.deadLetters[0]!.attempts,
            rest.deadLetters[0]!.payload,
            rest.nextCursor,
          ],
          ["k1", { code: "fire", message: "disk on fire" }, 3, { x: 1 }, null],
        );
        assert.deepEqual(await node.lag("a"), [{ consumer: "c", pending: 0, dead: 2, oldestMs: 0 }]);
        assert.deepEqual((await node.deadLetters.list({ organization: "b" })).deadLetters, []);
        await assert.rejects(node.deadLetters.retry("b", rest.deadLetters[0]!.id), { code: "not_found" });
        broken = false;
        recorder.seen.length = 0;
        assert.equal(await node.deadLetters.retryAll({ organization: "a", code: "other" }), 0);
        assert.equal(await node.deadLetters.retryAll({ organization: "a", consumer: "c", code: "fire" }), 2);
        await drained(bus);
        assert.deepEqual(
          recorder.seen.map((s) => [s.itemId, s.attempt]),
          [
            ["k1", 1],
            ["k2", 1],
          ],
        );
      },
    );

    on("a handler can end an item as dead at once, or ask for later without using an attempt", async (bus) => {
      const recorder = new Recorder();
      let later = 0;
      const handler = recorder.handler(({ itemId }) => {
        if (itemId === "hopeless") throw new DeadLetter("gone", "the plugin is gone");
        if (itemId === "busy" && later++ < 5) throw new RetryLater(20);
      });
      const node = await bus.node({}, (n) => n.handle("message", handler, { maxAttempts: 2 }));
      await bus.enqueue({ itemId: "hopeless" }, { itemId: "busy" });
      await drained(bus);
      assert.deepEqual(
        recorder.seen.filter((s) => s.itemId === "busy").map((s) => s.attempt),
        [1, 1, 1, 1, 1, 1],
      );
      assert.equal(recorder.seen.filter((s) => s.itemId === "hopeless").length, 1);
      const { deadLetters } = await node.deadLetters.list({ organization: "a" });
      assert.deepEqual(
        deadLetters.map((d) => [d.itemId, d.error.code]),
        [["hopeless", "gone"]],
      );
      await node.deadLetters.retry("a", deadLetters[0]!.id);
      await until(() => recorder.items().filter((i) => i === "hopeless").length === 2, "tried again");
    });

    on("a paused consumer keeps what waits and goes on when active", async (bus) => {
      const recorder = new Recorder();
      await bus.subscribe("a", "p", "x.*");
      await bus.subscribe("a", "q", "x.*");
      await bus.transaction((tx) => bus.consumers.setActive(tx, { organization: "a", consumer: "p" }, true));
      await bus.publish("a", "x.1", { id: "before" });
      await until(async () => (await pending(bus)) === 2, "fanned out");
      await bus.transaction((tx) => bus.consumers.setActive(tx, { organization: "a", consumer: "p" }, false));
      await bus.node({}, (node) => node.handle("event", recorder.handler()));
      await bus.publish("a", "x.1", { id: "while" });
      await until(() => recorder.seen.length === 2, "the other consumer goes on");
      await wait(250);
      assert.deepEqual(
        recorder.seen.map((s) => s.consumer),
        ["q", "q"],
      );
      await bus.transaction((tx) => bus.consumers.setActive(tx, { organization: "a", consumer: "p" }, true));
      await drained(bus);
      assert.deepEqual(
        recorder.seen.filter((s) => s.consumer === "p").map((s) => s.itemId),
        ["before"],
      );
    });

    on("a noisy consumer does not delay a quiet one, of its own organisation or another", async (bus) => {
      const waits: number[] = [];
      let noisy = 0;
      await bus.node({ slots: 32, slotsPerOrganization: 16, slotsPerConsumer: 8 }, (node) =>
        node.handle("message", async ({ consumer, payload }) => {
          if (consumer.startsWith("noisy")) noisy += 1;
          else waits.push(performance.now() - Number(payload));
          await wait(20);
        }),
      );
      const flood = Array.from({ length: 3000 }, (_, i) => ({ itemId: `n${i}`, consumer: "noisy" }));
      await bus.enqueue(...flood);
      await until(() => noisy > 8, "the flood runs");
      for (let i = 0; i < 10; i += 1) {
        await bus.enqueue(
          { itemId: `q${i}`, consumer: "quiet", payload: performance.now() },
          { itemId: `q${i}`, organization: "b", consumer: "noisy-not", payload: performance.now() },
        );
        await bus.enqueue({ itemId: `z${i}`, organization: "b", consumer: "quiet", payload: performance.now() });
        await wait(20);
      }
      await until(() => waits.length === 20, "the quiet ones are served", 5000);
      waits.sort((a, b) => a - b);
      assert.ok(waits[10]! < 800, `median wait ${waits[10]} ms`);
      assert.ok(noisy < 2500, `the flood still runs (${noisy})`);
    });

    on("claims of a node that died lapse and are handled by another, counted as attempts", async (bus) => {
      const recorder = new Recorder();
      await bus.enqueue({ itemId: "i1", key: "k" }, { itemId: "i2", key: "k" });
      const since = performance.now();
      const dead = await claimDeliveries(bus.store, {
        claims: [{ organization: "a", consumer: "c", cap: 1, run: 1 }],
        kinds: ["message"],
        owner: "dead",
        leaseMs: 700,
        window: 100,
        relayed: false,
      });
      assert.equal(dead[0]!.rows.length, 1);
      const times: number[] = [];
      const node = await bus.node({}, (n) =>
        n.handle(
          "message",
          recorder.handler(() => void times.push(performance.now())),
        ),
      );
      await drained(bus);
      assert.ok(times[0]! - since >= 690, "the key is held by the lease");
      assert.deepEqual(
        recorder.seen.map((s) => [s.itemId, s.attempt]),
        [
          ["i1", 2],
          ["i2", 1],
        ],
      );
      await bus.enqueue({ itemId: "i3" });
      await until(() => recorder.seen.length === 3, "i3");
      await drained(bus);
      await node.nodeLost("nobody");
    });

    on("a handler longer than its lease is kept alive by heartbeats and not run twice", async (bus) => {
      const recorder = new Recorder();
      for (let i = 0; i < 2; i += 1)
        await bus.node({ leaseMs: 1500 }, (node) =>
          node.handle(
            "message",
            recorder.handler(() => wait(3500)),
          ),
        );
      await bus.enqueue({ itemId: "long" });
      await drained(bus);
      assert.deepEqual(
        recorder.seen.map((s) => s.attempt),
        [1],
      );
    });

    on("stop finishes what runs and gives back what waits, uncounted, for another node", async (bus) => {
      const recorder = new Recorder();
      const node = await bus.node({ slotsPerConsumer: 2 }, (n) =>
        n.handle(
          "message",
          recorder.handler(() => wait(100)),
          { concurrency: 2 },
        ),
      );
      await bus.enqueue(...Array.from({ length: 10 }, (_, i) => ({ itemId: `${i}`, key: `k${i % 3}` })));
      await until(() => recorder.seen.length >= 2, "two run");
      await node.stop();
      const { rows } = await sql<{
        n: number;
      }>`select count(*)::int as n from deliveries where state = 'pending' and claimed_until > now() and claimed_by = 'node-1'`.execute(
        bus.store.db,
      );
      assert.equal(rows[0]!.n, 0, "no lease is left");
      await bus.node({}, (n) => n.handle("message", recorder.handler()));
      await drained(bus);
      assert.equal(recorder.seen.length, 10, "nothing ran twice");
      assert.ok(recorder.seen.every((s) => s.attempt === 1));
    });

    on("a waiting item can be cancelled, and a running one is told to stop and not tried again", async (bus) => {
      const recorder = new Recorder();
      let stopped = "";
      const handler = recorder.handler(async ({ itemId, signal }) => {
        if (itemId !== "long") return;
        await wait(5000, undefined, { signal }).catch(() => {
          stopped = String(signal.reason);
          throw new Error("stopped");
        });
      });
      const node = await bus.node({}, (n) => n.handle("message", handler));
      await bus.enqueue(
        { itemId: "long", key: "k" },
        { itemId: "next", key: "k" },
        { itemId: "future", due: new Date(Date.now() + 60_000) },
      );
      await until(() => recorder.seen.length === 1, "it runs");
      const cancel = (itemId: string) =>
        bus.transaction((tx) => node.cancel(tx, { organization: "a", consumer: "c", itemId }));
      assert.equal(await cancel("future"), "cancelled");
      assert.equal(await cancel("long"), "running");
      assert.equal(await cancel("never"), undefined);
      await until(() => recorder.seen.length === 2, "the next of the key");
      await drained(bus);
      assert.match(stopped, /cancelled/);
      assert.deepEqual(recorder.items(), ["long", "next"]);
      assert.equal(await cancel("next"), undefined);
    });

    on("an item is not handled before it is due, and others do not wait for it", async (bus) => {
      const at = new Map<string, number>();
      await bus.node({}, (n) => n.handle("message", async ({ itemId }) => void at.set(itemId, Date.now())));
      const due = Date.now() + 500;
      await bus.enqueue({ itemId: "later", due: new Date(due) }, { itemId: "now" });
      await drained(bus);
      assert.ok(at.get("later")! >= due);
      assert.ok(at.get("now")! < at.get("later")!);
    });

    on("replay gives past events again in log order, before what comes new", async (bus) => {
      const recorder = new Recorder();
      const node = await bus.node({}, (n) => n.handle("event", recorder.handler()));
      await bus.subscribe("a", "p", "x.*");
      await bus.subscribe("a", "q", "x.*");
      for (let i = 0; i < 5; i += 1)
        await bus.publish("a", i === 3 ? "y.other" : "x.some", { id: `e${i}`, subject: "s" });
      await until(() => recorder.seen.length === 8, "first time");
      await drained(bus);
      recorder.seen.length = 0;
      const start = (await bus.log.query({ organization: "a" })).events[1]!;
      const second = await positionOfEvent(bus.store.db, "a", start.event.id);
      assert.equal(await node.replay({ organization: "a", consumer: "p", from: second! }), 3);
      await bus.publish("a", "x.some", { id: "new", subject: "s" });
      await until(() => recorder.seen.length === 5, "again");
      assert.deepEqual(
        recorder.seen.filter((s) => s.consumer === "p").map((s) => s.itemId.split("~")[0]),
        ["e1", "e2", "e4", "new"],
      );
      assert.equal(await node.replay({ organization: "a", consumer: "p", from: new Date(Date.now() + 60_000) }), 0);
      assert.equal(await node.replay({ organization: "a", consumer: "p", from: new Date(0) }), 5);
      await assert.rejects(node.replay({ organization: "b", consumer: "p", from: 0 }), { code: "not_found" });
      await drained(bus);
    });

    on("what is runnable is found behind a long backlog of a blocked key", async (bus) => {
      const recorder = new Recorder();
      const handler = recorder.handler(({ key }) => {
        if (key === "blocked") throw new RetryLater(60_000);
      });
      await bus.enqueue(
        ...Array.from({ length: 3000 }, (_, i) => ({ itemId: `b${i}`, key: "blocked" })),
        { itemId: "free", key: "zz" },
        { itemId: "free2", key: "aa" },
      );
      await bus.node({}, (n) => n.handle("message", handler));
      await until(
        () => recorder.items().includes("free") && recorder.items().includes("free2"),
        "the free ones run",
        5000,
      );
      assert.ok(recorder.byKey().get("blocked")!.length <= 2);
    });

    on("the order of every key is kept whatever handlers do (model-based)", async (bus) => {
      let round = 0;
      const step = fc.record({
        key: fc.constantFrom("k1", "k2", "k3"),
        outcome: fc.constantFrom("ok", "ok", "fail", "later", "dead"),
      });
      const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const consumer = `c${round++}`;
        const recorder = new Recorder();
        const plan = new Map(steps.map((s, i) => [`i${i}`, s.outcome]));
        const handler = recorder.handler(async ({ itemId }) => {
          const outcome = plan.get(itemId);
          if (outcome === "dead") throw new DeadLetter("dead", "dead");
          if (outcome === "ok") return;
          plan.set(itemId, "ok");
          throw outcome === "later" ? new RetryLater(1) : new Error("once");
        });
        current = handler;
        await bus.enqueue(...steps.map((s, i) => ({ itemId: `i${i}`, key: s.key, consumer })));
        await drained(bus);
        assert.deepEqual(recorder.overlaps, []);
        for (const key of ["k1", "k2", "k3"]) {
          const expected = steps.flatMap((s, i) =>
            s.key !== key ? [] : s.outcome === "fail" || s.outcome === "later" ? [`i${i}`, `i${i}`] : [`i${i}`],
          );
          assert.deepEqual(recorder.byKey().get(key) ?? [], expected);
        }
      });
      let current: (delivery: Delivery) => Promise<void> = async () => {};
      for (let i = 0; i < 2; i += 1)
        await bus.node({ pollMs: 30 }, (node) =>
          node.handle("message", (delivery) => current(delivery), { backoff: { baseMs: 2, capMs: 4 } }),
        );
      await fc.assert(property, { numRuns: 15 });
    });

    on("retention removes settled deliveries and old events, but nothing an open delivery needs", async (bus) => {
      const node = await bus.node({}, (n) =>
        n.handle("event", async ({ itemId }) => {
          if (itemId === "bad") throw new DeadLetter("no", "no");
        }),
      );
      node.handle("message", async () => {});
      await bus.subscribe("a", "p", "x.*");
      await bus.publish("a", "x.1", { id: "bad" });
      await bus.publish("a", "x.1", { id: "good" });
      await bus.enqueue({ itemId: "m" });
      await drained(bus);
      await until(async () => (await node.deadLetters.list({ organization: "a" })).deadLetters.length === 1, "dead");
      assert.deepEqual(await node.clean(), { deliveries: 0, events: 0 });
      assert.deepEqual(await node.clean({ doneMs: 0, eventsMs: 0 }), { deliveries: 1, events: 1 });
      assert.equal((await bus.log.get("a", "bad"))?.id, "bad");
      assert.deepEqual(await node.clean({ deadMs: 0, eventsMs: 0 }), { deliveries: 1, events: 1 });
    });
  });
}
