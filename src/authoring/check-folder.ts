/**
 * Checks a plugin folder as publishing would, and reports everything at once: the faults of the manifest and, as far as it
 * can be found, those of the code. Runs nothing of the plugin.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isObject, parseJsonText } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";
import { parseManifest } from "../manifest/parse-manifest.ts";
import { bundlePlugin } from "../packages/bundle.ts";
import { type LoadedFolder, loadFolder } from "../packages/load-folder.ts";
import { type Diagnostic, diagnosticsOf, inSource } from "./diagnostic.ts";

export interface FolderCheck {
  /** Present exactly when there are no faults. */
  folder?: LoadedFolder;
  /** The shape the manifest is written in, for example `canonical`. */
  dialect: string;
  faults: Diagnostic[];
  warnings: Diagnostic[];
}

export async function checkFolder(dir: string): Promise<FolderCheck> {
  const text = await readFile(join(dir, "plugin.json"), "utf8").catch(() => "");
  const { dialect } = parseManifest(text);
  try {
    const folder = await loadFolder(dir);
    return { folder, dialect, faults: [], warnings: folder.warnings.map(inSource) };
  } catch (error) {
    const faults = faultsOf(error);
    const ofManifest = error instanceof BackplaneError && error.code === "invalid_manifest";
    return { dialect, faults: ofManifest ? [...faults, ...(await codeFaults(dir, text))] : faults, warnings: [] };
  }
}

/** The code is worth a look even when the manifest is not valid yet. */
async function codeFaults(dir: string, text: string): Promise<Diagnostic[]> {
  let entrypoint: unknown;
  try {
    const raw = parseJsonText(text);
    entrypoint = isObject(raw) ? raw["entrypoint"] : undefined;
  } catch {
    return [];
  }
  if (typeof entrypoint !== "string") return [];
  return bundlePlugin({ dir, entrypoint }).then(() => [], faultsOf);
}

function faultsOf(error: unknown): Diagnostic[] {
  if (!(error instanceof BackplaneError)) throw error;
  const faults = diagnosticsOf(error);
  if (faults.length > 0) return faults;
  return [
    error.code === "bundle_failed"
      ? { file: "plugin.json", field: "entrypoint", message: error.message }
      : { message: error.message },
  ];
}
