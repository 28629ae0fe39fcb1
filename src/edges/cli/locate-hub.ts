/**
 * Finds the hub a command speaks to and as whom: what the environment names, else the hub that runs on this machine, which
 * leaves its address and its admin's token in its data folder. That token is never sent to another machine.
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

export const defaultHubUrl = "http://127.0.0.1:7400";

export interface HubAddress {
  /** Without a slash at the end. */
  url: string;
  /** Where `url` comes from, for sentences. */
  urlFrom: "BACKPLANE_URL" | "running hub" | "default";
  token: string | undefined;
  /** Sent as `x-organization-id`; an API key already belongs to one. */
  organization: string | undefined;
  /** The organisation the command is about, for sentences. */
  organizationName: string;
  /** Data folder of a hub on this machine, where there is one. */
  dataDir: string | undefined;
}

export interface LocateOptions {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** The folder of this copy of Backplane. */
  home: string;
}

export function locateHub({ env, cwd, home }: LocateOptions): HubAddress {
  const dataDir = dataFolders({ env, cwd, home }).find(
    (folder) => isOwn(folder) && readText(join(folder, "admin-token")) !== undefined,
  );
  const running = dataDir === undefined ? undefined : runningHub(dataDir);
  const named = env["BACKPLANE_URL"] || undefined;
  const url = (named ?? running ?? defaultHubUrl).replace(/\/+$/, "");
  const local = isLoopback(url);
  const kept = dataDir === undefined ? undefined : readText(join(dataDir, "admin-token"));
  const token = env["BACKPLANE_TOKEN"] || (local ? env["BACKPLANE_ADMIN_TOKEN"] || kept : undefined);
  const chosen = env["BACKPLANE_ORG"] || undefined;
  return {
    url,
    urlFrom: named !== undefined ? "BACKPLANE_URL" : running !== undefined ? "running hub" : "default",
    token,
    organization: chosen ?? (token?.startsWith("bp_") ? undefined : "demo"),
    organizationName: chosen ?? (token?.startsWith("bp_") ? "the organisation of the API key" : "demo"),
    dataDir,
  };
}

/** BACKPLANE_DATA alone when it is set; else `.backplane` here, in a folder above, or in this copy of Backplane. */
export function dataFolders({ env, cwd, home }: LocateOptions): string[] {
  if (env["BACKPLANE_DATA"]) return [resolve(cwd, env["BACKPLANE_DATA"])];
  const folders: string[] = [];
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    folders.push(join(folder, ".backplane"));
    if (folder === dirname(folder)) break;
  }
  return [...folders, join(home, ".backplane")];
}

/** A folder that somebody else put in our way, in /tmp for example, is not asked where to send things. */
function isOwn(folder: string): boolean {
  const owner = statSync(folder, { throwIfNoEntry: false })?.uid;
  const user = process.getuid?.();
  return owner !== undefined && (user === undefined || owner === user);
}

/** Address of the hub that has this data folder open, when its process lives. */
function runningHub(dataDir: string): string | undefined {
  try {
    const { url, pid } = JSON.parse(readText(join(dataDir, "hub.json")) ?? "null") as { url: unknown; pid: unknown };
    if (typeof url !== "string" || typeof pid !== "number" || !isLoopback(url)) return undefined;
    process.kill(pid, 0);
    return url;
  } catch {
    // No such file, no such process, or another user's process, whose token could not be read either.
    return undefined;
  }
}

export function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname } = new URL(url);
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}
