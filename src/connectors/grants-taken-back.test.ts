/** A grant that is taken back while a batch is read and prepared ahead: nothing of that batch is written any more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { OrganizationId } from "../base/brands.ts";
import { json } from "../store/json.ts";
import { openTestStore } from "../store/test-store.ts";
import {
  installScripted,
  scriptedPlugin as plugin,
  type ScriptedConnector,
  scriptedInvoker,
  startEngine,
} from "./engine-fixture.ts";

test("what was prepared ahead is not written after its grant was taken back, and the cursor stays before it", async () => {
  await using store = await openTestStore();
  const order: string[] = [];
  let organization: OrganizationId;
  let taken: Promise<void> | undefined;

  const takeBack = async (): Promise<void> => {
    await store.db
      .updateTable("installations")
      .set({ grants: json(["network:inbound"]) })
      .where("organization_id", "=", organization)
      .execute();
    engine.installations.committed({ organization, plugin });
    order.push("taken back");
  };
  const connector: ScriptedConnector = {
    async *sync() {
      for (let n = 1; n <= 6; n += 1) {
        // The first batch is being stored now, and this is the last item of the second.
        if (n === 4) taken = takeBack();
        yield { id: `${n}`, type: "contact", cursor: n };
      }
    },
    mapToUnifiedModel({ id }) {
      order.push(`mapped ${id}`);
      return [{ type: "contacts", data: { displayName: id } }];
    },
  };
  await using engine = await startEngine({ store, invoker: scriptedInvoker(() => connector, { items: 2 }) });
  organization = await installScripted({ store, installations: engine.installations });

  const id = await engine.connectors.sync({ organization, plugin, actor: "test" });
  let run = await engine.connectors.run(organization, plugin, id);
  for (let waited = 0; run.endedAt === null && waited < 20_000; waited += 10) {
    await sleep(10);
    run = await engine.connectors.run(organization, plugin, id);
  }
  await taken;
  assert.deepEqual([run.status, run.error?.code], ["failed", "permission_denied"]);
  assert.ok(order.indexOf("mapped 4") < order.indexOf("taken back"), "the batch was ahead of it");
  const rows = await store.db
    .selectFrom("entities")
    .select("external_id")
    .where("organization_id", "=", organization)
    .orderBy("external_id")
    .execute();
  assert.deepEqual(
    rows.map(({ external_id }) => external_id),
    ["1", "2"],
  );
  assert.equal((await engine.connectors.state(organization, plugin)).position.own["contact"], 2);
});
