import assert from "node:assert/strict";
import { test } from "node:test";
import { asInstallationId, asOrganizationId, asPluginId } from "../base/brands.ts";
import type { Store } from "../store/store.ts";
import { openTestStore } from "../store/test-store.ts";
import { createInstallations, type Installation, type Installations } from "./installations.ts";

const installation: Installation = {
  organization: asOrganizationId("acme"),
  id: asInstallationId("i-1"),
  plugin: asPluginId("acme.greeter"),
  name: "Greeter",
  version: "1.0.0",
  digest: null,
  catalog: "acme",
  manifest: { id: "acme.greeter", name: "Greeter", version: "1.0.0" } as Installation["manifest"],
  runtime: "isolate",
  status: "pending_config",
  statusReason: null,
  health: "unknown",
  healthReason: null,
  config: {},
  grants: [],
  approved: [],
  revision: 1,
  installedAt: new Date(),
  updatedAt: new Date(),
};
const { organization, plugin } = installation;

async function installed(store: Store): Promise<Installations> {
  await store.db.insertInto("organizations").values({ id: organization, name: "Acme" }).execute();
  const installations = await createInstallations({ store });
  await store.transaction((tx) => installations.insert(tx, installation));
  return installations;
}

test("whoever made a change reads it once it is committed, even when another call remembered the old row meanwhile", async () => {
  await using store = await openTestStore();
  await using installations = await installed(store);
  for (const status of ["active", "disabled", "active", "disabled"] as const) {
    let reading = true;
    const reader = (async () => {
      while (reading) {
        await installations.find(organization, plugin);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await store.transaction(async (tx) => {
      await installations.update(tx, await installations.lock(tx, organization, plugin), { status });
    });
    installations.committed({ organization, plugin });
    assert.equal((await installations.find(organization, plugin))?.status, status);
    reading = false;
    await reader;
  }
});

test("after lost notifications everything is read anew, and listeners hear of each installation that was known", async () => {
  await using store = await openTestStore();
  await using installations = await installed(store);
  await installations.find(organization, plugin);
  const heard: string[] = [];
  using _listening = installations.onChange((change) => void heard.push(change.plugin));
  // Another hub's change whose notification never came.
  await store.db.updateTable("installations").set({ status: "active" }).execute();
  assert.equal((await installations.find(organization, plugin))?.status, "pending_config");
  await store.notify(store.db, "installations", "");
  for (let waited = 0; heard.length === 0 && waited < 2_000; waited += 10)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(heard, [plugin]);
  assert.equal((await installations.find(organization, plugin))?.status, "active");
});

test("the revision rises with what the guest can tell apart, and only with that", async () => {
  await using store = await openTestStore();
  await using installations = await installed(store);
  const change = (patch: Parameters<typeof installations.update>[2]): Promise<Installation> =>
    store.transaction(async (tx) =>
      installations.update(tx, await installations.lock(tx, organization, plugin), patch),
    );
  assert.equal((await change({ status: "active", health: "healthy" })).revision, 1);
  assert.equal((await change({ config: { a: 1 } })).revision, 2);
  assert.equal((await change({ grants: ["network:inbound"] })).revision, 3);
});
