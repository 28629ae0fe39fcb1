/** `POST /api/events` takes the types that grants and subscriptions know, and no others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestHub } from "../kit/start-test-hub.ts";

test("an event type that no permission could name is refused with 400 at `type`; those that one can are taken", async () => {
  await using hub = await startTestHub();
  await hub.organization("acme");
  const publish = (type: string) => hub.request("POST", "/api/events", { org: "acme", body: { type, data: {} } });
  for (const type of ["order", "Order.created", "1.2", "order..created", "order.*", "order.-x", "plugin.installed"]) {
    const { status, body } = await publish(type);
    assert.equal(status, 400, type);
    assert.equal(body.code, "invalid_input", type);
    assert.deepEqual(
      body.errors.map(({ path }: { path: string }) => path),
      ["type"],
      type,
    );
  }
  for (const type of ["order.created", "order.item.Added", "comms.MessageReceived", "my-shop.x_1"])
    assert.equal((await publish(type)).status, 202, type);
});
