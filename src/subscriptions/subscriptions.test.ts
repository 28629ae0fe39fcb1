/** Features of the hub as consumers of events: durable, of each organisation's own, and no plugin's subscriptions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type BusFixture, openBus, until } from "../bus/bus-fixture.ts";
import { createSubscriptions, type HubSubscription, type Subscriptions } from "./subscriptions.ts";

interface Seen {
  organization: string;
  type: string;
  consumer: string;
}

async function open(handler: (seen: Seen) => void = () => {}): Promise<{
  bus: BusFixture;
  subscriptions: Subscriptions;
  rules: HubSubscription;
  [Symbol.asyncDispose](): PromiseLike<void>;
}> {
  const bus = await openBus({ name: "pglite", store: "pglite" });
  let subscriptions!: Subscriptions;
  let rules!: HubSubscription;
  const node = await bus.node({}, (deliveries) => {
    subscriptions = createSubscriptions({
      store: bus.store,
      consumers: bus.consumers,
      deliveries,
      invoker: { run: () => Promise.reject(new Error("no plugin is meant")) },
    });
    rules = subscriptions.onHub(
      "rules",
      async ({ organization, consumer, event }) => handler({ organization, type: event.type, consumer }),
      { patterns: ["comms.MessageRequested"] },
    );
  });
  assert.equal(node.driver, "database");
  return { bus, subscriptions, rules, [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() };
}

test("an organisation has a feature's patterns from the transaction on that makes it, an older one from the start of the hub", async () => {
  const seen: Seen[] = [];
  await using given = await open((one) => seen.push(one));
  const { bus, subscriptions } = given;
  await bus.store.db.insertInto("organizations").values({ id: "older", name: "Older" }).execute();
  await subscriptions.start();
  await subscriptions.start();
  await bus.transaction(async (tx) => {
    await tx.insertInto("organizations").values({ id: "newer", name: "Newer" }).execute();
    await subscriptions.organizationCreated(tx, "newer");
    await bus.log.publish(tx, { organization: "newer", type: "comms.MessageRequested", source: "/test", data: {} });
  });
  await bus.publish("older", "comms.MessageRequested");
  await bus.publish("older", "comms.MessageReceived");
  await until(() => seen.length >= 2, "both");
  assert.deepEqual(seen.map(({ organization, type }) => `${organization} ${type}`).sort(), [
    "newer comms.MessageRequested",
    "older comms.MessageRequested",
  ]);
});

test("a pattern that is registered later counts for what is accepted after it, and no longer once it is removed", async () => {
  const seen: Seen[] = [];
  await using given = await open((one) => seen.push(one));
  const { bus, rules } = given;
  await bus.publish("a", "shop.early");
  await until(async () => (await bus.sequencer.runOnce()) === 0, "stamped");
  await bus.transaction((tx) => rules.register(tx, "a", "shop.*"));
  await bus.publish("a", "shop.opened");
  await bus.publish("b", "shop.opened");
  await until(() => seen.length === 1, "the later one");
  await bus.transaction((tx) => rules.remove(tx, "a", "shop.*"));
  await bus.publish("a", "shop.closed");
  await until(async () => (await bus.sequencer.runOnce()) === 0, "stamped");
  assert.deepEqual(seen, [{ organization: "a", type: "shop.opened", consumer: "hub:rules#shop.*" }]);
  await assert.rejects(
    bus.transaction((tx) => rules.register(tx, "a", "shop*")),
    { code: "invalid_input" },
  );
});

test("a handler that fails gets the event again", async () => {
  let tries = 0;
  await using given = await open(() => {
    tries += 1;
    if (tries === 1) throw new Error("not yet");
  });
  const { bus, rules } = given;
  await bus.transaction((tx) => rules.register(tx, "a", "shop.opened"));
  await bus.publish("a", "shop.opened");
  await until(() => tries === 2, "the second try");
});

test("a feature's consumers belong to no plugin, so no plugin's life touches them", async () => {
  await using given = await open();
  const { bus, rules, subscriptions } = given;
  await bus.transaction((tx) => rules.register(tx, "a", "shop.*"));
  assert.deepEqual(
    (await bus.consumers.list("a")).map(({ consumer, plugin }) => [consumer, plugin]),
    [["hub:rules#shop.*", "*"]],
  );
  assert.throws(() => subscriptions.onHub("rules", async () => {}), /no free name/);
  assert.throws(() => subscriptions.onHub("a#b", async () => {}), /no free name/);
});
