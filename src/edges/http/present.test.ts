import assert from "node:assert/strict";
import { test } from "node:test";
import type { Installation } from "../../installations/installations.ts";
import { presentConsent } from "./present.ts";

test("consent shows a permission as granted when a wider grant includes it", () => {
  const asked = ["event:publish:order.created", "network:outbound:eu.vendor.com", "network:inbound"];
  const shown = presentConsent({
    plugin: "acme.x",
    version: "1.0.0",
    manifest: { permissions: asked, optionalPermissions: [], configSchema: {} },
    grants: ["event:publish:order.*", "network:outbound:*.vendor.com"],
    approved: ["network:inbound"],
  } as unknown as Installation) as { permissions: { permission: string; granted: boolean; isNew: boolean }[] };
  assert.deepEqual(
    shown.permissions.map(({ granted, isNew }) => [granted, isNew]),
    [
      [true, true],
      [true, true],
      [false, false],
    ],
  );
});
