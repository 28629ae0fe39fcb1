import assert from "node:assert/strict";
import { test } from "node:test";
import { testPlugin } from "@backplane/plugin-api/testing";

const config = { greeting: "Hello" };

test("hello greets with the configured word", async () => {
  await using plugin = await testPlugin({ config: { greeting: "Moin" } });
  assert.deepEqual(await plugin.call("hello", { who: "Ada" }), { text: "Moin, Ada" });
});

test("a new greeting counts from the next call on", async () => {
  await using plugin = await testPlugin({ config });
  assert.deepEqual(await plugin.call("hello", { who: "Ada" }), { text: "Hello, Ada" });
  await plugin.configure({ greeting: "Ahoy" });
  assert.deepEqual(await plugin.call("hello", { who: "Ada" }), { text: "Ahoy, Ada" });
});

test("hello without a name, or with more than a name, is refused before the code runs", async () => {
  await using plugin = await testPlugin({ config });
  for (const parameters of [{}, { who: 7 }, { who: "Ada", and: "Bob" }, { who: "x".repeat(201) }])
    await assert.rejects(plugin.call("hello", parameters), { code: "invalid_parameters" });
});

test("an order is logged and answered with an event of its own", async () => {
  await using plugin = await testPlugin({ config });
  await plugin.deliver({ type: "order.created", id: "o-1", data: { total: 12 } });
  assert.deepEqual(
    plugin.events.map(({ type, data }) => ({ type, data })),
    [{ type: "greeter.saw", data: { id: "o-1" } }],
  );
  assert.deepEqual(plugin.logs[0], { level: "info", message: "saw order.created", data: { id: "o-1" } });
});

test("it makes no web requests and keeps no data", async () => {
  await using plugin = await testPlugin({ config });
  await plugin.call("hello", { who: "Ada" });
  assert.deepEqual(plugin.requests, []);
});

test("without a greeting, or without its permissions, it is not activated", async () => {
  await assert.rejects(testPlugin({}), { code: "activation_blocked", message: /greeting/ });
  await assert.rejects(testPlugin({ config, grants: ["event:subscribe:order.*"] }), {
    code: "activation_blocked",
    message: /event:publish:greeter/,
  });
});
