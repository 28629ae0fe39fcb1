/**
 * One hub per data folder: PGlite would open the same folder twice without a word and ruin it. The lock is a file that
 * names its process; the lock of a process that is gone is taken over.
 */
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "../base/ids.ts";
import { BackplaneError } from "../errors/error.ts";

export interface FolderLock {
  release(): Promise<void>;
}

interface Owner {
  pid: number;
  /** Tells this process from a later one with the same number; empty where the system does not say. */
  started: string;
  id: string;
}

/** Makes the folder when it is missing. Error: `data_folder_locked`. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, "hub.lock");
  const me: Owner = { pid: process.pid, started: await processStart(process.pid), id: newId() };
  const draft = `${file}.${me.id}`;
  await writeFile(draft, JSON.stringify(me), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      // A hard link appears whole or not at all: no one ever reads a half-written lock.
      if (await linked(draft, file)) return { release: () => release(file, me) };
      const owner = await readOwner(file);
      if (owner && (await isAlive(owner))) throw new BackplaneError("data_folder_locked", { folder, pid: owner.pid });
      await removeStale(file, owner);
    }
    throw new BackplaneError("data_folder_locked", { folder, pid: "unknown" });
  } finally {
    await rm(draft, { force: true });
  }
}

async function linked(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function release(file: string, me: Owner): Promise<void> {
  if ((await readOwner(file))?.id === me.id) await rm(file, { force: true });
}

/** Two hubs may find the same dead lock: the guard file lets only one of them remove it, and only the one it looked at. */
async function removeStale(file: string, seen: Owner | undefined): Promise<void> {
  const guard = `${file}.takeover`;
  try {
    await writeFile(guard, String(process.pid), { flag: "wx", mode: 0o600 });
  } catch {
    const holder = Number(await readFile(guard, "utf8").catch(() => "0"));
    if (holder > 0 && !(await isAlive({ pid: holder, started: "", id: "" }))) await rm(guard, { force: true });
    await new Promise((resolve) => setTimeout(resolve, 20));
    return;
  }
  try {
    if ((await readOwner(file))?.id === seen?.id) await rm(file, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

async function readOwner(file: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Owner;
  } catch {
    return undefined;
  }
}

async function isAlive(owner: Owner): Promise<boolean> {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return owner.started === "" || owner.started === (await processStart(owner.pid));
}

/** Start time of a process in clock ticks since boot with the boot's id (Linux), else "". */
async function processStart(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    return `${boot}:${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
  } catch {
    return "";
  }
}
