import assert from "node:assert/strict";
import { test } from "node:test";
import { asDigest, asInstallationId, asOrganizationId, asPluginId } from "../base/brands.ts";
import type { Installation, InstallationChange, Installations } from "../installations/installations.ts";
import type { PluginRuntime } from "../runtimes/runtime.ts";
import { createInstances, type Instances } from "./instances.ts";

const installationOf = (revision: number, id = "i-1"): Installation =>
  ({
    organization: asOrganizationId("acme"),
    id: asInstallationId(id),
    plugin: asPluginId("acme.greeter"),
    version: "1.0.0",
    digest: asDigest(`sha256:${"0".repeat(64)}`),
    manifest: {},
    status: "active",
    grants: [],
    revision,
  }) as unknown as Installation;

interface Bench {
  instances: Instances;
  released: string[];
  announce(current: Installation): Promise<void>;
}

function bench(): Bench {
  const released: string[] = [];
  let current: Installation | undefined;
  let listener: (change: InstallationChange) => void = () => {};
  const installations = {
    find: async () => current,
    onChange(heard: typeof listener) {
      listener = heard;
      return { [Symbol.dispose]() {} };
    },
  } as unknown as Installations;
  const runtime = { release: async (key: string) => void released.push(key) } as unknown as PluginRuntime;
  const instances = createInstances({
    installations,
    runtime,
    isolation: "organisation",
    ceiling: {},
    loadBundle: () => Promise.reject(new Error("not here")),
    guestConfig: async () => ({}),
    abilityNames: () => [],
    highRisk: () => false,
  });
  return {
    instances,
    released,
    async announce(next) {
      current = next;
      listener({ organization: next.organization, plugin: next.plugin });
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test("a new revision gets a new instance and lets the former go; the same one is kept", async () => {
  const { instances, released } = bench();
  const first = await instances.of(installationOf(1), "x");
  assert.equal(await instances.of(installationOf(1), "x"), first);
  const second = await instances.of(installationOf(2), "x");
  assert.notEqual(second.key, first.key);
  assert.deepEqual(released, [first.key]);
});

test("a call that read its installation before a change runs in the new instance instead of bringing the old one back", async () => {
  const { instances, released } = bench();
  const fresh = await instances.of(installationOf(2), "x");
  assert.equal(await instances.of(installationOf(1), "x"), fresh);
  assert.equal(await instances.of(installationOf(9, "i-0"), "x"), fresh, "also of an installation that is gone");
  assert.deepEqual(released, []);
});

test("an instance that was released is never found again: the same revision gets another key", async () => {
  const { instances, released } = bench();
  const installation = installationOf(1);
  const first = await instances.of(installation, "x");
  await instances.release(installation.organization, installation.plugin);
  const second = await instances.of(installation, "x");
  assert.notEqual(second.key, first.key);
  assert.deepEqual(released, [first.key]);
});

test("a change keeps the instance that fits it and lets go one that does not, or whose plugin is no longer active", async () => {
  const { instances, released, announce } = bench();
  const { key } = await instances.of(installationOf(1), "x");
  await announce(installationOf(1));
  assert.deepEqual(released, []);
  await announce({ ...installationOf(1), status: "disabled" });
  assert.deepEqual(released, [key]);
});
