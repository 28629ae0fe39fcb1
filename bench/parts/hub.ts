/** A whole hub on a fresh data folder (or database), with the bench plugin installed and active as often as asked. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { asOrganizationId, asPluginId, type OrganizationId, type PluginId } from "../../src/base/brands.ts";
import type { Hub } from "../../src/hub.ts";
import { composeHub } from "../../src/main.ts";
import { digestFiles } from "../../src/packages/archive.ts";
import { type LoadedFolder, loadFolder } from "../../src/packages/load-folder.ts";
import type { HubSettings } from "../../src/settings.ts";

export interface BenchHub extends AsyncDisposable {
  hub: Hub;
  organization: OrganizationId;
  /** Ids of the installed copies. */
  plugins: PluginId[];
  code: string;
}

export async function startBenchHub(settings: Partial<HubSettings> = {}, copies = 1): Promise<BenchHub> {
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-bench-"));
  const hub = await composeHub({ pluginsDir: null, logLevel: "error", ...settings, dataDir });
  const organization = asOrganizationId("bench");
  await hub.access.createOrganization({ id: organization, name: "Bench", actor: "system" });
  const folder = await loadFolder(fileURLToPath(new URL("../plugin/", import.meta.url)));
  const plugins: PluginId[] = [];
  for (let n = 0; n < copies; n++) {
    const id = asPluginId(`backplane.bench${n === 0 ? "" : n}`);
    await hub.packages.publishContent(organization, renamed(folder, id), { actor: "system" });
    await hub.lifecycle.install({ organization, actor: "system" }, { id, grants: "all" });
    await hub.lifecycle.activate({ organization, actor: "system" }, id);
    plugins.push(id);
  }
  return {
    hub,
    organization,
    plugins,
    code: folder.code!,
    async [Symbol.asyncDispose]() {
      await hub.close({ drainMs: 0 });
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** The same plugin under another id. */
export function renamed(folder: LoadedFolder, id: PluginId): LoadedFolder {
  const manifest = { ...folder.manifest, id };
  const files = new Map(folder.files).set("plugin.json", Buffer.from(JSON.stringify(manifest)));
  return { ...folder, manifest, files, digest: digestFiles(files) };
}

export async function mustInvoke(
  { hub, organization }: Pick<BenchHub, "hub" | "organization">,
  plugin: PluginId,
  name: string,
  parameters: unknown,
): Promise<void> {
  const { error } = await hub.invoker.run({
    organization,
    plugin,
    kind: "function",
    name,
    args: [parameters],
    actor: "system",
  });
  if (error) throw error;
}
