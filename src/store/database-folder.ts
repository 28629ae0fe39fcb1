/** Makes the embedded database's folder at the first start, whole or not at all. */
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readPrepopulated } from "./data-image.ts";

/** Gives the folder of the database inside `dataDir`. The caller holds the folder's lock. */
export async function prepareDatabaseFolder(dataDir: string): Promise<string> {
  const folder = join(dataDir, "db");
  if (await exists(join(folder, "PG_VERSION"))) return folder;
  const draft = join(dataDir, "db.new");
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const made = new Set<string>([draft]);
  for (const file of await readPrepopulated()) {
    const path = join(draft, file.path);
    const parent = file.bytes ? dirname(path) : path;
    if (!made.has(parent)) {
      await mkdir(parent, { recursive: true, mode: 0o700 });
      made.add(parent);
    }
    if (file.bytes) await writeFile(path, file.bytes, { mode: 0o600 });
  }
  await rename(draft, folder);
  return folder;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
