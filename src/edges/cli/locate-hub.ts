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
  const named = (env["BACKPLANE_URL"] || undefined)?.replace(/\/+$/, "");
  const hubs = localHubs({ env, cwd, home });
  // A folder whose hub has ended may lie nearer than the one whose hub runs.
  const running = hubs.find((hub) => hub.url !== undefined && (named === undefined || hub.url === named));
  const chosen = running ?? hubs[0];
  const url = named ?? running?.url ?? defaultHubUrl;
  const token = env["BACKPLANE_TOKEN"] || (isLoopback(url) ? env["BACKPLANE_ADMIN_TOKEN"] || chosen?.token : undefined);
  const organization = env["BACKPLANE_ORG"] || undefined;
  const isKey = token?.startsWith("bp_") ?? false;
  return {
    url,
    urlFrom: named !== undefined ? "BACKPLANE_URL" : running !== undefined ? "running hub" : "default",
    token,
    organization: organization ?? (isKey ? undefined : "demo"),
    organizationName: organization ?? (isKey ? "the organisation of the API key" : "demo"),
    dataDir: chosen?.dataDir,
  };
}

interface LocalHub {
  dataDir: string;
  token: string;
  /** Absent when its hub does not run. */
  url: string | undefined;
}

function localHubs(options: LocateOptions): LocalHub[] {
  return dataFolders(options).flatMap((dataDir) => {
    const token = isOwn(dataDir) ? readText(join(dataDir, "admin-token")) : undefined;
    return token === undefined ? [] : [{ dataDir, token, url: runningHub(dataDir) }];
  });
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
