import assert from "node:assert/strict";
import { test } from "node:test";
import { asOrganizationId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, InstallationStatus } from "../installations/installations.ts";
import { openTestStore } from "../store/test-store.ts";
import { catalogOf } from "./operator-catalog.ts";
import { createHistory } from "./operator-holders.ts";

let installed = 0;
const offers = (plugin: string, status: InstallationStatus): Installation => {
  installed += 1_000;
  return {
    organization: asOrganizationId("acme"),
    plugin,
    status,
    installedAt: new Date(installed),
    manifest: { contributes: { actions: [{ id: "comms.send" }] } },
  } as unknown as Installation;
};

const takes = (...oldestFirst: Installation[]) => {
  const catalog = catalogOf(oldestFirst);
  const { active, installed: all } = catalog;
  return [active.actions.get("comms.send")?.plugin, all.actions.get("comms.send")?.plugin];
};

test("of two plugins that offer one id the first holds it, whatever becomes of it while it is installed", () => {
  assert.deepEqual(takes(offers("a", "active"), offers("b", "active")), ["a", "a"]);
  for (const status of ["disabled", "pending_config", "quarantined"] as const) {
    assert.deepEqual(takes(offers("a", status), offers("b", "active")), [undefined, "a"], status);
    assert.deepEqual(takes(offers("b", "active"), offers("a", status)), ["b", "b"], status);
  }
  assert.deepEqual(takes(offers("b", "active")), ["b", "b"], "once the other is gone");
});

test("the list tells of the newcomer's operator that another plugin holds its id", () => {
  const { list, active } = catalogOf([offers("a", "disabled"), offers("b", "active")]);
  assert.deepEqual(
    list.map(({ plugin, active: on, heldBy }) => [plugin, on, heldBy]),
    [
      ["a", false, null],
      ["b", false, "a"],
    ],
  );
  assert.deepEqual([...(active.offered ?? [])], [["comms.send", "a"]]);
});

test("an upgrade does not take over what others hold, and one of the holder keeps what it had", async () => {
  await using store = await openTestStore();
  const old = offers("old", "active");
  const young = offers("young", "active");
  const change = (plugin: string, action: string, version: string, at: number): Promise<unknown> =>
    store.db
      .insertInto("installation_transitions")
      .values({ organization_id: "acme", plugin_id: plugin, action, version, actor: "test", at: new Date(at) })
      .execute();
  const [first, second] = [old.installedAt.getTime(), young.installedAt.getTime()];
  await change("old", "installed", "0.9.0", first - 500);
  await change("old", "installed", "1.0.0", first);
  await change("young", "installed", "1.0.0", second);
  await change("young", "upgraded", "1.1.0", second + 500);
  await change("old", "upgraded", "2.0.0", second + 1_000);
  const readHistory = createHistory({
    store,
    packages: {
      async resolve(_organization, plugin, version) {
        if (plugin === "gone") throw new BackplaneError("not_found", { thing: "package" });
        const had = plugin === "young" || version === "2.0.0";
        return { manifest: { contributes: had ? young.manifest.contributes : {} } } as never;
      },
    },
  });
  const { active } = catalogOf([old, young], await readHistory([old, young]));
  assert.equal(active.actions.get("comms.send")?.plugin, "young");
});
