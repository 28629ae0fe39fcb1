/**
 * Packs a plugin folder into the tarball that `publish` takes: `package/plugin.json`, `package/index.js` with its source
 * map, README and licence. Equal content gives equal bytes and an equal digest.
 */
import { writeFile } from "node:fs/promises";
import { BackplaneError } from "../errors/error.ts";
import { writeArchive } from "./archive.ts";
import { packageLimits } from "./limits.ts";
import { type LoadedFolder, loadFolder } from "./load-folder.ts";

export interface PackedPlugin extends LoadedFolder {
  tgz: Uint8Array;
}

/** Errors: `invalid_manifest`, `bundle_failed` with `errors`; `payload_too_large`. `out` names a file to write as well. */
export async function packPlugin(dir: string, options: { out?: string } = {}): Promise<PackedPlugin> {
  const folder = await loadFolder(dir);
  const tgz = await writeArchive(folder.files);
  if (tgz.byteLength > packageLimits.archiveBytes) {
    throw new BackplaneError("payload_too_large", { size: tgz.byteLength, limit: packageLimits.archiveBytes });
  }
  if (options.out !== undefined) await writeFile(options.out, tgz);
  return { ...folder, tgz };
}
