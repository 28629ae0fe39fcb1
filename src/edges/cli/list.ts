/** Reads a list of the hub to its end, or to a bound. */
import type { HubClient, HubRequest } from "./hub-client.ts";

export interface ListOptions {
  query?: HubRequest["query"];
  /** @default all, to 10000 */
  limit?: number;
}

export async function listAll<T>(
  hub: HubClient,
  path: string,
  plural: string,
  { query = {}, limit = 10_000 }: ListOptions = {},
): Promise<T[]> {
  const found: T[] = [];
  for (let cursor: string | undefined; ; ) {
    const size = Math.min(200, limit - found.length);
    const page = await hub.call<Record<string, unknown>>(path, { query: { ...query, limit: size, cursor } });
    found.push(...((page[plural] ?? []) as T[]));
    cursor = (page["nextCursor"] as string | null) ?? undefined;
    if (cursor === undefined || found.length >= limit) return found.slice(0, limit);
  }
}
