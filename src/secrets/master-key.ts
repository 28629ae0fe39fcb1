/** Where the master key comes from: BACKPLANE_MASTER_KEY, or a file made once in the data folder that only its owner reads. */
import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { BackplaneError } from "../errors/error.ts";

const FILE = "master.key";

/** Reads base64 keys of 32 bytes, separated by commas: the first seals, the former ones still open. Error: `invalid_settings`. */
export function parseMasterKeys(text: string, source = "BACKPLANE_MASTER_KEY"): Uint8Array[] {
  return text
    .trim()
    .split(",")
    .map((part) => {
      const key = part.trim();
      const bytes = /^[A-Za-z0-9+/_-]{43}=?$/.test(key) ? Buffer.from(key, "base64") : undefined;
      if (bytes?.byteLength !== 32) {
        const reason = `${source} must be 32 random bytes in base64 (44 characters); make one with: openssl rand -base64 32`;
        throw new BackplaneError("invalid_settings", { reason });
      }
      return new Uint8Array(bytes);
    });
}

/** The keys kept in the data folder; the first call makes one (mode 0600). Error: `invalid_settings` when the file is damaged. */
export async function loadOrCreateKey(dataDir: string): Promise<Uint8Array[]> {
  const path = join(dataDir, FILE);
  await mkdir(dataDir, { recursive: true });
  const kept = await readKeyFile(path);
  if (kept) return kept;
  // Written aside and linked: another process never reads half a key, and the first of two makers wins.
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  const file = await open(aside, "wx", 0o600);
  try {
    await file.writeFile(`${randomBytes(32).toString("base64")}\n`);
    await file.sync();
    await file.close();
    await link(aside, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(aside, { force: true });
  }
  const made = await readKeyFile(path);
  if (!made)
    throw new BackplaneError("invalid_settings", { reason: `the key file ${path} vanished while it was made` });
  return made;
}

async function readKeyFile(path: string): Promise<Uint8Array[] | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new BackplaneError("invalid_settings", { reason: `the key file ${path} cannot be read` }, { cause: error });
  }
  // A restored backup often comes back readable by all.
  await chmod(path, 0o600).catch(() => {});
  return parseMasterKeys(text, `the key file ${path}`);
}
