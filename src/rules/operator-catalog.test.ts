import assert from "node:assert/strict";
import { test } from "node:test";
import type { Installation, InstallationStatus } from "../installations/installations.ts";
import { catalogOf } from "./operator-catalog.ts";

const offers = (plugin: string, status: InstallationStatus): Installation =>
  ({ plugin, status, manifest: { contributes: { actions: [{ id: "comms.send" }] } } }) as unknown as Installation;

const takes = (...oldestFirst: Installation[]) => {
  const { active, installed } = catalogOf(oldestFirst);
  return [active.actions.get("comms.send")?.plugin, installed.actions.get("comms.send")?.plugin];
};

test("of two plugins that offer one id the active one counts, then the first", () => {
  assert.deepEqual(takes(offers("a", "active"), offers("b", "active")), ["a", "a"]);
  assert.deepEqual(takes(offers("a", "disabled"), offers("b", "active")), ["b", "b"]);
  assert.deepEqual(takes(offers("a", "disabled"), offers("b", "pending_config")), [undefined, "a"]);
});

test("a plugin in quarantine keeps its ids: making it fail hands nobody what rules tell it", () => {
  assert.deepEqual(takes(offers("a", "quarantined"), offers("b", "active")), [undefined, "a"]);
  assert.deepEqual(takes(offers("b", "active"), offers("a", "quarantined")), ["b", "b"]);
});
