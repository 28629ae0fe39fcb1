/**
 * The bundled plugins: finds every folder with a plugin.json two levels below `plugins/`, builds it, and publishes it under
 * the organisation `*`, where every organisation can install it. A broken folder is reported and left out.
 */
import { globSync } from "node:fs";
import { dirname, join } from "node:path";
import { loadFolder } from "../packages/load-folder.ts";
import { bundledOrganization, type Packages } from "../packages/packages.ts";

export interface BundledOptions {
  packages: Packages;
  /** The folder `plugins`. */
  dir: string;
  onBroken?(folder: string, error: unknown): void;
}

/** Ids of what was published. */
export async function publishBundled({ packages, dir, onBroken }: BundledOptions): Promise<string[]> {
  const folders = globSync("*/*/plugin.json", { cwd: dir })
    .map((file) => join(dir, dirname(file)))
    .sort();
  const published = await Promise.all(
    folders.map(async (folder) => {
      try {
        const loaded = await loadFolder(folder);
        // A hub of another version may bundle the same plugin version with other content; installations stay on their digest.
        const { id } = await packages.publishContent(bundledOrganization, loaded, { actor: "system", replace: true });
        return id as string;
      } catch (error) {
        onBroken?.(folder, error);
        return undefined;
      }
    }),
  );
  return published.filter((id) => id !== undefined);
}
