/** BACKPLANE_EGRESS_OVERRIDE: a test setting that sends requests for declared hosts to an origin on this machine. */
import { canonicalHost } from "../base/host-pattern.ts";
import { isObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";

export interface OverrideOrigin {
  protocol: "http:" | "https:";
  /** Loopback address to connect to. */
  address: string;
  port: number;
}

export type EgressOverride = ReadonlyMap<string, OverrideOrigin>;

/** Reads the JSON map of host to loopback origin. Empty or missing: no override. Error: `invalid_settings`. */
export function parseOverride(text: string | undefined): EgressOverride {
  if (text === undefined || text.trim() === "") return new Map();
  let map: unknown;
  try {
    map = JSON.parse(text);
  } catch {
    throw invalid("it is not JSON");
  }
  if (!isObject(map)) throw invalid("it must be a JSON object of host to origin");
  return new Map(Object.entries(map).map(([host, origin]) => parseEntry(host, origin)));
}

function parseEntry(key: string, origin: unknown): [string, OverrideOrigin] {
  const host = canonicalHost(key);
  if (host === undefined) throw invalid(`'${key}' is not a host name`);
  let url: URL;
  try {
    url = new URL(typeof origin === "string" ? origin : "");
  } catch {
    throw invalid(`the origin of '${key}' is not a URL`);
  }
  const address = loopbackAddress(url.hostname);
  if (address === undefined) throw invalid(`the origin of '${key}' is not on this machine; use http://127.0.0.1:PORT`);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw invalid(`the origin of '${key}' must be http or https`);
  if (url.username || url.password || url.pathname !== "/" || url.search || url.hash)
    throw invalid(`the origin of '${key}' must be only scheme, host and port`);
  return [host, { protocol: url.protocol, address, port: Number(url.port || (url.protocol === "https:" ? 443 : 80)) }];
}

function loopbackAddress(hostname: string): string | undefined {
  if (hostname === "localhost") return "127.0.0.1";
  if (hostname === "[::1]") return "::1";
  return /^127\.\d+\.\d+\.\d+$/.test(hostname) ? hostname : undefined;
}

function invalid(reason: string): BackplaneError {
  return new BackplaneError("invalid_settings", { reason: `BACKPLANE_EGRESS_OVERRIDE: ${reason}` });
}
