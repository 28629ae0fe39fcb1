/** Where the hub itself sends secrets of a configuration: to the token endpoints of connections, as their client's secret. */
import type { Manifest } from "../../plugin-api/src/manifest.ts";

/** Hosts of token endpoints, by the setting that holds the client secret. A setting that is none is missing. */
export type TokenEndpoints = ReadonlyMap<string, readonly string[]>;

export function tokenEndpoints({ contributes }: Pick<Manifest, "contributes">): TokenEndpoints {
  const endpoints = new Map<string, string[]>();
  for (const { tokenUrl, clientSecret = "clientSecret", clientAuthentication } of Object.values(
    contributes?.connections ?? {},
  )) {
    if (clientAuthentication === "none") continue;
    const hosts = endpoints.get(clientSecret) ?? [];
    const host = new URL(tokenUrl).hostname;
    if (!hosts.includes(host)) hosts.push(host);
    endpoints.set(clientSecret, hosts);
  }
  return endpoints;
}
