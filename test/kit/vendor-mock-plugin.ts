/** A bundled plugin under the test kit, for the tests that lead it against a vendor's description: one hub for the test file. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { TestedPlugin, TestPluginOptions } from "../../plugin-api/src/testing.ts";
import { createPluginKit } from "../../src/authoring/plugin-kit.ts";
import { createKitHub, type KitHub } from "../../src/authoring/tested-hub.ts";
import { composeHub } from "../../src/main.ts";

/** `folder` is relative to the repository, such as `plugins/connectors/plaid`. Call it once, outside of tests. */
export function bundledPlugin(folder: string): (options?: TestPluginOptions) => Promise<TestedPlugin> {
  const dir = join(import.meta.dirname, "../..", folder);
  let data: string | undefined;
  let started: Promise<KitHub> | undefined;

  const start = async (): Promise<KitHub> => {
    data = await mkdtemp(join(tmpdir(), "backplane-vendor-"));
    return createKitHub(composeHub, data)();
  };
  const make = createPluginKit({ dir, hub: () => (started ??= start()) });

  after(async () => {
    if (!started) return;
    const { hub, services } = await started;
    await hub.close({ drainMs: 0 });
    await services[Symbol.asyncDispose]();
    await rm(data!, { recursive: true, force: true, maxRetries: 5 });
  });
  return (options = {}) => make(options);
}
