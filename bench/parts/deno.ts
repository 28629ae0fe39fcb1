/**
 * Finds a Deno to measure against: one that is installed, in the PATH, or fetched once into a cache folder below the
 * temporary folder. It is not a dependency, for it is 92 MB that nothing but this comparison needs.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync, mkdirSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const version = "2.9.6";
const installMs = 180_000;

export type FoundDeno = { binary: string; missing?: undefined } | { binary?: undefined; missing: string };

let found: Promise<FoundDeno> | undefined;

export function findDeno(): Promise<FoundDeno> {
  found ??= look();
  return found;
}

async function look(): Promise<FoundDeno> {
  const here =
    within(fileURLToPath(new URL("../../node_modules", import.meta.url))) ?? (works("deno") ? "deno" : undefined);
  if (here !== undefined) return { binary: here };
  const uid = process.getuid?.() ?? 0;
  const cache = join(tmpdir(), `backplane-bench-deno-${version}-${uid}`);
  try {
    mkdirSync(cache, { recursive: true, mode: 0o700 });
    // The temporary folder is everybody's: what others put there is not run.
    const { uid: owner } = lstatSync(cache);
    if (process.getuid && owner !== uid) return { missing: `${cache} belongs to somebody else` };
    const cached = within(join(cache, "node_modules"));
    if (cached !== undefined) return { binary: cached };
    const fault = await install(cache);
    if (fault !== undefined) return { missing: fault };
    const installed = within(join(cache, "node_modules"));
    return installed === undefined ? { missing: "its binary cannot be used here" } : { binary: installed };
  } catch (error) {
    return { missing: `it could not be installed: ${(error as Error).message}` };
  }
}

/** Why it could not be installed. */
async function install(folder: string): Promise<string | undefined> {
  const windows = process.platform === "win32";
  const args = ["install", "--prefix", folder, "--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit"];
  const npm = spawn(
    windows ? "npm.cmd" : "npm",
    [...args, "--no-fund", "--fetch-retries=0", "--loglevel=error", `deno@${version}`],
    {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
      shell: windows,
      timeout: installMs,
    },
  );
  let complaint = "";
  npm.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk).slice(-2000);
  });
  const [code] = (await once(npm, "close")) as [number | null];
  if (code === 0) return undefined;
  const last = complaint.trim().split("\n")[0] ?? "";
  return `deno@${version} could not be installed: ${code === null ? `not within ${installMs / 1000} s` : last}`;
}

/** The binary itself: the package's starter script is a Node process of its own. */
function within(modules: string): string | undefined {
  const name = process.platform === "win32" ? "deno.exe" : "deno";
  try {
    return readdirSync(join(modules, "@deno"))
      .filter((platform) => platform.startsWith(`${process.platform}-${process.arch}`))
      .map((platform) => join(modules, "@deno", platform, name))
      .find(works);
  } catch {
    return undefined;
  }
}

function works(binary: string): boolean {
  return spawnSync(binary, ["--version"], { timeout: 20_000 }).status === 0;
}
